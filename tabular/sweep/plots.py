"""Plots of a sweep's trials, as matplotlib figures.

In ``heat_map`` and ``slices``, ``trials`` is a table with one row for each trial, best first, and
columns for the hyper-parameters and the metric; ``varied`` names the hyper-parameters with more
than one value.
"""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, NullFormatter

from tabular.evaluation.plots import BLUE, GREY, ORANGE, STYLE, new_figure
from tabular.model.hyperparameters import HYPERPARAMETERS

SEPARATOR = " · "
MAX_ANNOTATED = 200  # cells with numbers in them
EMPTY = "#dfe3ea"  # cells without a result
LOG_SCALED = {p.name for p in HYPERPARAMETERS if p.log} | {"n_estimators"}


def heat_map(trials: pd.DataFrame, varied: list[str], metric: str, less_is_better: bool) -> Figure:
    """A metric over a grid: one cell for each trial, dark where it is good, the best one framed."""
    down, across = _grid_axes(trials, varied)
    cells = trials.pivot_table(metric, down, across)
    for axis, names in enumerate(cells.axes):
        texts = names.to_frame().astype(str).agg(SEPARATOR.join, axis=1)
        cells = cells.set_axis(texts.to_numpy(), axis=axis)
    # readers compare the good trials: the worst fifth shares one colour
    bounds = np.nanquantile(cells, (0, 0.8) if less_is_better else (0.2, 1))
    annotated = cells.size <= MAX_ANNOTATED
    height, width = np.clip(np.multiply(cells.shape, (0.36, 0.7)) + 1.6, 3.2, 16)
    figure = Figure(figsize=(width + 1.6, height), layout="constrained")
    FigureCanvasAgg(figure)  # or seaborn makes one for each label that it measures: 0.3 GB
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
    best = trials[:1].astype(str).iloc[0]
    texts = (SEPARATOR.join(best[names]) if names else metric for names in (down, across))
    row, column = (axis.get_loc(text) for axis, text in zip(cells.axes, texts, strict=True))
    axes.add_patch(Rectangle((column, row), 1, 1, fill=False, edgecolor=ORANGE, linewidth=2.5))
    axes.tick_params(axis="y", rotation=0)
    axes.set_facecolor(EMPTY)
    axes.set(xlabel=SEPARATOR.join(across), ylabel=SEPARATOR.join(down))
    axes.set_title(_title(trials, metric))
    return figure


def _grid_axes(trials: pd.DataFrame, varied: list[str]) -> tuple[list[str], list[str]]:
    """The hyper-parameters of the rows and of the columns of the heat map.

    That with the most values comes first, and each goes to the axis with fewer cells so far.
    """
    sizes = trials[varied or ["max_depth"]].nunique().sort_values(ascending=False, kind="stable")
    axes: tuple[list[str], list[str]] = [], []
    for name in sizes.index:
        min(axes, key=lambda names: sizes[names].prod()).append(name)
    return axes


def _title(trials: pd.DataFrame, metric: str) -> str:
    return f"{metric} of each trial, best {trials[metric].iloc[0]:.4f}"


def slices(trials: pd.DataFrame, varied: list[str], metric: str, less_is_better: bool) -> Figure:
    """A metric against each hyper-parameter: a dot for each trial, the best one orange."""
    n_columns = min(4, len(varied)) or 1
    n_rows = -(-len(varied) // n_columns) or 1
    figure = Figure(figsize=(2.9 * n_columns + 0.6, 2.5 * n_rows + 0.5), layout="constrained")
    with STYLE:
        panels = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False).flat
    shade = np.linspace(1, 0.15, len(trials))
    for axes, name in zip(panels, varied, strict=False):
        values = trials[name]
        axes.scatter(values, trials[metric], s=14, c=shade, cmap="Blues", vmin=0, vmax=1)
        axes.plot(values.iloc[0], trials[metric].iloc[0], "o", color=ORANGE)
        if name in LOG_SCALED and values.min() > 0:
            _scale_log(axes, values)
        elif not pd.api.types.is_numeric_dtype(values):
            axes.margins(x=0.3)  # its texts are wide
        axes.set(xlabel=name)
    for axes in figure.axes[len(varied) :]:
        axes.set_visible(False)
    # readers compare the good trials: the worst tenth is cut off
    low, high = np.nanquantile(trials[metric], (0, 0.9) if less_is_better else (0.1, 1))
    margin = 0.05 * (high - low) or 0.001
    figure.axes[0].set_ylim(low - margin, high + margin)
    figure.supylabel(metric)
    figure.suptitle(_title(trials, metric))
    return figure


def _scale_log(axes: Axes, values: pd.Series) -> None:
    """A logarithmic x axis with a few plain numbers on it."""
    axes.set_xscale("log")
    decades = np.log10(values.max() / values.min())
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2 else (1,)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def importance_bars(table: pd.DataFrame, metric: str) -> Figure:
    """A bar for each hyper-parameter, from ``importance.importance_table``."""
    with STYLE:
        figure, axes = new_figure(
            f"Importance for a good {metric}", "share of the importance", "", 6.9, 1.9
        )
    bars = axes.barh(table["hyperparameter"], table["importance"], 0.6, color=BLUE)
    axes.bar_label(bars, fmt="{:.0%}", padding=3, color="#555555", fontsize=9)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.grid(axis="y", visible=False)
    return figure


def sweep_curves(best: list[tuple[str, np.ndarray]], others: list[np.ndarray]) -> Figure:
    """Validation log loss by boosting round: the best trials named, each ending in a dot.

    Args:
        best: label and log loss after each round of the best trials, best first.
        others: log loss after each round of the other trials.
    """
    title = "Validation log loss by boosting round"
    with STYLE:
        figure, axes = new_figure(title, "boosting round", "log loss", width=8)
    for values in others:
        axes.plot(np.arange(1, len(values) + 1), values, color=GREY, linewidth=0.7, alpha=0.5)
    colors = sns.color_palette("colorblind", len(best))
    for (label, values), color in reversed([*zip(best, colors, strict=True)]):
        axes.plot(np.arange(1, len(values) + 1), values, color=color, linewidth=1.8, label=label)
        axes.plot(len(values), values[-1], "o", color=color)
    low = min(values.min() for _, values in best)
    spread = max(values[len(values) // 10 :].max() for _, values in best) - low
    if spread:  # none if each trial has one round
        # the first rounds fall from far above
        axes.set_ylim(low - 0.05 * spread, low + 1.05 * spread)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], title="best first")
    return figure
