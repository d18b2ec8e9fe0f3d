"""Trials: drawn within what was asked for, the same ones again, and none judged twice."""

import numpy as np
import pytest

from tabular.model.hyperparameters import DEFAULTS, Range
from tabular.sweep import space
from tabular.sweep.sampling import OptunaSearch
from tabular.sweep.trials import TrialResult

SPACE = {name: (default,) for name, default in DEFAULTS.items()} | {
    "learning_rate": Range(0.01, 1.0),
    "max_depth": Range(2, 9),
    "min_child_weight": (1.0, 5.0),
    "n_estimators": Range(10, 300),
}


def outcome(point):
    """Best where rate and depth are 0.1 and 6; as if 20 trees had been the best number."""
    loss = abs(np.log10(point["learning_rate"]) + 1) + abs(point["max_depth"] - 6) / 10
    scores = {"log_loss": loss, "accuracy": 1 - loss, "roc_auc": 0.5}
    return TrialResult(point | {"n_estimators": 20}, scores)


def drawn(sampler="tpe", n_trials=30, seed=0, ahead=4, last_first=False, known=None, space=SPACE):
    """The points that a search asks to be judged, in their order, and the study."""
    trials = OptunaSearch(space, sampler, "log_loss", seed, n_trials)
    trials.start(known or (lambda point: None))
    points, waiting, fits = [], [], trials.fits(ahead)
    for _ in range(10 * n_trials):
        while len(waiting) < ahead and (fit := next(fits, None)):
            points += fit
            waiting += fit
        if not waiting:
            break
        trials.tell(outcome(waiting.pop(-1 if last_first else 0)))
    return points, trials


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_what_is_drawn_lies_in_lists_and_ranges(sampler):
    points, trials = drawn(sampler, 200)
    assert 190 < len(points) == trials.done == trials.total  # some are drawn twice
    for point in points:
        assert [*point] == [*DEFAULTS]
        assert 0.01 <= point["learning_rate"] <= 1.0
        assert point["learning_rate"] == float(f"{point['learning_rate']:.4g}")
        assert point["max_depth"] in range(2, 10)
        assert isinstance(point["max_depth"], int)
        assert point["min_child_weight"] in (1.0, 5.0)
        assert point["n_estimators"] == 300  # all are grown, and the best number is found
        assert point["gamma"] == 0.0
    assert len({point["max_depth"] for point in points}) >= 6


def test_a_rate_is_drawn_on_a_logarithmic_scale():
    rates = [point["learning_rate"] for point in drawn("random", 400)[0]]
    assert 0.08 < np.median(rates) < 0.125  # uniform, it would be 0.5


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_seed_gives_the_same_trials_whichever_ends_first(sampler):
    first = drawn(sampler)[0]
    assert drawn(sampler, last_first=True)[0] == first
    assert drawn(sampler, seed=1)[0] != first


@pytest.mark.parametrize("n_known", [1, 7, 30])
def test_what_is_known_is_told_in_its_place_and_not_judged_again(n_known):
    first = drawn()[0]
    known = {space.config_key(point) for point in first[:n_known]}

    def look_up(point):
        return outcome(point) if space.config_key(point) in known else None

    again, trials = drawn(known=look_up)
    assert again == first[n_known:]
    assert trials.done == 30


def test_a_point_drawn_again_is_not_judged_again():
    space = SPACE | {"learning_rate": (0.1, 0.2), "max_depth": (3,), "min_child_weight": (1.0,)}
    points, trials = drawn(n_trials=25, space=space)
    assert sorted(point["learning_rate"] for point in points) == [0.1, 0.2]
    assert trials.done == trials.total == 2


def test_tpe_learns_and_random_does_not():
    late = {
        sampler: np.mean([
            outcome(point).metrics["log_loss"]
            for seed in range(3)
            for point in drawn(sampler, 60, seed)[0][30:]
        ])
        for sampler in ("random", "tpe")
    }  # fmt: skip
    assert late["tpe"] < 0.6 * late["random"]


@pytest.mark.parametrize("metric", [*space.METRICS])
def test_every_metric_is_searched_in_its_direction(metric):
    trials = OptunaSearch(SPACE, "tpe", metric, 0, 2)
    trials.start(lambda point: None)
    points = [fit[0] for fit in trials.fits(ahead=2) if fit]
    for loss, point in zip((0.2, 0.7), points, strict=True):
        scores = {"log_loss": loss, "accuracy": 1 - loss, "roc_auc": 1 - loss}
        trials.tell(TrialResult(point, scores))
    trials._told(2)
    assert trials.study.best_trial.number == 0


def test_a_trial_that_failed_is_no_result():
    trials = OptunaSearch(SPACE, "tpe", "log_loss", 0, 3)
    trials.start(lambda point: None)
    for fit in trials.fits(ahead=1):
        trials.tell(TrialResult(fit[0], error="no room"))
    trials._told(3)
    assert [trial.state.name for trial in trials.study.trials] == ["FAIL"] * 3
