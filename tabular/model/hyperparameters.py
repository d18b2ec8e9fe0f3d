"""The numbers a run can set, under XGBoost's names: their defaults and what they may be."""

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Range:
    """A range of values to search, ends included."""

    low: int | float
    high: int | float

    def __str__(self) -> str:
        return f"{self.low}..{self.high}"


class Hyperparameter(NamedTuple):
    """One number that XGBoost takes, under XGBoost's name."""

    name: str
    default: int | float
    meaning: str
    low: int = 0
    high: int | None = None
    low_excluded: bool = False
    grid: tuple = ()  # what a sweep tries unless it is told; nothing: the default
    log: bool = False  # a range is searched on a logarithmic scale


HYPERPARAMETERS = (
    Hyperparameter(
        "learning_rate",
        0.1,
        "share of each tree's step that is taken",
        0,
        1,
        low_excluded=True,
        grid=(0.05, 0.1, 0.3),
        log=True,
    ),
    Hyperparameter("max_depth", 3, "splits from a tree's root to a leaf", 1, 30, grid=(3, 6, 9)),
    Hyperparameter(
        "n_estimators", 100, "trees, one a boosting round", 1, 100_000, grid=(100, 200, 300)
    ),
    Hyperparameter("subsample", 1.0, "share of the rows drawn for each tree", 0, 1, True),
    Hyperparameter("colsample_bytree", 1.0, "share of the columns drawn for each tree", 0, 1, True),
    Hyperparameter(
        "min_child_weight", 1.0, "least sum of row weights (hessian) in a leaf", log=True
    ),
    Hyperparameter("gamma", 0.0, "least gain in log loss for a split", log=True),
    Hyperparameter("reg_alpha", 0.0, "L1 penalty on leaf weights", log=True),
    Hyperparameter("reg_lambda", 1.0, "L2 penalty on leaf weights", log=True),
    Hyperparameter(
        "scale_pos_weight",
        1.0,
        "weight of a positive row; 1 keeps probabilities true",
        low_excluded=True,
        log=True,
    ),
)

DEFAULTS = {p.name: p.default for p in HYPERPARAMETERS}


def config_name(config: dict[str, int | float]) -> str:
    """A configuration in few words: the shape of the trees, and what is not default."""
    words = {"max_depth": "depth", "learning_rate": "rate", "n_estimators": "trees"}
    for name, default in DEFAULTS.items():
        if config[name] != default:
            words.setdefault(name, name)
    return " ".join(f"{word}={config[name]}" for name, word in words.items())
