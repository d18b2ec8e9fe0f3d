"""Fields become numbers, categories and labels; a row with an invalid value becomes a bad row."""

import json
import re
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tabular.data import census
from tabular.data.readers import BadRow, Chunk, is_text
from tabular.data.table import NUMERIC, TableSchema
from tabular.errors import UserError

LARGEST = float(np.finfo(np.float32).max)
LABEL_END = rf"{re.escape(census.TEST_LABEL_SUFFIX)}\s*$"
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
Texts = tuple[str, ...]


class Columns(NamedTuple):
    """The interpreted rows of a chunk.

    Attributes:
        chunk: without the rows that turned out bad, which its ``bad`` lists; the columns have the
            table's own names.
        X: the columns of the schema, (n_samples, n_columns), float64 or categories of text.
        labels: (n_samples,), int8: 1, 0, or -1 where there is none; if the schema's labels are not
            known yet, categories of text.
    """

    chunk: Chunk
    X: pd.DataFrame
    labels: np.ndarray | pd.Categorical


def require_columns(found: pa.Schema, schema: TableSchema, named: str) -> None:
    """Check that a file has the columns of a table, in any order and with any others.

    Args:
        named: the file's name in errors.

    Raises:
        UserError: columns are missing, or the label or columns have types that do not fit.
    """
    renames = schema.renames(found.names)
    names = [renames.get(name, name) for name in found.names]
    if missing := [name for name in schema.columns if name not in names]:
        others = ", ".join(names[:20]) or "nothing"
        more = f" and {len(missing) - 20} more" if len(missing) > 20 else ""
        raise UserError(f"{named} has no {', '.join(missing[:20])}{more}; it has {others}")
    wrong = []
    for name, field in zip(names, found, strict=True):
        data_type = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        numeric = pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal
        fits = is_text(data_type) or pa.types.is_null(data_type)
        fits = fits or any(check(data_type) for check in numeric)
        kind = schema.columns.get(name)
        if kind != NUMERIC:
            fits = fits or pa.types.is_boolean(data_type)
        if not fits and (kind or name == schema.label):
            expected = "numbers" if kind == NUMERIC else "text"
            wrong.append(f"{field.name}: expected {expected}, got {field.type}")
    if wrong:
        more = f"; and {len(wrong) - 20} more" if len(wrong) > 20 else ""
        raise UserError(f"{named}, {'; '.join(wrong[:20])}{more}")


def require_categories(
    found: pa.Schema, schema: TableSchema, categories: dict[str, list[str]], named: str
) -> None:
    """Check that typed columns of a file can have the categories that a model knows.

    Otherwise, every value of such a column would be treated as missing.

    Args:
        categories: by the name of the column.

    Raises:
        UserError: columns have numbers or booleans, and the model knows other text only.
    """
    renames, wrong = schema.renames(found.names), []
    for field in found:
        known = categories.get(renames.get(field.name, field.name))
        data_type = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if known is None or is_text(data_type) or pa.types.is_null(data_type):
            continue
        pattern = "true|false" if pa.types.is_boolean(data_type) else NUMBER
        if not any(re.fullmatch(pattern, category) for category in known):
            shown = ", ".join(known[:3])
            wrong.append(f"{field.name}: expected text like {shown}, got {field.type}")
    if wrong:
        raise UserError(f"{named}, {'; '.join(wrong[:20])}")


def interpret(chunk: Chunk, schema: TableSchema) -> Columns:
    """Interpret the columns and the label of a chunk, which may have no label's column."""
    names = chunk.rows.column_names
    if renames := schema.renames(names):
        own = chunk.rows.rename_columns([renames.get(name, name) for name in names])
        chunk = chunk._replace(rows=own)
    table, reasons = chunk.rows, dict[int, str]()  # reasons: by position in the table
    markers = schema.missing
    if chunk.is_uci:
        markers = (census.MISSING, *filter(None, markers))
    columns: dict[str, np.ndarray | pd.Categorical] = {}
    labels: np.ndarray | pd.Categorical = np.full(len(table), -1, np.int8)
    for name in [name for name in (*schema.columns, schema.label) if name in table.column_names]:
        column = table[name]
        if name == schema.label:
            labels, invalid = _encode_labels(column, schema, markers)
            expected = f"the label {' or '.join(own_labels(schema))}"
        elif schema.columns[name] == NUMERIC:
            columns[name], invalid = _parse_numbers(column, markers)
            expected = "a finite number"
        else:
            if chunk.is_uci and name == census.LABEL:  # a feature: the label is another column
                column = pc.replace_substring_regex(column, LABEL_END, "")
            columns[name], invalid = _encode_text(column, markers)
            expected = "a value"
        for i in np.flatnonzero(invalid).tolist():
            text = str(column[i])
            hint = "" if name == schema.label else _explain(text)
            reasons.setdefault(i, f"{name}: expected {expected}, got {text[:50]!r}{hint}")
    X = pd.DataFrame(columns, index=range(len(table)), copy=False)  # it may have no columns
    if not reasons:
        return Columns(chunk, X, labels)
    bad = [BadRow(int(chunk.lines[i]), why, _as_json(table, i)) for i, why in reasons.items()]
    good = np.ones(len(table), bool)
    good[[*reasons]] = False
    rows, lines = table.filter(pa.array(good)), chunk.lines[good]
    chunk = chunk._replace(rows=rows, lines=lines, bad=sorted([*chunk.bad, *bad]))
    return Columns(chunk, X[good], labels[good])


def _explain(text: str) -> str:
    """What a text that is not valid may be meant to be; empty if that is not known."""
    if not text.strip():
        return '; if it is a missing value, add "" to missing in table.toml'
    if re.fullmatch(r"[+-]?\d*,\d+", text.strip()):
        return ", which may have a decimal comma; write a decimal point"
    return ""


def own_labels(schema: TableSchema) -> list[str]:
    """The negative and the positive label, without their aliases; none if they are not known."""
    labels = schema.labels or {}
    return [
        next(text for text, code in labels.items() if code == own) for own in {*labels.values()}
    ]


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
    unparsed: np.ndarray | bool = False
    marked = [float(text) for text in missing if re.fullmatch(NUMBER, text)]
    if is_text(column.type):
        column, unparsed = _cast_text(column, missing)
    numbers = column.cast(pa.float64(), safe=False).to_numpy()
    if marked:
        numbers = np.where(np.isin(numbers, marked), np.nan, numbers)
    return numbers, (np.abs(numbers) > LARGEST) | unparsed


def _cast_text(
    column: pa.ChunkedArray, missing: Texts
) -> tuple[pa.ChunkedArray, np.ndarray | bool]:
    """Text as numbers, null or NaN where it is none, and where it is not missing but no number."""
    try:
        numbers = column.cast(pa.float64())
        if np.isfinite(numbers.to_numpy()).all():  # so that no text is missing or has spaces
            return numbers, False
    except pa.ArrowInvalid:
        pass
    text = without_missing(column, missing)
    try:
        numbers = text.cast(pa.float64())
    except pa.ArrowInvalid:
        numbers = pc.if_else(pc.match_substring_regex(text, NUMBER), text, None)
        numbers = numbers.cast(pa.float64())
    return numbers, pc.xor(pc.is_null(numbers, nan_is_null=True), text.is_null()).to_numpy()


def _encode_text(column: pa.ChunkedArray, missing: Texts) -> tuple[pd.Categorical, np.ndarray]:
    raw = _encode_distinct(column)
    text = _canonical(pc.utf8_trim_whitespace(raw.dictionary))
    markers = _canonical(pa.array(missing, pa.string()))
    trimmed = pc.if_else(pc.is_in(text, markers), None, text).dictionary_encode()
    codes = trimmed.indices.take(raw.indices).fill_null(-1).to_numpy()
    empty = trimmed.dictionary.index("").as_py()  # -1 if there is none
    categories = pd.Index(trimmed.dictionary, dtype="str")
    return pd.Categorical.from_codes(codes, categories), (codes == empty) & (codes >= 0)


def _encode_distinct(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """The distinct values as text; numbers are written as in CSV: 10000000000.0, not 1e+10."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not pa.types.is_floating(column.type):
        return column.cast(pa.string()).combine_chunks().dictionary_encode()
    if column.type == pa.float16():  # which Arrow cannot encode
        column = column.cast(pa.float32())
    raw = pc.if_else(pc.is_nan(column), None, column).combine_chunks().dictionary_encode()
    texts = [str(number) for number in raw.dictionary.to_numpy()]
    return pa.DictionaryArray.from_arrays(raw.indices, pa.array(texts, pa.string()))


def _encode_labels(
    column: pa.ChunkedArray, schema: TableSchema, missing: Texts
) -> tuple[np.ndarray | pd.Categorical, np.ndarray]:
    texts, empty = _encode_text(column, missing)
    if schema.labels is None:
        return texts, empty
    known = _canonical(pa.array([*schema.labels], pa.string())).to_pylist()
    of_text = dict(zip(known, schema.labels.values(), strict=True))
    of_category = [of_text.get(text, -1) for text in texts.categories]
    labels = np.array([*of_category, -1], np.int8)[texts.codes]  # -1, the last one: no text
    return labels, (labels < 0) & (texts.codes >= 0)


def without_missing(column: pa.ChunkedArray, missing: Texts) -> pa.ChunkedArray:
    """Text without the spaces around it, null where it stands for a missing value."""
    text = pc.utf8_trim_whitespace(column.cast(pa.string()))
    return pc.if_else(pc.is_in(text, pa.array(missing)), None, text)


def _canonical(text: pa.Array) -> pa.Array:
    """Text with one spelling of true and false, and of whole numbers: true for True, 3 for 3.0.

    ``served.Encoder`` reads categories alike.
    """
    boolean = pc.match_substring_regex(text, "^(True|TRUE|False|FALSE)$")
    text = pc.if_else(boolean, pc.utf8_lower(text), text)
    return pc.replace_substring_regex(text, r"^([+-]?[0-9]+)\.0+$", r"\1")
