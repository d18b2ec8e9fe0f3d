"""Shared fits: exact prefixes, tree choices, failures, and who runs them."""

import time
from collections import namedtuple

import numpy as np
import pytest
import xgboost

from tabular.evaluation import metrics
from tabular.model import boosting
from tabular.model.hyperparameters import DEFAULTS
from tabular.model.served import Encoder
from tabular.options import SEARCH_METRICS
from tabular.sweep import executors, results, space, trials
from tabular.sweep.budget import Budget
from tabular.sweep.executors import run_trials
from tabular.sweep.space import GridSearch
from tabular.sweep.trials import SweepSpec

SPACE = {name: (default,) for name, default in DEFAULTS.items()} | {
    "max_depth": (2, 4),
    "n_estimators": (5, 12, 20),
}
SAMPLED = {
    "subsample": (0.6,), "colsample_bytree": (0.7,), "colsample_bylevel": (0.8,),
    "colsample_bynode": (0.8,), "num_parallel_tree": (2,),
}  # fmt: skip
LOSSGUIDE = {
    "grow_policy": ("lossguide",), "max_leaves": (6,), "max_bin": (16,), "max_depth": (0, 2),
    "monotone_constraints": ("age:1",), "interaction_constraints": ("age+sex,education-num+sex",),
}  # fmt: skip
Parent = namedtuple("Parent", "info")


@pytest.fixture(autouse=True)
def no_child_runs(monkeypatch):
    """Nothing is logged: a child run's id is its number of trees."""
    monkeypatch.setattr(
        executors.child_runs, "create", lambda parent, spec, config: str(config["n_estimators"])
    )
    for name in ("log_lineage", "finish"):
        monkeypatch.setattr(executors.child_runs, name, lambda spec, subject: None)


def run_all(dataset, configs, folds=1, workers=2, seed=0):
    """The results of all configurations, by the threads of this process."""
    spec = SweepSpec(dataset, "cpu", seed, folds)
    search = GridSearch(configs)
    executor = executors.LocalExecutor(
        Parent(None), spec, search.start(lambda config: None), workers
    )
    try:
        return list(run_trials(search, executor, Budget(None)))
    finally:
        executor.close()


def run_trial(dataset, config, folds, tree_choices):
    """The result of one trial whose number of trees is chosen."""
    spec = SweepSpec(dataset, "cpu", 0, folds, tree_choices)
    (result,) = trials.run_shared_fit(spec, spec.matrices(256), [config], ["id"])
    return result


@pytest.mark.parametrize("varied", [{}, SAMPLED, LOSSGUIDE], ids=["plain", "sampled", "lossguide"])
@pytest.mark.parametrize("folds", [1, 3])
def test_a_prefix_of_a_shared_fit_equals_a_fit_of_its_own(dataset, varied, folds):
    """Exactly: the reference is fitted alone, on matrices of its own, with all cores."""
    configs = space.grid_configs(SPACE | varied, 100)
    found = run_all(dataset, configs, folds, seed=3)
    assert len(found) == 6
    X, y = dataset.train.X, dataset.train.y
    for result in found:
        assert result.run_id == str(result.config["n_estimators"])
        scores, curves = [], []
        for train, held_out in boosting.validation_splits(y, 3, folds):
            max_bin = result.config["max_bin"]
            binned = boosting.bin_rows(X.iloc[train], y[train], max_bin)
            validation = xgboost.QuantileDMatrix(
                X.iloc[held_out], y[held_out], ref=binned, enable_categorical=True, max_bin=max_bin
            )
            booster, curve = boosting.fit(result.config, binned, eval_set=validation, seed=3)
            probability = booster.inplace_predict(Encoder(booster)(X.iloc[held_out]))
            scores.append(metrics.search_metrics(y[held_out], probability))
            curves.append([*curve.values()][:-1] + [scores[-1]["log_loss"]])
        for name in SEARCH_METRICS:
            values = [score[name] for score in scores]
            assert result.metrics[name] == np.mean(values), name
            if folds > 1:
                assert result.metrics[f"{name}_std"] == pytest.approx(np.std(values, ddof=1))
        assert np.array_equal(result.curve, np.mean(curves, axis=0))


def test_a_sweep_over_max_bin_bins_the_rows_again_for_each(dataset, monkeypatch):
    made, bins = [], (8, 64, 256, 16, 32)
    original = SweepSpec.matrices
    monkeypatch.setattr(
        SweepSpec, "matrices", lambda spec, max_bin: made.append(max_bin) or original(spec, max_bin)
    )
    configs = space.grid_configs(SPACE | {"max_bin": bins[:2]}, 100)
    found = {space.config_key(r.config): r.metrics for r in run_all(dataset, configs)}
    assert sorted(made) == [8, 64]
    for config in configs:
        (alone,) = run_all(dataset, [config])
        assert alone.metrics == found[space.config_key(config)]
    spec, cache = SweepSpec(dataset, "cpu", 0, 1), {}
    for max_bin in bins:
        trials.cached_matrices(spec, max_bin, cache)
    assert [*cache] == [64, 256, 16, 32]  # the memory of a long search is bounded


@pytest.mark.parametrize("folds", [1, 3])
def test_tree_choices_give_the_number_of_trees_that_a_grid_would_choose(dataset, folds):
    """Exactly, and without growing all of the trees."""
    drawn = DEFAULTS | {"max_depth": 5, "learning_rate": 0.5, "n_estimators": 400}
    result = run_trial(dataset, drawn, folds, range(1, 401))
    assert 1 < result.config["n_estimators"] < 100
    assert len(result.curve) == result.config["n_estimators"]
    configs = [drawn | {"n_estimators": n} for n in range(1, 100)]
    best = results.rank(run_all(dataset, configs, folds), "log_loss")[0]
    assert (result.config, result.metrics) == (best.config, best.metrics)
    assert result.curve.tolist() == best.curve.tolist()
    listed = run_trial(dataset, drawn, folds, (200, 90, 400))
    assert listed.config["n_estimators"] in (90, 200)


def test_the_numbers_of_workers_and_threads_change_nothing(dataset, monkeypatch):
    configs = space.grid_configs(SPACE | SAMPLED, 100)
    found = []
    for workers, cores in ((1, 2), (2, 2), (3, 3)):
        monkeypatch.setattr(executors.joblib, "cpu_count", lambda cores=cores: cores)
        by_config = {
            space.config_key(r.config): (r.metrics, r.curve.tolist())
            for r in run_all(dataset, configs, workers=workers)
        }
        found.append(by_config)
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("folds", [1, 2])
def test_a_fit_that_fails_late_keeps_the_results_that_it_had(dataset, monkeypatch, folds):
    """The other fit is not affected."""
    original = boosting.fit

    def fail_late(config, train, *, after_round, **settings):
        def fail_at_15(booster, curve):
            if config["max_depth"] == 4 and len(curve) == 15:
                raise MemoryError("no room\nfor a histogram")
            return after_round(booster, curve)

        return original(config, train, after_round=fail_at_15, **settings)

    monkeypatch.setattr(boosting, "fit", fail_late)
    found = run_all(dataset, space.grid_configs(SPACE, 100), folds)
    failed = [(r.config["max_depth"], r.config["n_estimators"], r.error) for r in found if r.error]
    assert failed == [(4, 20, "MemoryError: no room for a histogram")]
    assert len(found) == 6
    ranked = results.rank(found, "log_loss")
    assert [r.error is None for r in ranked] == [True] * 5 + [False]


def test_closing_the_executor_stops_the_fits_in_flight(dataset):
    spec = SweepSpec(dataset, "cpu", 0, 1)
    executor = executors.LocalExecutor(Parent(None), spec, n_fits=2, workers=2)
    for depth in (2, 4):
        executor.submit([DEFAULTS | {"max_depth": depth, "n_estimators": 100_000}])
    start = time.perf_counter()
    executor.close()
    executor._pool.shutdown(wait=True)
    assert time.perf_counter() - start < 10


def test_a_gpu_of_this_machine_takes_one_fit_at_a_time(dataset):
    spec = SweepSpec(dataset, "cuda", 0, 1)
    assert executors.LocalExecutor(Parent(None), spec, n_fits=9, workers=4).workers == 1


@pytest.mark.parametrize(("cores", "n_fits", "workers", "device", "expected"), [
    (2, 9, None, "cpu", (2, 1)),
    (16, 9, None, "cpu", (9, 1)),
    (16, 4, None, "cpu", (4, 4)),
    (16, 9, 2, "cpu", (2, 8)),
    (2, 9, 8, "cpu", (8, 1)),
    (2, 1, None, "cpu", (1, 2)),
    (16, 9, None, "cuda", (1, 16)),
])  # fmt: skip
def test_cores_are_allocated_to_fits_and_threads(
    monkeypatch, cores, n_fits, workers, device, expected
):
    monkeypatch.setattr(executors.joblib, "cpu_count", lambda: cores)
    assert executors.allocate_cores(n_fits, workers, device) == expected


def test_a_listed_number_of_trees_after_the_lowest_log_loss_is_tried_too():
    """It may be better than the one before the lowest log loss, which lies far from it."""
    stop = trials._stop_without_gain((50, 400, 800), lambda: False)
    losses = [1 / n for n in range(1, 181)] + [0.01] * 1000  # the lowest is at 180
    curve: list[float] = []
    for loss in losses:
        curve.append(loss)
        if stop(None, curve):
            break
    assert len(curve) == 400


def test_a_fit_of_any_number_of_trees_ends_soon_after_its_lowest_log_loss():
    stop = trials._stop_without_gain(range(1, 1001), lambda: False)
    curve: list[float] = []
    while not stop(None, curve := [*curve, 1 / min(len(curve) + 1, 180)]):
        pass
    assert len(curve) == 180 + trials.PATIENCE_ROUNDS
