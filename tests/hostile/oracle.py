"""Whether a file was read correctly: with a documented error, or as plain Python reads it."""

import codecs
import csv
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tabular.data import census, columns, readers, sources, table
from tabular.data.census import CENSUS
from tabular.errors import UserError, WorkFailed, one_line

NAMES = [*CENSUS.features, CENSUS.label]
ANY_CASE = {name.lower(): name for name in NAMES}
LABELS = (
    ("<=50K", "<=50K.", "0", "0.0", "false", "False", "FALSE"),
    (">50K", ">50K.", "1", "1.0", "true", "True", "TRUE"),
)
BOOLEAN = re.compile("True|TRUE|False|FALSE")
WHOLE = re.compile(r"([+-]?[0-9]+)\.0+")
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def outcome(path: Path, folder: Path) -> tuple[str, str]:
    """Read a file as training and as scoring do; returns the worse outcome, and its reason.

    An outcome is one of ``correct``, ``error`` (documented) and ``WRONG``.
    """
    found = [_attempt(_as_score_does, path, path), _attempt(_as_training_does, path, folder)]
    return max(found, key=lambda pair: ["correct", "error", "WRONG"].index(pair[0]))


def _attempt(read: Callable, path: Path, given: Path) -> tuple[str, str]:
    try:
        read(path, given)
    except (UserError, WorkFailed) as error:
        line = one_line(error.format_message())
        named = path.name in line or path.parent.name in line
        plain = line.isprintable() and len(line) <= 2000
        return ("error", line) if named and plain else ("WRONG", f"message: {line[:2000]!r}")
    except BaseException as error:
        return "WRONG", f"{type(error).__name__}: {error}"[:2000]
    return "correct", ""


def _as_score_does(path: Path, _) -> None:
    found = {}
    with readers.open_rows(path, f"input: {path.name}") as source:
        columns.require_columns(source.schema, CENSUS.schema, f"input: {path.name}")
        for block in source.blocks:
            chunk, X, y = columns.interpret(source.parse(*block), CENSUS.schema)
            assert len(chunk.rows) == len(chunk.lines) == len(X) == len(y), "counts differ"
            _require_correct(X, y, (-1, 0, 1))
            for bad in chunk.bad:
                assert bad.line >= 1, bad
                assert len(bad.reason) < 1000, bad.reason
            values = zip(
                *(X[name].astype(object).tolist() for name in CENSUS.features), strict=True
            )
            for line, row, label in zip(chunk.lines.tolist(), values, y.tolist(), strict=True):
                assert line not in found, "a line was read twice"
                found[line] = (*(None if value != value else value for value in row), label)
    if path.suffix != ".parquet":
        expected = read_plainly(path.read_bytes(), path.suffix)
        certain = [line for line in expected if expected[line] is not None]
        lost = [line for line in certain if found.get(line) != expected[line]]
        assert not lost, f"line {lost[0]} is {expected[lost[0]]}, read was {found.get(lost[0])}"
        assert not {*found} - {*expected}, f"invented: {sorted({*found} - {*expected})}"


def _as_training_does(path: Path, folder: Path) -> None:
    dataset = sources.load(str(folder))
    assert dataset.origin == "directory"
    for split in (dataset.train, dataset.test):
        assert 0 < split.n_rows == len(split.X)
        _require_correct(split.X, split.y, (0, 1))
    if path.parent == folder and path.suffix != ".parquet":
        expected = read_plainly(path.read_bytes(), path.suffix)
        split = dataset.train if path.stem in ("train", "adult") else dataset.test
        split = dataset.test if path.name == census.TEST else split
        if None not in expected.values():
            assert split.n_rows == len(expected), "a row was lost or invented"
            assert split.y.tolist() == [row[-1] for row in expected.values()]


def _require_correct(X, y: np.ndarray, labels: tuple) -> None:
    assert [*X] == [*CENSUS.features]
    assert np.isin(y, labels).all(), "labels"
    for name in CENSUS.features:
        if name in CENSUS.numeric:
            assert X[name].dtype.kind == "f", name
            assert not np.isinf(X[name]).any(), f"{name} is infinite"
        else:
            values = X[name].dropna().unique().tolist()
            assert all(isinstance(value, str) and value for value in values), f"{name}: {values}"


def read_plainly(content: bytes, suffix: str) -> dict[int, tuple | None]:
    """The rows of a file by line; None for a line that is ambiguous, such as one with quotes."""
    names, first = NAMES, 1
    content = content.removeprefix(codecs.BOM_UTF8)
    lines = content.split(b"\n")
    if suffix == ".csv":
        head = lines.pop(0).decode("utf-8", "backslashreplace")
        names = [name.strip() for name in next(csv.reader([head], skipinitialspace=True), [])]
        names, first = [ANY_CASE.get(name.lower(), name) for name in names], 2
    else:
        rows = [line for line in lines if line.strip() and not line.startswith(b"|")]
        if rows and rows[0].count(b",") + 1 == len(CENSUS.features):
            names = [*CENSUS.features]
    found = {}
    for number, line in enumerate(lines, first):
        line = line.removesuffix(b"\r")
        quoted = suffix == ".csv" and b'"' in line
        if quoted or b"\r" in line or line.startswith(codecs.BOM_UTF8):
            found[number] = None
        elif row := _row(line, names, suffix):
            found[number] = row
    return found


def _row(line: bytes, names: list[str], suffix: str) -> tuple | None:
    """Features and label of a line; None if it is not a valid row."""
    missing = table.MISSING if suffix == ".csv" else {*table.MISSING} - {""}
    try:
        texts = [field.strip() for field in line.decode().split(",")]
    except UnicodeDecodeError:
        return None
    is_no_row = not line.strip() or (suffix != ".csv" and line.startswith(b"|"))
    if is_no_row or len(texts) != len(names):
        return None
    values, row = dict(zip(names, texts, strict=True)), []
    for name in CENSUS.features:
        if (text := values[name]) in missing:
            row.append(None)
        elif name not in CENSUS.numeric:
            text = text.lower() if BOOLEAN.fullmatch(text) else text
            row.append(WHOLE.sub(r"\1", text) if WHOLE.fullmatch(text) else text)
        elif NUMBER.fullmatch(text) and abs(float(text)) <= columns.LARGEST:
            row.append(float(text))
        else:
            return None
        if row[-1] == "":
            return None
    label = values.get(CENSUS.label, "?")
    if label in missing:
        return *row, -1
    codes = [code for code, spellings in enumerate(LABELS) if label in spellings]
    return (*row, *codes) if codes else None
