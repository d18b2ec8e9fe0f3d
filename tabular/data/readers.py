"""Files of rows, of any size, are read in chunks, and bad rows are set aside.

The extension decides: ``.csv`` and ``.tsv`` are text with a header, ``.data`` and ``.test`` are
UCI's dialect (no header, comments, ``?`` for a missing value, no empty fields), each also
compressed as ``.gz``; ``.parquet`` is Parquet. In text, a line is a row.
"""

import codecs
import errno
import gzip
import io
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import joblib
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tabular import cancel
from tabular.data import signatures, text
from tabular.data.text import BadRow, Dialect
from tabular.errors import UserError, WorkFailed

UCI, CSV, TSV, PARQUET, GZ = (".data", ".test"), ".csv", ".tsv", ".parquet", ".gz"
EXTENSIONS = CSV, TSV, CSV + GZ, TSV + GZ, PARQUET, *UCI, *(kind + GZ for kind in UCI)
ROWS_PER_CHUNK = 1 << 16  # rows of Parquet read at a time
# Arrow cannot filter columns of these types, so they are cast
VIEWS = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}


class Chunk(NamedTuple):
    """Consecutive rows of a file."""

    rows: pa.Table  # (n_samples, n_columns), as they are in the file: text is not interpreted
    lines: np.ndarray  # (n_samples,): the line or position of each row, counted from 1
    bad: list[BadRow]  # rows of the file that are not among ``rows``
    size: int  # the chunk's share of the file's size
    is_uci: bool = False  # in UCI's dialect: "?" is a missing value, and an empty field an error


class RowSource(NamedTuple):
    """An open file of rows."""

    schema: pa.Schema  # the file's columns
    size: int | None  # bytes of text, or rows of Parquet; None: compressed text, unknown
    unit: str  # of ``size``: bytes or rows
    blocks: Iterator[tuple]  # arguments of ``parse``, in the file's order; can be iterated once
    parse: Callable[..., Chunk]  # threads may call it at the same time
    dialect: Dialect | None = None  # None: Parquet


def extension(path: Path) -> str:
    """The one of ``EXTENSIONS`` that a file's name ends in, in any case; empty if there is none."""
    suffix = path.suffix.lower()
    if suffix == GZ:
        suffix = Path(path.stem).suffix.lower() + GZ
    return suffix if suffix in EXTENSIONS else ""


def require_known_extension(path: Path, option: str) -> None:
    """Raise ``UserError`` for a file that cannot be read or written because of its extension."""
    if not extension(path):
        raise UserError(
            f"{option}: expected a file that ends in {', '.join(EXTENSIONS)}, got {path.name!r}"
        )


@contextmanager
def open_rows(path: Path, named: str) -> Iterator[RowSource]:
    """Open a file of rows with any columns.

    Args:
        named: the file's name in errors.

    Raises:
        UserError: the file cannot be read, or two of its columns have the same name.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise OSError(errno.EINVAL, "is not a file")  # reading from a pipe might never end
        file = path.open("rb")
    except OSError as error:
        hint = signatures.explain_missing(path)
        raise UserError(f"{named}: {error.strerror}{hint}") from None
    with file:
        source = _open_format(path, file, named)
        counts = Counter(source.schema.names)
        if duplicates := [name for name, count in counts.items() if count > 1]:
            hint = "; line 1 must name the columns" if duplicates[0].isdecimal() else ""
            raise UserError(f"{named} has two columns named {', '.join(duplicates[:20])}{hint}")
        yield source


def _open_format(path: Path, file: BinaryIO, named: str) -> RowSource:
    head, kind = file.read(signatures.HEAD_BYTES), extension(path)
    file.seek(0)
    if kind == PARQUET:
        signatures.require_format(head, signatures.PARQUET, named)
        return _open_parquet(file, named)
    size = path.stat().st_size
    if not kind.endswith(GZ):
        signatures.require_format(head, None, named)
        return _open_text(file, kind, size, named)
    signatures.require_format(head, signatures.GZIP, named)
    decompressed = io.BufferedReader(gzip.GzipFile(fileobj=file))
    try:
        return _open_text(decompressed, kind.removesuffix(GZ), None, named)
    except text.GZIP_ERRORS as error:
        raise UserError(f"{named} is not a whole gzip file: {error}") from None


def is_text(data_type: pa.DataType) -> bool:
    """Whether values of this type are text."""
    texts = pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view
    return any(check(data_type) for check in texts)


def _open_parquet(file: BinaryIO, named: str) -> RowSource:
    try:
        parquet = pq.ParquetFile(file)
        types = [(field.name, VIEWS.get(field.type, field.type)) for field in parquet.schema_arrow]
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{named} is not a whole Parquet file: {error}") from None
    schema = pa.schema(types)

    def blocks() -> Iterator[tuple[int, pa.RecordBatch]]:
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


def _open_text(file: BinaryIO, kind: str, size: int | None, named: str) -> RowSource:
    head = file.read(signatures.HEAD_BYTES)
    if size is None:
        signatures.require_format(head, None, f"{named}, decompressed,")
    signatures.require_utf8(head, named)
    file.seek(len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0)
    if kind in UCI:
        dialect, first = text.UCI_DIALECT, 1
    else:
        delimiter = text.find_delimiter(file, "\t" if kind == TSV else None)
        dialect, first = Dialect(False, delimiter), 2
    names = text.read_column_names(file, named, dialect)
    schema = pa.schema([(name, pa.string()) for name in names])

    def parse(line: int, block: bytes) -> Chunk:
        rows, lines, bad = text.parse_block(line, block, schema, dialect)
        if dialect.uci:
            trimmed = [pc.utf8_trim_whitespace(column) for column in rows.columns]
            rows = pa.table(trimmed, schema)
        return Chunk(rows, lines, bad, len(block), dialect.uci)

    blocks = text.read_blocks(file, named, first)
    size = None if size is None else size - file.tell()
    return RowSource(schema, size, "B", blocks, parse, dialect)


def map_in_order(work: Callable, items: Iterable) -> Iterator:
    """Call ``work`` on each item in threads; yields the results in order, with few items pending.

    Raises:
        Cancelled: a signal asked the process to end; checked once per item.
    """
    n_workers, pending = joblib.cpu_count(), deque[Future]()
    with ThreadPoolExecutor(n_workers) as pool:
        try:
            for item in items:
                cancel.check()
                pending.append(pool.submit(work, item))
                if len(pending) > 2 * n_workers:
                    yield pending.popleft().result()
            while pending:
                cancel.check()
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
