"""Parsing lines of text."""

import io

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabular.data import text
from tabular.data.text import Dialect


@pytest.mark.parametrize("delimiter", text.DELIMITERS)
@settings(max_examples=150)
@given(characters=st.text(st.sampled_from('a," \rD'), max_size=14))
def test_a_line_is_one_row_exactly_if_arrow_reads_it_as_one(delimiter, characters):
    """Between two other lines, Arrow reads it as exactly one row."""
    dialect, schema = Dialect(False, delimiter), pa.schema([(name, pa.string()) for name in "abc"])
    line, skipped = characters.replace("D", delimiter).encode().removesuffix(b"\r"), []
    if text._is_skipped(line, dialect):
        return
    others = [delimiter.join(fields).encode() for fields in ("123", "456")]
    block = b"\n".join([others[0], line, others[1]])
    rows = text._parse_lines(block, schema, dialect, lambda row: skipped.append(row) or "skip")
    alone = len(rows) + len(skipped) == 3 and rows["c"][-1].as_py() == "6"
    reason = text._why_not_one_row(line, dialect)
    assert alone == (not reason) or (alone and b"\r" in line)  # Arrow skips empty rows


@pytest.mark.parametrize(("content", "delimiter"), [
    ("a,b,c\n1,2,3\n", ","),
    ("a;b;c\n1,5;2,5;3\n", ";"),
    ("a\tb\n1,0\t2\n", "\t"),
    ("a|b\n1|2\n", "|"),
    ('"a, in $","b"\n1,2\n', ","),
    ('"a, in $, net";"b"\n1;2\n', ";"),
    ('a;"b, c, d"\n1;2\n', ";"),
    ("price, net;n, all;city\n1,50;3;Berlin\n2,75;4;Rome\n", ";"),  # the comma gives fewer
    ("a;b;c,d\n1,2\n3,4\n", ","),  # only the comma fits the rows
    ("a,b\n1,2\n\n3,4\n \n", ","),  # blank lines do not count
    ("a,b\n" + "1,2\n" * 30 + "1;2;3\n", ","),
    ("a,b|c\nx|y,z\n", ","),  # both fit
    ("comment\nwell, so\nno, no\n", ","),  # one column
    ("", ","),
])  # fmt: skip
def test_the_delimiter_is_found_in_the_first_lines(content, delimiter):
    file = io.BytesIO(b"..." + content.encode())
    file.seek(3)
    assert text.find_delimiter(file) == delimiter
    assert file.tell() == 3


def test_the_preferred_delimiter_is_taken_where_it_fits():
    content = b"a, b, c\td\n1, 2, 3\t4\n"
    assert text.find_delimiter(io.BytesIO(content)) == ","
    assert text.find_delimiter(io.BytesIO(content), "\t") == "\t"
    assert text.find_delimiter(io.BytesIO(b"a,b\n1,2\n"), "\t") == ","


@pytest.mark.parametrize(("header", "names"), [
    (" a ,  b,c\r\n", ["a", "b", "c"]),
    (",a,,\n", ["Unnamed: 0", "a", "Unnamed: 2", "Unnamed: 3"]),
    (",Unnamed: 0,a\n", ["Unnamed: 0.1", "Unnamed: 0", "a"]),
    ('"", "x ""y"", z"\n', ["Unnamed: 0", 'x "y", z']),
])  # fmt: skip
def test_names_are_stripped_and_missing_ones_are_those_of_pandas(header, names):
    dialect = Dialect(False, ",")
    assert text.read_column_names(io.BytesIO(header.encode()), "file", dialect) == names


def test_a_line_of_tabs_is_a_row_of_empty_fields():
    """Also where its block must be checked line by line."""
    schema, dialect = pa.schema([("a", pa.string()), ("b", pa.string())]), Dialect(False, "\t")
    rows, lines, bad = text.parse_block(2, b"\t\n \nx\ty\n", schema, dialect)
    assert (rows["a"].to_pylist(), lines.tolist(), bad) == (["", "x"], [2, 4], [])


def test_blocks_are_complete_lines_with_their_numbers(monkeypatch):
    monkeypatch.setattr(text, "BLOCK_BYTES", 7)
    content = b"a\nbcdefgh\n\nij\nklmnopqrstuvw\nx"
    blocks = [*text.read_blocks(io.BytesIO(content), "file", 2)]
    assert b"".join(block for _, block in blocks) == content
    assert all(block.endswith(b"\n") for _, block in blocks[:-1])
    starts = [content.index(block) for _, block in blocks]
    assert [line for line, _ in blocks] == [2 + content[:i].count(b"\n") for i in starts]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize(("comments", "expected"), [(0, [4, 5]), (1, [5, 6]), (2, [6, 7])])
def test_lines_are_numbered_after_comments_at_the_start_of_a_block(comments, expected, end):
    block = end.join([b"|1x3, Cross validator"] * comments + [b"a", b"b", b""])
    schema = pa.schema([("a", pa.string())])
    rows, lines, bad = text.parse_block(4, block, schema, text.UCI_DIALECT)
    assert (rows["a"].to_pylist(), lines.tolist(), bad) == (["a", "b"], expected, [])


def test_a_block_may_be_a_comment_alone():
    schema = pa.schema([("a", pa.string())])
    rows, lines, bad = text.parse_block(1, b"|a comment\n", schema, text.UCI_DIALECT)
    assert (len(rows), len(lines), bad) == (0, 0, [])
