"""The fixed split: the hash of a row depends on its values alone."""

import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabular.data import splitting

TEXTS = st.sampled_from(
    ["a", "Überweisung", " x", "NA", "01234", "7", "-0", "true", "1e3", "'", ""]
)
TEXT = pa.string()
GOLDEN = [0x768FBE8820FCBC32, 0xF08327ED8378E041, 0x9F235C235417CA2A, 0x0]
GOLDEN_ROWS = [4, 10, 11, 12]
NUMBERS = st.one_of(
    st.none(), st.integers(-(10**12), 10**12), st.floats(allow_nan=False, allow_infinity=False)
)


@st.composite
def frames(draw):
    """Tables of text, numbers and booleans, each of which may be missing."""
    n = draw(st.integers(1, 12))
    columns = {"text": TEXTS, "number": NUMBERS, "flag": st.sampled_from([True, False])}
    rows = {name: draw(st.lists(v, min_size=n, max_size=n)) for name, v in columns.items()}
    rows["number"] = [None if v is None else float(v) for v in rows["number"]]
    return pa.table(rows, pa.schema([("text", "string"), ("number", "double"), ("flag", "bool")]))


def hashes(values, data_type=TEXT, name="a", numbers=None):
    return splitting.row_hashes(pa.table({name: pa.array(values, data_type)}), numbers or {})


def as_text(rows):
    """The rows as they are read from a CSV file that pandas has written."""
    text = rows.to_pandas().to_csv(index=False).encode()
    types = dict.fromkeys(rows.column_names, pa.string())
    options = pa.csv.ConvertOptions(column_types=types, strings_can_be_null=False)
    return pa.csv.read_csv(io.BytesIO(text), convert_options=options)


def test_the_rule_never_changes():
    rows = pa.table(
        {
            "age": ["39", "50.5", "", "NA"],
            "job": ["Sales", " Sales ", "Überweisung", "?"],
            "member": ["True", "false", "true", None],
        }
    )
    assert splitting.row_hashes(rows, {}).tolist() == GOLDEN
    many = pa.table({"n": np.arange(20), "y": [0, 0, 0, 1] * 5})
    chosen = splitting.test_rows(splitting.row_hashes(many, {}), many["y"].to_numpy())
    assert np.flatnonzero(chosen).tolist() == GOLDEN_ROWS


@given(frames(), st.randoms(use_true_random=False))
def test_the_order_of_rows_and_columns_does_not_matter(rows, random):
    expected = splitting.row_hashes(rows, {})
    order = random.sample(range(len(rows)), len(rows))
    columns = random.sample(rows.column_names, rows.num_columns)
    assert (splitting.row_hashes(rows.take(order).select(columns), {}) == expected[order]).all()


@given(frames(), st.integers(1, 5))
def test_blocks_of_any_size_give_the_same_hashes(rows, size):
    blocks = [rows.slice(i, size) for i in range(0, len(rows), size)]
    expected = splitting.row_hashes(rows, {})
    assert (np.concatenate([splitting.row_hashes(b, {}) for b in blocks]) == expected).all()
    assert (splitting.row_hashes(pa.concat_tables(blocks), {}) == expected).all()


@given(frames())
def test_csv_and_parquet_give_the_same_hashes(rows):
    file = io.BytesIO()
    pq.write_table(rows, file)
    expected = splitting.row_hashes(as_text(rows), {})
    assert (splitting.row_hashes(pq.read_table(file), {}) == expected).all()


@given(frames())
def test_numbers_that_the_caller_has_parsed_give_the_same_hashes(rows):
    numbers = {"number": rows["number"].to_numpy()}
    expected = splitting.row_hashes(rows, {})
    assert (splitting.row_hashes(rows, numbers) == expected).all()
    assert (splitting.row_hashes(as_text(rows), numbers) == expected).all()


@pytest.mark.parametrize(
    "values", [pa.array([True]), pa.array([5], pa.date32())], ids=["boolean", "date"]
)
def test_what_is_no_number_by_its_type_hashes_alike_if_the_caller_makes_it_one(values):
    numbers = {"a": np.array([1.0])}
    assert hashes(values, values.type, numbers=numbers) == hashes(values, values.type)


def test_a_marker_of_the_users_own_does_not_change_the_hash_of_a_number():
    """The caller has parsed -999 as missing; with other markers it is a number."""
    numbers = {"a": np.array([1.0, np.nan])}
    assert (hashes(["1", "-999"], numbers=numbers) == hashes(["1", "-999"])).all()


@pytest.mark.parametrize(
    "texts", [["39", "39.0", "+39", "39.", "3.9e1", "039", " 39 "], ["0", "-0", "-0.0", "0e5"]]
)
def test_a_number_is_the_same_however_it_is_written(texts):
    numbers = hashes([float(texts[0])], pa.float64())
    assert {*hashes(texts).tolist()} == {*numbers.tolist()}


@pytest.mark.parametrize(
    "data_type",
    [pa.int8(), pa.int64(), pa.uint64(), pa.float32(), pa.float64(), pa.decimal128(20, 4)],
    ids=str,
)
def test_a_number_is_the_same_in_any_type(data_type):
    assert (hashes([39, None], data_type) == hashes(["39", ""])).all()


def test_integers_beyond_the_exact_doubles_are_rounded_as_their_texts_are():
    integers = [2**53 + 1, 2**60 + 3, 2**63 - 1, -(2**53) - 1]
    assert (hashes(integers, pa.int64()) == hashes([str(i) for i in integers])).all()


def test_a_decimal_is_the_same_number_as_its_text():
    """Arrow's conversion of decimals to doubles is off by one bit for some of these."""
    texts = [f"{i}.{i * 7919 % 1000:03}" for i in range(1000)]
    decimals = pa.array(texts).cast(pa.decimal128(30, 3))
    parsed = {"a": decimals.cast(pa.float64()).to_numpy()}
    for numbers in ({}, parsed):
        found = splitting.row_hashes(pa.table({"a": decimals}), numbers)
        assert (found == hashes(texts)).all()


@pytest.mark.parametrize(
    "data_type",
    [pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())],
    ids=str,
)
def test_a_text_is_the_same_in_any_type(data_type):
    values = ["a", "b", None, " a ", "NA", "7"]
    assert (hashes(pa.array(values).cast(data_type), data_type) == hashes(values)).all()


def test_a_dictionary_of_numbers_is_the_numbers():
    values = pa.array([3.0, 4.5, 3.0]).dictionary_encode()
    assert (hashes(values, values.type) == hashes(["3", "4.5", "3"])).all()


def test_truth_values_are_the_same_in_three_spellings_and_as_booleans():
    assert len({*hashes(["true", "True", "TRUE"]).tolist(), hashes([True], pa.bool_())[0]}) == 1
    assert len({*hashes(["true", "false", "tRUE", "1"]).tolist()}) == 4


def test_missing_values_count_for_nothing():
    nothing = splitting.row_hashes(pa.table({"a": ["", "NA", " nan ", None, "?"]}), {})
    assert len({*nothing.tolist()}) == 1
    assert hashes([np.nan, None], pa.float64()).tolist() == nothing[:2].tolist()


@pytest.mark.parametrize(
    "column",
    [
        pa.array([0], pa.date32()),
        pa.array([0], pa.timestamp("s")),
        pa.array([0], pa.duration("s")),
        pa.array([[1]]),
        pa.array([{"x": 1}]),
        pa.array([b"x"]),
        pa.nulls(1),
    ],
    ids=lambda column: str(column.type),
)
def test_a_column_of_a_type_without_use_counts_for_nothing(column):
    rows = pa.table({"a": ["x"]})
    other = rows.append_column("b", column)
    assert splitting.row_hashes(other, {}) == splitting.row_hashes(rows, {})


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "Unnamed: 0.1", "__index_level_0__"])
def test_an_unnamed_index_counts_for_nothing(name):
    rows = pa.table({name: [17], "a": ["x"]})
    assert splitting.row_hashes(rows, {}) == hashes(["x"])


def test_equal_values_in_other_columns_are_other_rows():
    assert hashes(["x"], name="a") != hashes(["x"], name="b")
    rows = pa.table({"a": ["x", "y"], "b": ["y", "x"]})
    assert len({*splitting.row_hashes(rows, {}).tolist()}) == 2


def test_of_rows_of_the_same_hash_the_first_ones_are_test_rows():
    chosen = splitting.test_rows(np.arange(1000, dtype=np.uint64) % 2, np.zeros(1000))
    assert np.flatnonzero(chosen).tolist() == [*range(0, 400, 2)]


def test_of_two_rows_of_a_label_one_is_a_test_row_and_a_single_row_is_none():
    chosen = splitting.test_rows(np.zeros(103, np.uint64), np.array([0] * 100 + [1, 1, 2]))
    assert np.flatnonzero(chosen).tolist() == [*range(20), 100]


def test_no_rows_have_no_hashes():
    rows = pa.table({"a": pa.array([], pa.string()), "b": pa.array([], pa.int64())})
    assert splitting.row_hashes(rows, {}).shape == (0,)


def test_hashes_of_rows_that_differ_in_one_number_are_spread_evenly():
    found = hashes(np.arange(10_000), pa.int64())
    counts = np.bincount((found >> np.uint64(60)).astype(int), minlength=16)
    assert len({*found.tolist()}) == 10_000
    assert abs(counts - 625).max() < 5 * 625**0.5


@given(st.integers(1, 400), st.integers(0, 400), st.integers(0, 2**32 - 1))
def test_a_fifth_of_each_label_is_for_testing(n_negative, n_positive, seed):
    y = np.repeat([0, 1], [n_negative, n_positive]).astype(np.int8)
    drawn = np.random.default_rng(seed).integers(0, 2**63, len(y)).astype(np.uint64)
    chosen = splitting.test_rows(drawn, y)
    for label, n in enumerate((n_negative, n_positive)):
        mine, others = drawn[(y == label) & chosen], drawn[(y == label) & ~chosen]
        assert len(mine) == min(max(1, round(n / 5)), n - 1) if n else not len(mine)
        assert not (len(mine) and len(others)) or mine.max() <= others.min()


@given(st.lists(st.integers(0, 20), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_change_which_values_are_tested(values, random):
    """Equal rows at the boundary may change places, which nobody can tell."""
    drawn, y = np.array(values, np.uint64), np.array(values) % 2
    order = np.array(random.sample(range(len(values)), len(values)))
    chosen, again = splitting.test_rows(drawn, y), splitting.test_rows(drawn[order], y[order])
    assert sorted(drawn[chosen].tolist()) == sorted(drawn[order][again].tolist())


def test_equal_rows_are_on_the_same_side_of_the_split():
    people = pd.DataFrame({"a": np.arange(500).repeat(2), "y": np.arange(500).repeat(2) % 2})
    found = splitting.row_hashes(pa.Table.from_pandas(people), {})
    chosen = splitting.test_rows(found, people["y"].to_numpy()).reshape(-1, 2)
    assert (chosen[:, 0] != chosen[:, 1]).sum() <= 2  # at most one pair of each label
