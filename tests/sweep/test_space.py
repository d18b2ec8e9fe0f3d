"""A grid: its configurations, the fits that they share, and their ranking."""

import pytest

from tabular.errors import UserError
from tabular.model.hyperparameters import DEFAULTS, Range
from tabular.sweep import space


def search_space(**values):
    return {name: (default,) for name, default in DEFAULTS.items()} | values


def config(**values):
    return DEFAULTS | values


def test_points_are_the_product_and_duplicates_collapse():
    configs = space.grid_configs(search_space(max_depth=(3, 6, 3), gamma=(0.0, 1.0)), max_points=4)
    assert configs == [
        config(max_depth=3, gamma=0.0),
        config(max_depth=3, gamma=1.0),
        config(max_depth=6, gamma=0.0),
        config(max_depth=6, gamma=1.0),
    ]
    assert space.varied_names(configs) == ["max_depth", "gamma"]


def test_a_grid_that_is_too_large_is_refused_before_it_is_made():
    with pytest.raises(
        UserError, match=r"the grid has 1,000,000,000,000 configurations, more than 10"
    ):
        space.grid_configs(search_space(gamma=range(10**6), reg_alpha=range(10**6)), max_points=10)


def test_a_range_is_refused_in_a_grid():
    with pytest.raises(UserError, match=r"gamma: a grid needs a list, got the range 0\.\.5; list"):
        space.grid_configs(search_space(gamma=Range(0, 5)), max_points=10)


def test_configs_that_differ_only_in_trees_share_a_fit_and_the_most_costly_comes_first():
    configs = space.grid_configs(
        search_space(max_depth=(2, 9), n_estimators=(30, 10, 20)), max_points=6
    )
    assert space.shared_fits(configs) == [
        [config(max_depth=9, n_estimators=n) for n in (10, 20, 30)],
        [config(max_depth=2, n_estimators=n) for n in (10, 20, 30)],
    ]


def test_the_cost_of_a_shared_fit_is_that_of_its_longest_config():
    short, long = config(n_estimators=10), config(n_estimators=30)
    together = sum(space.fit_cost([[short, long]]).values())
    assert together == sum(space.fit_cost([[long]]).values())


def test_trees_of_few_leaves_cost_less_and_rank_before_deep_ones():
    few, deep = config(max_depth=9, max_leaves=8), config(max_depth=9)
    cost = space.fit_cost([[few], [deep]])
    assert cost[space.config_key(few)] == sum(space.fit_cost([[config(max_depth=3)]]).values())
    assert cost[space.config_key(few)] < cost[space.config_key(deep)]
    assert space.rank_key(few, 0.5, "accuracy") < space.rank_key(deep, 0.5, "accuracy")


def test_averaged_trees_cost_as_much_as_so_many_rounds():
    averaged, long = config(num_parallel_tree=3), config(n_estimators=300)
    one, other = (sum(space.fit_cost([[fit]]).values()) for fit in (averaged, long))
    assert one == other


@pytest.mark.parametrize(("metric", "better", "worse"), [
    ("log_loss", 0.2, 0.3), ("accuracy", 0.9, 0.8), ("roc_auc", 0.9, 0.8),
])  # fmt: skip
def test_ranking_follows_the_direction_of_the_metric_and_prefers_the_smaller_model(
    metric, better, worse
):
    large, small = config(max_depth=6, n_estimators=50), config(max_depth=3, n_estimators=100)
    assert space.rank_key(large, better, metric) < space.rank_key(small, worse, metric)
    assert space.rank_key(small, better, metric) < space.rank_key(large, better, metric)
