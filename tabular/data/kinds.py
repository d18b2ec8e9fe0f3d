"""The kind of one column, guessed from a sample of its values."""

import json
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tabular.data import values
from tabular.data.readers import is_text
from tabular.data.table import CATEGORICAL, NUMERIC
from tabular.errors import UserError

NEARLY_ALL = 0.9  # the share of values from which a column is one of numbers, or of dates


UNDECIDED = "no value"  # in the sample; the column is read as text


class Sample(NamedTuple):
    """The first values of a column.

    Attributes:
        name: of the column.
        column: the values, (n_samples,): text, or typed ones from Parquet.
        lines: the line of each in the file, counted from 1, (n_samples,).
        named: the file's name in errors.
    """

    name: str
    column: pa.ChunkedArray
    lines: np.ndarray
    named: str


def guess_kind(sample: Sample, missing: tuple[str, ...]) -> str:
    """Guess the kind of a column: NUMERIC, CATEGORICAL, or else why it is of no use.

    Text is numeric if all values are numbers and none has a leading zero. A dictionary is
    categorical unless its values are dates.

    Args:
        missing: texts that stand for a missing value.

    Raises:
        UserError: numbers are mixed with a few other texts, or written with separators.
    """
    if values.is_unnamed(sample.name):
        return "an unnamed index"
    data_type = sample.column.type
    if in_dictionary := pa.types.is_dictionary(data_type):
        data_type = data_type.value_type
    if not is_text(data_type):
        kind = _kind_of_type(data_type)
        return CATEGORICAL if in_dictionary and kind == NUMERIC else kind
    texts = values.strip_missing(sample.column.cast(data_type), missing)
    counted = texts.drop_null().value_counts()
    distinct, counts = counted.field("values"), counted.field("counts").to_numpy()
    if not len(distinct):
        return UNDECIDED
    if not in_dictionary:
        is_number = values.are_numbers(distinct)
        is_code = is_number & values.matches(distinct, values.CODE)
        if is_number.all():
            return CATEGORICAL if is_code.any() else NUMERIC
        _refuse_separators(sample, texts, distinct, counts, is_number)
        if not is_code.any() and counts[is_number].sum() >= NEARLY_ALL * counts.sum():
            raise _mixed(sample, texts, distinct.filter(pa.array(~is_number)))
    n_dates = counts[values.matches(distinct, values.DATE)].sum()
    return "dates" if n_dates >= NEARLY_ALL * counts.sum() else CATEGORICAL


def _kind_of_type(data_type: pa.DataType) -> str:
    types = pa.types
    if types.is_integer(data_type) or types.is_floating(data_type) or types.is_decimal(data_type):
        return NUMERIC
    if types.is_boolean(data_type):
        return CATEGORICAL
    if types.is_null(data_type):
        return "no values"
    if types.is_temporal(data_type):
        return "dates"
    if "list" in str(data_type).partition("<")[0]:  # Arrow has five types of lists
        return "lists"
    if types.is_nested(data_type):
        return "nested values"
    return "binary values" if "binary" in str(data_type) else f"values of type {data_type}"


def _refuse_separators(
    sample: Sample, texts: pa.Array, distinct: pa.Array, counts: np.ndarray, is_number: np.ndarray
) -> None:
    """Raise if most values are numbers, and some are so only with a comma or separators."""
    has_comma = ~is_number & values.matches(distinct, values.DECIMAL_COMMA)
    has_thousands = ~is_number & values.matches(distinct, values.THOUSANDS)
    separated = has_comma | has_thousands
    if not separated.any() or 2 * counts[is_number | separated].sum() <= counts.sum():
        return
    line, value = _first(sample, texts, distinct.filter(pa.array(separated)))
    i = distinct.index(value).as_py()
    found = {"a decimal comma": has_comma[i], "a thousands separator": has_thousands[i]}
    raise UserError(
        f"{sample.named} line {line:,}, column {sample.name!r}: expected numbers such as 1234.5, "
        f"got {value.as_py()[:50]!r}, which looks like one with "
        f"{' or '.join(name for name, is_found in found.items() if is_found)}; "
        "convert the file (pandas.read_csv reads such numbers with decimal=',' or thousands=',', "
        f"to_csv writes them as expected), or set {_as_categorical(sample)} if these are no numbers"
    )


def _mixed(sample: Sample, texts: pa.Array, others: pa.Array) -> UserError:
    line, value = _first(sample, texts, others)
    found = value.as_py()[:50]
    return UserError(
        f"{sample.named} line {line:,}, column {sample.name!r}: expected a number as in nearly all "
        f"other rows, got {found!r}; correct the row, or name the text in table.toml with the "
        f'others that mean a missing value (missing = ["", "NA", {_quote(found)}]), or set '
        f"{_as_categorical(sample)}"
    )


def _first(sample: Sample, texts: pa.Array, wanted: pa.Array) -> tuple[int, pa.Scalar]:
    """The first line whose value is one of the wanted, and that value."""
    i = int(np.argmax(pc.is_in(texts, wanted).to_numpy(zero_copy_only=False)))
    return int(sample.lines[i]), texts[i]


def _as_categorical(sample: Sample) -> str:
    return f"{_quote(sample.name)} = {_quote(CATEGORICAL)} under [columns] in table.toml"


def _quote(text: str) -> str:
    """A text as a string of TOML."""
    return json.dumps(text, ensure_ascii=False)
