"""What a table is, read from its rows: the kinds of its columns, and which ones are of no use.

All of it can be fixed by the user (``requests``). The labels are in ``labels``.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from tabular import cancel
from tabular.data import values
from tabular.data.kinds import UNDECIDED, Sample, guess_kind
from tabular.data.labels import choose_label as choose_label
from tabular.data.labels import resolve_labels as resolve_labels
from tabular.data.requests import KINDS, TableRequest, suggest
from tabular.data.table import CATEGORICAL
from tabular.errors import UserError

DROPPED = "named in drop"
MANY_DIGITS = 1_000_000  # numbers from here on may be codes
FEW = 20  # with so few rows or distinct values, nothing but a constant is called uninformative


class Guess(NamedTuple):
    """What a sample of a file says of its columns, by name, in the file's order.

    Attributes:
        columns: the kinds of the features, NUMERIC or CATEGORICAL.
        left_out: why a column is no feature.
        non_features: the kinds of group columns that the user has dropped from the features.
        undecided: the columns that are taken for categorical because the sample has no value.
    """

    columns: dict[str, str]
    left_out: dict[str, str]
    non_features: dict[str, str]
    undecided: set[str]


def guess_columns(rows: pa.Table, lines: np.ndarray, request: TableRequest, named: str) -> Guess:
    """Guess the kinds of a file's columns from a sample of its rows.

    Args:
        rows: the sample, (n_samples, n_columns): text, or typed columns from Parquet.
        lines: the line of each row in the file, counted from 1, (n_samples,).
        request: what the user fixes; its ``label`` must be set.
        named: the file's name in errors.

    Raises:
        UserError: the request names a column that the file does not have or that cannot be used
            as it says; or numbers are mixed with a few other texts, or written with separators.
    """
    require_known(request, rows.column_names, named)
    if request.crossed and request.groups is None:
        raise UserError(f"{request.path}: crossed: expected groups, found none; add groups = [...]")
    guess, groups = Guess({}, {}, {}, set()), request.groups or ()
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        cancel.check()
        if name == request.label:
            continue
        if name in request.drop and name not in groups:
            guess.left_out[name] = DROPPED
            continue
        sample = Sample(name, column, lines, named)
        kind = request.columns.get(name) or guess_kind(sample, request.missing_markers)
        if kind == UNDECIDED:
            guess.undecided.add(name)
            kind = CATEGORICAL
        if kind in KINDS:
            (guess.non_features if name in request.drop else guess.columns)[name] = kind
        elif name in groups:
            raise UserError(
                f"groups: {named}, column {name!r}: expected numbers or text, got {kind}; leave it "
                "out of groups, or fix its kind under [columns] in table.toml"
            )
        else:
            guess.left_out[name] = kind
    require_numeric_bands(request, guess.columns | guess.non_features)
    return guess


def require_numeric_bands(request: TableRequest, kinds: dict[str, str]) -> None:
    """Raise ``UserError`` if the request has bands for a categorical column."""
    for name in request.bands:
        if kinds.get(name) == CATEGORICAL:
            raise UserError(
                f"{request.path}: bands.{name}: expected a numeric column, got a categorical one"
            )


def require_known(request: TableRequest, names: Sequence[str], named: str) -> None:
    """Raise ``UserError`` if the request names a column that is not there.

    Args:
        names: of the file's columns.
        named: the file's name in errors.
    """
    for key in ("label", "drop", "groups", "columns", "bands", "crossed"):
        given = getattr(request, key) or ()
        where = f"{request.path}: {key}" if key in ("columns", "bands", "crossed") else key
        for name in (given,) if isinstance(given, str) else given:
            if name not in names:
                raise UserError(f"{where}: {named} has no column {name!r}{suggest(name, names)}")
            if name == request.label and key != "label":
                raise UserError(f"{where}: {name!r} is the label of {named}; leave it out of {key}")


class ColumnStatistics(NamedTuple):
    """What all values of a feature say together.

    Attributes:
        n_missing: the number of missing values.
        n_distinct: the number of categories; of a numeric column the number of distinct values if
            its name looks like an id and its values are whole numbers, else None.
        low, high: of a numeric column the least and the greatest value; NaN without values.
        counts_up: whether a numeric column counts the rows of the file: each value is the one
            before plus 1, or more where rows have been left out.
    """

    n_missing: int
    n_distinct: int | None
    low: float
    high: float
    counts_up: bool


def column_statistics(X: pd.DataFrame, n_left_out: int = 0) -> dict[str, ColumnStatistics]:
    """The statistics of each feature, by name.

    Args:
        X: features (n_samples, n_features), floats or categories, in the file's order and before
            rows are split off: a row counter no longer counts up by one where rows are missing.
            In float32, whole numbers from 2**24 on are not exact: an id with more digits is only
            found in float64.
        n_left_out: the number of rows of the file that are not in X, because they have no label.
    """
    statistics = {}
    for name in X.columns:
        cancel.check()
        column = X[name]
        if isinstance(column.dtype, pd.CategoricalDtype):
            counts = np.bincount(column.cat.codes.to_numpy().astype(np.intp) + 1, minlength=1)
            n_missing, n_distinct = int(counts[0]), int(np.count_nonzero(counts[1:]))
            statistics[name] = ColumnStatistics(n_missing, n_distinct, math.nan, math.nan, False)
        else:
            may_be_id = values.looks_like_id(str(name))
            statistics[name] = _numeric_statistics(column, may_be_id, n_left_out)
    return statistics


def _numeric_statistics(column: pd.Series, may_be_id: bool, n_left_out: int) -> ColumnStatistics:
    numbers = column.to_numpy()
    n_missing = int(np.isnan(numbers).sum())
    is_id = may_be_id and _are_whole(numbers)
    counts_up = _counts_up(numbers, n_left_out)
    n_distinct = int(column.nunique()) if is_id else None
    low, high = float(column.min()), float(column.max())  # NaN is skipped
    return ColumnStatistics(n_missing, n_distinct, low, high, counts_up)


def row_counters(X: pd.DataFrame, n_left_out: int) -> set[str]:
    """The numeric columns that count the rows of a file; arguments as of ``column_statistics``."""
    numeric = X.select_dtypes("number")
    return {str(name) for name in numeric if _counts_up(X[name].to_numpy(), n_left_out)}


def _counts_up(numbers: np.ndarray, n_left_out: int) -> bool:
    """Whether each number is the one before plus 1, or more where rows have been left out."""
    for some in (numbers[:FEW], numbers):  # most columns fail at once
        with np.errstate(over="ignore"):  # a difference of numbers near the largest one
            if len(some) < 2 or not (np.diff(some) >= 1).all():
                return False
    n_gaps = numbers[-1] - numbers[0] - (len(numbers) - 1)
    return bool(n_gaps <= n_left_out) and _are_whole(numbers)


def _are_whole(numbers: np.ndarray) -> bool:
    return bool((np.isnan(numbers) | (numbers % 1 == 0)).all())


def merge_statistics(
    parts: Iterable[dict[str, ColumnStatistics]], n_categories: dict[str, int]
) -> dict[str, ColumnStatistics]:
    """The statistics of several files together, of which each has the same columns.

    The distinct values of an id are added up, as if no two files had one in common. A column counts
    the rows of all files if each file goes on where the one before it ends.

    Args:
        n_categories: the number of categories in all files, by categorical column.
    """
    merged: dict[str, list[ColumnStatistics]] = {}
    for part in parts:
        for name, entry in part.items():
            merged.setdefault(name, []).append(entry)
    return {
        name: ColumnStatistics(
            sum(entry.n_missing for entry in entries),
            n_categories.get(name, _sum_known(entry.n_distinct for entry in entries)),
            float(np.fmin.reduce([entry.low for entry in entries])),
            float(np.fmax.reduce([entry.high for entry in entries])),
            all(entry.counts_up for entry in entries)
            and all(later.low == entry.high + 1 for entry, later in pairwise(entries)),
        )
        for name, entries in merged.items()
    }


def _sum_known(numbers: Iterable[int | None]) -> int | None:
    known = [*numbers]
    return None if None in known else sum(number or 0 for number in known)


def uninformative(statistics: dict[str, ColumnStatistics], n_rows: int) -> dict[str, str]:
    """Why columns should be left out, by name; columns that are of use are not in it.

    Columns whose kind the user has fixed are to be kept by the caller.
    """
    reasons = {name: _why_uninformative(entry, n_rows) for name, entry in statistics.items()}
    return {name: reason for name, reason in reasons.items() if reason}


def _why_uninformative(entry: ColumnStatistics, n_rows: int) -> str:
    n_values, n_distinct = n_rows - entry.n_missing, entry.n_distinct
    is_text = math.isnan(entry.low)
    if not n_values:
        return "no values"
    if not entry.n_missing and (n_distinct == 1 or entry.low == entry.high):
        return "one value"
    if n_rows <= FEW:
        return ""
    if entry.counts_up:
        return "a row counter"
    if n_distinct is None or n_distinct <= FEW or 2 * n_distinct <= n_values:
        return ""
    if not is_text:
        return "an id"
    rows = "rows with a value" if entry.n_missing else "rows"
    return f"nearly unique text ({n_distinct:,} distinct values in {n_values:,} {rows})"


def likely_codes(X: pd.DataFrame) -> list[str]:
    """Numeric columns that may be codes, such as account numbers: all values have many digits.

    Some of the numbers are too long for float32, which keeps seven digits.

    Args:
        X: (n_samples, n_features), float32 or categories.
    """
    lows, highs = X.min(numeric_only=True), X.max(numeric_only=True)
    long = (lows >= MANY_DIGITS) & (highs >= 1 << 24) & (highs < 1e18)
    return [str(name) for name in long.index[long]]


def quantile_bands(values: np.ndarray) -> tuple[float, ...]:
    """The lower bounds of bands for a numeric group column: its quartiles, rounded.

    If the quartiles do not divide the values, because most are equal, the quartiles of the distinct
    values are taken.

    Args:
        values: of the training rows, (n_samples,); NaN is missing.

    Returns:
        Increasing bounds, each greater than the least value, integers if all values are whole;
        none if there are at most 8 distinct values: then each value is a group of its own.
    """
    present = np.asarray(values, np.float64)
    present = present[~np.isnan(present)]
    distinct = np.unique(present)
    if len(distinct) <= 8:
        return ()
    is_whole = bool((distinct % 1 == 0).all())
    for numbers in (present, distinct):
        quartiles = np.quantile(numbers, (0.25, 0.5, 0.75))
        if spread := quartiles[2] - quartiles[0]:
            digits = 1 - math.floor(math.log10(spread))
            bounds = {_round(float(bound), digits, is_whole) for bound in quartiles}
            if inner := sorted(b for b in bounds if distinct[0] < b <= distinct[-1]):
                return tuple(inner)
    return (float(np.median(distinct)),)


def _round(number: float, digits: int, is_whole: bool) -> float:
    rounded = round(number, digits) + 0.0  # no -0.0
    return round(rounded) if is_whole else rounded
