"""Files of raw rows, of any size: read a piece at a time, bad rows set aside.

The extension decides: ``.data`` and ``.test`` are the UCI dialect (no header, ``?`` for a missing
value, comments), ``.csv`` has a header, ``.parquet`` is Parquet. In text, a line is a row.
"""

import codecs
import csv
import errno
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

import joblib
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from tabular.data import census
from tabular.errors import UserError, WorkFailed

UCI, CSV, PARQUET = (".data", ".test"), ".csv", ".parquet"
EXTENSIONS = *UCI, CSV, PARQUET
BLOCK_BYTES = 1 << 23  # bytes of text read at a time
MAX_LINE_BYTES = 1 << 26  # bytes of a line
ROWS_PER_CHUNK = 1 << 16  # rows of Parquet read at a time
# columns that Arrow cannot take rows from
VIEWS = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
# of a line of CSV what Arrow reads as one row: it ends before an open quote or an end of line
FIELD = rb'(?:"(?:[^"]|"")*+"[^,\r]*+|[^",\r][^,\r]*+|)'
ROW = re.compile(FIELD + b"(?:," + FIELD + b")*+")
COMMENT = census.COMMENT.encode()
MISSING_MARKERS = (census.MISSING, "", "nan", "NaN", "NAN")  # where the dialect is not UCI's


class BadRow(NamedTuple):
    """A row that cannot be used: its line (in Parquet its place, from 1), why, and what it is."""

    line: int
    reason: str
    row: str


class Chunk(NamedTuple):
    """Some rows in a row.

    Attributes:
        rows: (n_samples, n_columns) as they stand in the file; text is not interpreted.
        lines: where each row stands in the file, (n_samples,), counted from 1.
        bad: rows of the file that are not among ``rows``.
        size: what the piece adds to the size of the file.
        no_value: texts that stand for a missing value.
    """

    rows: pa.Table
    lines: np.ndarray
    bad: list[BadRow]
    size: int
    no_value: tuple[str, ...] = MISSING_MARKERS


class RowSource(NamedTuple):
    """A file that can be read.

    Attributes:
        schema: the columns.
        size, unit: of the whole, bytes of text or rows of Parquet.
        blocks: gives what ``parse`` makes a piece of, in the file's order; may be iterated once.
        parse: may be called by several threads.
    """

    schema: pa.Schema
    size: int
    unit: str
    blocks: Iterator
    parse: Callable[..., Chunk]


def require_known_extension(path: Path, option: str) -> None:
    """Raise ``UserError`` where the extension says nothing."""
    if path.suffix not in EXTENSIONS:
        raise UserError(
            f"{option}: expected a file that ends in {', '.join(EXTENSIONS)}, got {path.name!r}"
        )


@contextmanager
def open_rows(path: Path, named: str) -> Iterator[RowSource]:
    """Open a file of rows that has the columns of the table, in any order, and maybe others.

    Args:
        named: what errors call the file.

    Raises:
        UserError: it cannot be read, or a column is missing or of the wrong kind.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise OSError(errno.EINVAL, "is no file")  # a pipe would keep its reader waiting
        file = path.open("rb")
    except OSError as error:
        raise UserError(f"{named}: {error.strerror}") from None
    with file:
        source = (_open_parquet if path.suffix == PARQUET else _open_text)(path, file, named)
        names = source.schema.names
        if missing := [name for name in census.FEATURES if name not in names]:
            found = ", ".join(names[:20]) or "nothing"
            raise UserError(f"{named} has no {', '.join(missing)}; it has {found}")
        if twice := {name for name in names if names.count(name) > 1}:
            raise UserError(f"{named} has two columns of the name {', '.join(twice)}")
        for field in source.schema:
            _require_kind(named, field)
        yield source


def _require_kind(named: str, field: pa.Field) -> None:
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    fits = is_text(kind) or pa.types.is_null(kind)
    if field.name in census.NUMERIC:
        numeric = pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal
        fits = fits or any(check(kind) for check in numeric)
    if not fits and field.name in (*census.FEATURES, census.LABEL):
        expected = "numbers" if field.name in census.NUMERIC else "text"
        raise UserError(f"{named}, {field.name}: expected {expected}, got {field.type}")


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds text."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view()


def _open_parquet(path: Path, file: BinaryIO, named: str) -> RowSource:
    try:
        parquet = pq.ParquetFile(file)
        kinds = [(field.name, VIEWS.get(field.type, field.type)) for field in parquet.schema_arrow]
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{named} is not a whole Parquet file: {error}") from None
    schema = pa.schema(kinds)

    def blocks():
        start = 1
        try:
            for batch in parquet.iter_batches(ROWS_PER_CHUNK):
                yield start, batch
                start += len(batch)
        except (pa.ArrowException, OSError) as error:
            raise WorkFailed(f"{named} is broken after row {start - 1:,}: {error}") from None

    def parse(start: int, batch: pa.RecordBatch) -> Chunk:
        try:
            batch.validate(full=True)  # text is UTF-8
        except pa.ArrowInvalid as error:
            raise WorkFailed(f"{named} is broken after row {start - 1:,}: {error}") from None
        rows = pa.Table.from_batches([batch]).cast(schema)
        return Chunk(rows, start + np.arange(len(rows)), [], len(rows))

    return RowSource(schema, parquet.metadata.num_rows, " rows", blocks(), parse)


def _open_text(path: Path, file: BinaryIO, named: str) -> RowSource:
    uci, first = path.suffix in UCI, 1
    if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
        file.seek(0)
    if uci:
        start = file.tell()
        lines = iter(partial(file.readline, MAX_LINE_BYTES), b"")
        width = next((line.count(b",") + 1 for line in lines if not _is_no_row(line, uci)), 0)
        names = [*census.FEATURES, *([census.LABEL] if width != len(census.FEATURES) else [])]
        file.seek(start)
    else:
        header = file.readline(MAX_LINE_BYTES).decode("utf-8", "backslashreplace")
        try:
            found = next(csv.reader([header], skipinitialspace=True), [])
        except csv.Error as error:
            raise UserError(f"{named} line 1: expected the columns' names, got {error}") from None
        names, first = [name.strip() for name in found], 2
    schema, size = pa.schema([(name, pa.string()) for name in names]), path.stat().st_size
    parse = partial(_parse, schema=schema, uci=uci)
    return RowSource(schema, size - file.tell(), "B", _blocks(named, file, first), parse)


def _blocks(named: str, file: BinaryIO, line: int) -> Iterator[tuple[int, bytes]]:
    """Whole lines, about ``BLOCK_BYTES`` bytes of them at a time, and the number of the first."""
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


def _parse(line: int, block: bytes, schema: pa.Schema, uci: bool) -> Chunk:
    n_lines = block.count(b"\n") + (not block.endswith(b"\n"))
    rows, bad, lines = None, [], line + np.arange(n_lines)
    has_comment = uci and (block.startswith(COMMENT) or b"\n" + COMMENT in block)
    if not has_comment and block.count(b"\r") == block.count(b"\r\n"):
        rows = _rows(block, schema, uci)
    if rows is None or len(rows) != n_lines:  # not one row a line
        rows, lines, bad = _sifted(line, block, schema, uci)
    if uci:
        trimmed = [pc.utf8_trim_whitespace(column) for column in rows.columns]
        rows = pa.table(trimmed, schema)
    return Chunk(rows, lines, bad, len(block), (census.MISSING,) if uci else MISSING_MARKERS)


def _sifted(
    first: int, block: bytes, schema: pa.Schema, uci: bool
) -> tuple[pa.Table, np.ndarray, list[BadRow]]:
    """The rows of a block, the lines they stand in, and the lines that are none."""
    bad, lines = [], {}
    for number, line in enumerate(block.split(b"\n"), start=first):
        line = line.removesuffix(b"\r")
        if _is_no_row(line, uci):
            continue
        if reason := _no_row_of_its_own(line, uci):
            bad.append(BadRow(number, reason, _shown(line)))
        else:
            lines[number] = line
    wrong, numbers = {}, [*lines]

    def set_aside(row) -> str:
        wrong[row.number - 1] = f"expected {row.expected_columns} fields, got {row.actual_columns}"
        return "skip"

    rows = schema.empty_table()
    if lines:
        rows = _rows(b"\n".join(lines.values()), schema, uci, set_aside)
    bad += [BadRow(numbers[i], reason, _shown(lines[numbers[i]])) for i, reason in wrong.items()]
    return rows, np.delete(np.array(numbers, int), [*wrong]), sorted(bad)


def _is_no_row(line: bytes, uci: bool) -> bool:
    return not line.strip() or (uci and line.startswith(COMMENT))


def _no_row_of_its_own(line: bytes, uci: bool) -> str:
    """Why Arrow would not read a line as one row, whatever stands around it; nothing if it does."""
    try:
        line.decode()
    except UnicodeDecodeError as error:
        return f"expected UTF-8 text, got {error.reason}"
    end = line.find(b"\r") if uci or b'"' not in line else ROW.match(line).end()
    if end in (-1, len(line)):
        return ""
    what = "an end of line within" if line[end] == ord("\r") else "a quote that stays open"
    return f"expected one row, got {what}"


def _shown(text: bytes) -> str:
    return text.decode("utf-8", "backslashreplace")


def _rows(
    block: bytes, schema: pa.Schema, uci: bool, set_aside: Callable | None = None
) -> pa.Table | None:
    """Lines as a table of text; None where they cannot be read together."""
    try:
        return pa.csv.read_csv(
            pa.BufferReader(block),
            pa.csv.ReadOptions(
                use_threads=False, block_size=len(block) + 1, column_names=schema.names
            ),
            pa.csv.ParseOptions(quote_char=False if uci else '"', invalid_row_handler=set_aside),
            pa.csv.ConvertOptions(column_types=schema, strings_can_be_null=False),
        )
    except pa.ArrowInvalid:
        return None


def map_in_order(work: Callable, items: Iterable) -> Iterator:
    """The results of ``work``, which all cores do, in the order of the items; few are in hand."""
    n_workers, in_hand = joblib.cpu_count(), deque()
    with ThreadPoolExecutor(n_workers) as pool:
        for item in items:
            in_hand.append(pool.submit(work, item))
            if len(in_hand) > 2 * n_workers:
                yield in_hand.popleft().result()
        while in_hand:
            yield in_hand.popleft().result()
