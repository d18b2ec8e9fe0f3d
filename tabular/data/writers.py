"""Files are written completely, or not at all."""

import gzip
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from tabular.data import census, readers
from tabular.data.text import DELIMITERS, UCI_DIALECT, Dialect
from tabular.errors import UserError, WorkFailed

GZIP_LEVEL = 6  # gzip's own default; Python's (9) takes twice the time for files as large
BAD_ROWS_SCHEMA = pa.schema([("line", pa.int64()), ("reason", pa.string()), ("row", pa.string())])


def bad_rows_path(path: Path) -> Path:
    """The file for the bad rows of an input whose output is ``path``."""
    return path.with_name(f"{path.name}.bad.csv")


def require_writable(path: Path) -> None:
    """Raise ``UserError`` if no file, and none for bad rows, can be written at ``path``."""
    folder = path.parent
    for target in (path, bad_rows_path(path)):
        try:
            target.lstat()
        except FileNotFoundError:
            continue
        except OSError as error:
            reason = f"{folder} is no folder" if folder.is_file() else error.strerror
            raise UserError(f"output: {target}: {reason}") from None
        if target.is_dir():
            raise UserError(f"output: {target} is a folder; name a file")
    if not folder.is_dir():
        raise UserError(f"output: there is no folder {folder}; create it, or name another one")
    temporary = _temporary_path(path)
    try:
        temporary.touch(exist_ok=False)
        temporary.unlink()
    except OSError as error:
        raise UserError(f"output: no file can be written in {folder}: {error.strerror}") from None


def _temporary_path(path: Path) -> Path:
    """A name in the same folder that no other process uses."""
    return path.with_name(f".{path.name[:50]}.{uuid4().hex[:8]}.part")


@contextmanager
def open_writers(files: dict[Path, pa.Schema]) -> Iterator[list[Callable[[pa.Table], object]]]:
    """Yield, for each path, a function that appends a table of its schema to the file.

    The files replace what is there when the body ends without an error, and none of them before all
    are complete. A file's extension is one of ``readers.EXTENSIONS`` and decides its format. Equal
    tables give equal files, compressed ones too.

    Raises:
        WorkFailed: the file's format cannot hold a value.
    """
    temporary = {path: _temporary_path(path) for path in files}
    try:
        with ExitStack() as opened:
            outputs = {path: opened.enter_context(temporary[path].open("xb")) for path in files}
            with ExitStack() as stack:
                yield [
                    stack.enter_context(_table_writer(file, readers.extension(path), files[path]))
                    for path, file in outputs.items()
                ]
            for file in outputs.values():
                file.flush()
                os.fsync(file.fileno())
        for path, complete in temporary.items():
            complete.replace(path)
    finally:
        for path in temporary.values():
            path.unlink(missing_ok=True)


@contextmanager
def _table_writer(
    file: BinaryIO, kind: str, schema: pa.Schema
) -> Iterator[Callable[[pa.Table], object]]:
    with ExitStack() as stack:
        if kind == readers.PARQUET:
            yield stack.enter_context(pq.ParquetWriter(file, schema)).write_table
            return
        write: Callable[[pa.Buffer], object] = file.write
        if kind.endswith(readers.GZ):
            write = stack.enter_context(gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=0)).write
        if (kind := kind.removesuffix(readers.GZ)) in readers.UCI:
            dialect = UCI_DIALECT
        else:
            dialect = Dialect(False, "\t" if kind == readers.TSV else ",")
            write(_header(schema.names, dialect))
        yield lambda table: write(_to_text(table, dialect))


def _header(names: list[str], dialect: Dialect) -> pa.Buffer:
    """The line of the columns' names, quoted if one could be taken for names with a delimiter."""
    ambiguous = any(delimiter in name for name in names for delimiter in DELIMITERS)
    return _to_text(pa.table([[name] for name in names], names), dialect, quoted=ambiguous)


def _to_text(table: pa.Table, dialect: Dialect, quoted: bool = False) -> pa.Buffer:
    """A line of text per row; if one text must be quoted, all texts of the table are quoted."""
    options = pa.csv.WriteOptions(
        include_header=False, batch_size=max(1, len(table)), delimiter=dialect.delimiter
    )
    styles = ("needed",) if quoted else ("none",) if dialect.uci else ("none", "needed")
    for style in styles:
        try:
            if dialect.uci:
                texts = [column.cast(pa.string()) for column in table.columns]
                filled = [column.fill_null(census.MISSING) for column in texts]
                table = pa.table(filled, table.column_names)
            lines, options.quoting_style = pa.BufferOutputStream(), style
            pa.csv.write_csv(table, lines, options)
            return lines.getvalue()
        except pa.ArrowException as error:
            reason = error
    hint = f"; {readers.CSV} can hold it" if dialect.uci else ""
    raise WorkFailed(f"output: a value cannot be written: {reason}{hint}")
