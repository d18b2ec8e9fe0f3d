"""Plots of one model's predictions for one split, as matplotlib figures.

In every function ``dataset_name`` names the rows in the title, and ``y_true`` and ``probability``
are as in ``tabular.evaluation.metrics``.
"""

import io
from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tabular import cancel
from tabular.data.table import Table
from tabular.evaluation.fairness import RATES
from tabular.evaluation.metrics import (
    BINS,
    average_precision,
    is_positive,
    precision_recall_curve,
    ranking_counts,
    roc_auc,
    roc_curve,
)
from tabular.evaluation.plot_text import fonts, shown, width

BLUE, ORANGE, GREY = "#2a6f97", "#e07a2f", "#8d99ae"
COLORS = {"grid.color": "#e8ebf0", "axes.edgecolor": "#b8c0cc"}
matplotlib.rcdefaults()  # a matplotlibrc of the user could ask for LaTeX, or for another size
STYLE = sns.axes_style("whitegrid", COLORS | {"font.family": fonts()})
MAX_FEATURES = 25  # in a plot
MAX_GROUPS = 200  # in a plot; a few thousand would be more pixels than a PNG can have


def figures(
    y_true: np.ndarray,
    probability: np.ndarray,
    tables: dict[str, pd.DataFrame],
    curves: dict[str, dict[int, float]],
    table: Table,
    dataset_name: str,
    threshold: float = 0.5,
) -> dict[str, Figure]:
    """All plots of a run but that of the SHAP values, by the path of the artifact.

    Args:
        tables: what ``shap.importance_table``, ``fairness.group_table`` and
            ``metrics.reliability_table`` return, by the name of the file.
        curves: log loss by boosting round, by the name of the metric.
    """
    labels = [shown(table.negative), shown(table.positive)]
    dataset_name = shown(dataset_name)
    ranking = ranking_counts(y_true, probability)
    with STYLE:
        found = {
            "importance.png": importance_bars(tables["importance.csv"]),
            "plots/roc.png": roc(*ranking, dataset_name),
            "plots/precision_recall.png": precision_recall(*ranking, dataset_name),
            "plots/calibration.png": calibration(tables["calibration.csv"], dataset_name),
            "plots/confusion_matrix.png": confusion_matrix(
                y_true, probability, labels, dataset_name, threshold
            ),
            "plots/log_loss.png": log_loss_curves(curves),
        }
        if "groups.csv" in tables:
            found["plots/groups.png"] = groups(tables["groups.csv"], dataset_name)
    return found


def png(figure: Figure) -> bytes:
    """The figure as a PNG file; most of the time of a plot is spent here."""
    cancel.check()
    file = io.BytesIO()
    figure.savefig(file, dpi=110, pil_kwargs={"compress_level": 2})  # sooner, and 5 % larger
    return file.getvalue()


def new_figure(
    title: str, x: str, y: str, width: float = 5.6, left: float = 0.7, right: float = 0.2
) -> tuple[Figure, Axes]:
    """A figure with one pair of axes, which ``pyplot`` does not keep open.

    A layout engine would draw every figure twice, so the margins are fixed.

    Args:
        x, y: labels of the axes.
        width, left, right: of the figure and of its margins, in inches.
    """
    height = 4.6
    figure = Figure(figsize=(width, height))
    figure.subplots_adjust(
        left=left / width, right=1 - right / width, bottom=0.6 / height, top=1 - 0.4 / height
    )
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=x, ylabel=y)
    return figure, axes


def importance_bars(importance: pd.DataFrame) -> Figure:
    """Gain of the ``MAX_FEATURES`` most important features, from ``shap.importance_table``."""
    title = "Feature importance"
    if len(importance) > MAX_FEATURES:
        title += f", the {MAX_FEATURES} most important of {len(importance):,} features"
        importance = importance.head(MAX_FEATURES)
    left = _name_margin(importance["feature"])
    figure, axes = new_figure(title, "mean gain of a split (log loss)", "", left + 5, left=left)
    places = np.arange(len(importance))
    bars = axes.barh(places, importance["gain"], color=BLUE)
    axes.set_yticks(places, [*map(shown, importance["feature"])])
    axes.bar_label(bars, fmt="%.3g", padding=3, color="#555555", fontsize=9)
    axes.invert_yaxis()
    axes.margins(x=0.12, y=0.01)
    axes.grid(axis="y", visible=False)
    return figure


def _name_margin(names: pd.Series) -> float:
    """Inches that the longest name of a feature needs beside the axes."""
    return max(1.4, 0.2 + 0.085 * max(width(shown(name)) for name in names))


def roc(hits: np.ndarray, false_alarms: np.ndarray, dataset_name: str) -> Figure:
    """The ROC curve; its points are as ``metrics.ranking_counts`` returns them."""
    figure, axes = new_figure(
        f"ROC curve, {dataset_name}", "false positive rate", "true positive rate"
    )
    axes.plot([0, 1], [0, 1], "--", color=GREY, label="chance (AUC 0.5)")
    label = f"model (AUC {roc_auc(hits, false_alarms):.4f})"
    axes.plot(*roc_curve(hits, false_alarms), color=BLUE, linewidth=2, label=label)
    axes.legend(loc="lower right")
    return figure


def precision_recall(hits: np.ndarray, false_alarms: np.ndarray, dataset_name: str) -> Figure:
    """The precision-recall curve; its points are as ``metrics.ranking_counts`` returns them."""
    chance = hits[-1] / (hits[-1] + false_alarms[-1])
    figure, axes = new_figure(f"Precision-recall curve, {dataset_name}", "recall", "precision")
    axes.axhline(chance, linestyle="--", color=GREY, label=f"chance (AP {chance:.3f})")
    label = f"model (AP {average_precision(hits, false_alarms):.4f})"
    axes.plot(*precision_recall_curve(hits, false_alarms), color=BLUE, linewidth=2, label=label)
    axes.set_ylim(0, 1.02)
    axes.legend(loc="lower left")
    return figure


def calibration(reliability: pd.DataFrame, dataset_name: str) -> Figure:
    """Predicted against observed frequency with intervals, from ``metrics.reliability_table``."""
    figure, axes = new_figure(
        f"Calibration, {dataset_name}", "predicted probability", "share of positives", right=0.8
    )
    axes.plot([0, 1], [0, 1], "--", color=GREY, label="perfectly calibrated")
    axes.errorbar(
        reliability["predicted"],
        reliability["observed"],
        error_bars(reliability, "observed"),
        fmt="o-",
        color=BLUE,
        linewidth=2,
        capsize=3,
        label="model, with 95 % intervals",
    )
    axes.legend(loc="upper left")
    bars = axes.twinx()
    bars.bar(reliability["bin"], reliability["rows"], width=0.9 / BINS, color=GREY, alpha=0.25)
    bars.set(ylabel="number of rows (bars)", ylim=(0, reliability["rows"].max() * 2.5))
    bars.grid(visible=False)
    return figure


def error_bars(table: pd.DataFrame, name: str) -> np.ndarray:
    """Distances from a share down and up to the ends of its interval, (2, n_rows)."""
    down, up = table[name] - table[f"{name}_low"], table[f"{name}_high"] - table[name]
    return np.clip([down, up], 0, None)


def confusion_matrix(
    y_true: np.ndarray,
    probability: np.ndarray,
    labels: list[str],
    dataset_name: str,
    threshold: float = 0.5,
) -> Figure:
    """True against predicted labels at a threshold: counts, and shares of the true label."""
    cells = 2 * (y_true == 1) + is_positive(probability, threshold)
    counts = np.bincount(cells, minlength=4).reshape(2, 2)
    shares = counts / counts.sum(axis=1, keepdims=True)
    texts = [f"{n:,}\n{p:.1%}" for n, p in zip(counts.flat, shares.flat, strict=True)]
    title = "Confusion matrix" + (f" at threshold {threshold}" if threshold != 0.5 else "")
    figure, axes = new_figure(f"{title}, {dataset_name}", "", "", right=0.0)
    sns.heatmap(
        pd.DataFrame(shares, pd.Index(labels, name="true"), pd.Index(labels, name="predicted")),
        annot=np.reshape(texts, shares.shape),
        fmt="",
        cmap="Blues",
        vmin=0,
        vmax=1,
        ax=axes,
        cbar_kws={"label": "share of the true label"},
    )
    return figure


def log_loss_curves(curves: dict[str, dict[int, float]]) -> Figure:
    figure, axes = new_figure("Log loss by boosting round", "boosting round", "log loss")
    for (name, values), color in zip(curves.items(), (BLUE, ORANGE), strict=False):
        axes.plot([*values], [*values.values()], color=color, linewidth=2, label=name)
    axes.legend()
    return figure


def groups(
    table: pd.DataFrame,
    dataset_name: str,
    kind: str = "Rates",
    columns: Sequence[str] = RATES,
) -> Figure:
    """Rates by group with their intervals, from ``fairness.group_table``.

    Args:
        table: that one, or another with a row for each group.
        kind: what the columns are, for the title.
        columns: of the table, one for each panel.
    """
    largest = table["rows"].nlargest(MAX_GROUPS).index
    what = "group" if len(largest) == len(table) else f"group, the {MAX_GROUPS} largest"
    table = table.loc[largest.sort_values()]
    counted = zip(table["group"], table["rows"], strict=True)
    names = [f"{shown(group, 60)} ({n_rows:,})" for group, n_rows in counted]
    is_first = table["feature"] != table["feature"].shift()
    places = np.arange(len(table)) + is_first.cumsum()  # a line for the name of each feature
    features = [shown(feature) for feature in table["feature"][is_first]]
    figure = _group_figure(max(map(width, [*names, *features])), places.iloc[-1] + 1)
    title = f"{kind} by {what} (number of rows), with 95 % intervals, {dataset_name}"
    figure.suptitle(title, y=1 - 0.12 / figure.get_figheight())
    panels = figure.subplots(1, len(columns), sharey=True)
    for axes, rate in zip(panels, columns, strict=True):
        ends = error_bars(table, rate)
        axes.errorbar(table[rate], places, xerr=ends, fmt="o", color=BLUE, markersize=4)
        axes.set(title=rate.replace("_", " "), yticks=places)
        axes.set_yticklabels(names)
        axes.locator_params(axis="x", nbins=4)
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
    axes.set_ylim(places.iloc[-1] + 0.7, -0.7)
    beside = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    for feature, place in zip(features, places[is_first] - 1, strict=True):
        heading = panels[0].annotate(feature, (0, place), (-3.5, 0), **beside)
        heading.set(ha="right", va="center", weight="bold", parse_math=False)
    return figure


def _group_figure(n_characters: int, n_lines: int) -> Figure:
    """A figure with room for so many lines, and for names of so many characters at the left."""
    left = 0.2 + 0.078 * n_characters
    width, height = left + 8.6, 1.1 + 0.24 * n_lines
    figure = Figure(figsize=(width, height))
    figure.subplots_adjust(
        left / width, 0.4 / height, 1 - 0.2 / width, 1 - 0.65 / height, wspace=0.14
    )
    return figure


@STYLE  # for the whole function
def shap(
    X: pd.DataFrame, values: np.ndarray, table: pd.DataFrame, positive: str, dataset_name: str
) -> Figure:
    """SHAP values, one dot for each row and feature, coloured by the rank of a numeric feature.

    The plot has the features with the largest mean absolute values, at most ``MAX_FEATURES``.

    Args:
        X: the rows, (n_samples, n_features).
        values: (n_samples, n_features + 1), as ``shap.shap_values`` returns them.
        table: as ``shap.shap_table`` returns it.
        positive: the label whose probability is predicted.
    """
    table = table.head(MAX_FEATURES)
    left = _name_margin(table["feature"])
    figure, axes = new_figure(
        f"SHAP values of {len(X):,} rows of {shown(dataset_name)}",
        f"SHAP value in log odds of {shown(positive)} "
        "(dark: low value, bright: high, grey: category or missing)",
        "",
        left + 6,
        left=left,
    )
    colors = {"cmap": matplotlib.colormaps["viridis"].with_extremes(bad=GREY)}
    rng = np.random.default_rng(0)
    for place, name in enumerate(table["feature"]):
        contributions, column = values[:, X.columns.get_loc(name)], X[name]
        # dots spread in proportion to the number of rows with about the same SHAP value
        counts, edges = np.histogram(contributions, 60)
        density = counts[np.clip(np.digitize(contributions, edges) - 1, 0, 59)] / counts.max()
        y = place + rng.uniform(-0.4, 0.4, len(X)) * density
        numeric = pd.api.types.is_numeric_dtype(column)
        color = {"c": column.rank(pct=True), **colors} if numeric else {"color": GREY}
        axes.scatter(contributions, y, s=3, linewidths=0, plotnonfinite=True, **color)
    axes.set(yticks=range(len(table)), ylim=(len(table) - 0.4, -0.6))
    axes.set_yticklabels(map(shown, table["feature"]))
    axes.grid(axis="y", visible=False)
    return figure
