"""Files of rows, of any size, are read in chunks, and bad rows are set aside.

The extension decides: ``.data`` and ``.test`` are UCI's dialect (no header, comments, ``?`` for a
missing value), ``.csv`` has a header, ``.parquet`` is Parquet. In text, a line is a row.
"""

import codecs
import errno
from collections import deque
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
from tabular.data import census, text
from tabular.data.text import BadRow
from tabular.errors import UserError, WorkFailed

UCI, CSV, PARQUET = (".data", ".test"), ".csv", ".parquet"
EXTENSIONS = *UCI, CSV, PARQUET
ROWS_PER_CHUNK = 1 << 16  # rows of Parquet read at a time
MISSING_MARKERS = (census.MISSING, "", "nan", "NaN", "NAN")  # in UCI's dialect only the first
# Arrow cannot filter columns of these types, so they are cast
VIEWS = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}


class Chunk(NamedTuple):
    """Consecutive rows of a file."""

    rows: pa.Table  # (n_samples, n_columns), as they are in the file: text is not interpreted
    lines: np.ndarray  # (n_samples,): the line or position of each row, counted from 1
    bad: list[BadRow]  # rows of the file that are not among ``rows``
    size: int  # the chunk's share of the file's size
    missing_markers: tuple[str, ...] = MISSING_MARKERS  # texts that stand for a missing value


class RowSource(NamedTuple):
    """An open file of rows."""

    schema: pa.Schema  # the file's columns
    size: int  # bytes of text, or rows of Parquet
    unit: str  # of ``size``: bytes or rows
    blocks: Iterator[tuple]  # arguments of ``parse``, in the file's order; can be iterated once
    parse: Callable[..., Chunk]  # threads may call it at the same time


def require_known_extension(path: Path, option: str) -> None:
    """Raise ``UserError`` for a file that cannot be read or written because of its extension."""
    if path.suffix not in EXTENSIONS:
        raise UserError(
            f"{option}: expected a file that ends in {', '.join(EXTENSIONS)}, got {path.name!r}"
        )


@contextmanager
def open_rows(path: Path, named: str) -> Iterator[RowSource]:
    """Open a file that has all features, in any order, and maybe the label and other columns.

    Args:
        named: the file's name in errors.

    Raises:
        UserError: the file cannot be read, or a column is missing or has a wrong type.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise OSError(errno.EINVAL, "is not a file")  # reading from a pipe might never end
        file = path.open("rb")
    except OSError as error:
        raise UserError(f"{named}: {error.strerror}") from None
    with file:
        source = (_open_parquet if path.suffix == PARQUET else _open_text)(path, file, named)
        names = source.schema.names
        if missing := [name for name in census.FEATURES if name not in names]:
            found = ", ".join(names[:20]) or "nothing"
            raise UserError(f"{named} has no {', '.join(missing)}; it has {found}")
        if duplicates := {name for name in names if names.count(name) > 1}:
            raise UserError(f"{named} has two columns named {', '.join(duplicates)}")
        for field in source.schema:
            _require_type(named, field)
        yield source


def _require_type(named: str, field: pa.Field) -> None:
    data_type = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    fits = is_text(data_type) or pa.types.is_null(data_type)
    if field.name in census.NUMERIC:
        numeric = pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal
        fits = fits or any(check(data_type) for check in numeric)
    if not fits and field.name in (*census.FEATURES, census.LABEL):
        expected = "numbers" if field.name in census.NUMERIC else "text"
        raise UserError(f"{named}, {field.name}: expected {expected}, got {field.type}")


def is_text(data_type: pa.DataType) -> bool:
    """Whether values of this type are text."""
    texts = pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view
    return any(check(data_type) for check in texts)


def _open_parquet(path: Path, file: BinaryIO, named: str) -> RowSource:
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


def _open_text(path: Path, file: BinaryIO, named: str) -> RowSource:
    uci = path.suffix in UCI
    if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
        file.seek(0)
    names = text.read_column_names(file, named, uci)
    schema = pa.schema([(name, pa.string()) for name in names])

    def parse(line: int, block: bytes) -> Chunk:
        rows, lines, bad = text.parse_block(line, block, schema, uci)
        if not uci:
            return Chunk(rows, lines, bad, len(block))
        trimmed = [pc.utf8_trim_whitespace(column) for column in rows.columns]
        return Chunk(pa.table(trimmed, schema), lines, bad, len(block), MISSING_MARKERS[:1])

    blocks = text.read_blocks(file, named, 1 if uci else 2)
    return RowSource(schema, path.stat().st_size - file.tell(), "B", blocks, parse)


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
