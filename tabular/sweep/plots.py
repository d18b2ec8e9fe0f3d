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
from matplotlib.ticker import AutoLocator, LogLocator, NullFormatter

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
    space_ticks,
)
from tabular.evaluation.plot_text import inches, shown, wrapped
from tabular.model.hyperparameters import HYPERPARAMETERS

SEPARATOR = " · "
MAX_ANNOTATED = 200  # cells with numbers in them
EMPTY = "#dfe3ea"  # cells without a result
MAX_NAMED = 4  # hyper-parameters in a title
MAX_LISTED = 10  # values of a hyper-parameter, each with a tick
MIN_CUT = 10  # trials; of fewer, the worst ones are shown, too
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
    labels = (SEPARATOR.join(down), SEPARATOR.join(across))
    figure, axes = _heat_map_axes(finding, f"{metric} of each trial", values, labels)
    numbers = np.empty(0)
    if values.size <= MAX_ANNOTATED:
        numbers = values.map(lambda value: "" if np.isnan(value) else f"{value:.4f}").to_numpy()
    cells(axes, values, numbers, colormaps["Blues_r" if less_is_better else "Blues"], norm)
    best = trials[:1].astype(str).iloc[0]
    texts = (SEPARATOR.join(best[names]) if names else metric for names in (down, across))
    row, column = (axis.get_loc(text) for axis, text in zip(values.axes, texts, strict=True))
    axes.add_patch(Rectangle((column, row), 1, 1, fill=False, edgecolor=ORANGE, linewidth=2.5))
    axes.set_facecolor(EMPTY)
    return figure


def _heat_map_axes(
    finding: str, what: str, values: pd.DataFrame, labels: tuple[str, str]
) -> tuple[Figure, Axes]:
    """A figure with room for the cells and for as many of their names as fit.

    Args:
        labels: of the rows and of the columns.
    """
    n_rows, n_columns = values.shape
    least = max(1, inches(labels[0].split(SEPARATOR)))
    width, height = np.clip(0.8 * n_columns, 3.5, 14), np.clip(0.34 * n_rows, least, 14)
    turned = inches(values.columns) + 0.1 > width / n_columns
    below = inches(values.columns) if turned else 0.2
    down, across = (wrapped(*of) for of in zip(labels, (height + 0.1, width + 0.4), strict=True))
    left = MARGIN + 0.2 + 0.2 * len(down) + inches(values.index)
    bottom = MARGIN + 0.2 + 0.2 * len(across) + below
    figure = new_figure(finding, what, (width, height), left, bottom=bottom)
    axes = figure.add_subplot()
    axes.set(xlabel="\n".join(across), ylabel="\n".join(down))
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
    limits = _limits_of_good(trials[metric], less_is_better)
    what = f"{metric} of each trial, dark where it is good, the best one orange"
    if n_hidden := ((trials[metric] < limits[0]) | (trials[metric] > limits[1])).sum():
        what += f"; not shown: the {n_hidden:,} worst"
    figure = new_figure(_finding(trials, varied, metric, less_is_better), what, size, above=0.12)
    space = {"wspace": 0.18, "hspace": 0.35}
    panels = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False, gridspec_kw=space).flat
    shade = np.linspace(1, 0.15, len(trials))
    for axes, name in zip(panels, varied, strict=False):
        values = trials[name]
        axes.scatter(values, trials[metric], s=14, c=shade, cmap="Blues", vmin=0, vmax=1)
        axes.plot(values.iloc[0], trials[metric].iloc[0], "o", color=ORANGE)
        axes.set(xlabel=name, ylim=limits)
        if pd.api.types.is_numeric_dtype(values):
            _set_ticks(axes, values)
        else:
            axes.margins(x=0.3)  # its texts are wide
    for axes in figure.axes[len(varied) :]:
        axes.set_visible(False)
    return figure


def _limits_of_good(values: pd.Series, less_is_better: bool) -> tuple[float, float]:
    """Limits of an axis: readers compare the good trials, so the worst of ten is cut off."""
    cut = 0.1 if len(values) >= MIN_CUT else 0
    low, high = np.nanquantile(values, (0, 1 - cut) if less_is_better else (cut, 1))
    margin = 0.05 * (high - low) or 0.001
    return low - margin, high + margin


def _set_ticks(axes: Axes, values: pd.Series) -> None:
    """Ticks at the values of a list, and else a few of the scale."""
    if values.name in LOG_SCALED and values.min() > 0:
        _scale_log(axes)
    of_list = np.sort(values.unique())
    if len(of_list) <= min(MAX_LISTED, len(values) - 1):  # values of a range hardly repeat
        axes.xaxis.set_major_formatter("{x:g}")
        space_ticks(axes, of_list)
    else:
        space_ticks(axes)


def _scale_log(axes: Axes) -> None:
    """A logarithmic x axis with a few plain numbers on it."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    for locator in (LogLocator(), LogLocator(subs=(1, 2, 5)), AutoLocator()):
        axes.xaxis.set_major_locator(locator)
        if sum(low <= x <= high for x in axes.get_xticks()) > 2:
            break
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
    low = min(values.min() for _, values in best)
    # the first rounds fall from far above
    spread = max(values[len(values) // 10 :].max() for _, values in best) - low
    top = low + 1.05 * spread
    what = "Validation log loss by boosting round"
    if spread and (n_hidden := sum(values.min() > top for values in others)):
        what += f"; not shown: {n_hidden:,} of the worse trials"
    finding = f"The best trial ends at a log loss of {best[0][1][-1]:.4f}"
    figure = new_figure(finding, what, (7.1, 3.6), above=0.12)
    axes = figure.add_subplot()
    axes.set(xlabel="boosting round", ylabel="log loss")
    axes.locator_params(axis="x", integer=True, min_n_ticks=1)
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
    if spread:  # none if each trial has one round
        axes.set_ylim(low - 0.05 * spread, top)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], title="best first", loc="upper right")
    return figure
