"""What the fields of rows mean: a number, a word, a label, nothing; rows of bad ones set aside."""

import json
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tabular.data import census
from tabular.data.readers import BadRow, Chunk, is_text

LARGEST = float(np.finfo(np.float32).max)
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
LABEL_SUFFIX = f"{re.escape(census.LABEL_SUFFIX)}$"


def interpret(piece: Chunk, labelled: bool = False) -> tuple[Chunk, pd.DataFrame, np.ndarray]:
    """Understand the columns of the table; rows with a value that is none are bad.

    Args:
        labelled: a row without a label is bad, too.

    Returns:
        The piece without them; the features of its rows, (n_samples, n_features), numbers as
        float64 and words as categories; and their labels, (n_samples,): 1, 0, or -1 where there is
        none.
    """
    rows, wrong = piece.rows, {}
    columns = {}
    for name in census.FEATURES:
        understand = _numbers if name in census.NUMERIC else _words
        columns[name], is_wrong = understand(rows[name], piece.no_value)
        expected = "a finite number" if name in census.NUMERIC else "a value"
        _note(wrong, name, is_wrong, expected, rows[name])
    labels = np.full(len(rows), -1, np.int8)
    if census.LABEL in rows.column_names:
        labels, is_wrong = _labels(rows[census.LABEL], piece.no_value)
        is_wrong |= labelled & (labels < 0)
        expected = f"the label {census.NEGATIVE} or {census.POSITIVE}"
        _note(wrong, census.LABEL, is_wrong, expected, rows[census.LABEL])
    X = pd.DataFrame(columns, copy=False)
    if wrong:
        bad = [*piece.bad]
        for place, reason in wrong.items():
            values = {name: _value(rows[name][place]) for name in rows.column_names}
            shown = json.dumps(values, default=str)
            bad.append(BadRow(int(piece.lines[place]), reason, shown))
        good = np.ones(len(rows), bool)
        good[[*wrong]] = False
        rows, lines = rows.filter(pa.array(good)), piece.lines[good]
        piece = piece._replace(rows=rows, lines=lines, bad=sorted(bad))
        X, labels = X[good], labels[good]
    return piece, X, labels


def _value(scalar: pa.Scalar) -> object:
    try:
        return scalar.as_py()
    except (ValueError, OverflowError) as error:  # such as a day of the year 5,881,580
        return f"{scalar.type}: {error}"


def _note(wrong: dict, name: str, is_wrong: np.ndarray, expected: str, column) -> None:
    for place in np.flatnonzero(is_wrong).tolist():
        got = repr(str(column[place])[:50])
        wrong.setdefault(place, f"{name}: expected {expected}, got {got}")


def _trimmed(column, no_value: tuple[str, ...]):
    """Text without the spaces around it, null where the file says that a value is missing."""
    text = pc.utf8_trim_whitespace(column.cast(pa.string()))
    return pc.if_else(pc.is_in(text, pa.array(no_value)), None, text)


def _numbers(column: pa.ChunkedArray, no_value) -> tuple[np.ndarray, np.ndarray]:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    unread = False
    if is_text(column.type):
        text = _trimmed(column, no_value)
        try:
            column = text.cast(pa.float64())
        except pa.ArrowInvalid:
            column = pc.if_else(pc.match_substring_regex(text, NUMBER), text, None)
            column = column.cast(pa.float64())
        unread = pc.xor(pc.is_null(column, nan_is_null=True), text.is_null()).to_numpy()
    numbers = column.cast(pa.float64(), safe=False).to_numpy()
    return numbers, (np.abs(numbers) > LARGEST) | unread


def _words(column: pa.ChunkedArray, no_value) -> tuple[pd.Categorical, np.ndarray]:
    found = column.cast(pa.string()).combine_chunks().dictionary_encode()
    words = _trimmed(found.dictionary, no_value).dictionary_encode()  # two may be one now
    codes, empty = words.indices.take(found.indices), words.dictionary.index("").as_py()
    codes, names = codes.fill_null(-1).to_numpy(), pd.Index(words.dictionary, dtype="str")
    return pd.Categorical.from_codes(codes, names), (codes == empty) & (codes >= 0)


def _labels(column: pa.ChunkedArray, no_value) -> tuple[np.ndarray, np.ndarray]:
    text = pc.replace_substring_regex(_trimmed(column, no_value), LABEL_SUFFIX, "")
    both = pa.array([census.NEGATIVE, census.POSITIVE])
    labels = pc.index_in(text, both).fill_null(-1).to_numpy().astype(np.int8)
    return labels, (labels < 0) & text.is_valid().to_numpy()
