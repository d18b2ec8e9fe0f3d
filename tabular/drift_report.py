"""What ``score`` says and records of drift."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from mlflow.entities import Run

from tabular.errors import one_line
from tabular.evaluation import drift
from tabular.model import served
from tabular.tracking import runs

SHOWN_COLUMNS = 5  # on the console
FINDING = "score.drift"  # the tag with the columns that have drifted
UNKNOWN = "unknown: the model has no profile of its training rows; train it again to get one"
Draw = Callable[[pd.DataFrame], bytes]  # a table of drift as a PNG file


def log(run: Run, counter: drift.Counter, threshold: float, draw: Draw | None) -> str:
    """Compare the scored rows with those that the model was trained on, and log the result.

    Args:
        counter: of all scored rows.
        threshold: rows of at least this probability have got the positive label.
        draw: draws the plot, which is logged if there is drift; None: there is no plot.

    Returns:
        Which columns have drifted, as one line.
    """
    names = [column.name for column in counter.profile.columns]
    table = drift.drift_table(counter, served.probability_name(names))
    found = table[table["drift"].isin(["moderate", "large"])]
    images = {"plots/drift.png": draw(table)} if draw and len(found) else {}
    runs.log_artifacts(run, images, {"drift.csv": table})
    columns = table.iloc[:-1]
    values = {
        "drift_columns": float(columns.index.isin(found.index).sum()),
        "drift_max_psi": columns["psi"].max(),
        "drift_prediction_psi": table["psi"].iloc[-1],
    }
    runs.log_metrics(run, values | _prediction_shifts(counter, threshold))
    runs.log_tags(run, {FINDING: ", ".join(found["column"])[:5000] or "none"})
    return _summarize(found, len(columns), int(counter.counts[-1].sum()))


def _prediction_shifts(counter: drift.Counter, threshold: float) -> dict[str, float]:
    """Scored minus test rows: the mean probability, and the share of the positive label."""
    middles = (np.arange(drift.STEPS) + 0.5) / drift.STEPS
    first = int(np.ceil(threshold * drift.STEPS))
    means, rates = [], []
    for counts in (np.array(counter.profile.probability), counter.counts[-1]):
        n_rows = counts.sum() or np.nan
        means.append(counts @ middles / n_rows)
        rates.append(counts[first:].sum() / n_rows)
    return {
        "drift_mean_probability": means[1] - means[0],
        "drift_selection_rate": rates[1] - rates[0],
    }


def _summarize(found: pd.DataFrame, n_columns: int, n_rows: int) -> str:
    """Which columns have drifted, and how, as one line."""
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
