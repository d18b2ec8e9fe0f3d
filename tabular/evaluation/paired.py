"""Two models on the same rows: the differences of their metrics, with paired intervals.

In every function ``y_true`` is 0 or 1, ``probability_a`` and ``probability_b`` are the
probabilities of label 1 that two models predict, all of shape (n_samples,), and a difference is
that of model b minus that of model a. ``thresholds`` are those of a and b: from these
probabilities on, a row is predicted positive.
"""

import numpy as np
import pandas as pd

from tabular.data.table import Table
from tabular.evaluation.bootstrap import AT_HALF, Thresholds, paired_intervals
from tabular.evaluation.fairness import group_labels, group_order
from tabular.evaluation.metrics import classification_metrics, is_positive

LOWER_IS_BETTER = ("log_loss", "brier_score")
BETTER, WORSE, SAME, UNDEFINED = "better", "worse", "not told apart", "undefined"
GROUP_RATES = ("accuracy", "selection_rate")  # of ``group_differences``


def metric_differences(
    y_true: np.ndarray,
    probability_a: np.ndarray,
    probability_b: np.ndarray,
    thresholds: Thresholds = AT_HALF,
) -> pd.DataFrame:
    """Each metric of both models, and its difference with the 95 % interval of a paired bootstrap.

    Returns:
        One row for each metric of ``classification_metrics``: ``metric``, ``a``, ``b``,
        ``difference``, ``low``, ``high``, and ``b_is``: ``BETTER`` or ``WORSE`` where the interval
        lies on one side of 0, ``SAME`` where it does not, ``UNDEFINED`` where there is none.
    """
    both = zip((probability_a, probability_b), thresholds, strict=True)
    of_a, of_b = (classification_metrics(y_true, *of) for of in both)
    intervals = paired_intervals(y_true, probability_a, probability_b, thresholds)
    rows = [
        (name, of_a[name], of_b[name], of_b[name] - of_a[name], low, high)
        for name, (low, high) in intervals.items()
    ]
    table = pd.DataFrame(rows, columns=["metric", "a", "b", "difference", "low", "high"])
    sign = np.where(table["metric"].isin(LOWER_IS_BETTER), -1, 1)
    return table.assign(b_is=_verdicts(table["low"], table["high"], sign))


def _verdicts(low: pd.Series, high: pd.Series, sign: np.ndarray | int) -> np.ndarray:
    """What an interval says of model b; ``sign`` is -1 where less is better."""
    side = sign * (1 * (low > 0) - 1 * (high < 0))
    return np.select([low.isna(), side > 0, side < 0], [UNDEFINED, BETTER, WORSE], SAME)


def group_differences(
    groups: pd.DataFrame,
    table: Table,
    y_true: np.ndarray,
    probability_a: np.ndarray,
    probability_b: np.ndarray,
    thresholds: Thresholds = AT_HALF,
) -> pd.DataFrame:
    """The rates of both models by group, with paired 95 % intervals.

    Args:
        groups: (n_samples, n_groups) of the table, as in ``dataset.Split``.

    Returns:
        One row for each group: ``feature``, ``group``, ``rows``, and for each of ``GROUP_RATES``
        the columns ``<rate>_a``, ``<rate>_b``, ``<rate>_difference``, ``<rate>_difference_low`` and
        ``<rate>_difference_high``; then ``accuracy_b_is``, as in ``metric_differences``.
    """
    both = zip((probability_a, probability_b), thresholds, strict=True)
    selected = [is_positive(*of) for of in both]
    correct = [labels == (y_true == 1) for labels in selected]
    counted = {"rows": np.ones(len(y_true), int)}
    for rate, (a, b) in zip(GROUP_RATES, (correct, selected), strict=True):
        counted |= {f"{rate}_a": a, f"{rate}_b": b, f"{rate}_gain": b & ~a, f"{rate}_loss": a & ~b}
    sums = _group_sums(pd.DataFrame(counted, groups.index), groups, table)
    found = sums[["feature", "group", "rows"]].copy()
    for rate in GROUP_RATES:
        of_a, of_b = (sums[f"{rate}_{model}"] / sums["rows"] for model in "ab")
        found[f"{rate}_a"], found[f"{rate}_b"] = of_a, of_b
        found[f"{rate}_difference"] = of_b - of_a
        ends = paired_share_interval(sums[f"{rate}_gain"], sums[f"{rate}_loss"], sums["rows"])
        found[f"{rate}_difference_low"], found[f"{rate}_difference_high"] = ends
    low, high = (found[f"accuracy_difference_{end}"] for end in ("low", "high"))
    return found.assign(accuracy_b_is=_verdicts(low, high, 1))


def _group_sums(counted: pd.DataFrame, groups: pd.DataFrame, table: Table) -> pd.DataFrame:
    """The sums of the columns by group, after the columns ``feature`` and ``group``."""
    sums = {}
    for name, labels in group_labels(groups, table).items():
        by_group = counted.groupby(labels).sum()
        sums[name] = by_group.loc[group_order(by_group.index, name, table)]
    return pd.concat(sums, names=["feature", "group"]).reset_index()


def paired_share_interval(
    n_gained: pd.Series, n_lost: pd.Series, n: pd.Series
) -> tuple[pd.Series, pd.Series]:
    """The ends of the 95 % interval of the difference of two shares of the same ``n`` rows.

    It holds for few rows, too, and also where no row changes.

    Args:
        n_gained: rows that the second share counts and the first does not.
        n_lost: rows that the first share counts and the second does not.

    Source: Bonett and Price, Adjusted Wald confidence interval for a difference of binomial
    proportions based on paired data, 2012.
    """
    gained, lost = (n_gained + 1) / (n + 2), (n_lost + 1) / (n + 2)
    middle = gained - lost
    half = 1.959964 * np.sqrt((gained + lost - middle**2) / (n + 2))
    return (middle - half).clip(lower=-1), (middle + half).clip(upper=1)
