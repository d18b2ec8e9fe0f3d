"""Judging points: one fit for many, many at a time, and no point drags another down."""

import time

import numpy as np
import pytest
import xgboost

from tabular.evaluation import metrics
from tabular.model import boosting
from tabular.model.hyperparameters import DEFAULTS
from tabular.model.served import Encoder
from tabular.sweep import space, trials

LISTS = {name: (default,) for name, default in DEFAULTS.items()} | {
    "max_depth": (2, 4),
    "n_estimators": (5, 12, 20),
}
SAMPLED = {"subsample": (0.6,), "colsample_bytree": (0.7,)}


def judge(rows, points, folds=1, workers=2, seed=0, **settings):
    parts = boosting.validation_splits(rows.train.y, seed, folds)
    matrices = [boosting.split_matrices(rows.train, part) for part in parts]
    begun, fits = [], space.shared_fits(points)

    def begin(fit):
        begun.append(fit)
        return [str(point["n_estimators"]) for point in fit]

    outcomes = trials.judged(iter(fits), matrices, workers, begin, seed=seed, **settings)
    return parts, begun, list(outcomes)


@pytest.mark.parametrize("sampling", [{}, SAMPLED], ids=["plain", "sampled"])
@pytest.mark.parametrize("folds", [1, 3])
def test_a_prefix_of_a_shared_fit_is_a_fit_of_its_own(rows, sampling, folds):
    """Exactly; each point's reference is fitted alone, on matrices of its own, all cores."""
    points = space.grid_configs(LISTS | sampling, 100)
    parts, begun, outcomes = judge(rows, points, folds, seed=3, n_jobs=1)
    assert len(begun) == 2
    assert len(outcomes) == 6
    for outcome in outcomes:
        assert outcome.run_id == str(outcome.point["n_estimators"])
        alone, curves = [], []
        for train, held_out in parts:
            X, y = rows.train.X, rows.train.y
            binned = boosting.bin_rows(X.iloc[train], y[train])
            validation = xgboost.QuantileDMatrix(
                X.iloc[held_out], y[held_out], ref=binned, enable_categorical=True
            )
            booster, curve = boosting.fit(outcome.point, binned, follow=validation, seed=3)
            probability = booster.inplace_predict(Encoder(booster)(X.iloc[held_out]))
            alone.append(metrics.search_metrics(y[held_out], probability))
            curves.append([*curve[:-1], alone[-1]["log_loss"]])
        for name in space.METRICS:
            values = [scores[name] for scores in alone]
            assert outcome.metrics[name] == np.mean(values), name
            if folds > 1:
                assert outcome.metrics[f"{name}_std"] == pytest.approx(np.std(values, ddof=1))
        assert np.array_equal(outcome.curve, np.mean(curves, axis=0))


@pytest.mark.parametrize("folds", [1, 3])
def test_a_trial_is_judged_at_the_number_of_trees_that_a_grid_would_choose(rows, folds):
    """Exactly, and without growing all of the trees."""
    drawn = DEFAULTS | {"max_depth": 5, "learning_rate": 0.5, "n_estimators": 400}
    trees = range(1, 401)
    _, _, grown = judge(rows, [drawn], folds, trees=trees)
    (outcome,) = grown
    assert 1 < outcome.point["n_estimators"] < 100
    assert len(outcome.curve) == outcome.point["n_estimators"]
    points = [drawn | {"n_estimators": n} for n in range(1, 100)]
    best = trials.rank(judge(rows, points, folds)[2], "log_loss")[0]
    assert (outcome.point, outcome.metrics) == (best.point, best.metrics)
    assert outcome.curve.tolist() == best.curve.tolist()
    listed = judge(rows, [drawn], folds, trees=(200, 90, 400))[2][0]
    assert listed.point["n_estimators"] in (90, 200)


def test_workers_and_threads_change_nothing(rows):
    points = space.grid_configs(LISTS | SAMPLED, 100)
    found = [
        {o.point["max_depth"] * 100 + o.point["n_estimators"]: (o.metrics, o.curve.tolist())
         for o in judge(rows, points, workers=workers, n_jobs=threads)[2]}
        for workers, threads in ((1, 2), (2, 1), (3, 1))
    ]  # fmt: skip
    assert found[0] == found[1] == found[2]


def test_a_point_that_fails_leaves_the_others_and_tells_why(rows, monkeypatch):
    """Trees up to the failure are as good as ever; the other fit does not notice."""
    original = boosting.fit

    def fails_late(config, train, *, after_round, **settings):
        def bomb(booster, curve):
            if config["max_depth"] == 4 and len(curve) == 15:
                raise MemoryError("no room\nfor a histogram")
            return after_round(booster, curve)

        return original(config, train, after_round=bomb, **settings)

    monkeypatch.setattr(boosting, "fit", fails_late)
    points = space.grid_configs(LISTS, 100)
    for folds in (1, 2):
        _, _, outcomes = judge(rows, points, folds)
        failed = [(o.point["max_depth"], o.point["n_estimators"], o.error)
                  for o in outcomes if o.error]  # fmt: skip
        assert failed == [(4, 20, "MemoryError: no room for a histogram")]
        assert len(outcomes) == 6
        assert [o.error is None for o in trials.rank(outcomes, "log_loss")] == [True] * 5 + [False]


def test_leaving_early_stops_the_fits_in_hand(rows):
    points = space.grid_configs(LISTS | {"n_estimators": (1, 100_000)}, 100)
    matrices = [boosting.split_matrices(rows.train, boosting.validation_splits(rows.train.y, 0)[0])]
    judged = trials.judged(iter(space.shared_fits(points)), matrices, 2, lambda fit: ["", ""])
    start = time.perf_counter()
    next(judged)
    judged.close()
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize(("cores", "n_fits", "wanted", "device", "expected"), [
    (2, 9, None, "cpu", (2, 1)),
    (16, 9, None, "cpu", (9, 1)),
    (16, 4, None, "cpu", (4, 4)),
    (16, 9, 2, "cpu", (2, 8)),
    (2, 9, 8, "cpu", (8, 1)),
    (2, 1, None, "cpu", (1, 2)),
    (16, 9, None, "cuda", (1, 16)),
])  # fmt: skip
def test_cores_are_split_between_fits_and_threads(
    monkeypatch, cores, n_fits, wanted, device, expected
):
    monkeypatch.setattr(trials.joblib, "cpu_count", lambda: cores)
    assert trials.allocate_cores(n_fits, wanted, device) == expected


def test_the_constant_answer_is_the_training_share():
    """By hand: 3 of 4 training rows are positive, and one of the two held out."""
    y = np.array([1, 1, 1, 0, 1, 0])
    found = trials.baseline_metrics(y, [(np.arange(4), np.array([4, 5]))])
    assert found["accuracy"] == 0.5
    assert found["roc_auc"] == 0.5
    assert found["log_loss"] == pytest.approx(-(np.log(0.75) + np.log(0.25)) / 2)


def test_the_leaderboard_is_sorted_and_has_the_constant_answer_where_it_belongs():
    def outcome(depth, loss, error=None):
        metrics = {} if error else {"log_loss": loss, "accuracy": 1 - loss, "roc_auc": 0.5}
        return trials.TrialResult(DEFAULTS | {"max_depth": depth}, metrics, error=error, run_id="r")

    outcomes = [outcome(2, 0.7), outcome(3, 0.0, "broken"), outcome(4, 0.3), outcome(5, 0.3)]
    ranked = trials.rank(outcomes, "log_loss")
    baseline = {"log_loss": 0.5, "accuracy": 0.7, "roc_auc": 0.5}
    board = trials.results_table(ranked, baseline, "log_loss")
    assert board["max_depth"].tolist()[:2] == [4, 5]
    assert board["validation_log_loss"].tolist()[:4] == [0.3, 0.3, 0.5, 0.7]
    assert board["source"].tolist() == ["computed", "computed", "constant", "computed", "computed"]
    assert board["error"].tolist() == ["", "", "", "", "broken"]
    nothing = trials.results_table([outcome(3, 0.0, "broken")], baseline, "accuracy")
    assert nothing["validation_accuracy"].tolist()[0] == 0.7
