"""The checks of a search: the best configuration and the ends of what was searched."""

import numpy as np
import pytest

from tabular.model.hyperparameters import DEFAULTS, Range
from tabular.sweep import diagnosis

SPACE = {name: (value,) for name, value in DEFAULTS.items()}


def edges(best, **space):
    return diagnosis.check_edges(SPACE | space, DEFAULTS | best)


@pytest.mark.parametrize(("name", "best", "values", "fires"), [
    ("max_depth", 3, (3, 6, 9), True),
    ("max_depth", 6, (9, 6, 3), False),
    ("max_depth", 9, (3, 6, 9), True),
    ("max_depth", 3, (3,), False),
    ("max_depth", 1, (1, 2), False),  # there are no smaller trees
    ("subsample", 1.0, (0.8, 1.0), False),
    ("subsample", 0.8, (0.8, 1.0), True),
    ("subsample", 0.52, Range(0.5, 1.0), True),
    ("subsample", 0.53, Range(0.5, 1.0), False),
    ("reg_lambda", 0.0014, Range(0.001, 10), True),  # of a logarithmic scale
    ("reg_lambda", 0.002, Range(0.001, 10), False),
    ("gamma", 0.0, Range(0, 5), False),
    ("max_leaves", 8, Range(8, 1024), True),
    ("max_leaves", 0, (0, 31), False),
    ("max_leaves", 31, (0, 31), False),  # with 0 there was no bound
    ("grow_policy", "depthwise", ("depthwise", "lossguide"), False),  # has no ends
    ("n_estimators", 300, (100, 300), False),  # the curve says more
])  # fmt: skip
def test_the_best_value_at_an_end_that_can_be_passed_is_found(name, best, values, fires):
    assert bool(edges({name: best}, **{name: values})) == fires


def test_all_ends_are_one_finding_that_says_where_to_search():
    found = edges(
        {"max_depth": 9, "learning_rate": 0.02},
        max_depth=(9, 6),
        learning_rate=Range(0.02, 0.2),
    )
    assert found == (
        "edge-of-space",
        "learning_rate=0.02 is near the lower end of 0.02..0.2, max_depth=9 is the largest of 6, 9",
        "search learning_rate below 0.02 and max_depth above 9 too",
    )


@pytest.mark.parametrize("trees", [(10, 20), Range(10, 20)])
def test_more_trees_are_advised_if_the_largest_number_was_best(trees):
    curve, space = np.linspace(0.6, 0.3, 20), SPACE | {"n_estimators": trees}
    (found,) = diagnosis.diagnose(space, DEFAULTS, curve)
    assert found.code == "more-trees"
    assert diagnosis.diagnose(space, DEFAULTS, curve[:10]) == []
    assert diagnosis.diagnose(space, DEFAULTS, None) == []
