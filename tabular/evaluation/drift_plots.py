"""The plot of a table of drift, as a matplotlib figure."""

import pandas as pd
from matplotlib.figure import Figure

from tabular.evaluation.drift import LARGE, MODERATE
from tabular.evaluation.plot_style import BLUE, GREY, ORANGE, bars
from tabular.evaluation.plot_text import inches, shown
from tabular.evaluation.plots import MAX_FEATURES

COLORS = {"none": GREY, "slight": BLUE, "moderate": ORANGE, "large": ORANGE}


def drift_bars(table: pd.DataFrame) -> Figure:
    """PSI by column, and the cell whose share has changed most.

    Args:
        table: as ``drift.drift_table`` returns it; the plot has the ``MAX_FEATURES`` columns with
            the largest PSI, and the predictions.
    """
    finding = _finding(table)
    table = pd.concat([table.iloc[:-1].head(MAX_FEATURES), table.tail(1)])
    changes = [
        f"{shown(row.cell)}: {row.cell_train:.1%} to {row.cell_scored:.1%}"
        for row in table.itertuples()
    ]
    what = "Drift from the training rows, and the share of each column that has changed most"
    right = 0.25 + inches(changes, 9)
    figure, axes = bars(finding, what, [*map(shown, table["column"])], 3.6, right)
    places = range(len(table))
    axes.barh(places, table["psi"], color=[COLORS[name] for name in table["drift"]])
    for bound in (MODERATE, LARGE):
        axes.axvline(bound, color=GREY, linestyle="--", linewidth=1)
    beside = axes.get_yaxis_transform()
    for place, text in zip(places, changes, strict=True):
        axes.text(1.02, place, text, transform=beside, va="center", fontsize=9)
    axes.set_xlabel("PSI (orange: drift, blue: slight, grey: none)")
    axes.set_xlim(0, max(1.05 * table["psi"].max(), 1.1 * LARGE))
    return figure


def _finding(table: pd.DataFrame) -> str:
    """How many columns have drifted, and which one most."""
    columns = table.iloc[:-1]
    drifted = columns[columns["drift"].isin(["moderate", "large"])]
    predictions = table.iloc[-1]
    if drifted.empty and predictions["drift"] in ("moderate", "large"):
        return f"No column has drifted, but the predictions have (PSI {predictions['psi']:.2f})"
    if drifted.empty:
        return f"No column has drifted: the largest PSI is {columns['psi'].max():.4f}"
    first = drifted.iloc[0]
    return (
        f"{len(drifted):,} of {len(columns):,} columns {'has' if len(drifted) == 1 else 'have'} "
        f"drifted, most of all {shown(first['column'])} (PSI {first['psi']:.2f})"
    )
