"""Reading a file in chunks: every line is a row, a bad row, blank or a comment."""

import csv
import io
import json
import os
import signal
import time
import tracemalloc

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabular import cancel
from tabular.data import columns, readers, text
from tabular.data.census import CENSUS
from tabular.errors import UserError, WorkFailed

FIELDS = [
    "39", "State-gov", "77516", "Bachelors", "13", "Never-married", "Adm-clerical",
    "Not-in-family", "White", "Male", "2174", "0", "40", "United-States", "<=50K",
]  # fmt: skip
HEADER = ",".join([*CENSUS.features, CENSUS.label])


def row(**changes):
    values = dict(zip([*CENSUS.features, CENSUS.label], FIELDS, strict=True))
    return ",".join((values | {k.replace("_", "-"): v for k, v in changes.items()}).values())


def read(path):
    """All rows as lists of values, the line of each, the bad rows, the features and the labels."""
    with readers.open_rows(path, f"input: {path.name}") as source:
        columns.require_columns(source.schema, CENSUS.schema, f"input: {path.name}")
        read = [columns.interpret(source.parse(*block), CENSUS.schema) for block in source.blocks]
        assert sum(chunk.size for chunk, *_ in read) == source.size
    rows = [[*r.values()] for chunk, *_ in read for r in chunk.rows.to_pylist()]
    lines = [int(line) for chunk, *_ in read for line in chunk.lines]
    bad = [bad for chunk, *_ in read for bad in chunk.bad]
    X = pd.concat([X for _, X, _ in read]) if read else None
    y = np.concatenate([y for *_, y in read]).tolist() if read else []
    return rows, lines, bad, X, y


def test_the_uci_dialect_has_no_header_and_may_have_comments(tmp_path):
    path = tmp_path / "adult.test"
    path.write_text(
        f"|1x3 Cross validator\n{row(age='?').replace(',', ', ')}.\n\n{row(income='>50K')}"
    )
    rows, lines, bad, X, y = read(path)
    assert (lines, bad, y) == ([2, 4], [], [0, 1])
    assert rows[0] == ["?", *FIELDS[1:-1], "<=50K."]
    assert np.isnan(X["age"].iloc[0])
    assert X["age"].iloc[1] == 39
    assert X["workclass"].tolist() == ["State-gov"] * 2


def test_a_file_without_labels_is_read(tmp_path):
    path = tmp_path / "new.data"
    path.write_text(",".join(FIELDS[:-1]) + "\n")
    rows, _, bad, _, y = read(path)
    assert (rows, bad, y) == ([FIELDS[:-1]], [], [-1])


def test_csv_columns_are_found_by_name_and_others_are_kept(tmp_path):
    path = tmp_path / "people.csv"
    names = ["note", *reversed(CENSUS.features)]
    values = ['a, "b"\tc', *reversed(FIELDS[:-1])]
    content = io.StringIO()
    csv.writer(content).writerows([names, values])
    path.write_bytes(b"\xef\xbb\xbf" + content.getvalue().encode())  # with a byte order mark
    rows, lines, bad, X, y = read(path)
    assert (rows, lines, bad, y) == ([values], [2], [], [-1])
    assert [*X] == [*CENSUS.features]
    assert X["capital-gain"].tolist() == [2174.0]


BAD_LINES = {
    row(age="old"): "age: expected a finite number, got 'old'",
    row(age="1e39"): "age: expected a finite number, got '1e39'",
    row(fnlwgt="inf"): "fnlwgt: expected a finite number, got 'inf'",
    row(income="50K"): "income: expected the label <=50K or >50K, got '50K'",
    "1,2,3": "expected 15 fields, got 3",
    row() + ",": "expected 15 fields, got 16",
    row()[:50]: "expected 15 fields, got 7",
    row(sex='"Male'): "expected one row, got a quote that stays open",
    row(sex="Ma\rle"): "expected one row, got an end of line within",
    row(sex="\udcff"): "expected UTF-8 text, got invalid start byte; the file looks like "
    "Windows-1252, convert it: iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW",
}


@pytest.mark.parametrize("line", BAD_LINES)
def test_a_bad_line_is_set_aside_with_its_number_and_the_reason(tmp_path, line):
    path = tmp_path / "rows.csv"
    lines = [HEADER, row(), line, row(age="40"), "", row(age="41")]
    path.write_bytes("\n".join(lines).encode(errors="surrogateescape"))
    rows, numbers, (bad,), X, y = read(path)
    assert numbers == [2, 4, 6]
    assert X["age"].tolist() == [39, 40, 41]
    assert y == [0, 0, 0]
    assert (bad.line, bad.reason) == (3, BAD_LINES[line])
    if bad.row.startswith("{"):
        assert ",".join(json.loads(bad.row).values()) == line
    else:
        assert bad.row == line.encode(errors="surrogateescape").decode(errors="backslashreplace")


def test_every_open_quote_in_a_block_is_a_bad_line(tmp_path):
    """Arrow lets one open quote close another, and an end of line in a row adds a row."""
    path = tmp_path / "rows.csv"
    lines = [row(age=str(age)) for age in range(20, 60)]
    for i in (3, 7, 30):
        lines[i] = row(sex='"Male', age="1")
    lines[12] = row(sex="Ma\rle", age="1")
    path.write_bytes("\n".join([HEADER, *lines]).encode())
    _, numbers, bad, X, _ = read(path)
    assert [b.line for b in bad] == [5, 9, 14, 32]
    assert X["age"].tolist() == [line - 2 + 20 for line in numbers]
    assert len(numbers) == 36


def test_bad_lines_are_found_though_arrow_finds_as_many_rows_as_lines(tmp_path):
    """Arrow reads one of these lines as two rows, and two of them as one row."""
    path = tmp_path / "rows.csv"
    lines = [f"{row()}\r{row()}", row(income='"<=50K'), '"', row(age="41")]
    path.write_bytes("\n".join([HEADER, *lines]).encode())
    _, numbers, bad, X, _ = read(path)
    assert (numbers, X["age"].tolist()) == ([5], [41])
    within, left_open = "an end of line within", "a quote that stays open"
    reasons = [(bad.line, bad.reason.removeprefix("expected one row, got ")) for bad in bad]
    assert reasons == [(2, within), (3, left_open), (4, left_open)]


def test_a_pipe_is_refused(tmp_path):
    """Reading from it might never end."""
    for name in ("rows.csv", "rows.data", "rows.parquet"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(UserError, match=f"input: {name}: is not a file"):
            read(tmp_path / name)


def test_the_block_size_does_not_change_the_result(tmp_path, monkeypatch):
    path = tmp_path / "rows.data"
    path.write_text("|marker\n" + "\n".join(row(fnlwgt=str(n)) for n in range(1000)) + "\nshort")
    in_one_block = read(path)
    monkeypatch.setattr(text, "BLOCK_BYTES", 700)
    rows, lines, bad, X, y = read(path)
    assert (rows, lines, bad, y) == (*in_one_block[:3], in_one_block[4])
    assert X["fnlwgt"].tolist() == [*range(1000)]
    assert lines == [*range(2, 1002)]
    assert [(b.line, b.row) for b in bad] == [(1002, "short")]


def test_a_line_that_is_too_long_is_an_error_and_does_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(text, "MAX_LINE_BYTES", 5000)
    path = tmp_path / "zeros.data"
    path.write_bytes(b"0" * 20_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(WorkFailed, match="zeros.data line 1 has more than 5,000 bytes"):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def frame():
    columns = zip(CENSUS.features, FIELDS, strict=False)
    return pd.DataFrame({k: [float(v) if k in CENSUS.numeric else v] * 3 for k, v in columns})


def test_parquet_columns_may_have_any_suitable_type(tmp_path):
    plain = frame()
    other = plain.astype({"age": "int16", "fnlwgt": "Int64", "sex": "category"})
    other["hours-per-week"] = ["40", " 40", "40.0"]
    other["income"] = pd.Categorical(["<=50K", None, ">50K."])
    other["born"] = pd.Timestamp(0)
    for name, written in (("plain", plain), ("other", other)):
        written.to_parquet(tmp_path / f"{name}.parquet")
        _, lines, bad, X, y = read(tmp_path / f"{name}.parquet")
        assert (lines, bad) == ([1, 2, 3], [])
        assert y == ([-1] * 3 if name == "plain" else [0, -1, 1])
        assert X.astype(plain.dtypes).equals(plain)


def test_a_bad_value_in_parquet_is_a_bad_row(tmp_path):
    rows = frame()
    rows.loc[1, "age"] = np.inf
    rows.to_parquet(tmp_path / "rows.parquet")
    _, lines, (bad,), _, _ = read(tmp_path / "rows.parquet")
    assert lines == [1, 3]
    assert (bad.line, bad.reason) == (2, "age: expected a finite number, got 'inf'")


@pytest.mark.parametrize(("change", "message"), [
    ({"age": [True] * 3}, "age: expected numbers, got bool"),
    ({"sex": [[1], [2], [3]]}, "sex: expected text, got list<element: int64>"),
    ({"income": pd.to_datetime([1, 0, 1])}, "income: expected text, got timestamp"),
])  # fmt: skip
def test_a_column_of_a_wrong_type_is_refused(tmp_path, change, message):
    frame().assign(**change).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(UserError, match=message):
        read(tmp_path / "rows.parquet")


def test_truncated_or_corrupt_parquet_is_an_error(tmp_path, monkeypatch):
    path = tmp_path / "rows.parquet"
    pd.concat([frame()] * 100).to_parquet(path, compression="none", use_dictionary=False)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="input: rows.parquet is not a whole Parquet file"):
        read(path)
    path.write_bytes(content[:4] + b"\xff" * 2000 + content[2004:])
    with pytest.raises(WorkFailed, match="input: rows.parquet is broken after row 0"):
        read(path)


@pytest.mark.parametrize("name", ["a\rb", "x" * 200_000])
def test_a_malformed_header_is_refused(tmp_path, name):
    path = tmp_path / "rows.csv"
    path.write_bytes(f"{HEADER},{name}\n{row()},1\n".encode())
    with pytest.raises(UserError, match=r"rows.csv line 1: expected the columns' names, got "):
        read(path)


@pytest.mark.parametrize("content", [b"", b"\n", b"  \n1,2\n"])
def test_a_file_without_a_header_is_refused(tmp_path, content):
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"line 1: expected the columns' names, got nothing"):
        read(path)


@pytest.mark.parametrize("name", ["sex", "age", "note"])
def test_parquet_text_that_is_not_utf8_is_an_error(tmp_path, name):
    """Arrow itself does not check the encoding."""
    content = pa.py_buffer(b"\xff\xfe" * 3)
    offsets = pa.array([0, 2, 4, 6], pa.int32()).buffers()[1]
    column = pa.Array.from_buffers(pa.string(), 3, [None, offsets, content])
    columns = dict(zip(frame(), pa.Table.from_pandas(frame()).columns, strict=True))
    pa.parquet.write_table(pa.table(columns | {name: column}), tmp_path / "rows.parquet")
    with pytest.raises(WorkFailed, match="rows.parquet is broken after row 0: .*UTF8"):
        read(tmp_path / "rows.parquet")


@pytest.mark.parametrize("column", [
    pa.array([2**31 - 1] * 3, pa.int32()).cast(pa.date32()),
    pa.array([2**62] * 3).cast(pa.timestamp("us")),
    pa.StructArray.from_arrays([pa.array([1, 2, 3])] * 2, ["a", "a"]),
    pa.array(["x"] * 3, pa.string_view()),
    pa.array([b"x"] * 3, pa.binary_view()),
])  # fmt: skip
def test_a_bad_row_with_values_that_python_cannot_hold_is_reported(tmp_path, column):
    path = tmp_path / "rows.parquet"
    rows = pa.Table.from_pandas(frame().assign(age=[1.0, np.inf, 3.0]))
    pa.parquet.write_table(rows.append_column("note", column), path)
    with readers.open_rows(path, "input") as source:
        (block,) = source.blocks
        chunk, X, _ = columns.interpret(source.parse(*block), CENSUS.schema)
    (bad,) = chunk.bad
    assert X["age"].tolist() == [1, 3]
    assert (bad.line, bad.reason) == (2, "age: expected a finite number, got 'inf'")
    assert json.loads(bad.row)["sex"] == "Male"


@pytest.mark.parametrize(
    "header", ["age,sex", HEADER.replace("education-num", "grade"), HEADER + ",age"]
)
def test_missing_and_duplicate_columns_are_refused(tmp_path, header):
    path = tmp_path / "rows.csv"
    path.write_text(f"{header}\n{row()}\n")
    with pytest.raises(
        UserError, match=r"input: rows.csv has (no (age, )?workclass|no education-num|two)"
    ):
        read(path)


CELL = st.one_of(
    st.sampled_from(
        ["", "?", "39", " 40 ", "1e3", "-0", "nan", "NaN", "1e400", '"', "a,b", ">50K"]
    ),
    st.text(max_size=8),
    st.floats(width=32).map(str),
)


@settings(max_examples=150)
@given(
    st.lists(
        st.one_of(st.lists(CELL, min_size=14, max_size=16), st.text(max_size=60)),
        max_size=12,
    ),
    st.sampled_from([".data", ".csv", ".tsv"]),
)
def test_every_line_is_a_row_or_a_bad_row_or_skipped(tmp_path_factory, lines, suffix):
    """Whatever the bytes are, no line is lost or counted twice, and nothing raises."""
    path = tmp_path_factory.mktemp("any") / f"rows{suffix}"
    delimiter, has_header = "\t" if suffix == ".tsv" else ",", suffix != ".data"
    content = "\n".join(x if isinstance(x, str) else delimiter.join(x) for x in lines)
    if has_header:
        content = f"{HEADER.replace(',', delimiter)}\n{content}"
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    _, numbers, bad, X, y = read(path)
    found = path.read_bytes().split(b"\n")
    first = 2 if has_header else 1
    expected = [
        number
        for number, line in enumerate(found[first - 1 :], start=first)
        if (line.strip() or delimiter.encode() in line)
        and not (suffix == ".data" and line.startswith(b"|"))
    ]
    assert sorted([*numbers, *(b.line for b in bad)]) == expected
    assert len(numbers) == len(y) == (0 if X is None else len(X))
    if has_header:  # whether a row is bad does not depend on the other rows
        for number in expected:
            path.write_bytes(b"\n".join([found[0], found[number - 1]]))
            assert bool(read(path)[1]) == (number in numbers), found[number - 1]
    assert X is None or not np.isinf(X.select_dtypes("number")).any(axis=None)


def test_results_come_in_the_order_of_the_items():
    delays = [0.02, 0.0, 0.01, 0.0] * 5

    def work(item):
        time.sleep(item[1])
        return item

    items = [*enumerate(delays)]
    assert [*readers.map_in_order(work, items)] == items


def test_few_items_are_pending():
    """A file is not read much faster than its rows are used."""
    taken = []
    results = readers.map_in_order(str, (taken.append(i) or i for i in range(1000)))
    next(results)
    assert len(taken) <= 2 * joblib.cpu_count() + 1
    results.close()


def test_reading_stops_at_the_next_item_after_a_signal(monkeypatch):
    results = readers.map_in_order(str, range(1000))
    next(results)
    monkeypatch.setattr(cancel, "_received", signal.SIGTERM)
    with pytest.raises(cancel.Cancelled):
        next(results)
