"""Where the rows come from, and how a file of them is read and checked."""

import codecs
import csv
import hashlib
import io
import os
import re
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from census import UserError, synthetic, table

PROJECT_DATA = Path(__file__).resolve().parent.parent / "data"
COLUMNS = [*table.FEATURES, table.LABEL]
TIMEOUT = 4, 30  # seconds: to connect, and for the server to send something


@dataclass(frozen=True)
class Split:
    """One file of rows."""

    X: pd.DataFrame  # (n_samples, 14): numbers are float32, words sorted categories, missing NaN
    y: np.ndarray  # (n_samples,), int8: 1 where the label is table.POSITIVE
    name: str  # the file's
    digest: str  # SHA-256 of the file's bytes, hexadecimal
    synthetic: bool  # the file carries the marker of synthetic rows


@dataclass(frozen=True)
class Census:
    """The two splits and where they came from."""

    train: Split  # for training and every choice
    test: Split  # for reporting
    origin: str  # uci (the digests are UCI's), synthetic (a file is), directory (the user's word)
    source: str  # the folder, or what generated the rows
    warning: str | None = None  # why auto fell back to synthetic rows

    @property
    def digest(self) -> str:
        """SHA-256 over the digests of both files."""
        return hashlib.sha256(f"{self.train.digest}{self.test.digest}".encode()).hexdigest()


def load(data: str = "auto") -> Census:
    """Find the rows that ``data`` names, check and read them; ``data/README.md`` lists the names.

    Raises:
        UserError: the source was named and cannot be used, or a row is malformed.
    """
    try:
        return _load(data)
    except (OSError, RuntimeError) as error:  # unreadable, a loop of links, ~nobody
        raise UserError(f"data: {error}") from None


def load_again(tags: dict[str, str]) -> Census:
    """The rows of a past run, found by the tags that it recorded."""
    return load("uci" if tags["data.origin"] == "uci" else tags["data.source"])


def _load(data: str) -> Census:
    if data == "synthetic":
        return _generate(synthetic.DEFAULT_ROWS)
    if data.startswith("synthetic:"):
        n_rows = data.removeprefix("synthetic:")
        if not re.fullmatch(r"\d{1,9}", n_rows) or int(n_rows) < synthetic.MINIMUM_ROWS:
            expected = f"synthetic:N with N from {synthetic.MINIMUM_ROWS} to 999999999"
            raise UserError(f"data: expected {expected}, got {data[:50]!r}")
        return _generate(int(n_rows))
    if data not in ("auto", "uci"):
        return _read_directory(user_path(data, "data"), "data")
    if named := os.environ.get("CENSUS_DATA_DIR"):
        folder = user_path(named, "CENSUS_DATA_DIR")
        return _read_directory(folder, "CENSUS_DATA_DIR", only_uci=data == "uci")
    try:
        return _find_uci()
    except UserError as error:
        if data == "uci":
            raise
        return _generate(synthetic.DEFAULT_ROWS, warning=str(error))


def user_path(text: str, name: str) -> Path:
    """The path a user typed.

    A relative one is refused under ``mlflow run <git URL>``, which works in a temporary clone
    (``tempfile.mkdtemp``) that the user did not mean and never sees.
    """
    if not text.strip():
        raise UserError(f"{name}: expected a path, got nothing")
    path, here = Path(text).expanduser(), Path.cwd().resolve()
    temporary = re.escape(str(Path(tempfile.gettempdir()).resolve()))
    in_clone = re.match(rf"{temporary}/tmp[a-z0-9_]{{8}}(/|$)", str(here))
    if in_clone and "MLFLOW_RUN_ID" in os.environ and not path.is_absolute():
        raise UserError(
            f"{name}: expected an absolute path, got {text!r}: this run works in a temporary "
            f"clone of the project ({here}), so a relative path would be looked up there"
        )
    return path.resolve()


def read(path: Path, only_digest: str | None = None) -> Split:
    """Read one file in the UCI dialect (``data/README.md``) and check every row.

    Raises:
        UserError: naming file, line, what was expected and what was found.
    """
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if only_digest not in (None, digest):
        raise UserError(
            f"{path}: expected UCI's file with SHA-256 {only_digest}, got {digest}; "
            "replace it, or name its folder with data=<folder> to vouch for it yourself"
        )
    lines = content.removeprefix(codecs.BOM_UTF8)
    is_row = _find_rows(path, lines)
    rows = pd.read_csv(
        io.BytesIO(lines),
        names=COLUMNS,
        dtype=dict.fromkeys([*table.CATEGORICAL, table.LABEL], "str"),
        skiprows=np.flatnonzero(~is_row),
        lineterminator="\n",
        skipinitialspace=True,
        na_values=table.MISSING,
        keep_default_na=False,
        quoting=csv.QUOTE_NONE,
        low_memory=False,  # a numeric column with a word in it is text from top to bottom
    ).set_axis(np.flatnonzero(is_row) + 1)  # line numbers
    y = _labels(path, rows.pop(table.LABEL))
    X = pd.DataFrame({name: _values(path, fields) for name, fields in rows.items()})
    return Split(X, y, path.name, digest, synthetic.MARKER.encode() in content)


def _find_rows(path: Path, lines: bytes) -> np.ndarray:
    """Which of the lines are rows, neither blank nor comments: a truth value for each."""
    try:
        lines.decode()
    except UnicodeDecodeError as error:
        line = lines.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path} line {line}: expected UTF-8 text, got {error.reason}") from None
    comment, is_row = table.COMMENT.encode(), []
    for number, line in enumerate(io.BytesIO(lines), start=1):
        is_row.append(bool(line.strip()) and not line.startswith(comment))
        width = line.count(b",") + 1
        if is_row[-1] and width != len(COLUMNS):
            raise UserError(f"{path} line {number}: expected {len(COLUMNS)} fields, got {width}")
    if not any(is_row):
        raise UserError(f"{path}: expected rows, found none")
    return np.array(is_row)


def _labels(path: Path, fields: pd.Series) -> np.ndarray:
    labels = fields.str.strip().str.removesuffix(table.LABEL_SUFFIX)
    both = [table.NEGATIVE, table.POSITIVE]
    _refuse(path, fields[~labels.isin(both)], f"the label {' or '.join(both)}")
    if labels.nunique() < 2:
        expected = f"expected rows of both labels, {' and '.join(both)}"
        raise UserError(f"{path}: {expected}, got only {labels.iloc[0]}")
    return (labels == table.POSITIVE).to_numpy(np.int8)


def _values(path: Path, fields: pd.Series) -> np.ndarray | pd.Categorical:
    if fields.name in table.NUMERIC:
        if pd.api.types.is_string_dtype(fields):  # a tab before the marker, or no number
            fields = fields.mask(fields.str.strip() == table.MISSING)
        numbers = pd.to_numeric(fields, errors="coerce")
        finite = (numbers.abs() <= np.finfo(np.float32).max) & (fields.dtype != bool)
        _refuse(path, fields[fields.notna() & ~finite], "a number")
        return numbers.to_numpy(np.float32)
    words = fields.str.strip()
    _refuse(path, fields[words == ""], "a value")
    words = words.mask(words == table.MISSING).astype("category").array
    return words if len(words.categories) else words.add_categories(table.MISSING)  # for XGBoost


def _refuse(path: Path, wrong: pd.Series, expected: str) -> None:
    """End with the first of the wrong fields, if there is one."""
    for line, found in wrong.head(1).items():
        got = repr(str(found)[:50])
        raise UserError(f"{path} line {line}, {wrong.name}: expected {expected}, got {got}")


def _read_directory(folder: Path, named_by: str, only_uci: bool = False) -> Census:
    for name in table.DIGESTS:
        if not (folder / name).is_file():
            wanted = f"a folder of {table.TRAIN} and {table.TEST}"
            raise UserError(f"{named_by}: expected {wanted}, found no {name} in {folder}")
    train, test = (
        read(folder / name, digest if only_uci else None) for name, digest in table.DIGESTS.items()
    )
    origin = "synthetic" if train.synthetic or test.synthetic else "directory"
    if [train.digest, test.digest] == [*table.DIGESTS.values()]:
        origin = "uci"
    return Census(train, test, origin, str(folder))


def _generate(n_rows: int, warning: str | None = None) -> Census:
    with tempfile.TemporaryDirectory(prefix="census-synthetic-") as folder:
        synthetic.write(Path(folder), n_rows)
        made = _read_directory(Path(folder), "data")
    return replace(made, source=f"synthetic:{n_rows}", warning=warning)


def _find_uci() -> Census:
    """The real files: the project's, or those in the user's cache, downloaded if need be."""
    import pooch

    if any((PROJECT_DATA / name).exists() for name in table.DIGESTS):
        try:
            return _read_directory(PROJECT_DATA, "data", only_uci=True)
        except (UserError, OSError) as error:
            print(f"not used: {error}", file=sys.stderr)
    cache = Path(pooch.os_cache("census-mlflow"))
    download(cache)
    return _read_directory(cache, "data", only_uci=True)


def download(folder: Path) -> None:
    """See to it that both files are in ``folder``; each gets there whole and verified, or not.

    Raises:
        UserError: naming every address tried and why it failed.
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")
    fetch = pooch.HTTPDownloader(timeout=TIMEOUT, progressbar=sys.stderr.isatty())
    for name, digest in table.DIGESTS.items():
        failures = []
        for address in table.ADDRESSES:
            try:
                pooch.retrieve(address + name, f"sha256:{digest}", name, folder, downloader=fetch)
                break
            except (OSError, ValueError) as error:  # requests' errors are OSErrors
                reason = getattr(error.__context__, "reason", error)  # urllib3's words are fewer
                failures.append(f"{address}: {reason}")
        else:
            raise UserError(
                f"{name} could not be downloaded ({'; '.join(failures)}). "
                f"Put {table.TRAIN} and {table.TEST} into a folder and set CENSUS_DATA_DIR to it, "
                "or use data=synthetic"
            )
