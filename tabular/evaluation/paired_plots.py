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
    precision_recall_curve,
    ranking_counts,
    reliability_table,
    roc_auc,
    roc_curve,
)
from tabular.evaluation.plot_text import shown
from tabular.evaluation.plots import BLUE, GREY, ORANGE, STYLE

Pair = tuple[np.ndarray, np.ndarray]
ZERO = "#555555"  # the colour of the line at no difference
N_HEXAGONS = 50  # from probability 0 to 1
VERDICT_COLORS = {paired.BETTER: BLUE, paired.WORSE: ORANGE}  # else grey


@STYLE  # for the whole function
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
        figure = plots.groups(table, dataset_name, "Differences b - a", columns)
        for axes in figure.axes:
            axes.axvline(0, color=ZERO, linewidth=1, zorder=0)
        found["plots/groups_differences.png"] = figure
    return found


def curves(
    y_true: np.ndarray, probabilities: Pair, names: tuple[str, str], dataset_name: str
) -> Figure:
    """The ROC, the precision-recall and the calibration curve of both models, side by side."""
    width, height = 15.6, 5.0
    figure = Figure(figsize=(width, height))
    figure.subplots_adjust(0.6 / width, 0.6 / height, 1 - 0.2 / width, 1 - 0.75 / height, 0.2)
    figure.suptitle(_title("Curves", names, dataset_name), y=1 - 0.15 / height)
    roc, precision_recall, calibration = figure.subplots(1, 3)
    roc.plot([0, 1], [0, 1], "--", color=GREY, label="chance")
    precision_recall.axhline(y_true.mean(), linestyle="--", color=GREY, label="chance")
    calibration.plot([0, 1], [0, 1], "--", color=GREY, label="perfectly calibrated")
    for model, probability, color in zip("ab", probabilities, (BLUE, ORANGE), strict=True):
        _add_curves(roc, precision_recall, y_true, probability, model, color)
        table = reliability_table(y_true, probability)
        ends = plots.error_bars(table, "observed")
        style = {"fmt": "o-", "color": color, "capsize": 3, "label": f"{model}, 95 % intervals"}
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


def _title(what: str, names: tuple[str, str], dataset_name: str) -> str:
    a, b = (shown(name) for name in names)
    return f"{what}, {dataset_name}; a: {a}, b: {b}"


def differences(table: pd.DataFrame, dataset_name: str) -> Figure:
    """The difference of each metric with its interval, from ``paired.metric_differences``."""
    figure, axes = plots.new_figure(
        f"Differences with paired 95 % intervals, {dataset_name}",
        "b - a (blue: b is better, orange: b is worse, grey: not told apart)",
        "",
        width=8.6,
        left=1.5,
        right=2.3,
    )
    axes.axvline(0, color=ZERO, linewidth=1)
    for place, row in enumerate(table.itertuples()):
        color = VERDICT_COLORS.get(row.b_is, GREY)
        axes.plot([row.low, row.high], [place, place], color=color, linewidth=2)
        axes.plot(row.difference, place, "o", color=color)
        text = f"{row.difference:+.5f} [{row.low:+.5f}, {row.high:+.5f}]"
        place_beside = axes.get_yaxis_transform()
        axes.text(1.01, place, text, transform=place_beside, va="center", fontsize=8)
    axes.set(yticks=range(len(table)), ylim=(len(table) - 0.5, -0.5))
    axes.set_yticklabels(table["metric"])
    axes.locator_params(axis="x", nbins=5)
    axes.grid(axis="y", visible=False)
    return figure


def probability_counts(
    probabilities: Pair,
    names: tuple[str, str],
    dataset_name: str,
    thresholds: tuple[float, float],
) -> Figure:
    """The number of rows by the probabilities that both models predict, in hexagons."""
    a, b = (shown(name) for name in names)
    figure, axes = plots.new_figure(
        f"Predicted probabilities, {dataset_name}", f"a: {a}", f"b: {b}", width=6.4
    )
    counts = axes.hexbin(
        *probabilities, gridsize=N_HEXAGONS, extent=(0, 1, 0, 1), norm=LogNorm(), cmap="viridis"
    )
    axes.axline((0, 0), slope=1, linestyle="--", color=GREY, linewidth=1)
    for line, threshold in zip((axes.axvline, axes.axhline), thresholds, strict=True):
        line(threshold, color=ORANGE, linewidth=1)  # labels differ in two of the quarters
    axes.set(xlim=(0, 1), ylim=(0, 1))
    ticks = LogLocator(subs=(1, 2, 5))
    bar = figure.colorbar(counts, ax=axes, label="number of rows", ticks=ticks, format="%d")
    bar.minorticks_off()
    return figure
