"""Whether a table was read correctly: with a documented error, or as plain Python reads it."""

import csv
import gzip
import io
import random
import re
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from tabular.data import sources
from tabular.data.dataset import Dataset, Split
from tabular.data.table import CATEGORICAL, MISSING, NUMERIC
from tabular.data.table import Table as ReadTable
from tabular.data.values import is_unnamed
from tabular.errors import UserError, one_line
from tests.hostile import table_files, tables
from tests.hostile.tables import Table

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
NUMERIC_KINDS = {"integers", "ages", "floats", "large integers", "huge"}
CATEGORICAL_KINDS = {"booleans", "words", "codes", "spellings of true", "numbers as words"}


def outcome(table: Table, folder: Path, rng: random.Random) -> tuple[str, str]:
    """Write a table and read it; returns what came of it, and why.

    An outcome is one of ``correct``, ``error`` (documented) and ``WRONG``.
    """
    try:
        data, request = table_files.write(table, folder, rng)
        dataset = sources.load(str(data), request)
        require_correct(dataset, table, data)
        if not table.n_test:
            _require_fixed_split(dataset, table, folder, rng)
    except UserError as error:
        line = error.format_message()
        named = any(word in line for word in ("rows.", "train.", "test.", "table.toml"))
        named = named or line.split(":")[0] in ("label", "positive", "groups", "data")
        if table.sound or not named or "\n" in one_line(line):
            return "WRONG", f"message: {line[:2000]!r}"
        return "error", line
    except Exception as error:
        return "WRONG", f"{type(error).__name__}: {error}"[:2000]
    return "correct", ""


def require_correct(dataset: Dataset, table: Table, data: Path) -> None:
    """Check what was read of a table against a plain reading of its files."""
    read = dataset.table
    assert ReadTable.from_json(read.to_json()) == read, "table.json"
    files = [data] if data.is_file() else [*data.glob("train.*"), *data.glob("test.*")]
    plain = [read_plainly(file, table.form.delimiter) for file in files]
    splits = [dataset.train, dataset.test]
    names = {*plain[0]}
    assert names == {*read.columns, *read.left_out, *read.non_features, read.label}, "columns"
    cut = table.n_rows - table.n_test
    codes = [table.codes[:cut], table.codes[cut:]] if table.n_test else [table.codes]
    expected = [rows_of(cells, read, y) for cells, y in zip(plain, codes, strict=True)]
    found = [rows_read(split, read) for split in splits]
    if table.n_test:
        assert found == expected, "rows"
    else:
        assert Counter(found[0] + found[1]) == Counter(expected[0]), "rows of both splits"
        for code in (0, 1):
            n, n_test = table.codes.count(code), dataset.test.y.tolist().count(code)
            assert n_test == min(max(1, round(n / 5)), n - 1), "stratified split"
    if table.sound:
        _require_kinds(dataset, table)


def _require_fixed_split(dataset: Dataset, table: Table, folder: Path, rng: random.Random) -> None:
    """Check that the rows of the test set do not depend on the order of the file.

    A column without a name does not count in the choice of the rows, even where it is a feature.
    """
    order = rng.sample(range(table.n_rows), table.n_rows)
    for path in folder.iterdir():
        path.unlink()
    data, request = table_files.write(table.take(order), folder, rng)
    again = sources.load(str(data), request)
    kept = {name for name in again.table.features if name in dataset.table.columns}
    kept = {name for name in kept if not is_unnamed(name)}
    first, second = (Counter(rows_read(d.test, d.table, kept)) for d in (dataset, again))
    assert first == second, "the test rows depend on the order of rows"


def _require_kinds(dataset: Dataset, table: Table) -> None:
    """Check the kinds of columns that leave no doubt, and the reasons of those left out."""
    read = dataset.table
    for column in table.columns:
        name = column.name.strip()
        if column.fixed:
            assert read.columns[name] == column.fixed, f"{name}: fixed"
        elif name in read.columns:
            assert read.columns[name] == NUMERIC or column.kind not in NUMERIC_KINDS, name
            assert read.columns[name] == CATEGORICAL or column.kind not in CATEGORICAL_KINDS, name
        elif column.kind in NUMERIC_KINDS | CATEGORICAL_KINDS:
            reason = read.left_out[name]
            assert reason in ("one value", "no values", "an id", "a row counter") or (
                reason.startswith("nearly unique text") and len({*column.values}) > 20
            ), f"{name}: {reason}"


def read_plainly(path: Path, delimiter: str) -> dict[str, list]:
    """The cells of a file by the name of the column: text, or what Parquet has."""
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pydict()
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8-sig")
    names, *rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    names = [name.strip() or f"Unnamed: {i}" for i, name in enumerate(names)]
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def rows_of(cells: dict[str, list], read: ReadTable, codes: list) -> list[tuple]:
    """The rows as a table says that they are to be read: features, then the label."""
    columns = [
        [number(cell) if kind == NUMERIC else category(cell) for cell in cells[name]]
        for name, kind in read.columns.items()
    ]
    return [*zip(*columns, codes, strict=True)]


def rows_read(split: Split, read: ReadTable, names: set[str] | None = None) -> list[tuple]:
    """The rows of a split as ``rows_of`` returns them."""
    chosen = [name for name in read.features if names is None or name in names]
    for name in chosen:
        dtype = split.X[name].dtype
        is_numeric = read.columns[name] == NUMERIC
        assert dtype == np.float32 if is_numeric else isinstance(dtype, pd.CategoricalDtype), name
    columns = [split.X[name].astype(object).tolist() for name in sorted(chosen)]
    if names is None:
        columns = [split.X[name].astype(object).tolist() for name in chosen]
    columns = [[None if value != value else value for value in column] for column in columns]
    return [*zip(*columns, split.y.tolist(), strict=True)]


def text_of(cell: object) -> str | None:
    """The text of a cell without the spaces around it; None if it is missing."""
    text = "" if cell is None or cell != cell else str(cell).strip()
    return None if text in MISSING else text


def number(cell: object) -> float | None:
    """A cell as a number of 32 bits; None if it is missing."""
    if (text := text_of(cell)) is None:
        return None
    assert NUMBER.fullmatch(text) and not isinstance(cell, bool), f"{cell!r} was read as a number"
    with np.errstate(over="ignore"):
        value = float(np.float32(float(text)))
    assert np.isfinite(value), f"{cell!r} was read as a number"
    return value


def category(cell: object) -> str | None:
    """A cell as a category: true for True, 3 for 3.0; None if it is missing."""
    if (text := text_of(cell)) is None:
        return None
    if text in ("True", "TRUE", "False", "FALSE"):
        return text.lower()
    return re.sub(r"^([+-]?[0-9]+)\.0+\Z", r"\1", text)


def try_many(number: int, seed: int, folder: Path) -> Iterator[tuple[str, str, str]]:
    """Read ``number`` generated tables; yields the kind of table, the outcome and its reason.

    A warning is an error.
    """
    for position in range(number):
        rng = random.Random(f"table {seed} {position}")
        table = tables.draw(rng, sound=position % 2 == 0)
        with tempfile.TemporaryDirectory(dir=folder) as one, warnings.catch_warnings():
            warnings.simplefilter("error")
            found, why = outcome(table, Path(one), rng)
        kind = "sound" if table.sound else "any"
        yield f"{table.form.extension} {kind}", found, f"table {position}: {why}"
