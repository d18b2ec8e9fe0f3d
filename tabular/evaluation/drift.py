"""Drift: whether scored rows come from another distribution than the rows of the training.

Rows are counted by cell: the bins of a number, the categories of a text, and missing values. The
counts of both sets of rows are compared by the population stability index (PSI) and by Pearson's
chi-squared test.

Sources: Siddiqi, Credit risk scorecards, 2006, for the bounds of PSI; Yurdakul and Naranjo,
Statistical properties of the population stability index, 2020, for its expectation without drift.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from tabular.data.table import CATEGORICAL, NUMERIC
from tabular.evaluation.metrics import is_positive
from tabular.model.served import Categories, Encoder, probability_name

MODERATE, LARGE = 0.1, 0.25  # bounds of PSI
ALPHA = 0.05  # probability of a false alarm in any column of a file
MAX_VALUES, MAX_ROWS = 5_000_000, 100_000  # of training rows, from which a profile is computed
MAX_BINS = 10
MAX_CATEGORIES = 20  # the most frequent ones have cells of their own
TESTED_ROWS = 5  # expected in a cell: below, the test does not hold, so that cells are merged
MEASURED_ROWS = 1  # likewise for PSI, which would otherwise hide categories that are new
THRESHOLDS = np.arange(101) / 100
PREDICTION = "prediction"  # the kind of the predicted probabilities, which are the last column


@dataclass(frozen=True)
class ColumnProfile:
    """The distribution of a column in training rows.

    Attributes:
        kind: NUMERIC, CATEGORICAL or PREDICTION.
        values: the inner bounds of the bins, or the most frequent categories.
        counts: rows by cell. Of numbers: at most the first bound, ..., above the last, missing. Of
            text: the categories, all others that the model knows, those that it does not know, and
            missing.
    """

    name: str
    kind: str
    values: list[Any]
    counts: list[int]

    @property
    def labels(self) -> list[str]:
        """The name of each cell."""
        if self.kind == CATEGORICAL:
            return [*self.values, "other known categories", "unseen categories", "missing"]
        return [*_range_labels(self.values, 3 if self.kind == PREDICTION else 6), "missing"]


@dataclass(frozen=True)
class Profile:
    """What a model keeps of its rows.

    The predictions are those for test rows: for training rows, they are more extreme than for rows
    that the model has not seen.

    Attributes:
        columns: the features in the training rows, and last the predicted probability.
        mean_probability: of the predictions.
        selection_rates: shares of the predictions of at least each of ``THRESHOLDS``.
        threshold: of the model; None: of a profile that did not record it.
        selection_rate: the share of the predictions of at least the threshold.
    """

    columns: list[ColumnProfile]
    mean_probability: float
    selection_rates: list[float]
    threshold: float | None = None
    selection_rate: float | None = None

    @classmethod
    def make(
        cls, columns: list[ColumnProfile], probability: np.ndarray, threshold: float
    ) -> "Profile":
        """A profile of features, as ``profile_columns`` returns them, and of predictions."""
        name = probability_name([column.name for column in columns])
        predictions = replace(_profile_numbers(name, probability), kind=PREDICTION)
        rates = [float((probability >= value).mean()) for value in THRESHOLDS]
        rate = float(is_positive(probability, threshold).mean())
        mean = float(probability.mean())
        return cls([*columns, predictions], mean, rates, threshold, rate)

    def selection_rate_at(self, threshold: float) -> float:
        """The share of predictions of at least a threshold, interpolated unless it is recorded."""
        if self.selection_rate is not None and threshold == self.threshold:
            return self.selection_rate
        return float(np.interp(threshold, THRESHOLDS, self.selection_rates))

    def to_json(self) -> str:
        """The profile as the text of a JSON file."""
        return json.dumps(asdict(self), ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, path: str | Path) -> "Profile":
        """The profile in a file that has the text of ``to_json``."""
        values = json.loads(Path(path).read_text("utf-8"))
        columns = [ColumnProfile(**column) for column in values["columns"]]
        return cls(**values | {"columns": columns})


def sample_step(n_rows: int, n_features: int) -> int:
    """A profile is computed from every so many-th of the training rows."""
    return -(-n_rows // max(1, min(MAX_ROWS, MAX_VALUES // n_features)))


def profile_columns(codes: np.ndarray, encode: Encoder) -> list[ColumnProfile]:
    """The profile of training rows, (n_samples, n_features), as ``encode`` returns them."""
    found = zip(encode.names, encode.lookups, codes.T, strict=True)
    return [
        _profile_numbers(name, values)
        if lookup is None
        else _profile_categories(name, values, [*lookup])
        for name, lookup, values in found
    ]


def _profile_numbers(name: str, values: np.ndarray) -> ColumnProfile:
    filled = values[~np.isnan(values)]
    shares = np.arange(1, MAX_BINS) / MAX_BINS
    bounds = filled[:0]
    if len(filled):
        bounds = np.unique(np.quantile(filled, shares, method="inverted_cdf"))
    counts = _count_numbers(values, bounds)
    shortest = [float(str(bound)) for bound in bounds]  # in JSON, 0.1 and not 0.1000000
    return ColumnProfile(name, NUMERIC, shortest, counts.tolist())


def _profile_categories(name: str, values: np.ndarray, categories: list[str]) -> ColumnProfile:
    missing = np.isnan(values)
    counts = np.bincount(values[~missing].astype(np.intp), minlength=len(categories))
    order = np.argsort(-counts, kind="stable")[:MAX_CATEGORIES]
    largest = counts[order].tolist()
    cells = [*largest, int(counts.sum()) - sum(largest), 0, int(missing.sum())]
    return ColumnProfile(name, CATEGORICAL, [categories[code] for code in order], cells)


def _count_numbers(values: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Rows by cell; comparing with each bound is faster than searching the bin of each value."""
    n_missing = np.count_nonzero(np.isnan(values))
    above = [np.count_nonzero(values > bound) for bound in bounds]
    return np.append(-np.diff([len(values) - n_missing, *above, 0]), n_missing)


class Counter:
    """Counts rows by the cells of a profile.

    Attributes:
        counts: of all rows so far, one array for each column of the profile.
    """

    def __init__(self, profile: Profile, categories: dict[str, list[str]]) -> None:
        """Count nothing yet.

        Args:
            categories: that the model knows, by column.
        """
        self.profile = profile
        self.counts = [np.zeros(len(column.counts), np.int64) for column in profile.columns]
        self._cells: dict[str, Categories] = {}
        for column in profile.columns:
            if column.kind == CATEGORICAL:
                places = {text: float(cell) for cell, text in enumerate(column.values)}
                others = float(len(column.values))
                known = ((text, places.get(text, others)) for text in categories[column.name])
                self._cells[column.name] = Categories(known)

    def count(self, X: pd.DataFrame, probability: np.ndarray) -> list[np.ndarray]:
        """Count rows, without adding them to those of before; several threads may do so at a time.

        Args:
            X: (n_samples, n_features), numbers and pandas categories of text.
            probability: that is predicted, (n_samples,).
        """
        found = []
        for column in self.profile.columns:
            values = probability if column.kind == PREDICTION else X[column.name]
            if column.kind == CATEGORICAL:
                found.append(self._count_categories(values, len(column.counts)))
            else:
                bounds = np.array(column.values, np.float32)
                found.append(_count_numbers(np.asarray(values, np.float32), bounds))
        return found

    def _count_categories(self, values: pd.Series, n_cells: int) -> np.ndarray:
        cells = np.array(self._cells[values.name].encode(values.cat.categories))
        cells = np.append(n_cells - 1, np.where(np.isnan(cells), n_cells - 2, cells))
        codes = values.cat.codes.to_numpy().astype(np.intp)  # -1: missing
        counts = np.bincount(codes + 1, minlength=len(cells))
        return np.bincount(cells.astype(np.intp), counts, n_cells).astype(np.int64)

    def add(self, counts: Sequence[np.ndarray]) -> None:
        """Add what ``count`` has returned for other rows."""
        for total, more in zip(self.counts, counts, strict=True):
            total += more


def drift_table(counter: Counter) -> pd.DataFrame:
    """How far the counted rows are from those of the profile.

    Returns:
        One row for each column, the largest PSI first, and last the predictions. ``column``;
        ``kind``; ``psi``, less its expectation without drift; ``p_value``, corrected for the number
        of rows of the table; ``drift`` (none, slight, moderate or large); ``cell``, whose share has
        changed most, with its shares ``cell_train`` and ``cell_scored``; ``missing_train``,
        ``missing_scored`` and ``unseen_scored``, shares of the rows.
    """
    pairs = zip(counter.profile.columns, counter.counts, strict=True)
    table = pd.DataFrame([_compare(column, counts) for column, counts in pairs])
    features = table.iloc[:-1].sort_values("psi", ascending=False, kind="stable")
    table = pd.concat([features, table.tail(1)], ignore_index=True)
    table["p_value"] = (table["p_value"] * len(table)).clip(upper=1)
    names = np.array(["slight", "moderate", "large"], object)
    found = names[np.searchsorted([MODERATE, LARGE], table["psi"], side="right")]
    table.insert(4, "drift", np.where(table["p_value"] < ALPHA, found, "none"))
    return table


def _range_labels(bounds: list[float], digits: int) -> list[str]:
    """The names of the bins between bounds, and beyond the first and the last."""
    texts = [f"{bound:.{digits}g}" for bound in bounds]
    if not texts:
        return ["any number"]
    between = [f"{low} to {high}" for low, high in pairwise(texts)]
    return [f"up to {texts[0]}", *between, f"above {texts[-1]}"]


def _compare(column: ColumnProfile, scored: np.ndarray) -> dict[str, Any]:
    """A row of a table of drift, but for ``drift``."""
    counts = np.array([column.counts, scored])
    psi, p_value = 0.0, 1.0
    if counts.any(axis=1).all():
        psi = _stability_index(_merge_rare(counts, MEASURED_ROWS))
        p_value = _test(_merge_rare(counts, TESTED_ROWS))
    train, now = shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    most = int(np.abs(np.diff(shares, axis=0)).argmax())
    return {
        "column": column.name,
        "kind": column.kind,
        "psi": psi,
        "p_value": p_value,
        "cell": column.labels[most],
        "cell_train": train[most],
        "cell_scored": now[most],
        "missing_train": train[-1],
        "missing_scored": now[-1],
        "unseen_scored": now[-2] if column.kind == CATEGORICAL else np.nan,
    }


def _merge_rare(counts: np.ndarray, least: int) -> np.ndarray:
    """Counts, (2, n_cells), with the rarest cells merged: each has at least so many rows.

    These are the rows that are expected in the smaller set of rows, if there is no drift.
    """
    expected = counts.sum(axis=0) * counts.sum(axis=1).min() / counts.sum()
    order = np.argsort(expected)
    n_merged = int((expected < least).sum())
    if expected[order[:n_merged]].sum() < least:
        n_merged += 1
    merged = counts[:, order[:n_merged]].sum(axis=1, keepdims=True)
    return np.hstack([merged, counts[:, order[n_merged:]]])


def _stability_index(counts: np.ndarray) -> float:
    """PSI of counts, (2, n_cells), less its expectation without drift."""
    n_rows, n_cells = counts.sum(axis=1), counts.shape[1]
    a, b = (counts + 0.5) / (n_rows + 0.5 * n_cells)[:, None]  # no cell is empty
    psi = ((b - a) * np.log(b / a)).sum() - (n_cells - 1) * (1 / n_rows).sum()
    return max(float(psi), 0.0)


def _test(counts: np.ndarray) -> float:
    """The p-value of Pearson's chi-squared test of homogeneity of counts, (2, n_cells)."""
    if counts.shape[1] == 1:
        return 1.0
    expected = counts.sum(axis=1)[:, None] * counts.sum(axis=0) / counts.sum()
    statistic = ((counts - expected) ** 2 / expected).sum()
    return float(special.chdtrc(counts.shape[1] - 1, statistic))
