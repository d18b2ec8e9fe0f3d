"""What the rows of a file say of its columns and of its labels."""

import math
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabular.data import inference, values
from tabular.data.inference import ColumnStatistics
from tabular.data.requests import TableRequest
from tabular.data.table import CATEGORICAL, NUMERIC
from tabular.errors import UserError

FILE = "data: churn.csv"


def guess(features, **fixed):
    """The guess of a table that also has a label; lines begin after a header."""
    rows = pa.table({**features, "y": ["0"] * len(next(iter(features.values())))})
    lines = np.arange(2, len(rows) + 2)
    return inference.guess_columns(rows, lines, TableRequest(label="y", **fixed), FILE)


def kind(texts, data_type=None, **fixed):
    """The kind of one column, or why it is left out."""
    columns, left_out, *_ = guess({"a": pa.array(texts, data_type)}, **fixed)
    return (columns | left_out)["a"]


def refusal(call, *args, **kwargs):
    with pytest.raises(UserError) as error:
        call(*args, **kwargs)
    message = error.value.format_message()
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["1", "-2.5", "+3", ".5", "5.", "1e-3", " 7 "], NUMERIC),
        (["0", "0.5", "-0.5", "0e1"], NUMERIC),
        (["1", "", "?", "NA", "nan", "None", None], NUMERIC),
        (["1"] * 9 + ["a", "b"], CATEGORICAL),
        (["a", "b"], CATEGORICAL),
        (["True", "False"], CATEGORICAL),
        (["", "NA", None], CATEGORICAL),
        (["01234", "12345"], CATEGORICAL),
        (["1", "-05"], CATEGORICAL),
        (["01", "2A"] + ["75"] * 20, CATEGORICAL),
        (["1_000", "0x1f", "1"], CATEGORICAL),
        (["1.5.2020", "01.02.20"], "dates"),
        (["2020-01-31", ""], "dates"),
        (["2020-1-3T10:00:00.123Z", "2020-01-03 10:00:00+02:00"], "dates"),
        (["31/12/2020 10:15", "12/31/99", "1/2/2020 9:05 PM"], "dates"),
        (["2020/12/31"] * 9 + ["unknown"], "dates"),
        (["2020/12/31"] * 8 + ["unknown"], CATEGORICAL),
        (["10/45/2020", "2020-13-01"], CATEGORICAL),
        (["20200131", "20200201"], NUMERIC),
        (["12%", "$5"], CATEGORICAL),
    ],
    ids=str,
)
def test_the_kind_of_a_column_of_text(texts, expected):
    assert kind(texts, pa.string()) == expected
    assert kind(texts, pa.string_view()) == expected


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([1]), NUMERIC),
        (pa.array([1.5]), NUMERIC),
        (pa.array([1.5], pa.float16()), NUMERIC),
        (pa.array([Decimal("1.50")]), NUMERIC),
        (pa.array([True]), CATEGORICAL),
        (pa.array(["a"]).dictionary_encode(), CATEGORICAL),
        (pa.array(["1", "2"]).dictionary_encode(), CATEGORICAL),
        (pa.array(["1,5", "2"]).dictionary_encode(), CATEGORICAL),
        (pa.array(["2020-01-31"]).dictionary_encode(), "dates"),
        (pa.array([1, 2]).dictionary_encode(), CATEGORICAL),
        (pa.array([True]).dictionary_encode(), CATEGORICAL),
        (pa.array([0], pa.date32()), "dates"),
        (pa.array([0], pa.timestamp("us", "UTC")), "dates"),
        (pa.array([0], pa.time64("us")), "dates"),
        (pa.array([0], pa.duration("s")), "dates"),
        (pa.array([0], pa.date32()).dictionary_encode(), "dates"),
        (pa.array([[1]]), "lists"),
        (pa.array([[1]], pa.large_list(pa.int8())), "lists"),
        (pa.array([[1]], pa.list_(pa.int8(), 1)), "lists"),
        (pa.array([{"x": [1]}]), "nested values"),
        (pa.array([[("x", 1)]], pa.map_(pa.string(), pa.int8())), "nested values"),
        (pa.array([b"x"]), "binary values"),
        (pa.array([b"x"], pa.binary(1)), "binary values"),
        (pa.nulls(1), "no values"),
    ],
    ids=lambda value: str(getattr(value, "type", value)),
)
def test_the_kind_of_a_typed_column(array, expected):
    assert kind(array) == expected


@pytest.mark.parametrize(
    "name", ["", "Unnamed: 0", "Unnamed: 12", "Unnamed: 0.1", "__index_level_0__"]
)
def test_an_unnamed_index_is_left_out(name):
    assert guess({name: ["0"], "a": ["1"]}).left_out == {name: "an unnamed index"}


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("1,5", "a decimal comma"),
        (",5", "a decimal comma"),
        ("1,234", "a decimal comma or a thousands separator"),
        ("1,234,567.8", "a thousands separator"),
        ("12,34,567", "a thousands separator"),
        ("1.234,50", "a thousands separator"),
        ("1.234.567", "a thousands separator"),
        ("1 234", "a thousands separator"),
        ("1\u00a0234,5", "a thousands separator"),
        ("1\u202f234", "a thousands separator"),
        ("-1'234.5", "a thousands separator"),
    ],
)
def test_numbers_with_separators_are_refused_by_name_and_place(value, found):
    """Not half of the values may be anything else, or the column is one of text."""
    message = refusal(kind, ["7", "", value, "a"])
    assert message.startswith(f"{FILE} line 4, column 'a': ")
    assert f"got {value!r}, which looks like one with {found}; convert the file" in message
    assert '"a" = "categorical" under [columns] in table.toml' in message
    assert kind(["7", value, "a", "b"]) == CATEGORICAL


@pytest.mark.parametrize("fixed", [CATEGORICAL, NUMERIC])
def test_a_column_whose_kind_is_fixed_is_not_checked(fixed):
    """A row that is not what the kind says is found when the row is read."""
    for texts in (["1,5"], ["1"] * 99 + ["a"], ["2020-01-01"]):
        assert kind(texts, columns={"a": fixed}) == fixed


def test_text_among_numbers_is_refused_with_its_line_and_remedies():
    message = refusal(kind, ["1"] * 5 + ["unknown"] + ["2"] * 5 + [""])
    assert message == (
        f"{FILE} line 7, column 'a': expected a number as in nearly all other rows, got 'unknown'; "
        "correct the row, or name the text in table.toml with the others that mean a missing value "
        '(missing = ["", "NA", "unknown"]), or set "a" = "categorical" under [columns] in '
        "table.toml"
    )


def test_infinity_is_not_a_number():
    assert "got 'inf'" in refusal(kind, ["1"] * 10 + ["inf"])


def test_markers_of_the_users_own_replace_the_usual_ones():
    assert kind(["1", "unknown"], missing=("unknown",)) == NUMERIC
    assert kind(["1", "NA"], missing=("unknown",)) == CATEGORICAL


def test_the_guess_is_in_the_files_order_and_without_the_label():
    columns = {"b": ["x"], "signed up": ["2020-01-01"], "a": ["1"]}
    assert guess(columns)[:3] == ({"b": CATEGORICAL, "a": NUMERIC}, {"signed up": "dates"}, {})
    assert [*guess(columns).columns] == ["b", "a"]


def test_a_fixed_kind_keeps_a_column_that_would_be_left_out():
    columns = {"Unnamed: 0": ["1"], "day": ["2020-01-01"]}
    fixed = {"Unnamed: 0": NUMERIC, "day": CATEGORICAL}
    assert guess(columns, columns=fixed).columns == fixed


def test_a_dropped_column_is_left_out_even_if_its_kind_is_fixed_or_its_values_are_wrong():
    found = guess({"a": ["1,5"], "b": ["1"]}, drop=("a", "b"), columns={"b": NUMERIC})
    assert found[:3] == ({}, {"a": "named in drop", "b": "named in drop"}, {})


def test_a_dropped_group_is_no_feature_but_has_a_kind():
    found = guess({"sex": ["f"], "age": ["1"]}, drop=("sex", "age"), groups=("sex", "age"))
    assert found[:3] == ({}, {}, {"sex": CATEGORICAL, "age": NUMERIC})


def test_a_group_that_cannot_be_read_is_refused():
    message = refusal(guess, {"day": ["2020-01-01"]}, groups=("day",))
    assert message.startswith(
        "groups: data: churn.csv, column 'day': expected numbers or text, got"
    )


@pytest.mark.parametrize(
    ("fixed", "where"),
    [
        ({"drop": ("Tenur",)}, "drop"),
        ({"groups": ("Tenur",)}, "groups"),
        ({"columns": {"Tenur": NUMERIC}}, "table.toml: columns"),
        ({"bands": {"Tenur": (1.0,)}}, "table.toml: bands"),
        ({"crossed": ("Tenur",)}, "table.toml: crossed"),
    ],
    ids=lambda value: str(value),
)
def test_a_name_that_is_no_column_is_refused_with_a_suggestion(fixed, where):
    message = refusal(guess, {"tenure": ["1"]}, path=Path("table.toml"), **fixed)
    assert message == (
        f"{where}: {FILE} has no column 'Tenur'; did you mean 'tenure'? Expected one of: tenure, y"
    )


def test_of_many_columns_an_error_names_the_first():
    message = refusal(guess, {f"c{i}": ["1"] for i in range(100)}, drop=("zzz",))
    assert message.endswith(
        "; expected one of: " + ", ".join(f"c{i}" for i in range(20)) + " and 81 more"
    )


@pytest.mark.parametrize("key", ["drop", "groups"])
def test_the_label_cannot_be_dropped_or_be_a_group(key):
    message = refusal(guess, {"a": ["1"]}, **{key: ("y",)})
    assert message == f"{key}: 'y' is the label of {FILE}; leave it out of {key}"


def test_bands_are_for_numeric_columns():
    message = refusal(guess, {"a": ["x"]}, bands={"a": (1.0,)}, path=Path("t"))
    assert message == "t: bands.a: expected a numeric column, got a categorical one"


@given(st.lists(st.one_of(st.text(max_size=8), st.none(), st.from_regex(values.DATE)), max_size=9))
def test_any_text_has_a_kind_or_is_refused_with_its_place(texts):
    try:
        assert kind(texts, pa.string()) in (NUMERIC, CATEGORICAL, "dates")
    except UserError as error:
        assert error.format_message().startswith(f"{FILE} line ")


def test_the_statistics_of_features():
    X = pd.DataFrame(
        {
            "text": pd.Categorical(["b", None, "b"], categories=["a", "b"]),
            "number": np.array([1.5, np.nan, -2], np.float32),
            "row": np.array([7, 8, 9], np.float32),
            "shop_id": np.array([3, 3, np.nan], np.float32),
            "empty": np.full(3, np.nan, np.float32),
        }
    )
    nan, found = math.nan, inference.column_statistics(X)
    expected = {
        "text": ColumnStatistics(1, 1, nan, nan, False),
        "number": ColumnStatistics(1, None, -2.0, 1.5, False),
        "row": ColumnStatistics(0, 3, 7.0, 9.0, True),
        "shop_id": ColumnStatistics(1, 1, 3.0, 3.0, False),
        "empty": ColumnStatistics(3, None, nan, nan, False),
    }
    assert str(found) == str(expected)  # as text, because NaN is not equal to itself


@pytest.mark.parametrize(("n_left_out", "counts_up"), [(0, False), (1, False), (2, True)])
def test_a_row_counter_may_have_as_many_gaps_as_rows_were_left_out(n_left_out, counts_up):
    X = pd.DataFrame({"row": np.array([1, 3, 4, 6], np.float32)})
    assert inference.column_statistics(X, n_left_out)["row"].counts_up is counts_up


def test_an_id_has_whole_numbers():
    found = inference.column_statistics(pd.DataFrame({"id": [0.5, 1.0]}))
    assert found["id"].n_distinct is None


@given(st.lists(st.lists(st.sampled_from([1.0, 2.0, 3.0, np.nan]), min_size=1), min_size=1))
def test_merged_statistics_are_those_of_all_rows(parts):
    frames = [pd.DataFrame({"n": part, "c": pd.Categorical(part)}) for part in parts]
    together = pd.concat([frame[["n"]] for frame in frames])
    together["c"] = pd.Categorical(together["n"])
    n_categories = {"c": together["c"].nunique()}
    merged = inference.merge_statistics(map(inference.column_statistics, frames), n_categories)
    expected = inference.column_statistics(together)
    counts_up = merged["n"].counts_up  # of files whose rows need not follow one another
    assert str(merged["n"]) == str(expected["n"]._replace(counts_up=counts_up))
    assert str(merged["c"]) == str(expected["c"])


def test_distinct_ids_of_several_files_are_added_up():
    part = inference.column_statistics(pd.DataFrame({"id": [1.0, 2.0, 2.0]}))
    assert inference.merge_statistics([part, part], {})["id"].n_distinct == 4


@pytest.mark.parametrize(("second", "counts_up"), [(100.0, True), (0.0, False), (150.0, False)])
def test_a_column_counts_the_rows_of_several_files_where_each_goes_on_with_the_last(
    second, counts_up
):
    """One that starts again in each file, as an hour does, is a feature."""
    frames = [pd.DataFrame({"n": np.arange(100.0) + first}) for first in (0.0, second)]
    merged = inference.merge_statistics(map(inference.column_statistics, frames), {})
    assert merged["n"].counts_up == counts_up
    assert inference.column_statistics(pd.concat(frames))["n"].counts_up == counts_up


def why(column, name="a"):
    """Why a column is left out; None if it is not."""
    X = pd.DataFrame({name: column})
    return inference.uninformative(inference.column_statistics(X), len(X)).get(name)


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (pd.Categorical(["DE"] * 3), "one value"),
        (pd.Categorical(["DE", None]), None),
        (pd.Categorical([None, None], categories=["a"]), "no values"),
        (np.full(3, 5.0), "one value"),
        (np.array([5.0, np.nan]), None),
        (np.full(3, np.nan), "no values"),
        (np.arange(100.0) + 17, "a row counter"),
        (np.arange(5.0), None),
        (np.arange(100.0) * 2, None),
        (pd.Categorical([f"c{i % 15}" for i in range(200)]), None),
        (pd.Categorical([f"c{i}" for i in range(15)]), None),
        (pd.Categorical([f"c{i % 1000}" for i in range(2000)]), None),
        (
            pd.Categorical([f"c{i % 1998}" for i in range(2000)]),
            "nearly unique text (1,998 distinct values in 2,000 rows)",
        ),
        (
            pd.Categorical([f"c{i}" if i < 50 else None for i in range(2000)]),
            "nearly unique text (50 distinct values in 50 rows with a value)",
        ),
    ],
    ids=lambda value: str(value)[:30].replace("\n", " "),
)
def test_why_a_column_is_uninformative(column, reason):
    assert why(column) == reason


IDS = ["id", "ID", "customer_id", "PassengerId", "account-id", "customerID", "uuid", "index"]
IDS += ["row_number", "Order ID", "id_client", "rowid", "Row Number"]


@pytest.mark.parametrize("name", IDS)
def test_numbers_named_like_an_id_are_left_out_if_they_are_nearly_unique(name):
    numbers = np.random.default_rng(0).permutation(200).astype(np.float32)
    assert why(numbers, name) == "an id"
    assert why(numbers // 10, name) is None


@pytest.mark.parametrize(
    "name",
    ["humid", "paid", "idle", "width", "bmi index", "price_index", "number", "Überidee", "1"],
)
def test_numbers_with_another_name_stay(name):
    assert not values.looks_like_id(name)


@pytest.mark.parametrize(
    ("numbers", "bands"),
    [
        (np.arange(20, 60), (30.0, 40.0, 49.0)),
        (np.arange(1000) * 123.4, (31000.0, 62000.0, 92000.0)),
        (np.arange(100) / 1000, (0.025, 0.05, 0.074)),
        (np.repeat(np.arange(8), 5), ()),
        (np.r_[np.zeros(100), np.arange(1, 13)], (3.0, 6.0, 9.0)),
        (np.full(5, np.nan), ()),
        (np.r_[np.nan, np.arange(20, 60)], (30.0, 40.0, 49.0)),
    ],
    ids=["ages", "money", "shares", "few values", "mostly zero", "no values", "missing values"],
)
def test_bands_are_rounded_quartiles(numbers, bands):
    assert inference.quantile_bands(numbers) == bands


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=40))
def test_bands_increase_and_divide_the_values(numbers):
    bands = inference.quantile_bands(np.array(numbers, np.float32))
    assert sorted({*bands}) == [*bands]
    assert bool(bands) == (len({*numbers}) > 8)
    assert all(min(numbers) < bound <= max(numbers) for bound in bands)


def test_differences_that_exceed_the_largest_number_give_no_warning():
    X = pd.DataFrame({"a": np.array([3.4e38, -3.4e38, 1], np.float32)})
    assert not inference.column_statistics(X)["a"].counts_up


def test_numbers_that_may_be_codes_are_those_that_all_have_many_digits():
    X = pd.DataFrame({
        "account": [1_234_567_890, 9_876_543_210, 5_000_000_000], "day": [20200101, 20201231, None],
        "income": [0, 12_000, 90_000_000], "short": [1_000_000, 2_000_000, 3_000_000],
        "mass": [1e30, 2e30, 3e30], "nothing": [None] * 3,
    }).astype(np.float32)  # fmt: skip
    X["word"] = pd.Categorical(["a", "b", "c"])
    assert inference.likely_codes(X) == ["account", "day"]
