"""Pictures of one model on one split, and of a sweep; functions return matplotlib figures."""

import io

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, NullFormatter
from sklearn import metrics

from tabular.data.census import NEGATIVE, POSITIVE
from tabular.errors import one_line
from tabular.evaluation.metrics import BINS
from tabular.model.hyperparameters import HYPERPARAMETERS

BLUE, ORANGE, GREY = "#2a6f97", "#e07a2f", "#8d99ae"
STYLE = "whitegrid", {"grid.color": "#e8ebf0", "axes.edgecolor": "#b8c0cc"}
SEPARATOR = " · "
MAX_GROUPS = 200  # of groups, in a picture; a few thousand would be more than can be drawn


def figures(
    y_true: np.ndarray,
    probability: np.ndarray,
    tables: dict[str, pd.DataFrame],
    curves: dict[str, list[float]],
    where: str,
) -> dict[str, Figure]:
    """All plots of a run, by the path of the artifact.

    Args:
        y_true: 0 or 1, shape (n_samples,).
        probability: of label 1, shape (n_samples,).
        tables: by their files' names what ``shap.importance_table``, ``fairness.group_table`` and
            ``metrics.reliability_table`` return.
        curves: log loss by round, by the name of the split.
        where: what the rows are, for the titles.
    """
    with sns.axes_style(*STYLE):
        return {
            "importance.png": importance_bars(tables["importance.csv"]),
            "plots/roc.png": roc(y_true, probability, where),
            "plots/precision_recall.png": precision_recall(y_true, probability, where),
            "plots/calibration.png": calibration(tables["calibration.csv"], where),
            "plots/confusion_matrix.png": confusion_matrix(y_true, probability, where),
            "plots/groups.png": groups(tables["groups.csv"], where),
            "plots/log_loss.png": log_loss_curves(curves),
        }


def png(figure: Figure) -> bytes:
    """The picture as a file."""
    file = io.BytesIO()
    figure.savefig(file, dpi=110)
    return file.getvalue()


def importance_bars(importance: pd.DataFrame) -> Figure:
    figure, axes = _new("Feature importance", "mean gain of a split (log loss)", "", 6.4, left=1.4)
    bars = axes.barh(importance["feature"], importance["gain"], color=BLUE)
    axes.bar_label(bars, fmt="%.3g", padding=3, color="#555555", fontsize=9)
    axes.invert_yaxis()
    axes.margins(x=0.12, y=0.01)
    axes.grid(axis="y", visible=False)
    return figure


def roc(y_true: np.ndarray, probability: np.ndarray, where: str) -> Figure:
    fpr, tpr, _ = metrics.roc_curve(y_true, probability)
    figure, axes = _new(f"ROC, {where}", "false positive rate", "true positive rate")
    axes.plot([0, 1], [0, 1], "--", color=GREY, label="guessing: area 0.5")
    axes.plot(fpr, tpr, color=BLUE, linewidth=2, label=f"model: area {metrics.auc(fpr, tpr):.4f}")
    axes.legend(loc="lower right")
    return figure


def precision_recall(y_true: np.ndarray, probability: np.ndarray, where: str) -> Figure:
    precision, recall, _ = metrics.precision_recall_curve(y_true, probability)
    average = metrics.average_precision_score(y_true, probability)
    share = y_true.mean()
    figure, axes = _new(f"Precision and recall, {where}", "recall", "precision")
    axes.axhline(share, linestyle="--", color=GREY, label=f"guessing: {share:.3f}")
    axes.plot(recall, precision, color=BLUE, linewidth=2, label=f"model: average {average:.4f}")
    axes.set_ylim(0, 1.02)
    axes.legend(loc="lower left")
    return figure


def calibration(bins: pd.DataFrame, where: str) -> Figure:
    """Share of positives against predicted probability, with 95 % intervals and counts."""
    figure, axes = _new(
        f"Calibration, {where}", "predicted probability", "share of positives", right=0.8
    )
    axes.plot([0, 1], [0, 1], "--", color=GREY, label="perfect")
    points = bins["predicted"], bins["observed"]
    error = _whiskers(bins, "observed")
    axes.errorbar(*points, error, fmt="o-", color=BLUE, linewidth=2, capsize=3, label="model, 95 %")
    axes.legend(loc="upper left")
    bars = axes.twinx()
    bars.bar(bins["bin"], bins["rows"], width=0.9 / BINS, color=GREY, alpha=0.25)
    bars.set(ylabel="rows (bars)", ylim=(0, bins["rows"].max() * 2.5))
    bars.grid(visible=False)
    return figure


def _whiskers(table: pd.DataFrame, name: str) -> np.ndarray:
    """How far the interval of a share reaches down and up from it, shape (2, n_samples)."""
    down, up = table[name] - table[f"{name}_low"], table[f"{name}_high"] - table[name]
    return np.clip([down, up], 0, None)


def groups(table: pd.DataFrame, where: str) -> Figure:
    """Rates by group of people with their 95 % intervals: few rows, long whiskers."""
    shown = {
        "accuracy": "accuracy",
        "selection_rate": "selection rate",
        "true_positive_rate": "true positive rate",
        "false_positive_rate": "false positive rate",
    }
    largest = table["rows"].nlargest(MAX_GROUPS).index
    what = "group" if len(largest) == len(table) else f"group, the {MAX_GROUPS} largest"
    table = table.loc[largest.sort_values()]
    counted = zip(table["group"], table["rows"], strict=True)
    names = [f"{one_line(group)[:60]} ({rows:,})" for group, rows in counted]
    block = (table["feature"] != table["feature"].shift()).cumsum() - 1
    places = np.arange(len(table)) + block  # an empty line between features
    left = 0.2 + 0.078 * max(map(len, names))
    width, height = left + 8.6, 1.1 + 0.24 * len(places) + 0.24 * len(block.unique())
    figure = Figure(figsize=(width, height))
    figure.subplots_adjust(
        left / width, 0.4 / height, 1 - 0.2 / width, 1 - 0.65 / height, wspace=0.08
    )
    figure.suptitle(f"Rates by {what}, {where}: 95 % intervals, (rows)", y=1 - 0.12 / height)
    panels = figure.subplots(1, len(shown), sharey=True)
    for axes, (rate, title) in zip(panels, shown.items(), strict=True):
        whiskers = _whiskers(table, rate)
        axes.errorbar(table[rate], places, xerr=whiskers, fmt="o", color=BLUE, markersize=4)
        axes.set(title=title, yticks=places)
        axes.set_yticklabels(names, parse_math=False)  # $ is a letter
        axes.locator_params(axis="x", nbins=4)
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
    axes.set_ylim(places.iloc[-1] + 0.7, -0.7)
    return figure


def shap(X: pd.DataFrame, values: np.ndarray, table: pd.DataFrame, where: str) -> Figure:
    """SHAP values, one dot a row: coloured by the feature's value where that is a number.

    Args:
        X: the rows, (n_samples, n_features).
        values: (n_samples, n_features + 1), as of ``shap.shap_values``.
        table: as of ``shap.shap_table``.
    """
    rng = np.random.default_rng(0)
    with sns.axes_style(*STYLE):
        figure, axes = _new(
            f"SHAP values of {len(X):,} rows of {where}",
            f"added to the log odds of {POSITIVE} (dark: low, bright: high, grey: category)",
            "",
            7.4,
            left=1.4,
        )
    for place, name in enumerate(table["feature"]):
        added, column = values[:, X.columns.get_loc(name)], X[name]
        # the more rows have about this value, the wider they spread
        counts, edges = np.histogram(added, 60)
        density = counts[np.clip(np.digitize(added, edges) - 1, 0, 59)] / counts.max()
        spread = place + rng.uniform(-0.4, 0.4, len(X)) * density
        numeric = pd.api.types.is_numeric_dtype(column)
        color = {"c": column.rank(pct=True), "cmap": "viridis"} if numeric else {"color": GREY}
        axes.scatter(added, spread, s=3, linewidths=0, **color)
    axes.set(yticks=range(len(table)), ylim=(len(table) - 0.4, -0.6))
    axes.set_yticklabels(table["feature"])
    axes.grid(axis="y", visible=False)
    return figure


def confusion_matrix(y_true: np.ndarray, probability: np.ndarray, where: str) -> Figure:
    """True against predicted labels at threshold 0.5: counts, and shares of the true label."""
    counts = metrics.confusion_matrix(y_true, probability >= 0.5)
    shares = counts / counts.sum(axis=1, keepdims=True)
    texts = [f"{n:,}\n{p:.1%}" for n, p in zip(counts.flat, shares.flat, strict=True)]
    labels = [NEGATIVE, POSITIVE]
    figure, axes = _new(f"Confusion matrix, {where}", "", "", right=0.0)
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


def log_loss_curves(curves: dict[str, list[float]]) -> Figure:
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
    sizes = outcomes[varied or ["max_depth"]].nunique().sort_values(ascending=False, kind="stable")
    down: list[str] = []
    across: list[str] = []
    for name in sizes.index:  # what has most values first, to the axis that has fewer cells
        min(down, across, key=lambda names: sizes[names].prod()).append(name)
    cells = outcomes.pivot_table(metric, down, across)
    for axis, names in enumerate(cells.axes):
        texts = names.to_frame().astype(str).agg(SEPARATOR.join, axis=1)
        cells = cells.set_axis(texts.to_numpy(), axis=axis)
    # the worse part would take most of the colours, and readers look for the better one
    bounds = np.nanquantile(cells, (0, 0.8) if less_is_better else (0.2, 1))
    annotated = cells.size <= 200
    height, width = np.clip(np.multiply(cells.shape, (0.36, 0.7)) + 1.6, 3.2, 16)
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
        cbar_kws={"label": metric},
    )
    chosen = outcomes[:1].astype(str).iloc[0]  # another point may be as good
    texts = (SEPARATOR.join(chosen[names]) if names else metric for names in (down, across))
    row, column = (axis.get_loc(text) for axis, text in zip(cells.axes, texts, strict=True))
    axes.add_patch(Rectangle((column, row), 1, 1, fill=False, edgecolor=ORANGE, linewidth=2.5))
    axes.tick_params(axis="y", rotation=0)
    axes.set(xlabel=SEPARATOR.join(across), ylabel=SEPARATOR.join(down))
    axes.set_title(f"{metric} of each point, best {outcomes[metric].iloc[0]:.4f}")
    return figure


def slices(outcomes: pd.DataFrame, varied: list[str], metric: str, less_is_better: bool) -> Figure:
    """A metric against each hyper-parameter: a dot a trial, the best one orange.

    Args:
        outcomes: one line a trial, best first: hyper-parameters and the metric.
        varied: the hyper-parameters that are not the same everywhere.
    """
    logarithmic = {p.name for p in HYPERPARAMETERS if p.log} | {"n_estimators"}
    columns = min(4, len(varied)) or 1
    rows = -(-len(varied) // columns) or 1
    figure = Figure(figsize=(2.9 * columns + 0.6, 2.5 * rows + 0.5), layout="constrained")
    with sns.axes_style(*STYLE):
        panels = figure.subplots(rows, columns, sharey=True, squeeze=False).flat
    order = np.linspace(1, 0.15, len(outcomes))
    for axes, name in zip(panels, varied, strict=False):
        axes.scatter(outcomes[name], outcomes[metric], s=14, c=order, cmap="Blues", vmin=0, vmax=1)
        axes.plot(outcomes[name].iloc[0], outcomes[metric].iloc[0], "o", color=ORANGE)
        if name in logarithmic and outcomes[name].min() > 0:
            axes.set_xscale("log")
            decades = np.log10(outcomes[name].max() / outcomes[name].min())
            steps = (1, 2, 5) if decades < 2 else (1,)
            axes.xaxis.set_major_locator(LogLocator(subs=steps))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set(xlabel=name)
    for axes in figure.axes[len(varied) :]:
        axes.set_visible(False)
    # the worst trials would take most of the height, and readers look for the better ones
    low, high = np.nanquantile(outcomes[metric], (0, 0.9) if less_is_better else (0.1, 1))
    margin = 0.05 * (high - low) or 0.001
    figure.axes[0].set_ylim(low - margin, high + margin)
    figure.supylabel(metric)
    figure.suptitle(f"{metric} of each trial, best {outcomes[metric].iloc[0]:.4f}")
    return figure


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
