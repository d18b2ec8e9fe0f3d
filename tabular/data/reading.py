"""Files become splits: every row is read and checked, and one file is split by a fixed rule."""

import gzip
import hashlib
from collections.abc import Callable, Container
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from tabular import cancel
from tabular.data import columns, readers, signatures, splitting, synthetic
from tabular.data.dataset import Location, Split
from tabular.data.inference import column_statistics, row_counters
from tabular.data.resolution import Draft, complete
from tabular.data.rows import FileRows, column_arrays, concatenate, join, join_columns, select
from tabular.data.table import NUMERIC, Table, TableSchema
from tabular.data.text import BLOCK_BYTES
from tabular.errors import UserError


class _Block(NamedTuple):
    """The rows of a block of a file: arrays as of ``FileRows``."""

    X: dict[str, Any]  # columns by name; a frame of 2,000 columns takes long to empty
    labels: np.ndarray | pd.Categorical
    hashes: np.ndarray | None
    unlabelled: np.ndarray  # lines of the rows without a label


def data_files(path: Path) -> list[Path]:
    """The files of a split: the path itself or, if it is a folder, the data files in it."""
    if not path.is_dir():
        return [path]
    if files := [file for file in sorted(path.iterdir()) if is_data_file(file)]:
        return files
    expected = f"files that end in {', '.join(readers.EXTENSIONS)}"
    raise UserError(f"{path}: expected {expected}, found none")


def is_data_file(file: Path) -> bool:
    """Whether a file in a folder holds rows by its name, and is not hidden."""
    return bool(readers.extension(file)) and not file.name.startswith((".", "_"))


def read_dataset(location: Location, plan: Table | Draft) -> tuple[Split, Split, Table]:
    """Read the training and the test split, and check every row.

    Args:
        plan: the table, or what is known of it before its rows are read.

    Returns:
        Both splits, and the table that they are of.

    Raises:
        UserError: a row is malformed, there is no row, or all labels are the same.
    """
    if location.test is None:
        return split_one_file(location.train, plan)
    rows = concatenate([read_file(file, plan.schema) for file in data_files(location.train)])
    table = plan if isinstance(plan, Table) else _complete(plan, rows)
    return to_split(rows, table, location.train), read_split(location.test, table), table


def read_split(path: Path, table: Table) -> Split:
    """Read a file, or every file of a folder, as one split; errors as of ``read_dataset``."""
    files = [read_file(file, table.schema) for file in data_files(path)]
    return to_split(concatenate(files), table, path)


def split_one_file(path: Path, plan: Table | Draft) -> tuple[Split, Split, Table]:
    """Read one file and split its rows by the rule of ``splitting``; as ``read_dataset``."""
    rows = read_file(path, plan.schema, hashed=True)
    if isinstance(plan, Draft):
        plan = plan.with_labels(rows.label_counts())
        rows.encode_labels(plan.schema)
    n_positive, n_rows = int(rows.labels.sum()), len(rows.labels)
    require_labels(path, plan, n_positive, n_rows)
    if 1 in (n_positive, n_rows - n_positive):
        label = columns.own_labels(plan.schema)[n_positive == 1]
        raise UserError(
            f"{path}: expected at least two rows of each label, one to train on and one to test "
            f"on, got one of {label}"
        )
    is_test = splitting.test_rows(np.asarray(rows.hashes), rows.labels)
    counters = row_counters(rows.X, rows.n_unlabelled)
    train, test = rows.split(is_test, plan.schema.label)
    table = plan if isinstance(plan, Table) else _complete(plan, train, counters)
    positions = hashlib.sha256(np.packbits(is_test).tobytes()).hexdigest()
    splits = [replace(to_split(rows, table, path), positions=positions) for rows in (train, test)]
    return splits[0], splits[1], table


def _complete(draft: Draft, rows: FileRows, counters: Container[str] = ()) -> Table:
    """The table of a draft, from the training rows.

    Args:
        counters: columns that count the rows of the file that the training rows are a part of.
    """
    if draft.labels is None:
        draft = draft.with_labels(rows.label_counts())
    statistics = {
        name: entry._replace(counts_up=entry.counts_up or name in counters)
        for name, entry in column_statistics(rows.X, rows.n_unlabelled).items()
    }
    categories = {name: c.cat.categories for name, c in rows.X.select_dtypes("category").items()}
    return complete(draft, statistics, categories, len(rows.X))


def to_split(rows: FileRows, table: Table, path: Path) -> Split:
    """The rows as a split of a table; raises ``UserError`` if all labels are the same."""
    rows.encode_labels(table.schema)
    require_labels(path, table, int(rows.labels.sum()), len(rows.labels))
    X, groups = select(rows.X, table.features), select(rows.X, table.groups)
    origin = rows.digest, rows.synthetic, rows.delimiter
    return Split(X, rows.labels, groups, path.name, *origin)


def read_file(path: Path, schema: TableSchema, hashed: bool = False) -> FileRows:
    """Read one file and check every row.

    Args:
        hashed: the hashes of the rows are wanted.

    Raises:
        UserError: a row is malformed or has no label, or there is no row.
    """
    with ThreadPoolExecutor(1) as pool, readers.open_rows(path, str(path)) as source:
        columns.require_columns(source.schema, schema, str(path))
        names = source.schema.names
        if schema.label not in names and schema.label not in schema.renames(names).values():
            raise UserError(f"{path} has no column {schema.label}")
        printed = pool.submit(fingerprint, path)
        read_block = partial(_read_block, path, schema, source.parse, hashed)
        blocks = [*readers.map_in_order(read_block, source.blocks)]
        _require_labelled(path, schema, blocks)
        if not any(len(block.labels) for block in blocks):
            raise UserError(f"{path}: expected rows, found none")
        X = join_columns([block.X for block in blocks])
        labels = join([block.labels for block in blocks])
        hashes = np.concatenate([block.hashes for block in blocks]) if hashed else None
    pa.default_memory_pool().release_unused()
    delimiter = source.dialect.delimiter if source.dialect else ""
    n_unlabelled = sum(len(block.unlabelled) for block in blocks)
    return FileRows(X, labels, hashes, *printed.result(), delimiter, n_unlabelled)


def _read_block(
    path: Path, schema: TableSchema, parse: Callable, hashed: bool, block: tuple
) -> _Block:
    chunk, X, labels = columns.interpret(parse(*block), schema)
    if chunk.bad:
        raise UserError(f"{path} line {chunk.bad[0].line}: {chunk.bad[0].reason}")
    numeric = [name for name, kind in schema.columns.items() if kind == NUMERIC]
    hashes = None
    if hashed:
        hashes = splitting.row_hashes(chunk.rows, {name: X[name].to_numpy() for name in numeric})
    X = X.astype(dict.fromkeys(numeric, np.float32))
    missing = (labels if isinstance(labels, np.ndarray) else labels.codes) < 0
    if not missing.any():
        return _Block(column_arrays(X), labels, hashes, chunk.lines[:0])
    kept = ~missing
    hashes = None if hashes is None else hashes[kept]
    return _Block(column_arrays(X[kept]), labels[kept], hashes, chunk.lines[missing])


def _require_labelled(path: Path, schema: TableSchema, blocks: list[_Block]) -> None:
    lines = np.concatenate([block.unlabelled for block in blocks] or [np.empty(0, int)])
    if len(lines) and not schema.drop_missing_labels:
        raise UserError(
            f"{path}: expected a label in every row, found none in {len(lines):,} rows, first in "
            f"line {lines[0]:,} (column {schema.label}); add the labels, or leave these rows out "
            f"with drop_missing_labels = true in a file table.toml beside the data"
        )


def fingerprint(path: Path) -> tuple[str, bool]:
    """SHA-256 of a file, and whether its text has the marker of synthetic rows.

    Raises:
        UserError: the file only stands for another one (``signatures.require_content``).
    """
    signatures.require_content(path)
    digest, marker, is_synthetic, tail = hashlib.sha256(), synthetic.MARKER.encode(), False, b""
    with path.open("rb") as file:
        for block in iter(partial(file.read, BLOCK_BYTES), b""):
            cancel.check()
            digest.update(block)
            is_synthetic = is_synthetic or marker in tail + block
            tail = block[-len(marker) :]
    if readers.extension(path).endswith(readers.GZ):
        is_synthetic = _is_marked(path, marker)
    return digest.hexdigest(), is_synthetic


def _is_marked(path: Path, marker: bytes) -> bool:
    """Whether the text of a compressed file has the marker."""
    tail = b""
    with gzip.open(path) as file:
        for block in iter(partial(file.read, BLOCK_BYTES), b""):
            cancel.check()
            if marker in tail + block:
                return True
            tail = block[-len(marker) :]
    return False


def require_labels(path: Path, table: Table | Draft, n_positive: int, n_rows: int) -> None:
    """Raise ``UserError`` unless both labels occur."""
    if n_positive in (0, n_rows):
        labels = columns.own_labels(table.schema)
        expected = f"expected rows of both labels, {' and '.join(labels)}"
        raise UserError(f"{path}: {expected}, got only {labels[n_positive > 0]}")
