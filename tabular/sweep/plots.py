"""Plots of a sweep's trials, as matplotlib figures.

In ``heat_map`` and ``slices``, ``trials`` is a table with one row for each trial, best first, and
columns for the hyper-parameters and the metric; ``varied`` names the hyper-parameters with more
than one value.
"""

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, NullFormatter

from tabular.evaluation.plot_style import (
    BLUE,
    COLORS,
    GREY,
    MARGIN,
    ORANGE,
    SOFT_INK,
    bars,
    cells,
    leads,
    new_figure,
)
from tabular.evaluation.plot_text import inches, shown
from tabular.model.hyperparameters import HYPERPARAMETERS

SEPARATOR = " · "
MAX_ANNOTATED = 200  # cells with numbers in them
EMPTY = "#dfe3ea"  # cells without a result
MAX_NAMED = 4  # hyper-parameters in a title
LOG_SCALED = {p.name for p in HYPERPARAMETERS if p.log} | {"n_estimators"}


def heat_map(trials: pd.DataFrame, varied: list[str], metric: str, less_is_better: bool) -> Figure:
    """A metric over a grid: one cell for each trial, dark where it is good, the best one framed."""
    down, across = _grid_axes(trials, varied)
    values = trials.pivot_table(metric, down, across)
    for axis, names in enumerate(values.axes):
        texts = names.to_frame().astype(str).agg(SEPARATOR.join, axis=1)
        values = values.set_axis(texts.to_numpy(), axis=axis)
    # readers compare the good trials: the worst fifth shares one colour
    norm = Normalize(*np.nanquantile(values, (0, 0.8) if less_is_better else (0.2, 1)))
    finding = _finding(trials, varied, metric, less_is_better)
    figure, axes = _heat_map_axes(finding, f"{metric} of each trial", values)
    numbers = np.empty(0)
    if values.size <= MAX_ANNOTATED:
        numbers = values.map(lambda value: "" if np.isnan(value) else f"{value:.4f}").to_numpy()
    cells(axes, values, numbers, colormaps["Blues_r" if less_is_better else "Blues"], norm)
    best = trials[:1].astype(str).iloc[0]
    texts = (SEPARATOR.join(best[names]) if names else metric for names in (down, across))
    row, column = (axis.get_loc(text) for axis, text in zip(values.axes, texts, strict=True))
    axes.add_patch(Rectangle((column, row), 1, 1, fill=False, edgecolor=ORANGE, linewidth=2.5))
    axes.set_facecolor(EMPTY)
    axes.set_xlabel(SEPARATOR.join(across))
    axes.set_ylabel(SEPARATOR.join(down))
    return figure


def _heat_map_axes(finding: str, what: str, values: pd.DataFrame) -> tuple[Figure, Axes]:
    """A figure with room for the cells and for as many of their names as fit."""
    n_rows, n_columns = values.shape
    width, height = np.clip(0.8 * n_columns, 3.5, 14), np.clip(0.34 * n_rows, 1, 14)
    turned = inches(values.columns) + 0.1 > width / n_columns
    below = inches(values.columns) if turned else 0.2
    left = MARGIN + 0.4 + inches(values.index)
    figure = new_figure(finding, what, (width, height), left, bottom=MARGIN + 0.4 + below)
    axes = figure.add_subplot()
    for axis, size in ((axes.yaxis, height), (axes.xaxis, width)):
        names = values.index if axis is axes.yaxis else values.columns
        step = int(np.ceil(0.2 * len(names) / size))
        axis.set_ticks(np.arange(len(names))[::step] + 0.5, names[::step])
    axes.tick_params(axis="x", rotation=90 if turned else 0)
    return figure, axes


def _finding(trials: pd.DataFrame, varied: list[str], metric: str, less_is_better: bool) -> str:
    """The best value of the metric, and where it is unless that is too long for a title."""
    best = trials.iloc[0]
    start = f"{metric} is {'lowest' if less_is_better else 'highest'}"
    if not 1 <= len(varied) <= MAX_NAMED:
        return f"{start} in the orange trial: {best[metric]:.4f}" if len(trials) > 1 else ""
    where = ", ".join(f"{name} {best[name]}" for name in varied)
    return f"{start} at {where}: {best[metric]:.4f}"


def _grid_axes(trials: pd.DataFrame, varied: list[str]) -> tuple[list[str], list[str]]:
    """The hyper-parameters of the rows and of the columns of the heat map.

    That with the most values comes first, and each goes to the axis with fewer cells so far.
    """
    sizes = trials[varied or ["max_depth"]].nunique().sort_values(ascending=False, kind="stable")
    axes: tuple[list[str], list[str]] = [], []
    for name in sizes.index:
        min(axes, key=lambda names: sizes[names].prod()).append(name)
    return axes


def slices(trials: pd.DataFrame, varied: list[str], metric: str, less_is_better: bool) -> Figure:
    """A metric against each hyper-parameter: a dot for each trial, the best one orange."""
    n_columns = min(4, len(varied)) or 1
    n_rows = -(-len(varied) // n_columns) or 1
    size = (max(2.4 * n_columns, 4.2), 2.4 * n_rows - 0.4)
    figure = new_figure(
        _finding(trials, varied, metric, less_is_better),
        f"{metric} of each trial, dark where it is good, the best one orange",
        size,
    )
    space = {"wspace": 0.12, "hspace": 0.35}
    panels = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False, gridspec_kw=space).flat
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
    names, shares = [*table["hyperparameter"]], table["importance"]
    finding = f"{names[0]} decides most about {metric}" if leads(shares) else ""
    what = f"Share of each hyper-parameter in what makes a good {metric}"
    figure, axes = bars(finding, what, names, 5)
    drawn = axes.barh(range(len(names)), shares, 0.6, color=BLUE)
    axes.bar_label(drawn, fmt="{:.0%}", padding=3, color=SOFT_INK, fontsize=9)
    axes.margins(x=0.1)
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.set_xlabel("share of the importance")
    return figure


def sweep_curves(best: list[tuple[str, np.ndarray]], others: list[np.ndarray]) -> Figure:
    """Validation log loss by boosting round: the best trials named, each ending in a dot.

    Args:
        best: label and log loss after each round of the best trials, best first.
        others: log loss after each round of the other trials.
    """
    figure = new_figure(
        f"The best trial ends at a log loss of {best[0][1][-1]:.4f}",
        "Validation log loss by boosting round",
        (7.1, 3.6),
    )
    axes = figure.add_subplot()
    axes.set(xlabel="boosting round", ylabel="log loss")
    for values in others:
        axes.plot(np.arange(1, len(values) + 1), values, color=GREY, linewidth=0.7, alpha=0.5)
    for (label, values), color in reversed([*zip(best, COLORS, strict=False)]):
        axes.plot(
            np.arange(1, len(values) + 1),
            values,
            color=color,
            linewidth=1.8,
            label=shown(label, 50),
        )
        axes.plot(len(values), values[-1], "o", color=color)
    low = min(values.min() for _, values in best)
    spread = max(values[len(values) // 10 :].max() for _, values in best) - low
    if spread:  # none if each trial has one round
        # the first rounds fall from far above
        axes.set_ylim(low - 0.05 * spread, low + 1.05 * spread)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], title="best first", loc="upper right")
    return figure
