"""For whom the model is right: metrics by group of people."""

import fairlearn.metrics
import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame
from sklearn.metrics import accuracy_score

from tabular.data import census
from tabular.evaluation.metrics import wilson_interval

RATES = ("accuracy", "selection_rate", "true_positive_rate", "false_positive_rate")


def group_labels(X: pd.DataFrame) -> dict[str, pd.Series]:
    """For each row the name of its group, by the feature that tells people apart."""
    found = {}
    for name in census.GROUPS:
        column = _in_bands(X[name], census.BANDS[name]) if name in census.BANDS else X[name]
        found[name] = column.astype(object).fillna("missing")
    crossed = [found[name] for name in census.CROSSED]
    return found | {"_".join(census.CROSSED): crossed[0].str.cat(crossed[1:], ", ")}


def _in_bands(numbers: pd.Series, openings: tuple[int, ...]) -> pd.Series:
    """Names that people would say, and that sort: 24 and under, 25 to 34, 65 and over."""
    names = [f"{low} to {high - 1}" for low, high in zip(openings, openings[1:], strict=False)]
    names = [f"{openings[0] - 1} and under", *names, f"{openings[-1]} and over"]
    return pd.cut(numbers, [-np.inf, *openings, np.inf], right=False, labels=names)


def metric_frames(
    X: pd.DataFrame, y_true: np.ndarray, y_pred: np.ndarray
) -> dict[str, MetricFrame]:
    """Counts and rates by group, for each feature a frame of fairlearn.

    Args:
        X: (n_samples, n_features), as in ``dataset.Split``.
        y_true, y_pred: 0 or 1, shape (n_samples,).
    """
    people = pd.DataFrame(group_labels(X)).assign(y_true=y_true, y_pred=y_pred)
    # fairlearn looks at every row for every metric: those that are alike become one with a weight
    people = people.value_counts().reset_index(name="sample_weight")
    weights = {"sample_weight": people.pop("sample_weight")}
    metrics = {
        "rows": lambda y_true, y_pred, sample_weight: sample_weight.sum(),
        "positives": lambda y_true, y_pred, sample_weight: sample_weight @ y_true,
        "accuracy": accuracy_score,
        "selection_rate": fairlearn.metrics.selection_rate,
        # fairlearn's own are 0 where there is nobody to count
        "true_positive_rate": lambda y_true, y_pred, sample_weight: _share(
            y_pred, sample_weight * y_true
        ),
        "false_positive_rate": lambda y_true, y_pred, sample_weight: _share(
            y_pred, sample_weight * (1 - y_true)
        ),
    }
    y_true, y_pred = people.pop("y_true"), people.pop("y_pred")
    return {
        name: MetricFrame(
            metrics=metrics,
            y_true=y_true,
            y_pred=y_pred,
            sensitive_features=groups.rename("group"),
            sample_params=dict.fromkeys(metrics, weights),
        )
        for name, groups in people.items()
    }


def _share(values: np.ndarray, weights: np.ndarray) -> float:
    return values @ weights / weights.sum() if weights.any() else np.nan


def group_table(metric_frames: dict[str, MetricFrame]) -> pd.DataFrame:
    """Counts, and rates with their intervals, one line a group.

    Returns:
        Columns ``feature``, ``group``, ``rows``, ``positives``, and each of ``RATES`` followed by
        the ends of its interval, ``<rate>_low`` and ``<rate>_high``; NaN where a group has no row
        that the rate counts.
    """
    lines = pd.concat(
        {name: frame.by_group for name, frame in metric_frames.items()}, names=["feature"]
    )
    lines = lines.reset_index().astype(
        {"rows": int, "positives": int} | dict.fromkeys(RATES, float)
    )
    counted = {"true_positive_rate": lines["positives"]}
    counted["false_positive_rate"] = lines["rows"] - lines["positives"]
    for rate in RATES:
        n = counted.get(rate, lines["rows"])
        low, high = wilson_interval(lines[rate], n.where(n > 0))
        place = lines.columns.get_loc(rate) + 1
        lines.insert(place, f"{rate}_low", low)
        lines.insert(place + 1, f"{rate}_high", high)
    return lines


def disparities(metric_frames: dict[str, MetricFrame]) -> dict[str, float]:
    """Demographic-parity and equalized-odds difference of each feature's groups.

    The first is the largest selection rate less the smallest; the second the larger of the same
    for the true and the false positive rate.
    """
    found = {}
    for name, frame in metric_frames.items():
        apart = frame.difference().astype(float)
        found[f"demographic_parity_difference_{name}"] = apart["selection_rate"]
        found[f"equalized_odds_difference_{name}"] = apart[[*RATES[2:]]].max()
    return {name: float(value) for name, value in found.items()}
