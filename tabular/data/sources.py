"""Where the data come from: a dataset is located, its files are checked and read.

``data/README.md`` lists the values of ``data``.
"""

import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pooch
import pyarrow as pa
from pandas.api.types import union_categoricals

from tabular import cancel
from tabular.data import census, columns, published, readers, synthetic
from tabular.data.dataset import Dataset, Split
from tabular.data.text import BLOCK_BYTES
from tabular.errors import UserError

PROJECT_DATA = Path(__file__).resolve().parents[2] / "data"


@dataclass(frozen=True)
class Location:
    """Where the files of a dataset are."""

    train: Path  # the file of the split, or the folder of its files
    test: Path
    source: str  # the folder of both, or synthetic:N for N generated training rows
    warning: str | None = None  # why auto fell back to synthetic rows


def load(data: str = "auto", read_train: Callable[[Path], Any] | None = None) -> Dataset:
    """Locate the dataset that ``data`` names, check it and read it.

    Args:
        read_train: reads the training split in place of ``read_split``.

    Raises:
        UserError: the named source cannot be used, or a row is malformed.
    """
    try:
        with located(data) as location:
            train = (read_train or read_split)(location.train)
            test = read_split(location.test)
    except (OSError, RuntimeError) as error:  # an unreadable file, a loop of links
        raise UserError(f"data: {error}") from None
    origin = "synthetic" if train.synthetic or test.synthetic else "directory"
    if [train.digest, test.digest] == [*census.DIGESTS.values()]:
        origin = "uci"
    return Dataset(train, test, origin, location.source, location.warning)


def reload(tags: dict[str, str]) -> Dataset:
    """Load the dataset of a past run again, from the tags of the run."""
    return load("uci" if tags["data.origin"] == "uci" else tags["data.source"])


@contextmanager
def located(data: str) -> Iterator[Location]:
    """Locate the files that ``data`` names; generated ones exist only within the body.

    Raises:
        UserError: a file is missing, is not the one that UCI publishes, or cannot be downloaded.
    """
    with tempfile.TemporaryDirectory(prefix="census-synthetic-") as temporary:
        yield _locate(data, Path(temporary))


def _locate(data: str, temporary: Path) -> Location:
    if data == "synthetic":
        return _generate(temporary, synthetic.DEFAULT_ROWS)
    if data.startswith("synthetic:"):
        n_rows = data.removeprefix("synthetic:")
        if not re.fullmatch(r"\d{1,9}", n_rows) or int(n_rows) < synthetic.MINIMUM_ROWS:
            expected = f"synthetic:N with N from {synthetic.MINIMUM_ROWS} to 999999999"
            raise UserError(f"data: expected {expected}, got {data[:50]!r}")
        return _generate(temporary, int(n_rows))
    if data not in ("auto", "uci"):
        return _find_splits(resolve_path(data, "data"), "data")
    if folder := os.environ.get("CENSUS_DATA_DIR"):
        path = resolve_path(folder, "CENSUS_DATA_DIR")
        return _find_splits(path, "CENSUS_DATA_DIR", published=data == "uci")
    published.allowed_sources()  # a wrong CENSUS_DOWNLOAD is an error for auto, too
    try:
        return _find_published()
    except UserError as error:
        if data == "uci":
            raise
        try:
            return _generate(temporary, synthetic.DEFAULT_ROWS, warning=error.message)
        except UserError as other:
            raise UserError(f"{error.message}; {other.message}") from None


def _generate(folder: Path, n_rows: int, warning: str | None = None) -> Location:
    synthetic.write(folder, n_rows)
    return replace(_find_splits(folder, "data"), source=f"synthetic:{n_rows}", warning=warning)


def _find_published() -> Location:
    """UCI's files in the project's folder or in the user's cache, downloaded if need be."""
    if any((PROJECT_DATA / name).exists() for name in census.DIGESTS):
        try:
            return _find_splits(PROJECT_DATA, "data", published=True)
        except (UserError, OSError) as error:
            print(f"the files in data/ are ignored: {error}", file=sys.stderr)
    cache = Path(pooch.os_cache("census-mlflow"))
    published.download(cache)
    return _find_splits(cache, "data", published=True)


def _find_splits(folder: Path, option: str, published: bool = False) -> Location:
    """Both splits in a folder; if ``published``, every file must have UCI's digest."""
    train, test = (_find_split(folder, name, option) for name in (census.TRAIN, census.TEST))
    for path, expected in zip((train, test), census.DIGESTS.values(), strict=True):
        for file in split_files(path) if published and expected else []:
            if (digest := _fingerprint(file)[0]) != expected:
                raise UserError(
                    f"{file}: expected UCI's file with SHA-256 {expected}, got {digest}; replace "
                    "the file, or name its folder with data=<folder> to use it as it is"
                )
    return Location(train, test, str(folder))


def _find_split(folder: Path, name: str, option: str) -> Path:
    """Locate a split by UCI's file name or, as one file or a folder of files, by its own name."""
    own_name = census.OWN_NAMES[name]
    names = [name, own_name, f"{own_name}{readers.CSV}", f"{own_name}{readers.PARQUET}"]
    found = [folder / name for name in names if (folder / name).exists()]
    if not found:
        expected = f"a folder of {census.TRAIN} and {census.TEST}"
        raise UserError(f"{option}: expected {expected}, found no {name} in {folder}")
    if len(found) > 1:
        both = " and ".join(path.name for path in found)
        raise UserError(f"{option}: expected one of {both}, found both in {folder}")
    return found[0]


def is_in_temporary_clone(location: str) -> bool:
    """Whether a path or file URI lies where ``mlflow run <git URL>`` clones a project to."""
    temporary = re.escape(str(Path(tempfile.gettempdir()).resolve()))
    return bool(re.match(rf"(file:(//)?)?{temporary}/tmp[a-z0-9_]{{8}}(/|$)", location))


def resolve_path(text: str, option: str) -> Path:
    """The absolute path that a user means by the value of an option.

    Raises:
        UserError: the path cannot be resolved; or it is relative under ``mlflow run <git URL>``,
            which works in a temporary clone (``tempfile.mkdtemp``) that the user never sees.
    """
    if not text.strip():
        raise UserError(f"{option}: expected a path, got nothing")
    try:
        path, here = Path(text).expanduser(), Path.cwd().resolve()
        absolute = path.resolve()
    except (OSError, RuntimeError) as error:  # a loop of links, an unknown user in ~user
        raise UserError(f"{option}: {error}") from None
    in_run = "MLFLOW_RUN_ID" in os.environ
    if in_run and not path.is_absolute() and is_in_temporary_clone(str(here)):
        raise UserError(
            f"{option}: expected an absolute path, got {text!r}: this run works in a temporary "
            f"clone of the project ({here}), so a relative path would be looked up there"
        )
    return absolute


def read_split(path: Path) -> Split:
    """Read a file, or every file of a folder, as one split and check every row.

    Raises:
        UserError: a row is malformed, there is no row, or all labels are the same.
    """
    files = [read_file(file) for file in split_files(path)]
    X, y = _concatenate([file.X for file in files]), np.concatenate([file.y for file in files])
    require_labels(path, int(y.sum()), len(y))
    return Split(X, y, path.name, *combine_digests(files))


def split_files(path: Path) -> list[Path]:
    """The files of a split: the path itself or, if it is a folder, the data files in it."""
    if not path.is_dir():
        return [path]
    files = [file for file in sorted(path.iterdir()) if file.suffix in readers.EXTENSIONS]
    if files := [file for file in files if not file.name.startswith((".", "_"))]:
        return files
    expected = f"files that end in {', '.join(readers.EXTENSIONS)}"
    raise UserError(f"{path}: expected {expected}, found none")


def read_file(path: Path) -> Split:
    """Read one file as ``read_split`` does, except that all labels may be the same."""
    with ThreadPoolExecutor(1) as pool, readers.open_rows(path, str(path)) as source:
        if census.LABEL not in source.schema.names:
            raise UserError(f"{path} has no column {census.LABEL}")
        fingerprint = pool.submit(_fingerprint, path)
        read_block = partial(_read_block, path, source.parse)
        blocks = [*readers.map_in_order(read_block, source.blocks)]
        if not any(len(y) for _, y in blocks):
            raise UserError(f"{path}: expected rows, found none")
        X, y = _concatenate([X for X, _ in blocks]), np.concatenate([y for _, y in blocks])
    pa.default_memory_pool().release_unused()
    return Split(X, y, path.name, *fingerprint.result())


def _read_block(path: Path, parse: Callable, block: tuple) -> tuple[pd.DataFrame, np.ndarray]:
    chunk, X, y = columns.interpret(parse(*block), labelled=True)
    if chunk.bad:
        raise UserError(f"{path} line {chunk.bad[0].line}: {chunk.bad[0].reason}")
    return X.astype(dict.fromkeys(census.NUMERIC, np.float32)), y


def _concatenate(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """One frame of several, which are emptied column by column: no row is in memory twice."""
    joined: dict[str, np.ndarray | pd.Categorical] = {}
    for name in census.FEATURES:
        cancel.check()
        values = [frame.pop(name) for frame in frames]
        if name in census.NUMERIC:
            joined[name] = np.concatenate(values)
        else:
            column = union_categoricals(values, sort_categories=True)
            # XGBoost needs a category even if all values are missing
            no_value = not len(column.categories)
            joined[name] = column.add_categories(census.MISSING) if no_value else column
    return pd.DataFrame(joined, copy=False)


def _fingerprint(path: Path) -> tuple[str, bool]:
    """SHA-256 of a file, and whether the file has the marker of synthetic rows."""
    digest, marker, is_synthetic, tail = hashlib.sha256(), synthetic.MARKER.encode(), False, b""
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            cancel.check()
            digest.update(block)
            is_synthetic = is_synthetic or marker in tail + block
            tail = block[-len(marker) :]
    return digest.hexdigest(), is_synthetic


def combine_digests(files: Sequence[Any]) -> tuple[str, bool]:
    """Digest of a split, and whether it is synthetic, from ``digest`` and ``synthetic`` of files.

    The digest of one file is the split's; of several, it is SHA-256 over theirs.
    """
    if len(files) == 1:
        return files[0].digest, files[0].synthetic
    digests = "".join(file.digest for file in files)
    return hashlib.sha256(digests.encode()).hexdigest(), any(file.synthetic for file in files)


def require_labels(path: Path, n_positive: int, n_rows: int) -> None:
    """Raise ``UserError`` unless both labels occur."""
    if n_positive in (0, n_rows):
        labels = [census.NEGATIVE, census.POSITIVE]
        expected = f"expected rows of both labels, {' and '.join(labels)}"
        raise UserError(f"{path}: {expected}, got only {labels[n_positive > 0]}")
