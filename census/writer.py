"""Files that are written: they stand at their place whole, or not at all."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from census import UserError, WorkFailed, files, table

BAD = pa.schema([("line", pa.int64()), ("reason", pa.string()), ("row", pa.string())])
SEPARATOR = {files.CSV: ","} | dict.fromkeys(files.UCI, ", ")


def beside(path: Path) -> Path:
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
def whole(path: Path) -> Iterator[BinaryIO]:
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
def opened(path: Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    """What writes tables of the schema, one after the other, to a file that gets there whole."""
    with whole(path) as file:
        if path.suffix == files.PARQUET:
            with pq.ParquetWriter(file, schema) as writer:
                yield writer.write_table
        else:
            separator = SEPARATOR[path.suffix]
            if path.suffix == files.CSV:
                names = pa.table([[name] for name in schema.names], schema.names)
                file.write(_text(names, separator, ""))
            missing = "" if path.suffix == files.CSV else table.MISSING
            yield lambda rows: len(rows) and file.write(_text(rows, separator, missing))


def _text(rows: pa.Table, separator: str, missing: str) -> bytes:
    """Lines of text, a row each; a field is quoted where it must be, which only CSV allows."""
    fields = [column.cast(pa.large_string()).fill_null(missing) for column in rows.columns]
    lines = _lines(fields, separator)
    due = {",": len(rows) * (len(fields) - 1), "\n": len(rows), "\r": 0, '"': 0}
    special = [mark for mark, count in due.items() if lines.count(mark.encode()) != count]
    if special and separator != SEPARATOR[files.CSV]:
        raise WorkFailed(
            f"output: UCI's dialect cannot hold a value with {special[0]!r}; use {files.CSV}"
        )
    return _lines([_quoted(field) for field in fields], separator) if special else lines


def _lines(fields: list[pa.ChunkedArray], separator: str) -> bytes:
    *others, last = fields
    lines = pa.concat_arrays(_join(*others, _join(last, "\n", ""), separator).chunks)
    return bytes(memoryview(lines.buffers()[2] or b"")[: pc.sum(pc.binary_length(lines)).as_py()])


def _quoted(field: pa.ChunkedArray) -> pa.ChunkedArray:
    quoted = _join('"', pc.replace_substring(field, '"', '""'), '"', "")
    return pc.if_else(pc.match_substring_regex(field, '[",\r\n]'), quoted, field)


def _join(*parts) -> pa.ChunkedArray:
    """Each row's parts as one text; the last part stands between them."""
    kind = pa.large_string()
    return pc.binary_join_element_wise(
        *(pa.scalar(part, kind) if isinstance(part, str) else part for part in parts)
    )
