"""Fields become numbers, categories and labels, alike from text and from typed columns."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tabular.data import columns, readers
from tabular.data.table import CATEGORICAL, MISSING, NUMERIC, TableSchema


def interpret(array, missing=("", "NA"), kind=CATEGORICAL, is_uci=False):
    """The interpreted rows of a table with one column and a label in each row."""
    rows = pa.table({"a": array, "y": ["0"] * len(array)})
    schema = TableSchema({"a": kind}, "y", {"0": 0, "1": 1}, missing)
    return columns.interpret(readers.Chunk(rows, np.arange(len(rows)), [], 0, is_uci), schema)


def values(array, **options):
    """The categories of a column, None where the value is missing."""
    column = interpret(array, **options).X["a"].astype(object)
    return [None if pd.isna(value) else value for value in column]


@pytest.mark.parametrize("data_type", [pa.float64(), pa.float32(), pa.float16()], ids=str)
def test_numbers_of_a_category_are_as_in_csv_whatever_their_type(data_type):
    numbers = [1.5, 3.0, None, float("nan"), 40_000.0]
    assert values(pa.array(numbers, data_type)) == ["1.5", "3", None, None, "40000"]


def test_codes_of_ten_digits_are_the_same_as_text_as_integers_and_as_doubles():
    """Doubles are what pandas makes of integers with missing values."""
    codes = [10_000_000_000, 12_345_678_901, 9_999_999_999]
    expected = [str(code) for code in codes]
    assert values(pa.array(expected)) == expected
    assert values(pa.array(codes)) == expected
    assert values(pa.array(codes, pa.float64())) == expected
    assert values(pa.array([float(code) for code in codes]).dictionary_encode()) == expected


def test_a_number_that_is_none_is_missing_whatever_the_users_markers_are():
    assert values(pa.array([1.0, float("nan")]), missing=("unknown",)) == ["1", None]


def test_rows_without_a_column_to_read_keep_their_number():
    rows = pa.table({"y": ["0", None, "1"]})
    schema = TableSchema({}, "y", {"0": 0, "1": 1})
    found = columns.interpret(readers.Chunk(rows, np.arange(3), [], 0), schema)
    assert found.X.shape == (3, 0)
    assert found.labels.tolist() == [0, -1, 1]


@pytest.mark.parametrize("array", [
    ["-1", "-1.0", " -1", "5"], pa.array([-1, -1, -1, 5]), pa.array([-1.0, -1.0, -1.0, 5.0]),
    pa.array([-1, -1, -1, 5]).dictionary_encode(),
])  # fmt: skip
@pytest.mark.parametrize("kind", [CATEGORICAL, NUMERIC])
def test_a_number_that_the_user_calls_missing_is_so_however_it_is_written(array, kind):
    found = interpret(array, missing=("", "-1"), kind=kind).X["a"]
    assert found.isna().tolist() == [True, True, True, False]


@pytest.mark.parametrize("other", ["7", " 7", "", "nan", "inf", "x"])
def test_numbers_are_the_same_beside_any_other_text(other):
    """A column of plain numbers is parsed without a look at each text."""
    numbers = ["39", "-0.5", "+1e3", "00012", "1.", ".5", "1e-400", "0.1"]
    found = interpret([*numbers, other], missing=MISSING, kind=NUMERIC)
    assert found.X["a"].tolist()[: len(numbers)] == [float(number) for number in numbers]
    assert len(found.chunk.bad) == (other in ("inf", "x"))


@pytest.mark.parametrize("text", ["\\N", "NULL", "N/A", "None", "?"])
@pytest.mark.parametrize("kind", [CATEGORICAL, NUMERIC])
def test_a_usual_marker_is_missing_in_words_and_in_numbers(text, kind):
    found = interpret([text, "5"], missing=MISSING, kind=kind)
    assert found.X["a"].isna().tolist() == [True, False]
    assert not found.chunk.bad


@pytest.mark.parametrize(("text", "n_bad"), [("NULL", 0), ("?", 0), ("", 1)])
@pytest.mark.parametrize("kind", [CATEGORICAL, NUMERIC])
def test_the_dialect_of_uci_has_the_same_markers_but_no_empty_field(text, n_bad, kind):
    found = interpret([text, "5"], missing=("", "NULL"), kind=kind, is_uci=True)
    assert len(found.chunk.bad) == n_bad
    assert found.X["a"].isna().sum() == 1 - n_bad


@pytest.mark.parametrize(("text", "kind", "missing", "hint"), [
    ("9,90", NUMERIC, ("",), ", which may have a decimal comma; write a decimal point"),
    ("nine", NUMERIC, ("",), ""),
    ("", CATEGORICAL, ("unknown",), '; if it is a missing value, add "" to missing in table.toml'),
])  # fmt: skip
def test_a_bad_value_is_explained_where_its_meaning_is_likely(text, kind, missing, hint):
    (bad,) = interpret(pa.array([text]), missing=missing, kind=kind).chunk.bad
    assert bad.reason.endswith(f", got {text!r}{hint}")
