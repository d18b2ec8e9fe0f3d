"""One file is split into training and test rows by a fixed rule that depends on the rows alone.

Each row has a hash of its values; of each label's rows, the fifth with the lowest hashes is the
test set. The hash does not depend on the order of rows and columns, on how the file is cut into
blocks, on the kinds of the columns or on the user's markers of missing values. The rule must never
change: a row that moves from the training set into the test set makes past results incomparable.
"""

from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tabular.data.columns import NUMBER
from tabular.data.readers import is_text
from tabular.data.table import MISSING
from tabular.data.values import BOOLEANS, is_unnamed, strip_missing

TEST_SHARE = 0.2  # of each label's rows


def row_hashes(rows: pa.Table, numbers: dict[str, np.ndarray]) -> np.ndarray:
    """Hash each row by its values; rows of the same values have the same hash.

    A text that is a number hashes as the number: ``39``, ``39.0`` and 39 are equal, and so are
    ``true``, ``True`` and the boolean. A missing value, an unnamed index column, and a column of
    dates, times, lists, bytes or nulls by its type count for nothing.

    CSV and Parquet files of the same rows give the same hashes, with two exceptions: dates are text
    in CSV, and a number of 32 bits in Parquet is not exactly the number that its text in CSV says.

    Args:
        rows: (n_samples, n_columns), text or typed; columns have the table's own names.
        numbers: values of numeric columns that have been parsed, (n_samples,), float64, by name.
            They save the time to parse them again, and do not change the result.

    Returns:
        (n_samples,), uint64.
    """
    sums = np.zeros(len(rows), np.uint64)
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        if is_unnamed(name):
            continue
        seed = _hash_text(name)
        if name not in numbers or not _is_number_or_text(column.type):
            sums += _hash_column(column, seed)
            continue
        values = np.asarray(numbers[name], np.float64)
        hashes = _hash_numbers(values, seed)
        if (unread := np.isnan(values)).any():  # it may be a marker that the user chose
            hashes[unread] = _hash_column(column.filter(pa.array(unread)), seed)
        sums += hashes
    return _mix(sums)


def test_rows(hashes: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Tell which rows are test rows: a fifth of each label's rows, those with the lowest hashes.

    Rows of the same values are thus all training rows or all test rows, except those at the
    boundary: there the first ones in the file are test rows.

    Args:
        hashes: of the rows, from ``row_hashes``, (n_samples,).
        y: labels (n_samples,).

    Returns:
        (n_samples,), bool. Of two rows of a label or more, at least one is a test row and at least
        one is not; a single row of a label is a training row.
    """
    chosen = np.zeros(len(y), bool)
    for label in np.unique(y):
        members = np.flatnonzero(y == label)
        n_test = min(max(1, round(len(members) * TEST_SHARE)), len(members) - 1)
        order = np.argsort(hashes[members], kind="stable")
        chosen[members[order[:n_test]]] = True
    return chosen


def _is_number_or_text(data_type: pa.DataType) -> bool:
    """Whether a value that the caller has parsed is exactly the number that is hashed without it.

    Booleans hash as words, and Arrow's conversion of decimals to doubles is inexact.
    """
    if pa.types.is_dictionary(data_type):
        data_type = data_type.value_type
    return pa.types.is_integer(data_type) or pa.types.is_floating(data_type) or is_text(data_type)


def _hash_column(column: pa.ChunkedArray, seed: int) -> np.ndarray:
    """The contribution of each value of a column to its row's hash: (n_samples,), uint64."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _hash_numbers(column.cast(pa.float64(), safe=False).to_numpy(), seed)
    if is_text(kind) or pa.types.is_boolean(kind) or pa.types.is_decimal(kind):
        hashes = [_hash_texts(chunk.cast(pa.large_string()), seed) for chunk in column.chunks]
        return np.concatenate([np.empty(0, np.uint64), *hashes])
    return np.zeros(len(column), np.uint64)


def _hash_numbers(values: np.ndarray, seed: int) -> np.ndarray:
    hashes = _mix((values + 0.0).view(np.uint64) + np.uint64(seed))  # -0.0 + 0.0 is 0.0
    hashes[np.isnan(values)] = 0
    return hashes


def _hash_texts(texts: pa.LargeStringArray, seed: int) -> np.ndarray:
    encoded = texts.dictionary_encode()
    distinct = strip_missing(encoded.dictionary, MISSING)
    is_number = pc.match_substring_regex(distinct, NUMBER)
    numbers = pc.if_else(is_number, distinct, None).cast(pa.float64())
    hashes = _hash_numbers(numbers.to_numpy(zero_copy_only=False), seed)
    others = pc.if_else(is_number, None, distinct)
    where = np.flatnonzero(others.is_valid().to_numpy(zero_copy_only=False))
    spellings = {text: word for word, texts in BOOLEANS.items() for text in texts}
    words = [_hash_text(spellings.get(text, text)) for text in others.drop_null().to_pylist()]
    hashes[where] = _mix(np.array(words, np.uint64) + np.uint64(seed))
    codes = encoded.indices.fill_null(len(hashes)).to_numpy()
    return np.append(hashes, np.uint64(0))[codes]


def _hash_text(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def _mix(values: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64, a bijection in which each bit depends on all; in place."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        values ^= values >> np.uint64(shift)
        values *= np.uint64(factor)
    values ^= values >> np.uint64(31)
    return values
