"""The threshold of a model: chosen on validation rows, and what it costs and gains.

In every function ``y_true`` is 0 or 1, and ``probability`` is the predicted probability of label 1,
both of shape (n_samples,).
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tabular.errors import WorkFailed
from tabular.evaluation.bootstrap import N_REPLICATES, percentile_interval
from tabular.evaluation.metrics import is_positive
from tabular.evaluation.plot_style import COLORS, GREY, INK, new_figure
from tabular.evaluation.plot_text import shown
from tabular.options import DEFAULT_THRESHOLD, ThresholdRule

STEPS = 400  # of a curve in the plot


class Threshold(NamedTuple):
    """A threshold: rows of at least this probability get the positive label.

    Attributes:
        reason: where it comes from, as the end of a sentence; empty: it is the default.
    """

    value: float = DEFAULT_THRESHOLD
    reason: str = ""


DEFAULT = Threshold()


def decide(rule: ThresholdRule, validation: tuple[np.ndarray, np.ndarray] | None) -> Threshold:
    """The threshold that a rule sets.

    Args:
        validation: labels and predicted probabilities of the rows to choose it on, each
            (n_samples,); None: the rule has a value.

    Raises:
        WorkFailed: no threshold reaches the bound of the rule.
    """
    if rule.value is not None:
        return DEFAULT if rule.value == DEFAULT.value else Threshold(rule.value, "as given")
    if validation is None:
        raise ValueError("a threshold is chosen on validation rows")
    y_true, probability = validation
    value = choose(rule, y_true, probability)
    return Threshold(value, f"chosen by {rule} on {len(y_true):,} validation rows")


def choose(rule: ThresholdRule, y_true: np.ndarray, probability: np.ndarray) -> float:
    """The threshold with the highest value of the metric that the rule maximizes.

    Thresholds between two neighbouring probabilities give the same labels; their middle stands for
    them, with as few digits as lie between the two, or 0.5 if that does. Of equally good ones the
    nearest to 0.5 is chosen, of two equally near ones the lower.

    Raises:
        WorkFailed: no threshold reaches the bound of the rule, or the metric is undefined.
    """
    p, index = np.unique(probability.astype(np.float64), return_inverse=True)
    low, high = np.append(0.0, p), np.append(p, 1.0)  # thresholds in (low, high] are equivalent
    n_rows, n_hits = np.bincount(index), np.bincount(index, y_true == 1).astype(int)
    selected, hits = (np.append(np.cumsum(n[::-1])[::-1], 0) for n in (n_rows, n_hits))
    if p[-1] == 1:  # no threshold selects no row
        low, high, selected, hits = (values[:-1] for values in (low, high, selected, hits))
    found = rates(len(y_true), int(n_hits.sum()), selected, hits)
    values = found[rule.maximized]
    if rule.bounded:
        values = np.where(found[rule.bounded] >= rule.bound, values, np.nan)
    if np.isnan(values).all():
        raise WorkFailed(_explain_unreachable(rule, found, high))
    is_default = (low < DEFAULT_THRESHOLD) & (high >= DEFAULT_THRESHOLD)
    middles = np.where(is_default, DEFAULT_THRESHOLD, (low + high) / 2)
    best = np.flatnonzero(values == np.nanmax(values))
    distances = np.abs(middles[best] - DEFAULT_THRESHOLD).round(12)  # equal but for rounding
    first = best[np.argmin(distances)]
    return _shorten(float(middles[first]), low[first], high[first])


def _explain_unreachable(
    rule: ThresholdRule, found: dict[str, np.ndarray], thresholds: np.ndarray
) -> str:
    """Why no threshold can be chosen, with the best that there is."""
    values = found[rule.bounded or rule.maximized]
    if np.isnan(values).all():
        return f"threshold: {rule} is undefined on the validation rows"
    best = np.flatnonzero(values == np.nanmax(values))
    best = best[np.argmax(found[rule.maximized][best])]
    return (
        f"threshold: no threshold reaches {rule} on validation rows; the highest {rule.bounded} is "
        f"{values[best]:.4f}, at threshold {thresholds[best]:.4g}, where {rule.maximized} is "
        f"{found[rule.maximized][best]:.4f}"
    )


def _shorten(middle: float, low: float, high: float) -> float:
    """The number with the fewest digits near the middle that lies in (low, high]."""
    rounded = (round(middle, digits) for digits in range(1, 16))
    return next((number for number in rounded if low < number <= high), middle)


def rates(
    n: int, n_positive: int | np.ndarray, selected: np.ndarray, hits: np.ndarray
) -> dict[str, np.ndarray]:
    """The metrics that depend on a threshold, NaN where undefined.

    Args:
        n, n_positive: number of rows, and of those with label 1.
        selected, hits: number of rows, and of those with label 1, that are predicted positive.
    """
    n_negative = n - n_positive
    correct_negative = n_negative - selected + hits
    balanced = hits * n_negative + correct_negative * n_positive
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "accuracy": (hits + correct_negative) / n,
            "balanced_accuracy": balanced / (2 * n_positive * n_negative),
            "f1": 2 * hits / (n_positive + selected),
            "precision": hits / selected,
            "recall": hits / n_positive,
            "selection_rate": selected / n,
        }


def compare_with_default(
    y_true: np.ndarray, probability: np.ndarray, threshold: float
) -> pd.DataFrame:
    """What a threshold costs and gains, compared with 0.5 on the same rows.

    The metrics depend on the number of rows by label and by both predicted labels alone, so that
    the bootstrap draws these eight numbers.

    Returns:
        One row for each metric of ``rates``: ``metric``, ``at_0.5``, ``at_threshold``,
        ``difference``, and the ends of its paired 95 % interval, ``low`` and ``high``.
    """
    before, after = (is_positive(probability, t) for t in (DEFAULT_THRESHOLD, threshold))
    counts = np.bincount(4 * (y_true == 1) + 2 * before + after, minlength=8)
    n, rng = len(y_true), np.random.default_rng(0)
    drawn = np.vstack([counts, rng.multinomial(n, counts / n, N_REPLICATES)])
    label, *predicted = np.unravel_index(np.arange(8), (2, 2, 2))
    at_half, at_threshold = (
        rates(n, drawn @ label, drawn @ selected, drawn @ (label * selected))
        for selected in predicted
    )
    rows = []
    for name, values in at_threshold.items():
        difference = values - at_half[name]
        ends = percentile_interval(difference[1:])
        rows.append((name, at_half[name][0], values[0], difference[0], *ends))
    columns = ["metric", "at_0.5", "at_threshold", "difference", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def describe(threshold: Threshold, costs: pd.DataFrame | None) -> str:
    """The threshold, and in a second line what it costs and gains; empty if it is the default.

    Args:
        costs: as ``compare_with_default`` returns them, of the test rows; None: of the default.
    """
    if costs is None:
        return ""
    changes = ", ".join(
        f"{row.metric} {row.at_threshold:.4f} "
        + (
            "(undefined at 0.5)"
            if np.isnan(row.difference)
            else f"({row.difference:+.4f} [{row.low:+.4f}, {row.high:+.4f}])"
        )
        for row in costs.itertuples()
    )
    return f"{threshold.value}, {threshold.reason}; on test rows, compared with 0.5:\n{changes}"


def plot(
    y_true: np.ndarray, probability: np.ndarray, threshold: float, dataset_name: str
) -> Figure:
    """The metrics of ``rates`` by threshold, with 0.5 and the model's threshold marked."""
    ordered = np.sort(probability)
    of_positives = np.sort(probability[y_true == 1])
    end = min(1.0, max(ordered[-1], threshold, DEFAULT_THRESHOLD) * 1.02)
    at = np.linspace(0, end, STEPS + 1)
    selected, hits = (len(p) - np.searchsorted(p, at) for p in (ordered, of_positives))
    found = rates(len(y_true), len(of_positives), selected, hits)
    predicted = is_positive(probability, threshold)
    n_selected, n_hits = predicted.sum(), predicted[y_true == 1].sum()
    finding = ""
    if n_selected and len(of_positives):
        precision, recall = n_hits / n_selected, n_hits / len(of_positives)
        finding = f"At threshold {threshold}, precision is {precision:.2f} and recall {recall:.2f}"
    figure = new_figure(
        finding,
        f"Metrics by threshold, {shown(dataset_name)}",
        (5.5, 3.6),
        left=0.5,
        right=2.2,
    )
    axes = figure.add_subplot()
    for (name, values), color in zip(found.items(), COLORS, strict=True):
        axes.plot(at, values, color=color, label=name)
    axes.axvline(DEFAULT_THRESHOLD, color=GREY, linestyle="--", linewidth=1, label="0.5")
    axes.axvline(threshold, color=INK, linewidth=1, label=f"{threshold}, the model's")
    axes.set(xlim=(0, end), ylim=(0, 1.02), xlabel="threshold")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure
