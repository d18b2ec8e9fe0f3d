"""Fairness: metrics by group of rows, and the differences between groups."""

import re
from collections.abc import Iterable

import fairlearn.metrics
import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame
from sklearn.metrics import accuracy_score

from tabular.data.table import NUMERIC, Table
from tabular.evaluation.metrics import wilson_interval

PARITY = "group/demographic_parity_difference"
ODDS = "group/equalized_odds_difference"
MISSING_GROUP = "missing"  # of the rows without a value
RATES = ("accuracy", "selection_rate", "true_positive_rate", "false_positive_rate")


def group_labels(groups: pd.DataFrame, table: Table) -> dict[str, pd.Series]:
    """The group of each row, (n_samples,), by group column and by the combination of some.

    Args:
        groups: (n_samples, n_groups), as in ``dataset.Split``.
    """
    labels = {}
    for name, column in groups.items():
        if name in table.bands:
            column = _in_bands(column, table.bands[name])
        elif pd.api.types.is_numeric_dtype(column):
            column = column.map(_to_text, na_action="ignore")
        texts, missing = column.astype(object), MISSING_GROUP
        while (texts == missing).any():  # a category of this name
            missing += " value"
        labels[name] = texts.fillna(missing)
    if len(table.crossed) < 2:
        return labels
    first, *others = (labels[name] for name in table.crossed)
    crossed = "_".join(table.crossed)
    while crossed in {*labels, *table.columns, *table.non_features}:
        crossed += "_"
    return labels | {crossed: first.str.cat(others, ", ")}


def _to_text(number: float) -> str:
    """A number of 32 bits in as few digits as tell it apart from every other: 0.1, 1600000000."""
    whole = number % 1 == 0 and abs(number) < 1e15
    return str(int(number)) if whole else str(np.float32(number))


def _in_bands(numbers: pd.Series, bounds: tuple[float, ...]) -> pd.Series:
    """The band of each number, (n_samples,); bounds are compared as float32, as the numbers are."""
    codes = np.searchsorted(np.array(bounds, np.float32), numbers.to_numpy(), side="right")
    codes = np.where(numbers.isna(), -1, codes)
    return pd.Series(pd.Categorical.from_codes(codes, _band_names(bounds)), numbers.index)


def _band_names(bounds: tuple[float, ...]) -> list[str]:
    """Names of bands: 24 and under, 25 to 34, 35 and over, if all bounds are integers."""
    pairs = [*zip(bounds, bounds[1:], strict=False)]
    if all(isinstance(bound, int) for bound in bounds):
        names = [f"{low} to {high - 1}" for low, high in pairs]
        return [f"{bounds[0] - 1} and under", *names, f"{bounds[-1]} and over"]
    shown = {bound: str(float(bound)).removesuffix(".0") for bound in bounds}
    names = [f"{shown[low]} to below {shown[high]}" for low, high in pairs]
    return [f"below {shown[bounds[0]]}", *names, f"{shown[bounds[-1]]} and over"]


def group_order(groups: pd.Index, name: str, table: Table) -> list[str]:
    """The groups of a group column: bands and numbers from low to high, others by the alphabet."""
    order = sorted(groups)
    if name in table.bands:
        order = _band_names(table.bands[name])
    elif (table.columns | table.non_features).get(name) == NUMERIC:
        order = sorted((group for group in groups if group != MISSING_GROUP), key=float)
    known = [group for group in order if group in groups]
    return known + [group for group in groups if group not in known]


def metric_frames(
    groups: pd.DataFrame, table: Table, y_true: np.ndarray, y_pred: np.ndarray
) -> dict[str, MetricFrame]:
    """Counts and rates by group, as a frame of fairlearn for each group column.

    Args:
        groups: (n_samples, n_groups), as in ``dataset.Split``.
        y_true, y_pred: 0 or 1, (n_samples,).
    """
    if not len(groups.columns):
        return {}
    # fairlearn evaluates every metric in Python: equal rows become one row with a weight, first
    # those of equal values, so that few have to be labelled, then those with equal labels
    first, n_equal = _equal_rows([*(groups[name] for name in groups), y_true, y_pred])
    y_true, y_pred, groups = y_true[first], y_pred[first], groups.iloc[first]
    labels = group_labels(groups, table)
    first, n_equal = _equal_rows([*labels.values(), y_true, y_pred], n_equal)
    weights = {"sample_weight": n_equal}
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
            y_true=y_true[first],
            y_pred=y_pred[first],
            sensitive_features=group.iloc[first].rename("group"),
            sample_params=dict.fromkeys(metrics, weights),
        )
        for name, group in labels.items()
    }


def _equal_rows(
    columns: Iterable[pd.Series | np.ndarray], sample_weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The first of each set of equal rows, and the weight of the set, each (n_sets,).

    Args:
        columns: each (n_samples,).
        sample_weight: the number of rows that each row stands for; None: one each.
    """
    codes = np.zeros(1, np.int64)
    for column in columns:
        of_column, values = pd.factorize(column, use_na_sentinel=False)
        codes, _ = pd.factorize(codes * len(values) + of_column)
    first = np.flatnonzero(~pd.Series(codes).duplicated())
    return first, np.bincount(codes, sample_weight).astype(int)


def _true_positive_rate(y_true: np.ndarray, y_pred: np.ndarray, sample_weight: np.ndarray) -> float:
    """The selected share of the positives; NaN, not fairlearn's 0, where there are none."""
    weights = sample_weight * y_true
    return y_pred @ weights / weights.sum() if weights.any() else np.nan


def _false_positive_rate(
    y_true: np.ndarray, y_pred: np.ndarray, sample_weight: np.ndarray
) -> float:
    """The selected share of the negatives; NaN where there are none."""
    return _true_positive_rate(1 - y_true, y_pred, sample_weight)


def group_table(frames: dict[str, MetricFrame], table: Table) -> pd.DataFrame:
    """Counts and rates with their intervals, one row for each group.

    Args:
        frames: as ``metric_frames`` returns them.
        table: that the groups are of.

    Returns:
        Columns ``feature``, ``group``, ``rows``, ``positives``, and each of ``RATES`` followed by
        the ends of its interval, ``<rate>_low`` and ``<rate>_high``; NaN where a group has no row
        that the rate counts.
    """
    by_group = {
        name: frame.by_group.loc[group_order(frame.by_group.index, name, table)]
        for name, frame in frames.items()
    }
    rows = pd.concat(by_group, names=["feature"]).reset_index()
    rows = rows.astype({"rows": int, "positives": int} | dict.fromkeys(RATES, float))
    negatives = rows["rows"] - rows["positives"]
    counted = {"true_positive_rate": rows["positives"], "false_positive_rate": negatives}
    for rate in RATES:
        n = counted.get(rate, rows["rows"])
        low, high = wilson_interval(rows[rate], n.where(n > 0))
        place = rows.columns.get_loc(rate) + 1
        rows.insert(place, f"{rate}_low", low)
        rows.insert(place + 1, f"{rate}_high", high)
    return rows


def disparities(frames: dict[str, MetricFrame]) -> dict[str, float]:
    """Demographic parity difference and equalized odds difference of each group column.

    The first is the largest selection rate minus the smallest; the second is the larger of the same
    differences of the true and of the false positive rate.

    Source: fairlearn's user guide, Common fairness metrics.
    """
    values: dict[str, float] = {}
    for column, frame in frames.items():
        name = _metric_name(column, values)
        difference = frame.difference().astype(float)
        odds = difference[["true_positive_rate", "false_positive_rate"]]
        values[f"{PARITY}_{name}"] = float(difference["selection_rate"])
        values[f"{ODDS}_{name}"] = float(odds.max())
    return values


def _metric_name(column: str, values: dict[str, float]) -> str:
    """The part of a metric's name for a group column, of characters that MLflow accepts."""
    name = re.sub(r"[^\w. -]", "_", column)[:100]
    return name if f"{PARITY}_{name}" not in values else f"{name}_{len(values)}"
