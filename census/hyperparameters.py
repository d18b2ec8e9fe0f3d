"""The numbers a run can set, under XGBoost's names: their defaults and what they may be."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Hyperparameter:
    """One number that XGBoost takes, under XGBoost's name; ``low`` itself may be excluded."""

    name: str
    default: int | float
    meaning: str
    low: float = 0.0
    high: float | None = None
    low_excluded: bool = False


HYPERPARAMETERS = (
    Hyperparameter("learning_rate", 0.1, "share of each tree's step that is taken", 0, 1, True),
    Hyperparameter("max_depth", 3, "splits from a tree's root to a leaf", 1, 30),
    Hyperparameter("n_estimators", 100, "trees, one a boosting round", 1, 100_000),
    Hyperparameter("subsample", 1.0, "share of the rows drawn for each tree", 0, 1, True),
    Hyperparameter("colsample_bytree", 1.0, "share of the columns drawn for each tree", 0, 1, True),
    Hyperparameter("min_child_weight", 1.0, "least sum of row weights (hessian) in a leaf"),
    Hyperparameter("gamma", 0.0, "least gain in log loss for a split"),
    Hyperparameter("reg_alpha", 0.0, "L1 penalty on leaf weights"),
    Hyperparameter("reg_lambda", 1.0, "L2 penalty on leaf weights"),
    Hyperparameter(
        "scale_pos_weight",
        1.0,
        "weight of a positive row; 1 keeps probabilities true",
        low_excluded=True,
    ),
)

DEFAULTS = {p.name: p.default for p in HYPERPARAMETERS}
