"""Hyper-parameters: the name of a configuration."""

import pytest

from tabular.model.hyperparameters import DEFAULTS, config_name


@pytest.mark.parametrize(("changes", "name"), [
    ({}, "depth=3 rate=0.1 trees=100"),
    ({"max_depth": 6, "gamma": 0.5}, "depth=6 rate=0.1 trees=100 gamma=0.5"),
])  # fmt: skip
def test_a_name_shows_the_size_of_the_trees_and_all_that_is_not_default(changes, name):
    assert config_name(DEFAULTS | changes) == name
