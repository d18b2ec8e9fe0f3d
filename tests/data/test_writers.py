"""Writing files: completely or not at all, and so that they are read back unchanged."""

import csv

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabular.data import readers, writers
from tabular.errors import WorkFailed

WRITTEN = st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=6))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(WRITTEN, WRITTEN), max_size=6))
def test_python_reads_the_written_csv_unchanged(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("any") / "out.csv"
    schema = pa.schema([("a, b", pa.string()), ("n", pa.float64()), ("c", pa.string())])
    columns = [[a for a, _ in rows], [0.1] * len(rows), [c for _, c in rows]]
    with writers.open_writer(path, schema) as write:
        for _ in range(2):
            write(pa.table(columns, schema))
    with path.open(newline="", encoding="utf-8") as file:
        header, *found = csv.reader(file)
    assert header == ["a, b", "n", "c"]
    assert found == [[a or "", "0.1", c or ""] for a, c in rows] * 2


@pytest.mark.parametrize("suffix", readers.EXTENSIONS)
def test_a_file_is_replaced_completely_or_not_at_all(tmp_path, suffix):
    path, schema = tmp_path / f"out{suffix}", pa.schema([("a", pa.string())])
    path.write_text("before")
    with pytest.raises(RuntimeError), writers.open_writer(path, schema) as write:
        write(pa.table([["x"] * 100_000], schema))
        raise RuntimeError
    assert path.read_bytes() == b"before"
    assert not [*tmp_path.glob(".*")]
    with writers.open_writer(path, schema) as write:
        write(pa.table([["x"]], schema))
    if suffix == readers.PARQUET:
        assert pq.read_table(path).to_pydict() == {"a": ["x"]}
    else:
        assert path.read_text() == ("a\nx\n" if suffix == readers.CSV else "x\n")


@pytest.mark.parametrize("value", ["a,b", 'a"b', "a\nb", "a\rb"])
def test_a_value_that_the_format_of_uci_cannot_hold_is_an_error(tmp_path, value):
    """The format has no quotes."""
    path, schema = tmp_path / "out.data", pa.schema([("a", pa.string())])
    with (
        pytest.raises(WorkFailed, match=r"(?s)cannot be written: .*; \.csv can"),
        writers.open_writer(path, schema) as write,
    ):
        write(pa.table([[value]], schema))
    assert not [*tmp_path.glob("*out*")]
