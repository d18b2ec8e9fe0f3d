"""Hyper-parameters: the name of a configuration, what decides, and the size of a tree."""

import pytest

from tabular.errors import UserError
from tabular.model.hyperparameters import (
    DEFAULTS,
    Range,
    config_name,
    decisive_values,
    require_bounded_trees,
    tree_leaves,
)


@pytest.mark.parametrize(("changes", "name"), [
    ({}, "depth=3 rate=0.1 trees=100"),
    ({"max_depth": 6, "gamma": 0.5}, "depth=6 rate=0.1 trees=100 gamma=0.5"),
    ({"grow_policy": "lossguide"}, "depth=3 rate=0.1 trees=100 grow_policy=lossguide"),
])  # fmt: skip
def test_a_name_shows_the_size_of_the_trees_and_all_that_is_not_default(changes, name):
    assert config_name(DEFAULTS | changes) == name


def test_a_name_can_be_of_chosen_hyper_parameters():
    config = DEFAULTS | {"max_depth": 6, "gamma": 0.5, "max_bin": 64}
    assert config_name(config, ["reg_lambda", "gamma", "n_estimators"]) == (
        "trees=100 gamma=0.5 reg_lambda=1.0"
    )


def test_the_first_version_had_ten_hyperparameters_by_which_its_results_are_known():
    assert {*decisive_values(DEFAULTS)} == {
        "learning_rate", "max_depth", "n_estimators", "subsample", "colsample_bytree",
        "min_child_weight", "gamma", "reg_alpha", "reg_lambda", "scale_pos_weight",
    }  # fmt: skip


@pytest.mark.parametrize(("max_depth", "max_leaves", "leaves"), [
    (3, 0, 8), (3, 5, 5), (3, 100, 8), (0, 100, 100), (30, 31, 31),
])  # fmt: skip
def test_depth_and_leaves_bound_the_size_of_a_tree(max_depth, max_leaves, leaves):
    assert tree_leaves(DEFAULTS | {"max_depth": max_depth, "max_leaves": max_leaves}) == leaves


@pytest.mark.parametrize(("max_depth", "max_leaves"), [
    (0, 0), ((3, 0), (8, 0)), (Range(0, 9), (0,)),
])  # fmt: skip
def test_trees_without_a_bound_are_refused(max_depth, max_leaves):
    with pytest.raises(UserError, match="max_depth: 0 sets no bound and needs one by max_leaves"):
        require_bounded_trees({"max_depth": max_depth, "max_leaves": max_leaves})


@pytest.mark.parametrize(("max_depth", "max_leaves"), [
    (0, 8), (3, 0), ((0,), (8, 16)), (Range(0, 9), Range(8, 64)), (Range(1, 9), (0,)),
])  # fmt: skip
def test_one_bound_is_enough(max_depth, max_leaves):
    require_bounded_trees({"max_depth": max_depth, "max_leaves": max_leaves})


def test_a_long_name_is_one_that_mlflow_stores():
    texts = dict.fromkeys(("monotone_constraints", "interaction_constraints"), "age:1," * 500)
    other = {name: 12345 for name in DEFAULTS if name not in texts}
    name = config_name(DEFAULTS | other | texts)
    assert name.endswith(" ...")
    assert len(f"reproduce synthetic {name}") <= 250
