"""Text with any columns is read in many forms, and refused where it is something else."""

import csv
import gzip
import io
import random

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabular.data import census, readers, requests, sources, synthetic, text
from tabular.data.text import Dialect
from tabular.errors import UserError, WorkFailed

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=6)
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
ROWS = "".join(f"{random.Random(i).random()},{i}\n" for i in range(20_000)).encode()


@pytest.fixture(scope="module", autouse=True)
def _any_columns():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "require_columns", lambda *_: None, raising=False)
        yield


def read(path):
    """All rows, (n_samples, n_columns), and the bad rows."""
    with readers.open_rows(path, path.name) as source:
        chunks = [source.parse(*block) for block in source.blocks]
    rows = [chunk.rows for chunk in chunks] or [source.schema.empty_table()]
    return pa.concat_tables(rows), [bad for chunk in chunks for bad in chunk.bad]


@pytest.mark.parametrize(("name", "extension"), [
    ("a.csv", ".csv"), ("a.b.TSV", ".tsv"), ("A.Csv.GZ", ".csv.gz"), ("a.tsv.gz", ".tsv.gz"),
    ("a.Parquet", ".parquet"), ("adult.data", ".data"), ("adult.test.gz", ".test.gz"),
    ("a.gz", ""), ("a.parquet.gz", ""), ("a.txt", ""), (".csv", ""), (".csv.gz", ""), ("csv", ""),
])  # fmt: skip
def test_the_extension_is_known_in_any_case(tmp_path, name, extension):
    assert readers.extension(tmp_path / name) == extension


@settings(max_examples=150)
@given(
    rows=st.integers(2, 4).flatmap(
        lambda n: st.lists(st.lists(TEXTS, min_size=n, max_size=n), min_size=1, max_size=6)
    ),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    extension=st.sampled_from([".csv", ".tsv", ".csv.gz", ".tsv.gz"]),
    delimiter=st.sampled_from([*text.DELIMITERS]),
    name=st.sampled_from(["x", "x,y", "x;y;z", "x|y", "x\ty", 'x, "y"']),
    line_end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_the_csv_module_writes_is_read_back(
    tmp_path_factory, rows, quoting, extension, delimiter, name, line_end
):
    path = tmp_path_factory.mktemp("any") / f"rows{extension}"
    if quoting == csv.QUOTE_MINIMAL:
        name = "x"  # what stands between other delimiters would look like several names
    names = [name, *"abc"[: len(rows[0]) - 1]]
    content = io.StringIO(newline="")
    writer = csv.writer(content, delimiter=delimiter, quoting=quoting, lineterminator=line_end)
    writer.writerows([names, *rows])
    data = content.getvalue().encode()
    path.write_bytes(gzip.compress(data) if extension.endswith(".gz") else data)
    found, bad = read(path)
    assert bad == []
    assert found.column_names == names
    assert [[*row.values()] for row in found.to_pylist()] == rows


@pytest.mark.parametrize("sep", text.DELIMITERS)
@pytest.mark.parametrize("suffix", [".csv", ".tsv.gz"])
def test_what_pandas_writes_is_read_back(tmp_path, sep, suffix):
    path = tmp_path / f"rows{suffix}"
    frame = pd.DataFrame({"a, b; c": ["x,y", 'say "no"', ""], "d|e\tf": ["1;2", "\t|", "é"]})
    frame.to_csv(path, sep=sep, quoting=csv.QUOTE_NONNUMERIC)
    found, bad = read(path)
    assert bad == []
    assert found.to_pydict() == {"Unnamed: 0": ["0", "1", "2"], **frame.to_dict("list")}


def test_a_source_says_its_dialect_and_its_size(tmp_path):
    content = b"\xef\xbb\xbfa;b\n1;2\n"
    (tmp_path / "rows.csv").write_bytes(content)
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress(content))
    pd.DataFrame({"a": [1, 2]}).to_parquet(tmp_path / "rows.parquet")
    expected = {"csv": (Dialect(False, ";"), 4), "csv.gz": (Dialect(False, ";"), None)}
    for suffix, pair in (expected | {"parquet": (None, 2)}).items():
        with readers.open_rows(tmp_path / f"rows.{suffix}", "rows") as source:
            assert (source.dialect, source.size) == pair
            assert source.schema.names[0] == "a"


@pytest.mark.parametrize(("suffix", "is_uci"), [(".data", True), (".csv", False)])
def test_a_chunk_says_whether_it_is_in_the_dialect_of_uci(tmp_path, suffix, is_uci):
    path = tmp_path / f"rows{suffix}"
    path.write_text(",".join("abcdefghijklmno") + "\n" + ",".join("?" * 15) + "\n")
    with readers.open_rows(path, "rows") as source:
        assert {source.parse(*block).is_uci for block in source.blocks} == {is_uci}


def test_two_columns_with_the_same_name_are_refused(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,b,c,b,a\n1,2,3,4,5\n")
    with pytest.raises(UserError, match=r"rows.csv has two columns named a, b$"):
        read(path)


def test_a_truncated_gzip_file_is_refused(tmp_path):
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n" + ROWS)[:500])
    with pytest.raises(UserError, match=r"rows.csv.gz is not a whole gzip file: Compressed file"):
        read(path)


@pytest.mark.parametrize(("start", "stop"), [(100_000, 100_400), (150_000, None)])
def test_a_gzip_file_that_is_broken_in_the_middle_is_an_error(tmp_path, monkeypatch, start, stop):
    monkeypatch.setattr(text, "BLOCK_BYTES", 10_000)
    path = tmp_path / "rows.csv.gz"
    content = gzip.compress(b"a,b\n" + ROWS)
    changed = b"" if stop is None else b"\xff" * (stop - start) + content[stop:]
    path.write_bytes(content[:start] + changed)
    with pytest.raises(
        WorkFailed, match=r"rows.csv.gz is not a whole gzip file, read up to line 1"
    ):
        read(path)


# without the time of day, which would give the tests another name in each process
GZIP_TWICE = gzip.compress(gzip.compress(b"a", mtime=0), mtime=0)
GZIP_PAGE = gzip.compress(b"<html >", mtime=0)


@pytest.mark.parametrize(("name", "content", "message"), [
    ("a.csv", b"\x1f\x8b\x08\0", r"a.csv looks like a gzip file; rename it so .* \.csv\.gz"),
    ("a.csv", b"PAR1\x15\x04\x15", r"a.csv looks like a Parquet file; .* ends in \.parquet"),
    ("a.tsv", b"PK\x03\x04\x14", r"a.tsv looks like a zip archive or an Excel workbook; unpack"),
    ("a.csv", LFS_POINTER, "a pointer of Git LFS; run `git lfs"),
    ("a.parquet", LFS_POINTER, "run `git lfs pull`"),
    ("a.csv.gz", LFS_POINTER, "run `git lfs pull`"),
    ("a.csv.gz", b"a,b\n1,2\n", r"a.csv.gz is not a gzip file; rename it so that .* not end in"),
    ("a.csv.gz", b"", "a.csv.gz is not a gzip file: it is empty"),
    ("a.parquet", b"", "a.parquet is not a Parquet file: it is empty"),
    ("a.parquet", b"a,b\n1,2\n", r"a.parquet is not a Parquet file; .* ends in \.csv"),
    ("a.csv", b"/annex/objects/MD5-s1--0\n", "a pointer of git-annex; run `git annex get`"),
    ("a.csv", b"\n<!DOCTYPE html>\n", "a.csv looks like an HTML page; download it again"),
    ("a.parquet", b"<html lang='en'>", "a.parquet looks like an HTML page; download it again"),
    ("a.csv", b"<?xml version='1.0'?>", "a.csv looks like an XML document"),
    ("a.csv", b'{"a": 1, "b": 2}\n', "a.csv looks like JSON; save its rows as CSV"),
    ("a.csv", b'[{"a": 1}]', "a.csv looks like JSON"),
    ("a.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a.csv looks like an Excel workbook"),
    ("a.csv", b"\x28\xb5\x2f\xfd\0", "a.csv looks like a file compressed by bzip2, xz, zstd"),
    ("a.csv", b"SQLite format 3\0", "a.csv looks like an SQLite database"),
    ("a.csv", b"<<<<<<< HEAD\n", "a.csv looks like a file with an unresolved merge of Git"),
    ("a.csv", bytes(99), "a.csv looks like a file of zeros"),
    ("a.csv.gz", GZIP_TWICE, "a.csv.gz, decompressed, looks like a gzip"),
    ("a.csv.gz", GZIP_PAGE, "a.csv.gz, decompressed, looks like an HTML page"),
])  # fmt: skip
def test_a_file_that_looks_like_another_format_is_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        read(tmp_path / name)


@pytest.mark.parametrize(
    "name", ["PAR1", "PK", "version", "<b>x</b>", "{x}", "[", "html", "annex", "/annex"]
)
def test_a_name_of_a_column_is_not_taken_for_another_format(tmp_path, name):
    path = tmp_path / "rows.csv"
    path.write_text(f"{name},b\n1,2\n")
    assert read(path)[0].column_names == [name, "b"]


@pytest.mark.parametrize("data", ["directory", "uci", "auto"])
def test_a_pointer_in_place_of_the_census_says_what_fetches_it(tmp_path, monkeypatch, data):
    for name in (census.TRAIN, census.TEST):
        (tmp_path / name).write_bytes(LFS_POINTER)
    monkeypatch.setenv("CENSUS_DATA_DIR", str(tmp_path))
    with pytest.raises(UserError, match=r"adult.data looks like a pointer of Git LFS; run `git "):
        sources.load(str(tmp_path) if data == "directory" else data)


def test_a_pointer_in_place_of_the_recipe_of_synthetic_rows_says_so(tmp_path, monkeypatch):
    (tmp_path / "synthetic.npz").write_bytes(LFS_POINTER)
    monkeypatch.setattr(synthetic, "RECIPE", tmp_path / "synthetic.npz")
    synthetic._recipe.cache_clear()
    with pytest.raises(UserError, match=r"synthetic.npz looks like a pointer of Git LFS"):
        sources.load("synthetic")


def test_a_pointer_in_place_of_the_table_file_says_so(tmp_path):
    (tmp_path / "table.toml").write_bytes(LFS_POINTER)
    with pytest.raises(UserError, match=r"table.toml looks like a pointer of Git LFS"):
        requests.read_table_file(tmp_path)


def test_a_link_of_git_annex_to_a_file_that_is_not_here_says_what_fetches_it(tmp_path):
    (tmp_path / "rows.csv").symlink_to(".git/annex/objects/a/MD5-s1--0.csv")
    with pytest.raises(UserError, match=r"rows.csv: No such file .*; it is a link of git-annex"):
        read(tmp_path / "rows.csv")
    with pytest.raises(UserError, match=r"there is no .*; it is a link of git-annex"):
        sources.load(str(tmp_path / "rows.csv"))


@pytest.mark.parametrize("encoding", ["UTF-16", "UTF-16LE", "UTF-16BE", "UTF-32", "UTF-32LE"])
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".data"])
def test_utf16_and_utf32_are_refused_with_the_command_that_converts_them(
    tmp_path, encoding, suffix
):
    path = tmp_path / f"rows{suffix}"
    content = "name,größe\nAnna,1.5\nŁukasz,2\n".encode(encoding)
    path.write_bytes(gzip.compress(content) if suffix.endswith(".gz") else content)
    message = f"rows{suffix}: expected UTF-8 text; the file looks like {encoding}, convert it: "
    with pytest.raises(UserError) as caught:
        read(path)
    assert caught.value.message == f"{message}iconv -f {encoding} -t UTF-8 FILE > NEW"


@pytest.mark.parametrize(("byte", "encoding"), [(b"\xf6", "Windows-1252"), (b"\x81", "ISO-8859-1")])
def test_a_header_and_a_row_that_are_not_utf8_say_how_to_convert_the_file(tmp_path, byte, encoding):
    path = tmp_path / "rows.csv"
    hint = f"; the file looks like {encoding}, convert it: iconv -f {encoding.upper()} -t UTF-8"
    path.write_bytes(b"a,b\n1,2\n3," + byte + b"\n")
    rows, (bad,) = read(path)
    assert rows.to_pydict() == {"a": ["1"], "b": ["2"]}
    assert bad.line == 3
    assert hint in bad.reason
    path.write_bytes(b"a,b" + byte + b"\n1,2\n")
    with pytest.raises(UserError) as caught:
        read(path)
    assert "line 1: expected the columns' names as UTF-8 text" in caught.value.message
    assert hint in caught.value.message
