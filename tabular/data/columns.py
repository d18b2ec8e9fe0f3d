"""Fields become numbers, categories and labels; a row with an invalid value becomes a bad row."""

import json
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tabular.data import census
from tabular.data.readers import BadRow, Chunk, is_text
from tabular.data.table import MISSING

LARGEST = float(np.finfo(np.float32).max)
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
LABEL_SUFFIX = f"{re.escape(census.LABEL_SUFFIX)}$"
LABELS = pa.array([census.NEGATIVE, census.POSITIVE])  # a label is encoded as its position
Texts = tuple[str, ...]


def interpret(chunk: Chunk, labelled: bool = False) -> tuple[Chunk, pd.DataFrame, np.ndarray]:
    """Interpret the features and the label of a chunk.

    Args:
        labelled: a row without a label is bad, too.

    Returns:
        The chunk without the rows that turned out bad, which its ``bad`` lists; the features of the
        remaining rows, (n_samples, n_features), as float64 or categories; and their labels,
        (n_samples,), int8: 1, 0, or -1 where there is none.
    """
    table, reasons = chunk.rows, dict[int, str]()  # reasons: by position in the table
    markers = chunk.missing_markers or MISSING
    features, labels = {}, np.full(len(table), -1, np.int8)
    for name in [name for name in (*census.FEATURES, census.LABEL) if name in table.column_names]:
        column = table[name]
        if name == census.LABEL:
            labels, invalid = _encode_labels(column, markers)
            invalid |= labelled & (labels < 0)
            expected = f"the label {census.NEGATIVE} or {census.POSITIVE}"
        elif name in census.NUMERIC:
            features[name], invalid = _parse_numbers(column, markers)
            expected = "a finite number"
        else:
            features[name], invalid = _encode_text(column, markers)
            expected = "a value"
        for i in np.flatnonzero(invalid).tolist():
            reasons.setdefault(i, f"{name}: expected {expected}, got {str(column[i])[:50]!r}")
    X = pd.DataFrame(features, copy=False)
    if not reasons:
        return chunk, X, labels
    bad = [BadRow(int(chunk.lines[i]), why, _as_json(table, i)) for i, why in reasons.items()]
    good = np.ones(len(table), bool)
    good[[*reasons]] = False
    rows, lines = table.filter(pa.array(good)), chunk.lines[good]
    chunk = chunk._replace(rows=rows, lines=lines, bad=sorted([*chunk.bad, *bad]))
    return chunk, X[good], labels[good]


def _as_json(table: pa.Table, row: int) -> str:
    values = {}
    for name in table.column_names:
        try:
            values[name] = table[name][row].as_py()
        except (ValueError, OverflowError) as error:  # such as a date in the year 5,881,580
            values[name] = f"{table[name].type}: {error}"
    return json.dumps(values, default=str)


# Each of the following returns the converted column and where its values are invalid, (n_samples,).


def _parse_numbers(column: pa.ChunkedArray, missing: Texts) -> tuple[np.ndarray, np.ndarray]:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    unparsed = False
    if is_text(column.type):
        text = _without_missing(column, missing)
        try:
            column = text.cast(pa.float64())
        except pa.ArrowInvalid:
            column = pc.if_else(pc.match_substring_regex(text, NUMBER), text, None)
            column = column.cast(pa.float64())
        unparsed = pc.xor(pc.is_null(column, nan_is_null=True), text.is_null()).to_numpy()
    numbers = column.cast(pa.float64(), safe=False).to_numpy()
    return numbers, (np.abs(numbers) > LARGEST) | unparsed


def _encode_text(column: pa.ChunkedArray, missing: Texts) -> tuple[pd.Categorical, np.ndarray]:
    raw = column.cast(pa.string()).combine_chunks().dictionary_encode()
    trimmed = _without_missing(raw.dictionary, missing).dictionary_encode()
    codes = trimmed.indices.take(raw.indices).fill_null(-1).to_numpy()
    empty = trimmed.dictionary.index("").as_py()  # -1 if there is none
    categories = pd.Index(trimmed.dictionary, dtype="str")
    return pd.Categorical.from_codes(codes, categories), (codes == empty) & (codes >= 0)


def _encode_labels(column: pa.ChunkedArray, missing: Texts) -> tuple[np.ndarray, np.ndarray]:
    text = _without_missing(column, missing)
    labels = pc.index_in(pc.replace_substring_regex(text, LABEL_SUFFIX, ""), LABELS)
    labels = labels.fill_null(-1).to_numpy().astype(np.int8)
    return labels, (labels < 0) & text.is_valid().to_numpy()


def _without_missing(column: pa.ChunkedArray, missing: Texts) -> pa.ChunkedArray:
    """Text without the spaces around it, null where it stands for a missing value."""
    text = pc.utf8_trim_whitespace(column.cast(pa.string()))
    return pc.if_else(pc.is_in(text, pa.array(missing)), None, text)
