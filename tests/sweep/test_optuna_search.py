"""Trials drawn by Optuna: within the search space, repeatable, none evaluated twice."""

import numpy as np
import pytest

from tabular.model.hyperparameters import DEFAULTS, Range
from tabular.options import SEARCH_METRICS
from tabular.sweep import space
from tabular.sweep.optuna_search import OptunaSearch
from tabular.sweep.trials import TrialResult

SPACE = {name: (default,) for name, default in DEFAULTS.items()} | {
    "learning_rate": Range(0.01, 1.0),
    "max_depth": Range(2, 9),
    "min_child_weight": (1.0, 5.0),
    "grow_policy": ("depthwise", "lossguide"),
    "max_leaves": Range(8, 64),
    "n_estimators": Range(10, 300),
}


def result_of(config):
    """Best where rate and depth are 0.1 and 6; as if 20 trees had been the best number."""
    loss = abs(np.log10(config["learning_rate"]) + 1) + abs(config["max_depth"] - 6) / 10
    scores = {"log_loss": loss, "accuracy": 1 - loss, "roc_auc": 0.5}
    return TrialResult(config | {"n_estimators": 20}, scores)


def drawn(
    sampler="tpe", n_trials=30, seed=0, max_in_flight=4, last_first=False, cached=None, space=SPACE
):
    """The configurations that a search submits, in their order, and the search."""
    search = OptunaSearch(space, sampler, "log_loss", seed, n_trials)
    search.start(cached or (lambda config: None))
    configs, waiting, fits = [], [], search.fits(max_in_flight)
    for _ in range(10 * n_trials):
        while len(waiting) < max_in_flight and (fit := next(fits, None)):
            configs += fit
            waiting += fit
        if not waiting:
            break
        search.tell(result_of(waiting.pop(-1 if last_first else 0)))
    return configs, search


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_draws_lie_in_the_search_space(sampler):
    configs, search = drawn(sampler, 200)
    assert 190 < len(configs) == search.done == search.total  # some are drawn twice
    for config in configs:
        assert [*config] == [*DEFAULTS]
        assert 0.01 <= config["learning_rate"] <= 1.0
        assert config["learning_rate"] == float(f"{config['learning_rate']:.4g}")
        assert config["max_depth"] in range(2, 10)
        assert isinstance(config["max_depth"], int)
        assert config["min_child_weight"] in (1.0, 5.0)
        assert config["grow_policy"] in ("depthwise", "lossguide")
        assert config["max_leaves"] in range(8, 65)
        assert config["n_estimators"] == 300  # all are grown, and the best number is found
        assert config["gamma"] == 0.0
    assert len({config["max_depth"] for config in configs}) >= 6


def test_draws_from_lists_that_repeat_an_earlier_one_are_counted():
    lists = SPACE | {"learning_rate": (0.1, 0.3), "max_depth": (3, 6), "max_leaves": (0,)}
    configs, search = drawn(n_trials=30, space=lists)
    assert len(configs) <= 16  # two rates, depths, weights and policies of growth
    assert search.n_repeated == 30 - len(configs)


def test_a_rate_is_drawn_on_a_logarithmic_scale():
    rates = [config["learning_rate"] for config in drawn("random", 400)[0]]
    assert 0.08 < np.median(rates) < 0.125  # uniform, it would be 0.5


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_seed_gives_the_same_trials_in_any_order_of_completion(sampler):
    first = drawn(sampler)[0]
    assert drawn(sampler, last_first=True)[0] == first
    assert drawn(sampler, seed=1)[0] != first


@pytest.mark.parametrize("n_cached", [1, 7, 30])
def test_a_cached_result_takes_the_place_of_its_trial(n_cached):
    first = drawn()[0]
    known = {space.config_key(config) for config in first[:n_cached]}

    def look_up(config):
        return result_of(config) if space.config_key(config) in known else None

    again, search = drawn(cached=look_up)
    assert again == first[n_cached:]
    assert search.done == 30


def test_a_config_that_is_drawn_again_is_not_evaluated_again():
    space = {name: (default,) for name, default in DEFAULTS.items()}
    space |= {"learning_rate": (0.1, 0.2)}
    configs, search = drawn(n_trials=25, space=space)
    assert sorted(config["learning_rate"] for config in configs) == [0.1, 0.2]
    assert search.done == search.total == 2


def test_tpe_learns_and_random_does_not():
    late = {
        sampler: np.mean([
            result_of(config).metrics["log_loss"]
            for seed in range(3)
            for config in drawn(sampler, 60, seed)[0][30:]
        ])
        for sampler in ("random", "tpe")
    }  # fmt: skip
    assert late["tpe"] < 0.6 * late["random"]


@pytest.mark.parametrize("metric", [*SEARCH_METRICS])
def test_every_metric_is_searched_in_its_direction(metric):
    search = OptunaSearch(SPACE, "tpe", metric, 0, 2)
    search.start(lambda config: None)
    configs = [fit[0] for fit in search.fits(max_in_flight=2) if fit]
    for loss, config in zip((0.2, 0.7), configs, strict=True):
        scores = {"log_loss": loss, "accuracy": 1 - loss, "roc_auc": 1 - loss}
        search.tell(TrialResult(config, scores))
    search._tell_optuna(2)
    assert search.study.best_trial.number == 0


def test_a_failed_trial_is_told_to_optuna_as_failed():
    search = OptunaSearch(SPACE, "tpe", "log_loss", 0, 3)
    search.start(lambda config: None)
    for fit in search.fits(max_in_flight=1):
        search.tell(TrialResult(fit[0], error="no room"))
    search._tell_optuna(3)
    assert [trial.state.name for trial in search.study.trials] == ["FAIL"] * 3
