"""Plots of two models on the same rows, as matplotlib figures.

In every function ``probabilities`` are those that models a and b predict, each (n_samples,),
``names`` are those of the models, and ``dataset_name`` names the rows in the title.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from tabular.evaluation import paired, plots
from tabular.evaluation.metrics import (
    average_precision,
    is_positive,
    precision_recall_curve,
    ranking_counts,
    reliability_table,
    roc_auc,
    roc_curve,
)
from tabular.evaluation.plot_style import (
    BLUE,
    GREY,
    MARGIN,
    ORANGE,
    SOFT_INK,
    bars,
    error_bars,
    new_figure,
)
from tabular.evaluation.plot_text import inches, shown

Pair = tuple[np.ndarray, np.ndarray]
N_HEXAGONS = 50  # from probability 0 to 1
VERDICT_COLORS = {paired.BETTER: BLUE, paired.WORSE: ORANGE}  # else grey


def figures(
    y_true: np.ndarray,
    probabilities: Pair,
    tables: dict[str, pd.DataFrame],
    names: tuple[str, str],
    dataset_name: str,
    thresholds: tuple[float, float] = (0.5, 0.5),
) -> dict[str, Figure]:
    """All plots of a comparison, by the path of the artifact.

    Args:
        y_true: 0 or 1, (n_samples,).
        tables: what ``paired.metric_differences`` and, where there are groups,
            ``paired.group_differences`` return, by the name of the file.
    """
    dataset_name = shown(dataset_name)
    found = {
        "plots/curves.png": curves(y_true, probabilities, names, dataset_name),
        "plots/differences.png": differences(tables["comparison.csv"], dataset_name),
        "plots/probabilities.png": probability_counts(
            probabilities, names, dataset_name, thresholds
        ),
    }
    if "groups_comparison.csv" in tables:
        table = tables["groups_comparison.csv"]
        columns = [f"{rate}_difference" for rate in paired.GROUP_RATES]
        finding = f"Accuracy: {_count(table['accuracy_b_is'], 'groups')}"
        figure = plots.groups(table, dataset_name, "Differences b - a", columns, finding)
        for axes in figure.axes:
            axes.axvline(0, color=SOFT_INK, linewidth=1, zorder=0)
        found["plots/groups_differences.png"] = figure
    return found


def curves(
    y_true: np.ndarray, probabilities: Pair, names: tuple[str, str], dataset_name: str
) -> Figure:
    """The ROC, the precision-recall and the calibration curve of both models, side by side."""
    figure = new_figure(
        f"Curves of a and b, {dataset_name}", _names(names), (10, 2.8), right=0.2, above=0.25
    )
    roc, precision_recall, calibration = figure.subplots(1, 3, gridspec_kw={"wspace": 0.25})
    dashed = {"linestyle": "--", "color": GREY, "linewidth": 1.5}
    roc.plot([0, 1], [0, 1], label="chance", **dashed)
    precision_recall.axhline(y_true.mean(), label="chance", **dashed)
    calibration.plot([0, 1], [0, 1], label="perfectly calibrated", **dashed)
    for model, probability, color in zip("ab", probabilities, (BLUE, ORANGE), strict=True):
        _add_curves(roc, precision_recall, y_true, probability, model, color)
        table = reliability_table(y_true, probability)
        ends = error_bars(table, "observed")
        style = {"fmt": "o-", "color": color, "capsize": 2, "label": f"{model}, 95 % intervals"}
        calibration.errorbar(table["predicted"], table["observed"], ends, **style)
    roc.set(title="ROC curve", xlabel="false positive rate", ylabel="true positive rate")
    precision_recall.set(
        title="Precision-recall curve", xlabel="recall", ylabel="precision", ylim=(0, 1.02)
    )
    calibration.set(
        title="Calibration", xlabel="predicted probability", ylabel="share of positives"
    )
    for axes in (roc, precision_recall, calibration):
        axes.legend()
    return figure


def _add_curves(
    roc: Axes,
    precision_recall: Axes,
    y_true: np.ndarray,
    probability: np.ndarray,
    model: str,
    color: str,
) -> None:
    ranking = ranking_counts(y_true, probability)
    roc.plot(*roc_curve(*ranking), color=color, label=f"{model} (AUC {roc_auc(*ranking):.4f})")
    label = f"{model} (AP {average_precision(*ranking):.4f})"
    precision_recall.plot(*precision_recall_curve(*ranking), color=color, label=label)


def _names(names: tuple[str, str]) -> str:
    a, b = (shown(name) for name in names)
    return f"a: {a}, b: {b}"


def _count(verdicts: pd.Series, what: str) -> str:
    """In how many of the metrics or groups b is better and worse, as a sentence."""
    better, worse = ((verdicts == verdict).sum() for verdict in (paired.BETTER, paired.WORSE))
    if not better and not worse:
        return f"a and b are not told apart in any of {len(verdicts):,} {what}"
    return f"b is better in {better:,} of {len(verdicts):,} {what}, worse in {worse:,}"


def differences(table: pd.DataFrame, dataset_name: str) -> Figure:
    """The difference of each metric with its interval, from ``paired.metric_differences``."""
    texts = [
        f"{row.difference:+.5f} [{row.low:+.5f}, {row.high:+.5f}]" for row in table.itertuples()
    ]
    figure, axes = bars(
        _count(table["b_is"], "metrics"),
        f"Differences with paired 95 % intervals, {dataset_name}",
        [*table["metric"]],
        4.8,
        0.25 + inches(texts, 9),
    )
    axes.axvline(0, color=SOFT_INK, linewidth=1)
    place_beside = axes.get_yaxis_transform()
    for place, (row, text) in enumerate(zip(table.itertuples(), texts, strict=True)):
        color = VERDICT_COLORS.get(row.b_is, GREY)
        axes.plot([row.low, row.high], [place, place], color=color)
        axes.plot(row.difference, place, "o", color=color)
        axes.text(1.01, place, text, transform=place_beside, va="center", fontsize=9)
    axes.set_xlabel("b - a (blue: b is better, orange: worse, grey: not told apart)")
    axes.locator_params(axis="x", nbins=5)
    return figure


def probability_counts(
    probabilities: Pair,
    names: tuple[str, str],
    dataset_name: str,
    thresholds: tuple[float, float],
) -> Figure:
    """The number of rows by the probabilities that both models predict, in hexagons."""
    a, b = (shown(name) for name in names)
    labels = [is_positive(*of) for of in zip(probabilities, thresholds, strict=True)]
    n_rows = len(labels[0])
    figure = new_figure(
        f"The labels differ on {(labels[0] != labels[1]).sum():,} of {n_rows:,} rows",
        f"Predicted probabilities, {dataset_name}; orange: the thresholds",
        (5.3, 4.2),
        right=MARGIN + max(0, inches([f"{n_rows:,}"]) - inches(["1,000"])),
    )
    axes = figure.add_subplot()
    axes.set(xlabel=f"a: {a}", ylabel=f"b: {b}")
    counts = axes.hexbin(
        *probabilities, gridsize=N_HEXAGONS, extent=(0, 1, 0, 1), norm=LogNorm(), cmap="viridis"
    )
    counts.set_clim(1, max(counts.get_clim()[1], 10))
    axes.axline((0, 0), slope=1, linestyle="--", color=GREY, linewidth=1)
    for line, threshold in zip((axes.axvline, axes.axhline), thresholds, strict=True):
        line(threshold, color=ORANGE, linewidth=1)  # labels differ in two of the quarters
    margin = 0.7 / N_HEXAGONS  # half a hexagon, whose middle may be at 0 or 1
    axes.set(xlim=(-margin, 1 + margin), ylim=(-margin, 1 + margin))
    ticks = LogLocator(subs=(1, 2, 5))
    bar = figure.colorbar(counts, ax=axes, label="number of rows", ticks=ticks, format="{x:,.0f}")
    bar.minorticks_off()
    bar.outline.set_visible(False)
    return figure
