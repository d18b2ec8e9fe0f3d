"""Lines of text become rows: the dialect of UCI's files, and delimited text with a header.

Arrow parses a block of lines at once. Where it does not find one row in each line, every line is
checked by itself, so that no line is good or bad because of the lines around it.
"""

import csv
import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv

from tabular.data import census, signatures
from tabular.errors import UserError, WorkFailed

BLOCK_BYTES = 1 << 23  # bytes of a file read at a time
MAX_LINE_BYTES = 1 << 26  # bytes of a line
COMMENT = census.COMMENT.encode()
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}  # of files with a header
SAMPLE_LINES, SAMPLE_BYTES = 100, 1 << 20  # the first lines, in which the delimiter is searched
FITTING = 0.9  # share of the first lines with as many fields as the header that suffices
GZIP_ERRORS = (EOFError, zlib.error, gzip.BadGzipFile)  # a compressed text is truncated or corrupt


@dataclass(frozen=True)
class Dialect:
    """How a file of text writes rows.

    Attributes:
        uci: as UCI's files: no header, no quotes, comments.
        delimiter: the character between two fields.
    """

    uci: bool
    delimiter: str

    @cached_property
    def row(self) -> re.Pattern[bytes]:
        """The part of a line that Arrow reads as one row.

        It ends before a quote that stays open or an end of line.
        """
        delimiter = re.escape(self.delimiter.encode())
        rest = b"[^%b\r]*+" % delimiter
        field = b'(?:"(?:[^"]|"")*+"%b|[^"%b\r]%b|)' % (rest, delimiter, rest)
        return re.compile(field + b"(?:%b%b)*+" % (delimiter, field))


UCI_DIALECT = Dialect(True, ",")


class BadRow(NamedTuple):
    """A row that cannot be used."""

    line: int  # in a text file, or the position in a Parquet file; counted from 1
    reason: str  # what was expected and what was found
    row: str  # the line as it is in the file, or the values as JSON


def find_delimiter(file: BinaryIO, preferred: str | None = None) -> str:
    """The delimiter of a file with a header; the file's position stays as it is.

    It is the one of ``DELIMITERS`` that splits nearly all of the first lines into as many fields as
    the header, more than one; if several do, the one with the most fields. Where no delimiter
    splits the header, the file has one column, and the delimiter is the preferred one or a comma.

    Args:
        file: at its header.
        preferred: the delimiter if it fits, even if another one gives more fields.
    """
    start, lines, n_bytes = file.tell(), list[str](), 0
    while len(lines) < SAMPLE_LINES and n_bytes < SAMPLE_BYTES:
        if not (line := file.readline(MAX_LINE_BYTES)):
            break
        n_bytes += len(line)
        if line.strip() or not lines:
            lines.append(line.decode("utf-8", "backslashreplace"))
    file.seek(start)
    found = {}
    for delimiter in DELIMITERS if lines else ():
        n_fields = [_count_fields(line, delimiter) for line in lines]
        if (header := n_fields[0]) > 1:
            share = n_fields.count(header) / len(n_fields)
            found[delimiter] = min(share, FITTING), delimiter == preferred, header
    return max(found, key=lambda delimiter: found[delimiter], default=preferred or ",")


def _count_fields(line: str, delimiter: str) -> int:
    """The number of fields of a line; 0 if its quotes do not enclose whole fields."""
    try:
        reader = csv.reader([line], delimiter=delimiter, skipinitialspace=True, strict=True)
        return len(next(reader, []))
    except csv.Error:
        return 0


def read_column_names(file: BinaryIO, named: str, dialect: Dialect) -> list[str]:
    """Column names of a file; the file is then at the first line of rows.

    A column without a name gets the name that pandas gives it: ``Unnamed: `` and its position.

    Raises:
        UserError: the first line of a file with a header is no header.
    """
    if not dialect.uci:
        return _parse_header(file.readline(MAX_LINE_BYTES), named, dialect)
    start = file.tell()
    lines = iter(partial(file.readline, MAX_LINE_BYTES), b"")
    n_fields = next((line.count(b",") + 1 for line in lines if not _is_skipped(line, dialect)), 0)
    file.seek(start)
    features = census.CENSUS.features
    return [*features, *([census.LABEL] if n_fields != len(features) else [])]


def _parse_header(line: bytes, named: str, dialect: Dialect) -> list[str]:
    expected = f"{named} line 1: expected the columns' names"
    if not line.strip():
        raise UserError(f"{expected}, got nothing")
    if re.fullmatch(rb"sep=.\s*", line, re.IGNORECASE):
        shown = line.decode(errors="replace").strip()
        raise UserError(f"{expected}, got {shown!r}, which is for Excel; delete this line")
    try:
        header = [line.decode()]
        found = next(csv.reader(header, delimiter=dialect.delimiter, skipinitialspace=True), [])
    except UnicodeDecodeError as error:
        hint = signatures.explain_invalid_utf8(line)
        raise UserError(f"{expected} as UTF-8 text, got {error.reason}; {hint}") from None
    except csv.Error as error:
        raise UserError(f"{expected}, got {error}") from None
    names = [name.strip() for name in found]
    for position, name in enumerate(names):
        n, new = 0, name or f"Unnamed: {position}"
        while not name and new in names:  # a file that pandas read and wrote again
            n += 1
            new = f"Unnamed: {position}.{n}"
        names[position] = new
    return names


def read_blocks(file: BinaryIO, named: str, line: int) -> Iterator[tuple[int, bytes]]:
    """Read complete lines, about ``BLOCK_BYTES`` at a time; yields the first line's number, too.

    Args:
        line: the number of the next line in the file, counted from 1.

    Raises:
        WorkFailed: a line has more than ``MAX_LINE_BYTES``, or compressed text is broken.
    """
    rest = b""
    while block := _read_block(file, named, line):
        if end := block.rfind(b"\n") + 1:
            lines = b"".join((rest, memoryview(block)[:end]))  # one copy of many bytes, not three
            yield line, lines
            line += lines.count(b"\n")
            rest = block[end:]
        elif len(rest := rest + block) > MAX_LINE_BYTES:
            raise WorkFailed(f"{named} line {line:,} has more than {MAX_LINE_BYTES:,} bytes")
    if rest:
        yield line, rest


def _read_block(file: BinaryIO, named: str, line: int) -> bytes:
    try:
        return file.read(BLOCK_BYTES)
    except GZIP_ERRORS as error:
        read = f"read up to line {line - 1:,}"
        raise WorkFailed(f"{named} is not a whole gzip file, {read}: {error}") from None


def parse_block(
    line: int, block: bytes, schema: pa.Schema, dialect: Dialect
) -> tuple[pa.Table, np.ndarray, list[BadRow]]:
    """Parse a block that ``read_blocks`` yields.

    Returns:
        The good rows as text, (n_samples, n_columns); the line of each, (n_samples,); and the bad
        rows.
    """
    if dialect.uci and block.startswith(COMMENT):  # as in adult.test: not a whole block is slow
        line, (_, _, block) = line + 1, block.partition(b"\n")
    n_lines = block.count(b"\n") + (not block.endswith(b"\n"))
    # A search for one byte is much faster than one for two, so it goes first
    has_comment = dialect.uci and COMMENT in block
    has_comment = has_comment and (block.startswith(COMMENT) or b"\n" + COMMENT in block)
    if not has_comment and (b"\r" not in block or block.count(b"\r") == block.count(b"\r\n")):
        table = _parse_lines(block, schema, dialect)
        if table is not None and len(table) == n_lines:
            return table, line + np.arange(n_lines), []
    return _parse_checked_lines(line, block, schema, dialect)


def _parse_checked_lines(
    first: int, block: bytes, schema: pa.Schema, dialect: Dialect
) -> tuple[pa.Table, np.ndarray, list[BadRow]]:
    bad, lines = [], {}
    for number, line in enumerate(block.split(b"\n"), start=first):
        line = line.removesuffix(b"\r")
        if _is_skipped(line, dialect):
            continue
        if reason := _why_not_one_row(line, dialect):
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
        table = _parse_lines(b"\n".join(lines.values()), schema, dialect, skip)
    bad += [BadRow(numbers[i], why, _printable(lines[numbers[i]])) for i, why in reasons.items()]
    return table, np.delete(np.array(numbers, int), [*reasons]), sorted(bad)


def _is_skipped(line: bytes, dialect: Dialect) -> bool:
    if dialect.uci and line.startswith(COMMENT):
        return True
    return not line.strip() and dialect.delimiter.encode() not in line  # tabs are empty fields


def _why_not_one_row(line: bytes, dialect: Dialect) -> str:
    """Why Arrow would not read a line as exactly one row; empty if it would."""
    try:
        line.decode()
    except UnicodeDecodeError as error:
        hint = signatures.explain_invalid_utf8(line)
        return f"expected UTF-8 text, got {error.reason}; {hint}"
    row = None if dialect.uci or b'"' not in line else dialect.row.match(line)
    end = row.end() if row else line.find(b"\r")
    if end in (-1, len(line)):
        return ""
    found = "an end of line within" if line[end] == ord("\r") else "a quote that stays open"
    return f"expected one row, got {found}"


def _printable(text: bytes) -> str:
    return text.decode("utf-8", "backslashreplace")


def _parse_lines(
    lines: bytes, schema: pa.Schema, dialect: Dialect, on_bad_row: Callable | None = None
) -> pa.Table | None:
    """Lines as a table of text; None where Arrow cannot parse them together."""
    try:
        return pa.csv.read_csv(
            pa.BufferReader(lines),
            pa.csv.ReadOptions(
                use_threads=False, block_size=len(lines) + 1, column_names=schema.names
            ),
            pa.csv.ParseOptions(
                delimiter=dialect.delimiter,
                quote_char=False if dialect.uci else '"',
                invalid_row_handler=on_bad_row,
            ),
            pa.csv.ConvertOptions(column_types=schema, strings_can_be_null=False),
        )
    except pa.ArrowInvalid:
        return None
