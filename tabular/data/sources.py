"""Where the rows come from, and how a file of them is read and checked."""

import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api.types import union_categoricals

from tabular.data import census, columns, readers, synthetic
from tabular.errors import UserError

PROJECT_DATA = Path(__file__).resolve().parents[2] / "data"
TIMEOUT = 4, 30  # seconds: to connect, and for the server to send something


@dataclass(frozen=True)
class Split:
    """The rows of one file, or of several."""

    X: pd.DataFrame  # (n_samples, n_features): float32, or sorted categories; missing is NaN
    y: np.ndarray  # (n_samples,), int8: 1 where the label is census.POSITIVE
    name: str  # the file's or the folder's
    digest: str  # SHA-256 of the file's bytes, hexadecimal; of the files' digests
    synthetic: bool  # the file carries the marker of synthetic rows

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return len(self.y)


@dataclass(frozen=True)
class Dataset:
    """The two splits and where they came from."""

    train: Split  # for training and every choice
    test: Split  # for reporting
    origin: str  # uci (the digests are UCI's), synthetic (a file is), directory (the user's word)
    source: str  # the folder, or what generated the rows
    warning: str | None = None  # why auto fell back to synthetic rows

    def marked(self, name: str) -> str:
        """A name of something made from the rows, which says so where they are synthetic."""
        return f"synthetic {name}" if self.origin == "synthetic" else name

    @property
    def digest(self) -> str:
        """SHA-256 over the digests of both files."""
        return hashlib.sha256(f"{self.train.digest}{self.test.digest}".encode()).hexdigest()


def load(data: str = "auto", read_train: Callable | None = None) -> Dataset:
    """Find the rows that ``data`` names, check and read them; ``data/README.md`` lists the names.

    Args:
        read_train: reads the training rows in place of ``read_split``.

    Raises:
        UserError: the source was named and cannot be used, or a row is malformed.
    """
    try:
        return _load(data, read_train or read_split)
    except (OSError, RuntimeError) as error:  # unreadable, a loop of links
        raise UserError(f"data: {error}") from None


def reload(tags: dict[str, str]) -> Dataset:
    """The rows of a past run, found by the tags that it recorded."""
    return load("uci" if tags["data.origin"] == "uci" else tags["data.source"])


def _load(data: str, read_train: Callable) -> Dataset:
    if data == "synthetic":
        return _generate(synthetic.DEFAULT_ROWS, read_train)
    if data.startswith("synthetic:"):
        n_rows = data.removeprefix("synthetic:")
        if not re.fullmatch(r"\d{1,9}", n_rows) or int(n_rows) < synthetic.MINIMUM_ROWS:
            expected = f"synthetic:N with N from {synthetic.MINIMUM_ROWS} to 999999999"
            raise UserError(f"data: expected {expected}, got {data[:50]!r}")
        return _generate(int(n_rows), read_train)
    if data not in ("auto", "uci"):
        return _read_directory(resolve_path(data, "data"), "data", read_train)
    if named := os.environ.get("CENSUS_DATA_DIR"):
        folder = resolve_path(named, "CENSUS_DATA_DIR")
        return _read_directory(folder, "CENSUS_DATA_DIR", read_train, only_uci=data == "uci")
    try:
        return _find_uci(read_train)
    except UserError as error:
        if data == "uci":
            raise
        try:
            return _generate(synthetic.DEFAULT_ROWS, read_train, warning=str(error))
        except UserError as other:
            raise UserError(f"{error}; {other}") from None


def resolve_path(text: str, name: str) -> Path:
    """The path a user typed.

    A relative one is refused under ``mlflow run <git URL>``, which works in a temporary clone
    (``tempfile.mkdtemp``) that the user did not mean and never sees.
    """
    if not text.strip():
        raise UserError(f"{name}: expected a path, got nothing")
    try:
        path, here = Path(text).expanduser(), Path.cwd().resolve()
        whole = path.resolve()
    except (OSError, RuntimeError) as error:  # a loop of links, ~nobody
        raise UserError(f"{name}: {error}") from None
    temporary = re.escape(str(Path(tempfile.gettempdir()).resolve()))
    in_clone = re.match(rf"{temporary}/tmp[a-z0-9_]{{8}}(/|$)", str(here))
    if in_clone and "MLFLOW_RUN_ID" in os.environ and not path.is_absolute():
        raise UserError(
            f"{name}: expected an absolute path, got {text!r}: this run works in a temporary "
            f"clone of the project ({here}), so a relative path would be looked up there"
        )
    return whole


def read_split(path: Path, only_digest: str | None = None) -> Split:
    """Read a file, or every file of a folder, as one split and check every row.

    Raises:
        UserError: naming file, line, what was expected and what was found.
    """
    found = [read_file(part, only_digest) for part in split_files(path)]
    X = _join([part.X for part in found])
    split = Split(X, np.concatenate([part.y for part in found]), path.name, *combine_digests(found))
    require_labels(path, int(split.y.sum()), len(split.y))
    return split


def split_files(path: Path) -> list[Path]:
    """The files that a path stands for: itself, or those in a folder."""
    if not path.is_dir():
        return [path]
    found = [file for file in sorted(path.iterdir()) if file.suffix in readers.EXTENSIONS]
    if found := [file for file in found if not file.name.startswith((".", "_"))]:
        return found
    raise UserError(
        f"{path}: expected files that end in {', '.join(readers.EXTENSIONS)}, found none"
    )


def read_file(path: Path, only_digest: str | None = None) -> Split:
    """Read one file; its labels may be all the same."""
    with ThreadPoolExecutor(1) as pool, readers.open_rows(path, str(path)) as source:
        fingerprint = pool.submit(_fingerprint, path)
        if only_digest and (digest := fingerprint.result()[0]) != only_digest:
            raise UserError(
                f"{path}: expected UCI's file with SHA-256 {only_digest}, got {digest}; "
                "replace it, or name its folder with data=<folder> to vouch for it yourself"
            )
        if census.LABEL not in source.schema.names:
            raise UserError(f"{path} has no {census.LABEL}")
        work = partial(_understand, path, source.parse)
        found = [*readers.map_in_order(work, source.blocks)]
        if not sum(len(y) for _, y in found):
            raise UserError(f"{path}: expected rows, found none")
        X, y = _join([X for X, _ in found]), np.concatenate([y for _, y in found])
    pa.default_memory_pool().release_unused()
    return Split(X, y, path.name, *fingerprint.result())


def _fingerprint(path: Path) -> tuple[str, bool]:
    """SHA-256 of the bytes, and whether they hold the marker of synthetic rows."""
    digest, marked, marker, before = hashlib.sha256(), False, synthetic.MARKER.encode(), b""
    with path.open("rb") as file:
        while block := file.read(readers.BLOCK_BYTES):
            digest.update(block)
            marked = marked or marker in before + block
            before = block[-len(marker) :]
    return digest.hexdigest(), marked


def combine_digests(found: list) -> tuple[str, bool]:
    """Digest and marker of a whole split, from those of its files."""
    if len(found) == 1:
        return found[0].digest, found[0].synthetic
    digests = "".join(part.digest for part in found)
    return hashlib.sha256(digests.encode()).hexdigest(), any(part.synthetic for part in found)


def _understand(path: Path, parse: Callable, block: tuple) -> tuple[pd.DataFrame, np.ndarray]:
    piece, X, y = columns.interpret(parse(*block), labelled=True)
    if piece.bad:
        raise UserError(f"{path} line {piece.bad[0].line}: {piece.bad[0].reason}")
    return X.astype(dict.fromkeys(census.NUMERIC, np.float32)), y


def _join(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """One frame of several, which it empties column by column: no row is in memory twice."""
    columns = {}
    for name in census.FEATURES:
        found = [frame.pop(name) for frame in frames]
        if name in census.NUMERIC:
            columns[name] = np.concatenate(found)
        else:
            words = union_categoricals(found, sort_categories=True)
            # XGBoost wants a category even where all are missing
            none = not len(words.categories)
            columns[name] = words.add_categories(census.MISSING) if none else words
    return pd.DataFrame(columns, copy=False)


def require_labels(path: Path, n_positive: int, n_rows: int) -> None:
    """Raise ``UserError`` unless both labels occur."""
    if n_positive in (0, n_rows):
        both, only = [census.NEGATIVE, census.POSITIVE], bool(n_positive)
        expected = f"expected rows of both labels, {' and '.join(both)}"
        raise UserError(f"{path}: {expected}, got only {both[only]}")


def _find(folder: Path, name: str, named_by: str) -> Path:
    """Where a split lies in a folder: UCI's file, or one or a folder of them by our name."""
    own = census.OWN_NAMES[name]
    names = [name, own, f"{own}{readers.CSV}", f"{own}{readers.PARQUET}"]
    found = [folder / name for name in names if (folder / name).exists()]
    if not found:
        wanted = f"a folder of {census.TRAIN} and {census.TEST}"
        raise UserError(f"{named_by}: expected {wanted}, found no {name} in {folder}")
    if len(found) > 1:
        both = " and ".join(path.name for path in found)
        raise UserError(f"{named_by}: expected one of {both}, found both in {folder}")
    return found[0]


def _read_directory(
    folder: Path, named_by: str, read_train: Callable, only_uci: bool = False
) -> Dataset:
    paths = [_find(folder, name, named_by) for name in census.DIGESTS]
    digests = census.DIGESTS.values() if only_uci else (None, None)
    train, test = (
        reader(path, digest)
        for reader, path, digest in zip((read_train, read_split), paths, digests, strict=True)
    )
    origin = "synthetic" if train.synthetic or test.synthetic else "directory"
    if [train.digest, test.digest] == [*census.DIGESTS.values()]:
        origin = "uci"
    return Dataset(train, test, origin, str(folder))


def _generate(n_rows: int, read_train: Callable, warning: str | None = None) -> Dataset:
    with tempfile.TemporaryDirectory(prefix="census-synthetic-") as folder:
        synthetic.write(Path(folder), n_rows)
        made = _read_directory(Path(folder), "data", read_train)
    return replace(made, source=f"synthetic:{n_rows}", warning=warning)


def _find_uci(read_train: Callable) -> Dataset:
    """The real files: the project's, or those in the user's cache, downloaded if need be."""
    import pooch

    if any((PROJECT_DATA / name).exists() for name in census.DIGESTS):
        try:
            return _read_directory(PROJECT_DATA, "data", read_train, only_uci=True)
        except (UserError, OSError) as error:
            print(f"not used: {error}", file=sys.stderr)
    cache = Path(pooch.os_cache("census-mlflow"))
    download(cache)
    return _read_directory(cache, "data", read_train, only_uci=True)


def download(folder: Path) -> None:
    """See to it that both files are in ``folder``; each gets there whole and verified, or not.

    Raises:
        UserError: naming every address tried and why it failed.
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")
    fetch = pooch.HTTPDownloader(timeout=TIMEOUT, progressbar=sys.stderr.isatty())
    for name, digest in census.DIGESTS.items():
        failures = []
        for address in census.ADDRESSES:
            try:
                pooch.retrieve(address + name, f"sha256:{digest}", name, folder, downloader=fetch)
                break
            except (OSError, ValueError) as error:  # requests' errors are OSErrors
                reason = getattr(error.__context__, "reason", error)  # urllib3's words are fewer
                failures.append(f"{address}: {reason}")
        else:
            raise UserError(
                f"{name} could not be downloaded ({'; '.join(failures) or 'no address is known'}). "
                f"Put {census.TRAIN} and {census.TEST} into a folder and set CENSUS_DATA_DIR to "
                "it, or use data=synthetic"
            )
