"""Files that are written: they stand at their place whole, or not at all."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from tabular.data import census, readers
from tabular.errors import UserError, WorkFailed

BAD_ROWS_SCHEMA = pa.schema([("line", pa.int64()), ("reason", pa.string()), ("row", pa.string())])


def bad_rows_path(path: Path) -> Path:
    """Where the bad rows of an output go."""
    return path.with_name(f"{path.name}.bad.csv")


def require_writable(path: Path) -> None:
    """Raise ``UserError`` where no file can be written at ``path``."""
    try:
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a folder")
        part = _part(path)
        part.touch(exist_ok=False)
        part.unlink()
    except OSError as error:
        raise UserError(f"output: {error}") from None


def _part(path: Path) -> Path:
    """A name beside ``path`` that nobody else has."""
    return path.with_name(f".{path.name[:200]}.{uuid4().hex[:8]}.part")


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """A file to write that stands at ``path`` when the body ends well, and else nowhere."""
    part = _part(path)
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def open_writer(path: Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    """What writes tables of the schema, one after the other, to a file that gets there whole."""
    with atomic_write(path) as file:
        if path.suffix == readers.PARQUET:
            with pq.ParquetWriter(file, schema) as writer:
                yield writer.write_table
        else:
            if path.suffix == readers.CSV:
                file.write(_text(pa.table([[name] for name in schema.names], schema.names), False))
            yield lambda rows: file.write(_text(rows, path.suffix in readers.UCI))


def _text(rows: pa.Table, uci: bool) -> pa.Buffer:
    """Lines of text, a row each; where CSV must quote one text, it quotes all of these rows."""
    if uci:
        filled = [column.cast(pa.string()).fill_null(census.MISSING) for column in rows.columns]
        rows = pa.table(filled, rows.column_names)
    shape = {"include_header": False, "batch_size": max(1, len(rows))}
    for style in ("none",) if uci else ("none", "needed"):
        try:
            lines = pa.BufferOutputStream()
            pa.csv.write_csv(rows, lines, pa.csv.WriteOptions(quoting_style=style, **shape))
            return lines.getvalue()
        except pa.ArrowException as error:
            reason = error
    hint = f"; {readers.CSV} can" if uci else ""
    raise WorkFailed(f"output: a value cannot be written: {reason}{hint}")
