"""Lines of text become rows: the dialect of UCI's files, and CSV with a header.

Arrow parses a block of lines at once. Where it does not find one row in each line, every line is
checked by itself, so that no line is good or bad because of the lines around it.
"""

import csv
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv

from tabular.data import census
from tabular.errors import UserError, WorkFailed

BLOCK_BYTES = 1 << 23  # bytes of a file read at a time
MAX_LINE_BYTES = 1 << 26  # bytes of a line
COMMENT = census.COMMENT.encode()
# The part of a CSV line that Arrow reads as one row: it ends before an open quote or an end of line
FIELD = rb'(?:"(?:[^"]|"")*+"[^,\r]*+|[^",\r][^,\r]*+|)'
ROW = re.compile(FIELD + b"(?:," + FIELD + b")*+")


class BadRow(NamedTuple):
    """A row that cannot be used."""

    line: int  # in a text file, or the position in a Parquet file; counted from 1
    reason: str  # what was expected and what was found
    row: str  # the line as it is in the file, or the values as JSON


def read_column_names(file: BinaryIO, named: str, uci: bool) -> list[str]:
    """Column names of a file; the file is then at the first line of rows.

    Raises:
        UserError: the first line of a CSV file is not a header.
    """
    if not uci:
        header = file.readline(MAX_LINE_BYTES).decode("utf-8", "backslashreplace")
        try:
            names = next(csv.reader([header], skipinitialspace=True), [])
        except csv.Error as error:
            raise UserError(f"{named} line 1: expected the columns' names, got {error}") from None
        return [name.strip() for name in names]
    start = file.tell()
    lines = iter(partial(file.readline, MAX_LINE_BYTES), b"")
    n_fields = next((line.count(b",") + 1 for line in lines if not _is_skipped(line, uci)), 0)
    file.seek(start)
    return [*census.FEATURES, *([census.LABEL] if n_fields != len(census.FEATURES) else [])]


def read_blocks(file: BinaryIO, named: str, line: int) -> Iterator[tuple[int, bytes]]:
    """Read complete lines, about ``BLOCK_BYTES`` at a time; yields the first line's number, too.

    Args:
        line: the number of the next line in the file, counted from 1.

    Raises:
        WorkFailed: a line has more than ``MAX_LINE_BYTES``.
    """
    rest = b""
    while block := file.read(BLOCK_BYTES):
        head, newline, tail = block.rpartition(b"\n")
        if newline:
            yield line, rest + head + newline
            line += rest.count(b"\n") + head.count(b"\n") + 1
            rest = tail
        elif len(rest := rest + block) > MAX_LINE_BYTES:
            raise WorkFailed(f"{named} line {line:,} has more than {MAX_LINE_BYTES:,} bytes")
    if rest:
        yield line, rest


def parse_block(
    line: int, block: bytes, schema: pa.Schema, uci: bool
) -> tuple[pa.Table, np.ndarray, list[BadRow]]:
    """Parse a block that ``read_blocks`` yields.

    Returns:
        The good rows as text, (n_samples, n_columns); the line of each, (n_samples,); and the bad
        rows.
    """
    n_lines = block.count(b"\n") + (not block.endswith(b"\n"))
    has_comment = uci and (block.startswith(COMMENT) or b"\n" + COMMENT in block)
    if not has_comment and block.count(b"\r") == block.count(b"\r\n"):
        table = _parse_lines(block, schema, uci)
        if table is not None and len(table) == n_lines:
            return table, line + np.arange(n_lines), []
    return _parse_checked_lines(line, block, schema, uci)


def _parse_checked_lines(
    first: int, block: bytes, schema: pa.Schema, uci: bool
) -> tuple[pa.Table, np.ndarray, list[BadRow]]:
    bad, lines = [], {}
    for number, line in enumerate(block.split(b"\n"), start=first):
        line = line.removesuffix(b"\r")
        if _is_skipped(line, uci):
            continue
        if reason := _why_not_one_row(line, uci):
            bad.append(BadRow(number, reason, _printable(line)))
        else:
            lines[number] = line
    numbers, reasons = [*lines], {}  # reasons: by position among the lines

    def skip(row: pa.csv.InvalidRow) -> str:
        expected, got = row.expected_columns, row.actual_columns
        reasons[row.number - 1] = f"expected {expected} fields, got {got}"
        return "skip"

    table = schema.empty_table()
    if lines:
        table = _parse_lines(b"\n".join(lines.values()), schema, uci, skip)
    bad += [BadRow(numbers[i], why, _printable(lines[numbers[i]])) for i, why in reasons.items()]
    return table, np.delete(np.array(numbers, int), [*reasons]), sorted(bad)


def _is_skipped(line: bytes, uci: bool) -> bool:
    return not line.strip() or (uci and line.startswith(COMMENT))


def _why_not_one_row(line: bytes, uci: bool) -> str:
    """Why Arrow would not read a line as exactly one row; empty if it would."""
    try:
        line.decode()
    except UnicodeDecodeError as error:
        return f"expected UTF-8 text, got {error.reason}"
    row = None if uci or b'"' not in line else ROW.match(line)
    end = row.end() if row else line.find(b"\r")
    if end in (-1, len(line)):
        return ""
    found = "an end of line within" if line[end] == ord("\r") else "a quote that stays open"
    return f"expected one row, got {found}"


def _printable(text: bytes) -> str:
    return text.decode("utf-8", "backslashreplace")


def _parse_lines(
    lines: bytes, schema: pa.Schema, uci: bool, on_bad_row: Callable | None = None
) -> pa.Table | None:
    """Lines as a table of text; None where Arrow cannot parse them together."""
    try:
        return pa.csv.read_csv(
            pa.BufferReader(lines),
            pa.csv.ReadOptions(
                use_threads=False, block_size=len(lines) + 1, column_names=schema.names
            ),
            pa.csv.ParseOptions(quote_char=False if uci else '"', invalid_row_handler=on_bad_row),
            pa.csv.ConvertOptions(column_types=schema, strings_can_be_null=False),
        )
    except pa.ArrowInvalid:
        return None
