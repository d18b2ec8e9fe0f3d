"""Writing files: completely or not at all, and so that they are read back unchanged."""

import csv
import gzip
import os
from unittest.mock import Mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabular.data import readers, text, writers
from tabular.data.text import Dialect
from tabular.errors import UserError, WorkFailed

TEXTS = st.characters(exclude_categories=["Cs"], exclude_characters="\r\n")
WRITTEN = st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=6))


@settings(max_examples=100)
@given(st.lists(st.tuples(WRITTEN, WRITTEN), max_size=6))
def test_python_reads_the_written_csv_unchanged(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("any") / "out.csv"
    schema = pa.schema([("a, b", pa.string()), ("n", pa.float64()), ("c", pa.string())])
    columns = [[a for a, _ in rows], [0.1] * len(rows), [c for _, c in rows]]
    with writers.open_writers({path: schema}) as (write,):
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
    with pytest.raises(RuntimeError), writers.open_writers({path: schema}) as (write,):
        write(pa.table([["x"] * 100_000], schema))
        raise RuntimeError
    assert path.read_bytes() == b"before"
    assert not [*tmp_path.glob(".*")]
    with writers.open_writers({path: schema}) as (write,):
        write(pa.table([["x"]], schema))
    if suffix == readers.PARQUET:
        assert pq.read_table(path).to_pydict() == {"a": ["x"]}
    else:
        content = path.read_bytes()
        content = gzip.decompress(content) if suffix.endswith(".gz") else content
        assert content == (b"a\nx\n" if suffix[:4] in (".csv", ".tsv") else b"x\n")


def test_several_files_are_replaced_when_all_are_complete(tmp_path, monkeypatch):
    """A disk that is full at the end of one leaves the others as they were, too."""
    schema, paths = pa.schema([("a", pa.string())]), [tmp_path / "out.csv", tmp_path / "bad.csv"]
    for path in paths:
        path.write_text("before")
    monkeypatch.setattr(os, "fsync", Mock(side_effect=[None, OSError(28, "No space left")]))
    with (
        pytest.raises(OSError, match="No space"),
        writers.open_writers(dict.fromkeys(paths, schema)) as (write, _),
    ):
        write(pa.table([["x"]], schema))
    assert [path.read_text() for path in paths] == ["before", "before"]
    assert not [*tmp_path.glob(".*")]


def test_bytes_that_are_no_text_are_an_error_in_every_text_format(tmp_path):
    schema = pa.schema([("a", pa.binary())])
    for suffix in (".csv", ".data"):
        with (
            pytest.raises(WorkFailed, match="a value cannot be written: "),
            writers.open_writers({tmp_path / f"out{suffix}": schema}) as (write,),
        ):
            write(pa.table([[b"\xff"]], schema))


@settings(max_examples=100)
@given(
    st.lists(
        st.text('a",;|\t é', max_size=5).map(str.strip).filter(bool),
        min_size=2, max_size=3, unique=True,
    ),
    st.lists(st.text(TEXTS, max_size=6), min_size=3, max_size=12),
    st.sampled_from([".csv", ".tsv", ".csv.gz", ".tsv.gz"]),
)  # fmt: skip
def test_what_was_written_is_read_back(tmp_path_factory, names, values, suffix):
    """Also where a name or a value holds a delimiter or a quote."""
    path = tmp_path_factory.mktemp("any") / f"out{suffix}"
    table = pa.table(dict.fromkeys(names, values))
    with writers.open_writers({path: table.schema}) as (write,):
        write(table)
    with text_file(path) as file:
        delimiter = text.find_delimiter(file, "\t" if suffix.startswith(".tsv") else None)
        assert delimiter == ("\t" if suffix.startswith(".tsv") else ",")
        assert text.read_column_names(file, "out", dialect := Dialect(False, delimiter)) == names
        rows, _, bad = text.parse_block(2, file.read(), table.schema, dialect)
    assert (rows, bad) == (table, [])


def text_file(path):
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def test_equal_rows_give_equal_compressed_files(tmp_path, monkeypatch):
    schema, written = pa.schema([("a", pa.string())]), []
    for name, now in (("a.csv.gz", 1e9), ("b.csv.gz", 2e9)):
        monkeypatch.setattr("time.time", lambda now=now: now)
        with writers.open_writers({tmp_path / name: schema}) as (write,):
            write(pa.table([["x"]], schema))
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]


def test_compressed_rows_are_written_as_they_come(tmp_path):
    """They are not collected in memory."""
    path, schema = tmp_path / "out.csv.gz", pa.schema([("a", pa.float64())])
    with writers.open_writers({path: schema}) as (write,):
        write(pa.table([np.random.default_rng(0).random(100_000)], schema))
        (temporary,) = tmp_path.glob(".*")
        assert temporary.stat().st_size > 100_000


def test_the_case_of_an_extension_does_not_matter(tmp_path):
    path, schema = tmp_path / "OUT.Parquet", pa.schema([("a", pa.string())])
    with writers.open_writers({path: schema}) as (write,):
        write(pa.table([["x"]], schema))
    assert pq.read_table(path).to_pydict() == {"a": ["x"]}


@pytest.mark.parametrize("value", ["a,b", 'a"b', "a\nb", "a\rb"])
def test_a_value_that_the_format_of_uci_cannot_hold_is_an_error(tmp_path, value):
    """The format has no quotes."""
    path, schema = tmp_path / "out.data", pa.schema([("a", pa.string())])
    with (
        pytest.raises(WorkFailed, match=r"(?s)cannot be written: .*; \.csv can"),
        writers.open_writers({path: schema}) as (write,),
    ):
        write(pa.table([[value]], schema))
    assert not [*tmp_path.glob("*out*")]


@pytest.mark.parametrize(("name", "message"), [
    ("no/such/out.csv", r"^output: there is no folder /.*/no/such; create it, or name an"),
    ("file/out.csv", r"^output: /.*/file/out.csv: /.*/file is no folder$"),
    ("folder.csv", r"^output: /.*/folder.csv is a folder; name a file$"),
    (f"{'x' * 246}.csv", "^output: /.*: File name too long$"),
    (f"{'x' * 300}.csv", "^output: /.*: File name too long$"),
])  # fmt: skip
def test_an_output_that_cannot_be_written_is_refused_without_the_name_of_our_file(
    tmp_path, name, message
):
    (tmp_path / "file").touch()
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UserError, match=message):
        writers.require_writable(tmp_path / name)


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path, monkeypatch):
    """Also for root, whom permissions do not stop."""

    def touch(path, **options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.touch", touch)
    with pytest.raises(UserError) as caught:
        writers.require_writable(tmp_path / "out.csv")
    expected = f"output: no file can be written in {tmp_path}: Permission denied"
    assert caught.value.message == expected
