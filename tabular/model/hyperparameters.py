"""The hyper-parameters of a run, under XGBoost's names: defaults, bounds and search grids."""

from collections.abc import Collection
from dataclasses import dataclass
from textwrap import shorten
from typing import Any, NamedTuple

from tabular.errors import UserError

MAX_NAME = 230  # characters; with what is put before it, MLflow stores a name of 250

Config = dict[str, Any]  # a number or a text for each hyper-parameter, by name


@dataclass(frozen=True)
class Range:
    """A closed range of values to search."""

    low: int | float
    high: int | float

    def __str__(self) -> str:
        return f"{self.low}..{self.high}"


class Hyperparameter(NamedTuple):
    """One hyper-parameter.

    Attributes:
        meaning: help text, a phrase that starts in lower case.
        low, high: bounds of its values; None: there is no upper bound.
        low_excluded: ``low`` itself is no valid value.
        grid: the values of a sweep's default grid; empty: the default alone.
        log: samplers search a range of it on a logarithmic scale.
        choices: the values of one that is a text; constraints have none.
        optional: its default is not passed to XGBoost and is no part of a fingerprint, so that
            results of versions without it stay known.
    """

    name: str
    default: int | float | str
    meaning: str
    low: int = 0
    high: int | None = None
    low_excluded: bool = False
    grid: tuple[int | float, ...] = ()
    log: bool = False
    choices: tuple[str, ...] = ()
    optional: bool = False


HYPERPARAMETERS = (
    Hyperparameter(
        "learning_rate",
        0.1,
        "factor by which the values of each tree are shrunk",
        high=1,
        low_excluded=True,
        grid=(0.05, 0.1, 0.3),
        log=True,
    ),
    Hyperparameter(
        "max_depth",
        3,
        "maximum depth of a tree, in splits; 0: no bound, which needs max_leaves",
        high=30,
        grid=(3, 6, 9),
    ),
    Hyperparameter("n_estimators", 100, "number of trees", 1, 100_000, grid=(100, 200, 300)),
    Hyperparameter("subsample", 1.0, "fraction of rows sampled per tree", 0, 1, low_excluded=True),
    Hyperparameter(
        "colsample_bytree", 1.0, "fraction of columns sampled per tree", 0, 1, low_excluded=True
    ),
    Hyperparameter("min_child_weight", 1.0, "minimum sum of hessians in a leaf", log=True),
    Hyperparameter("gamma", 0.0, "minimum reduction of the log loss for a split", log=True),
    Hyperparameter("reg_alpha", 0.0, "L1 penalty on leaf weights", log=True),
    Hyperparameter("reg_lambda", 1.0, "L2 penalty on leaf weights", log=True),
    Hyperparameter(
        "scale_pos_weight",
        1.0,
        "weight of a positive row; values other than 1 bias the probabilities",
        low_excluded=True,
        log=True,
    ),
    Hyperparameter(
        "colsample_bylevel",
        1.0,
        "fraction of a tree's columns sampled per level",
        high=1,
        low_excluded=True,
        optional=True,
    ),
    Hyperparameter(
        "colsample_bynode",
        1.0,
        "fraction of a level's columns sampled per split",
        high=1,
        low_excluded=True,
        optional=True,
    ),
    Hyperparameter(
        "max_leaves",
        0,
        "maximum number of leaves of a tree; 0: no bound",
        high=100_000,
        log=True,
        optional=True,
    ),
    Hyperparameter(
        "grow_policy",
        "depthwise",
        "leaf that is split next: depthwise the nearest to the root, lossguide that with most gain",
        choices=("depthwise", "lossguide"),
        optional=True,
    ),
    Hyperparameter(
        "max_cat_to_onehot",
        4,
        "a column with fewer categories is split into one and the rest, any other into two sets",
        1,
        100_000,
        log=True,
        optional=True,
    ),
    Hyperparameter(
        "max_bin", 256, "number of bins of a numeric column", 2, 65_536, log=True, optional=True
    ),
    Hyperparameter(
        "num_parallel_tree",
        1,
        "trees that each boosting round averages, which differ where rows or columns are sampled",
        1,
        1000,
        log=True,
        optional=True,
    ),
    Hyperparameter(
        "monotone_constraints",
        "none",
        "numeric columns in which the probability never falls (1) or never rises (-1), like "
        "age:1,hours-per-week:-1, or as JSON",
        optional=True,
    ),
    Hyperparameter(
        "interaction_constraints",
        "none",
        "groups of columns that may be combined, like age+sex,race+sex, or as JSON; a column of no "
        "group is combined with no other",
        optional=True,
    ),
)

DEFAULTS: Config = {p.name: p.default for p in HYPERPARAMETERS}


def decisive_values(config: Config) -> Config:
    """A configuration without its optional hyper-parameters that have their default."""
    return {
        p.name: config[p.name]
        for p in HYPERPARAMETERS
        if not p.optional or config[p.name] != p.default
    }


def require_bounded_trees(options: dict[str, Any]) -> None:
    """Check that no tree can grow without a bound.

    Args:
        options: a value, a tuple of values or a ``Range`` for each hyper-parameter, by name.

    Raises:
        UserError: both ``max_depth`` and ``max_leaves`` can be 0.
    """
    if _includes_zero(options["max_depth"]) and _includes_zero(options["max_leaves"]):
        raise UserError(
            "max_depth: 0 sets no bound and needs one by max_leaves, which is 0 too; give "
            "max_leaves of 1 or more, or max_depth of 1 or more"
        )


def _includes_zero(values: int | tuple | Range) -> bool:
    if isinstance(values, Range):
        return values.low == 0
    return 0 in values if isinstance(values, tuple) else values == 0


def tree_leaves(config: Config) -> int:
    """The largest number of leaves that a tree of a configuration can have."""
    depth = config["max_depth"]
    return min(bound for bound in (2**depth if depth else 0, config["max_leaves"]) if bound)


def config_name(config: Config, shown: Collection[str] = ()) -> str:
    """A short name of a configuration: the size of its trees and all that is not default.

    Args:
        shown: the hyper-parameters to name in place of these.
    """
    labels = {"max_depth": "depth", "learning_rate": "rate", "n_estimators": "trees"}
    for name, default in DEFAULTS.items():
        if name in shown or config[name] != default:
            labels.setdefault(name, name)
    named = [name for name in labels if not shown or name in shown]
    name = " ".join(f"{labels[name]}={config[name]}" for name in named)
    return shorten(name, MAX_NAME, placeholder=" ...")
