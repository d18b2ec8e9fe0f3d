"""What ``score`` says and records of drift."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from mlflow.entities import Run

from tabular.errors import one_line
from tabular.evaluation import drift
from tabular.tracking import runs

SHOWN_COLUMNS = 5  # on the console
FINDING = "score.drift"  # the tag with the columns that have drifted
UNKNOWN = "unknown: the model has no profile of its training rows; train it again to get one"
Draw = Callable[[pd.DataFrame], bytes]  # a table of drift as a PNG file


def log(
    run: Run, counter: drift.Counter, values: dict[str, Any], threshold: float, draw: Draw | None
) -> str:
    """Compare the scored rows with those that the model was trained on, and log the result.

    Args:
        counter: of all scored rows.
        values: metrics of the scored rows, by name.
        threshold: rows of at least this probability have got the positive label.
        draw: draws the plot, which is logged if there is drift; None: there is no plot.

    Returns:
        Which columns have drifted, as one line.
    """
    profile, table = counter.profile, drift.drift_table(counter)
    columns, found = table.iloc[:-1], table[table["drift"].isin(["moderate", "large"])]
    images = {"plots/drift.png": draw(table)} if draw and len(found) else {}
    runs.log_artifacts(run, images, {"drift.csv": table})
    rate = profile.selection_rate_at(threshold)
    shifts = {
        "drift_columns": float(columns.index.isin(found.index).sum()),
        "drift_max_psi": columns["psi"].max(),
        "drift_prediction_psi": table["psi"].iloc[-1],
        "drift_mean_probability": values.get("mean_probability", np.nan) - profile.mean_probability,
        "drift_selection_rate": values.get("selection_rate", np.nan) - rate,
    }
    runs.log_metrics(run, shifts)
    runs.log_tags(run, {FINDING: ", ".join(found["column"])[:5000] or "none"})
    return _summarize(found, len(columns), values["rows_scored"])


def _summarize(found: pd.DataFrame, n_columns: int, n_rows: int) -> str:
    """Which columns have drifted, and how, as one line."""
    if not n_rows:
        return "not checked: no row was scored"
    if not len(found):
        return f"none in {n_columns:,} columns and the predictions, {n_rows:,} rows"
    shown = "; ".join(map(_describe, found.head(SHOWN_COLUMNS).itertuples()))
    more = f"; and {len(found) - SHOWN_COLUMNS} more" if len(found) > SHOWN_COLUMNS else ""
    n_found = (found["kind"] != drift.PREDICTION).sum()
    predictions = "" if n_found == len(found) else " and the predictions"
    return f"in {n_found:,} of {n_columns:,} columns{predictions}: {shown}{more}"


def _describe(row: Any) -> str:
    shares = f"{row.cell_train:.1%}, now {row.cell_scored:.1%}"
    return f"{one_line(row.column)[:60]} (PSI {row.psi:.2f}; {one_line(row.cell)[:60]}: {shares})"
