"""Pictures of one model on one split, and of a sweep; functions return matplotlib figures."""

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from sklearn import metrics

from census import table

BLUE, ORANGE, GREY = "#2a6f97", "#e07a2f", "#8d99ae"
CALIBRATION_BINS = 10
SEPARATOR = " · "


def figures(
    y_true: np.ndarray,
    probability: np.ndarray,
    importance: pd.DataFrame,
    curves: dict[str, list[float]],
    where: str,
) -> dict[str, Figure]:
    """All plots of a run, by the path of the artifact.

    Args:
        y_true: 0 or 1, shape (n_samples,).
        probability: of label 1, shape (n_samples,).
        importance: as ``model.importance`` returns it.
        curves: log loss by round, by the name of the split.
        where: what the rows are, for the titles.
    """
    with sns.axes_style("whitegrid", {"grid.color": "#e8ebf0", "axes.edgecolor": "#b8c0cc"}):
        return {
            "importance.png": importance_bars(importance),
            "plots/roc.png": roc(y_true, probability, where),
            "plots/precision_recall.png": precision_recall(y_true, probability, where),
            "plots/calibration.png": calibration(y_true, probability, where),
            "plots/confusion_matrix.png": confusion_matrix(y_true, probability, where),
            "plots/log_loss.png": log_loss_curves(curves),
        }


def importance_bars(importance: pd.DataFrame) -> Figure:
    """Gain by feature, most first."""
    figure, axes = _new("Feature importance", "mean gain of a split (log loss)", "", 6.4, left=1.4)
    sns.barplot(importance, x="gain", y="feature", color=BLUE, ax=axes)
    axes.bar_label(axes.containers[0], fmt="%.3g", padding=3, color="#555555", fontsize=9)
    axes.set(xlabel="mean gain of a split (log loss)", ylabel="")
    axes.margins(x=0.12)
    axes.grid(axis="y", visible=False)
    return figure


def roc(y_true: np.ndarray, probability: np.ndarray, where: str) -> Figure:
    """True against false positive rate over all thresholds."""
    fpr, tpr, _ = metrics.roc_curve(y_true, probability)
    area = metrics.auc(fpr, tpr)
    figure, axes = _new(f"ROC, {where}", "false positive rate", "true positive rate")
    axes.plot([0, 1], [0, 1], "--", color=GREY, label="guessing: area 0.5")
    axes.plot(fpr, tpr, color=BLUE, linewidth=2, label=f"model: area {area:.4f}")
    axes.legend(loc="lower right")
    return figure


def precision_recall(y_true: np.ndarray, probability: np.ndarray, where: str) -> Figure:
    """Precision against recall over all thresholds."""
    precision, recall, _ = metrics.precision_recall_curve(y_true, probability)
    average = metrics.average_precision_score(y_true, probability)
    share = y_true.mean()
    figure, axes = _new(f"Precision and recall, {where}", "recall", "precision")
    axes.axhline(share, linestyle="--", color=GREY, label=f"guessing: {share:.3f}")
    axes.plot(recall, precision, color=BLUE, linewidth=2, label=f"model: average {average:.4f}")
    axes.set_ylim(0, 1.02)
    axes.legend(loc="lower left")
    return figure


def calibration(y_true: np.ndarray, probability: np.ndarray, where: str) -> Figure:
    """Share of positives against predicted probability, and the rows behind each point."""
    bins = np.minimum((probability * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    counts = np.bincount(bins, minlength=CALIBRATION_BINS)
    full = counts > 0
    predicted, observed = (
        np.bincount(bins, values, CALIBRATION_BINS)[full] / counts[full]
        for values in (probability, y_true)
    )
    figure, axes = _new(
        f"Calibration, {where}", "predicted probability", "share of positives", right=0.8
    )
    axes.plot([0, 1], [0, 1], "--", color=GREY, label="perfect")
    axes.plot(predicted, observed, "o-", color=BLUE, linewidth=2, label="model")
    axes.legend(loc="upper left")
    rows = axes.twinx()
    middles = (np.arange(CALIBRATION_BINS) + 0.5) / CALIBRATION_BINS
    rows.bar(middles, counts, 0.9 / CALIBRATION_BINS, color=GREY, alpha=0.25)
    rows.set(ylabel="rows (bars)", ylim=(0, counts.max() * 2.5))
    rows.grid(visible=False)
    return figure


def confusion_matrix(y_true: np.ndarray, probability: np.ndarray, where: str) -> Figure:
    """True against predicted labels at threshold 0.5: counts, and shares of the true label."""
    counts = metrics.confusion_matrix(y_true, probability >= 0.5)
    shares = counts / counts.sum(axis=1, keepdims=True)
    texts = [
        [f"{n:,}\n{p:.1%}" for n, p in zip(*row, strict=True)]
        for row in zip(counts, shares, strict=True)
    ]
    labels = [table.NEGATIVE, table.POSITIVE]
    figure, axes = _new(f"Confusion matrix, {where}", "", "", right=0.0)
    sns.heatmap(
        shares,
        annot=np.array(texts),
        fmt="",
        cmap="Blues",
        vmin=0,
        vmax=1,
        ax=axes,
        xticklabels=labels,
        yticklabels=labels,
        cbar_kws={"label": "share of the true label"},
    )
    axes.set(xlabel="predicted", ylabel="true")
    return figure


def log_loss_curves(curves: dict[str, list[float]]) -> Figure:
    """Log loss after each boosting round."""
    figure, axes = _new("Log loss by boosting round", "trees", "log loss")
    for (name, values), color in zip(curves.items(), (BLUE, ORANGE), strict=False):
        axes.plot(np.arange(1, len(values) + 1), values, color=color, linewidth=2, label=name)
    axes.legend()
    return figure


def heat_map(
    outcomes: pd.DataFrame, varied: list[str], metric: str, less_is_better: bool
) -> Figure:
    """A metric over a grid: one cell a point, dark where it is good, the best one framed.

    Args:
        outcomes: one line a point, best first: hyper-parameters and the metric.
        varied: the hyper-parameters that are not the same everywhere.
    """
    sizes = outcomes[varied].nunique().sort_values(ascending=False, kind="stable")
    down: list[str] = []
    across: list[str] = []
    for name in sizes.index:  # what has most values first, to the axis that has fewer cells
        min(down, across, key=lambda names: sizes[names].prod()).append(name)
    down, across = down or [""], across or [" "]
    outcomes = outcomes.assign(**{"": "", " ": ""})
    cells = outcomes.pivot_table(metric, down, across)
    # the worse part would take most of the colours, and readers look for the better one
    bounds = np.nanquantile(cells, (0, 0.8) if less_is_better else (0.2, 1))
    annotated = cells.size <= 200
    height, width = (
        np.clip(n * per + 1.6, 3.2, 16) for n, per in zip(cells.shape, (0.36, 0.7), strict=True)
    )
    figure = Figure(figsize=(width + 1.6, height), layout="constrained")
    FigureCanvasAgg(figure)  # or seaborn would make one for each label that it measures: 0.3 GB
    axes = figure.add_subplot()
    sns.heatmap(
        cells,
        annot=annotated,
        fmt=".4f",
        cmap="Blues_r" if less_is_better else "Blues",
        vmin=bounds[0],
        vmax=bounds[1],
        linewidths=0.5 if annotated else 0,
        ax=axes,
        xticklabels=_ticks(cells.columns),
        yticklabels=_ticks(cells.index),
        cbar_kws={"label": metric},
    )
    best = outcomes.iloc[0]
    row, column = (
        index.get_loc(tuple(best[names]) if len(names) > 1 else best[names[0]])
        for index, names in ((cells.index, down), (cells.columns, across))
    )
    axes.add_patch(Rectangle((column, row), 1, 1, fill=False, edgecolor=ORANGE, linewidth=2.5))
    axes.tick_params(axis="y", rotation=0)
    title = f"{metric} of each point, best {best[metric]:.4f}"
    axes.set(title=title, xlabel=SEPARATOR.join(across), ylabel=SEPARATOR.join(down))
    return figure


def _ticks(index: pd.Index) -> list[str] | str:
    """The values of each row or column of cells, where there is room to read them."""
    if len(index) > 60:
        return "auto"
    return [SEPARATOR.join(map(str, v)) if isinstance(v, tuple) else str(v) for v in index]


def sweep_curves(curves: list[tuple[str, np.ndarray]], others: list[np.ndarray]) -> Figure:
    """Validation log loss by boosting round: the best points named, each ending in a dot.

    Args:
        curves: label and values of the best points, best first.
        others: values of the rest.
    """
    figure, axes = _new("Validation log loss by boosting round", "trees", "log loss", width=8)
    for values in others:
        axes.plot(np.arange(1, len(values) + 1), values, color=GREY, linewidth=0.7, alpha=0.5)
    colors = sns.color_palette("colorblind", len(curves))
    for (label, values), color in reversed([*zip(curves, colors, strict=True)]):
        axes.plot(np.arange(1, len(values) + 1), values, color=color, linewidth=1.8, label=label)
        axes.plot(len(values), values[-1], "o", color=color)
    low = min(values.min() for _, values in curves)
    spread = max(values[len(values) // 10 :].max() for _, values in curves) - low
    axes.set_ylim(low - 0.05 * spread, low + 1.05 * spread)  # the first rounds fall from far above
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], title="best first")
    return figure


def _new(
    title: str, x: str, y: str, width: float = 5.6, left: float = 0.7, right: float = 0.2
) -> tuple[Figure, Axes]:
    """A figure of its own: ``pyplot`` would keep it open.

    Its margins are in inches and fixed: a layout engine would draw every figure twice.
    """
    height = 4.6
    figure = Figure(figsize=(width, height))
    figure.subplots_adjust(
        left=left / width, right=1 - right / width, bottom=0.6 / height, top=1 - 0.4 / height
    )
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=x, ylabel=y)
    return figure, axes
