"""The hyper-parameters of a run, under XGBoost's names: defaults, bounds and search grids."""

from dataclasses import dataclass
from typing import NamedTuple


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
    """

    name: str
    default: int | float
    meaning: str
    low: int = 0
    high: int | None = None
    low_excluded: bool = False
    grid: tuple[int | float, ...] = ()
    log: bool = False


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
    Hyperparameter("max_depth", 3, "maximum depth of a tree, in splits", 1, 30, grid=(3, 6, 9)),
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
)

DEFAULTS = {p.name: p.default for p in HYPERPARAMETERS}


def config_name(config: dict[str, int | float]) -> str:
    """A short name of a configuration: the size of its trees and all that is not default."""
    labels = {"max_depth": "depth", "learning_rate": "rate", "n_estimators": "trees"}
    for name, default in DEFAULTS.items():
        if config[name] != default:
            labels.setdefault(name, name)
    return " ".join(f"{label}={config[name]}" for name, label in labels.items())
