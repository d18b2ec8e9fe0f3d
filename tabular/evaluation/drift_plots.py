"""The plot of a table of drift, as a matplotlib figure."""

import pandas as pd
from matplotlib.figure import Figure

from tabular.evaluation import plots
from tabular.evaluation.drift import LARGE, MODERATE
from tabular.evaluation.plot_text import shown, width
from tabular.evaluation.plots import BLUE, GREY, MAX_FEATURES, ORANGE, STYLE

COLORS = {"none": GREY, "slight": BLUE, "moderate": ORANGE, "large": ORANGE}


@STYLE  # for the whole function
def drift_bars(table: pd.DataFrame) -> Figure:
    """PSI by column, and the cell whose share has changed most.

    Args:
        table: as ``drift.drift_table`` returns it; the plot has the ``MAX_FEATURES`` columns with
            the largest PSI, and the predictions.
    """
    table = pd.concat([table.iloc[:-1].head(MAX_FEATURES), table.tail(1)])
    changes = [
        f"{shown(row.cell)}: {row.cell_train:.1%} to {row.cell_scored:.1%}"
        for row in table.itertuples()
    ]
    left, right = 0.3 + 0.085 * max(map(width, map(shown, table["column"]))), 0.3
    right += 0.075 * max(map(width, changes))
    figure, axes = plots.new_figure(
        "Drift from the training rows, and the share that has changed most",
        "population stability index (orange: drift, blue: slight, grey: none)",
        "",
        left + 4.5 + right,
        left=left,
        right=right,
    )
    places = range(len(table))
    axes.barh(places, table["psi"], color=[COLORS[name] for name in table["drift"]])
    for bound in (MODERATE, LARGE):
        axes.axvline(bound, color=GREY, linestyle="--", linewidth=1)
    beside = axes.get_yaxis_transform()
    for place, text in zip(places, changes, strict=True):
        axes.text(1.02, place, text, transform=beside, va="center", fontsize=8)
    axes.set_yticks(places, [*map(shown, table["column"])])
    axes.set_xlim(0, max(1.05 * table["psi"].max(), 1.1 * LARGE))
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.grid(axis="y", visible=False)
    return figure
