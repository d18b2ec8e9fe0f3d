"""Fields become numbers, categories and labels, alike from text and from typed columns."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tabular.data import columns, readers
from tabular.data.table import CATEGORICAL, TableSchema


def interpret(array, missing=("", "NA")):
    """The interpreted rows of a table with one categorical column, and a label in each row."""
    rows = pa.table({"a": array, "y": ["0"] * len(array)})
    schema = TableSchema({"a": CATEGORICAL}, "y", {"0": 0, "1": 1}, missing)
    return columns.interpret(readers.Chunk(rows, np.arange(len(rows)), [], 0), schema)


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
