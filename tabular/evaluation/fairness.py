"""Fairness: metrics by group of rows, and the differences between groups."""

import fairlearn.metrics
import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame
from sklearn.metrics import accuracy_score

from tabular.data import census
from tabular.evaluation.metrics import wilson_interval

RATES = ("accuracy", "selection_rate", "true_positive_rate", "false_positive_rate")


def group_labels(X: pd.DataFrame) -> dict[str, pd.Series]:
    """The group of each row, (n_samples,), by group column and by their combination."""
    labels = {}
    for name in census.GROUPS:
        column = _in_bands(X[name], census.BANDS[name]) if name in census.BANDS else X[name]
        labels[name] = column.astype(object).fillna("missing")
    first, *others = (labels[name] for name in census.CROSSED)
    return labels | {"_".join(census.CROSSED): first.str.cat(others, ", ")}


def _in_bands(numbers: pd.Series, bounds: tuple[int, ...]) -> pd.Series:
    """Names of bands of integers, which sort: 24 and under, 25 to 34, 65 and over."""
    names = [f"{low} to {high - 1}" for low, high in zip(bounds, bounds[1:], strict=False)]
    names = [f"{bounds[0] - 1} and under", *names, f"{bounds[-1]} and over"]
    return pd.cut(numbers, [-np.inf, *bounds, np.inf], right=False, labels=names)


def metric_frames(
    X: pd.DataFrame, y_true: np.ndarray, y_pred: np.ndarray
) -> dict[str, MetricFrame]:
    """Counts and rates by group, as a frame of fairlearn for each group column.

    Args:
        X: (n_samples, n_features), as in ``dataset.Split``.
        y_true, y_pred: 0 or 1, (n_samples,).
    """
    table = pd.DataFrame(group_labels(X)).assign(y_true=y_true, y_pred=y_pred)
    # fairlearn evaluates every metric in Python: equal rows become one row with a weight
    table = table.value_counts().reset_index(name="sample_weight")
    weights = {"sample_weight": table.pop("sample_weight")}
    y_true, y_pred = table.pop("y_true"), table.pop("y_pred")
    metrics = {
        "rows": lambda y_true, y_pred, sample_weight: sample_weight.sum(),
        "positives": lambda y_true, y_pred, sample_weight: sample_weight @ y_true,
        "accuracy": accuracy_score,
        "selection_rate": fairlearn.metrics.selection_rate,
        "true_positive_rate": _true_positive_rate,
        "false_positive_rate": _false_positive_rate,
    }
    return {
        name: MetricFrame(
            metrics=metrics,
            y_true=y_true,
            y_pred=y_pred,
            sensitive_features=groups.rename("group"),
            sample_params=dict.fromkeys(metrics, weights),
        )
        for name, groups in table.items()
    }


def _true_positive_rate(y_true: np.ndarray, y_pred: np.ndarray, sample_weight: np.ndarray) -> float:
    """The selected share of the positives; NaN, not fairlearn's 0, where there are none."""
    weights = sample_weight * y_true
    return y_pred @ weights / weights.sum() if weights.any() else np.nan


def _false_positive_rate(
    y_true: np.ndarray, y_pred: np.ndarray, sample_weight: np.ndarray
) -> float:
    """The selected share of the negatives; NaN where there are none."""
    return _true_positive_rate(1 - y_true, y_pred, sample_weight)


def group_table(frames: dict[str, MetricFrame]) -> pd.DataFrame:
    """Counts and rates with their intervals, one row for each group.

    Args:
        frames: as ``metric_frames`` returns them.

    Returns:
        Columns ``feature``, ``group``, ``rows``, ``positives``, and each of ``RATES`` followed by
        the ends of its interval, ``<rate>_low`` and ``<rate>_high``; NaN where a group has no row
        that the rate counts.
    """
    by_group = {name: frame.by_group for name, frame in frames.items()}
    table = pd.concat(by_group, names=["feature"]).reset_index()
    table = table.astype({"rows": int, "positives": int} | dict.fromkeys(RATES, float))
    negatives = table["rows"] - table["positives"]
    counted = {"true_positive_rate": table["positives"], "false_positive_rate": negatives}
    for rate in RATES:
        n = counted.get(rate, table["rows"])
        low, high = wilson_interval(table[rate], n.where(n > 0))
        place = table.columns.get_loc(rate) + 1
        table.insert(place, f"{rate}_low", low)
        table.insert(place + 1, f"{rate}_high", high)
    return table


def disparities(frames: dict[str, MetricFrame]) -> dict[str, float]:
    """Demographic parity difference and equalized odds difference of each group column.

    The first is the largest selection rate minus the smallest; the second is the larger of the same
    differences of the true and of the false positive rate.

    Source: fairlearn's user guide, Common fairness metrics.
    """
    values = {}
    for name, frame in frames.items():
        difference = frame.difference().astype(float)
        odds = difference[["true_positive_rate", "false_positive_rate"]]
        values[f"demographic_parity_difference_{name}"] = float(difference["selection_rate"])
        values[f"equalized_odds_difference_{name}"] = float(odds.max())
    return values
