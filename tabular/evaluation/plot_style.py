"""The style of all plots: colours, fonts, titles and margins; and a figure as a PNG file.

This module sets matplotlib's defaults, so that whatever imports it draws in this style.
"""

import io
from collections.abc import Iterable

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure

from tabular import cancel
from tabular.evaluation.plot_text import fonts, inches, wrapped

BLUE, ORANGE, GREY = "#2a6f97", "#e07a2f", "#8d99ae"
COLORS = (BLUE, ORANGE, "#3a8f5c", "#7b4f9d", "#b5485a", "#c9a227")  # of lines in one plot
INK, SOFT_INK = "#262626", "#5a6270"
MARGIN = 0.15  # inches around all that is drawn; on a dark page it is the frame
OVERHANG = 0.18  # inches that a tick label may reach beyond its axis, towards the next panel
LINE = 0.26  # inches from one bar or group to the next
TITLE_SIZE = 12
DPI = 110

matplotlib.rcdefaults()  # a matplotlibrc of the user could ask for LaTeX, or for another size
sns.set_style("whitegrid", {
    "font.family": fonts(),
    "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.edgecolor": "#b8c0cc", "axes.spines.top": False, "axes.spines.right": False,
    "grid.color": "#e8ebf0",
})  # fmt: skip
matplotlib.rcParams.update({
    "xtick.major.size": 0, "ytick.major.size": 0, "xtick.minor.size": 0,
    "axes.titlesize": 10, "axes.titlelocation": "left",
    "legend.edgecolor": "white", "legend.fontsize": 9,
    "lines.linewidth": 2, "lines.solid_capstyle": "round",
})  # fmt: skip


def png(figure: Figure) -> bytes:
    """The figure as a PNG file; most of the time of a plot is spent here."""
    cancel.check()
    file = io.BytesIO()
    figure.savefig(file, dpi=DPI, pil_kwargs={"compress_level": 2})  # sooner, and 5 % larger
    return file.getvalue()


def new_figure(
    finding: str,
    what: str,
    size: tuple[float, float] = (4.7, 3.6),
    left: float = 0.7,
    right: float = 0.25,
    bottom: float = 0.6,
    above: float = 0.0,
) -> Figure:
    """A figure with a title, which ``pyplot`` does not keep open; its axes are yet to be added.

    A layout engine would draw every figure twice, so the margins are fixed.

    Args:
        finding: what the plot shows of these data, as a sentence; empty: nothing can be said.
        what: what is drawn, and of which rows; the title where there is no finding.
        size: width and height of the axes, in inches.
        left, right, bottom: the margins beside and below the axes, in inches.
        above: inches between the title and the axes, beyond the usual.
    """
    width = left + size[0] + right
    room = width - 2 * MARGIN
    title = wrapped(finding or what, room, TITLE_SIZE)
    subtitle = wrapped(what if finding else "", room)
    top = MARGIN + 0.21 * len(title) + 0.19 * len(subtitle) + 0.1 + above
    height = top + size[1] + bottom
    figure = Figure(figsize=(width, height))
    figure.subplots_adjust(left / width, bottom / height, 1 - right / width, 1 - top / height)
    x, y = MARGIN / width, 1 - MARGIN / height
    figure.suptitle("\n".join(title), x=x, y=y, ha="left", va="top", fontsize=TITLE_SIZE)
    y -= 0.21 * len(title) / height
    figure.text(x, y, "\n".join(subtitle), va="top", color=SOFT_INK)
    return figure


def bars(
    finding: str, what: str, names: list[str], width: float, right: float = 0.25
) -> tuple[Figure, Axes]:
    """A figure and axes with a line for each name, the first at the top.

    Args:
        names: as ``plot_text.shown`` returns them.
        width, right: of the axes, and of the margin at their right, in inches.
    """
    left = MARGIN + 0.1 + inches(names)
    size = max(width, 5 - left), LINE * len(names) + 0.1
    figure = new_figure(finding, what, size, left, right)
    axes = figure.add_subplot()
    axes.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.4, -0.6))
    axes.grid(axis="y", visible=False)
    return figure, axes


def cells(
    axes: Axes, values: pd.DataFrame, texts: np.ndarray, colors: Colormap, norm: Normalize
) -> None:
    """Coloured cells, the first row at the top, with a text in each.

    Args:
        values: NaN: the cell has no colour.
        texts: in the cells, of the shape of ``values``; one without elements: no texts.
    """
    n_rows, n_columns = values.shape
    width = 0.5 if texts.size else 0
    axes.pcolormesh(values, cmap=colors, norm=norm, edgecolors="white", linewidth=width)
    axes.set(xlim=(0, n_columns), ylim=(n_rows, 0))
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    for (row, column), text in np.ndenumerate(texts):
        red, green, blue, _ = colors(norm(values.iloc[row, column]))
        is_dark = 0.3 * red + 0.6 * green + 0.1 * blue < 0.5
        color = "white" if is_dark else INK
        axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", color=color)


def space_ticks(axes: Axes, places: Iterable[float] | None = None) -> None:
    """Keep the ticks of the x axis, whose limits are final, that have room for their labels.

    Args:
        places: of the ticks, from left to right; None: those that the axis has.
    """
    low, high = axes.get_xlim()
    ticks = [x for x in (axes.get_xticks() if places is None else places) if low <= x <= high]
    texts = axes.xaxis.get_major_formatter().format_ticks(ticks)
    pixels = axes.get_xaxis_transform().transform([(x, 0) for x in [low, high, *ticks]])
    at = pixels[:, 0] / axes.figure.dpi
    kept, end, last = [], at[0] - OVERHANG, at[1] + OVERHANG
    for tick, text, middle in zip(ticks, texts, at[2:], strict=True):
        half = inches([text]) / 2
        if end <= middle - half and middle + half <= last:
            kept.append(tick)
            end = middle + half + 0.08
    axes.set_xticks(kept)


def error_bars(table: pd.DataFrame, name: str) -> np.ndarray:
    """Distances from a share down and up to the ends of its interval, (2, n_rows)."""
    down, up = table[name] - table[f"{name}_low"], table[f"{name}_high"] - table[name]
    return np.clip([down, up], 0, None)


def leads(values: pd.Series) -> bool:
    """Whether the first value is larger than 0 and than all others, of which there are some."""
    return len(values) > 1 and values.iloc[0] > max(values.iloc[1:].max(), 0)
