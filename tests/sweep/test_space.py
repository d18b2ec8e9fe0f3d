"""A grid: its points, the fits they share, and which of two is better."""

import pytest

from tabular.errors import UserError
from tabular.model.hyperparameters import DEFAULTS, Range
from tabular.sweep import space


def lists(**values):
    return {name: (default,) for name, default in DEFAULTS.items()} | values


def point(**values):
    return DEFAULTS | values


def test_points_are_the_product_and_duplicates_collapse():
    points = space.grid_configs(lists(max_depth=(3, 6, 3), gamma=(0.0, 1.0)), max_points=4)
    assert points == [
        point(max_depth=3, gamma=0.0),
        point(max_depth=3, gamma=1.0),
        point(max_depth=6, gamma=0.0),
        point(max_depth=6, gamma=1.0),
    ]
    assert space.varied_names(points) == ["max_depth", "gamma"]


def test_a_grid_that_is_too_large_is_refused_before_it_is_made():
    with pytest.raises(UserError, match=r"the grid has 1,000,000,000,000 points, more than 10"):
        space.grid_configs(lists(gamma=range(10**6), reg_alpha=range(10**6)), max_points=10)


def test_a_range_is_not_for_a_grid():
    with pytest.raises(UserError, match=r"gamma: a grid needs a list, got the range 0\.\.5; list"):
        space.grid_configs(lists(gamma=Range(0, 5)), max_points=10)


def test_points_that_differ_only_in_trees_share_a_fit_and_most_work_comes_first():
    points = space.grid_configs(lists(max_depth=(2, 9), n_estimators=(30, 10, 20)), max_points=6)
    assert space.shared_fits(points) == [
        [point(max_depth=9, n_estimators=n) for n in (10, 20, 30)],
        [point(max_depth=2, n_estimators=n) for n in (10, 20, 30)],
    ]


def test_the_work_of_a_shared_fit_is_that_of_its_longest_point():
    short, long = point(n_estimators=10), point(n_estimators=30)
    together = sum(space.fit_cost([[short, long]]).values())
    assert together == sum(space.fit_cost([[long]]).values())


@pytest.mark.parametrize(("metric", "better", "worse"), [
    ("log_loss", 0.2, 0.3), ("accuracy", 0.9, 0.8), ("roc_auc", 0.9, 0.8),
])  # fmt: skip
def test_every_metric_knows_its_direction_and_ties_go_to_the_smaller_model(metric, better, worse):
    large, small = point(max_depth=6, n_estimators=50), point(max_depth=3, n_estimators=100)
    assert space.rank_key(large, better, metric) < space.rank_key(small, worse, metric)
    assert space.rank_key(small, better, metric) < space.rank_key(large, better, metric)
