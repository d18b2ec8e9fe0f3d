"""Files are written completely, or not at all."""

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
    """The file for the bad rows of an input whose output is ``path``."""
    return path.with_name(f"{path.name}.bad.csv")


def require_writable(path: Path) -> None:
    """Raise ``UserError`` if no file can be written at ``path``."""
    try:
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a folder")
        temporary = _temporary_path(path)
        temporary.touch(exist_ok=False)
        temporary.unlink()
    except OSError as error:
        raise UserError(f"output: {error}") from None


def _temporary_path(path: Path) -> Path:
    """A name in the same folder that no other process uses."""
    return path.with_name(f".{path.name[:200]}.{uuid4().hex[:8]}.part")


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Yield a file that replaces ``path`` when the body ends without an error."""
    temporary = _temporary_path(path)
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def open_writer(path: Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table], object]]:
    """Yield a function that appends a table of the schema to a file that is written atomically.

    Raises:
        WorkFailed: the file's format cannot hold a value.
    """
    with atomic_write(path) as file:
        if path.suffix == readers.PARQUET:
            with pq.ParquetWriter(file, schema) as writer:
                yield writer.write_table
        else:
            uci = path.suffix in readers.UCI
            if not uci:
                file.write(_to_text(pa.table([[name] for name in schema.names], schema.names)))
            yield lambda table: file.write(_to_text(table, uci))


def _to_text(table: pa.Table, uci: bool = False) -> pa.Buffer:
    """A line of text per row; if CSV must quote one text, all texts of the table are quoted."""
    if uci:
        columns = [column.cast(pa.string()).fill_null(census.MISSING) for column in table.columns]
        table = pa.table(columns, table.column_names)
    options = {"include_header": False, "batch_size": max(1, len(table))}
    for style in ("none",) if uci else ("none", "needed"):
        try:
            lines = pa.BufferOutputStream()
            pa.csv.write_csv(table, lines, pa.csv.WriteOptions(quoting_style=style, **options))
            return lines.getvalue()
        except pa.ArrowException as error:
            reason = error
    hint = f"; {readers.CSV} can hold it" if uci else ""
    raise WorkFailed(f"output: a value cannot be written: {reason}{hint}")
