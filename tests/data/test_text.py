"""Parsing lines of text."""

import io

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from tabular.data import text


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from('a," \r'), max_size=14).filter(str.strip).map(str.encode))
def test_a_line_is_one_row_exactly_if_arrow_reads_it_as_one(line):
    """Between two other lines, Arrow reads it as exactly one row."""
    schema = pa.schema([(name, pa.string()) for name in "abc"])
    line, skipped = line.removesuffix(b"\r"), []
    block = b"1,2,3\n" + line + b"\n4,5,6"
    rows = text._parse_lines(block, schema, False, lambda row: skipped.append(row) or "skip")
    alone = len(rows) + len(skipped) == 3 and rows["c"][-1].as_py() == "6"
    reason = text._why_not_one_row(line, False)
    assert alone == (not reason) or (alone and b"\r" in line)  # Arrow skips empty rows


def test_blocks_are_complete_lines_with_their_numbers(monkeypatch):
    monkeypatch.setattr(text, "BLOCK_BYTES", 7)
    content = b"a\nbcdefgh\n\nij\nklmnopqrstuvw\nx"
    blocks = [*text.read_blocks(io.BytesIO(content), "file", 2)]
    assert b"".join(block for _, block in blocks) == content
    assert all(block.endswith(b"\n") for _, block in blocks[:-1])
    starts = [content.index(block) for _, block in blocks]
    assert [line for line, _ in blocks] == [2 + content[:i].count(b"\n") for i in starts]
