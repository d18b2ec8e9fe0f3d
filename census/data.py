"""Where the rows come from, and how a file of them is read and checked."""

import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from census import UserError, synthetic, table

PROJECT_DATA = Path(__file__).resolve().parent.parent / "data"
CONNECT_SECONDS, READ_SECONDS = 4, 30


@dataclass(frozen=True)
class Split:
    """One file of rows.

    Attributes:
        X: frame (n_samples, 14) in the order of ``table.FEATURES``; numeric columns are float32,
            categorical ones pandas categories in sorted order, missing values NaN.
        y: int8 array (n_samples,), 1 where the label is ``table.POSITIVE``.
        name: the file's name.
        digest: SHA-256 of the file's bytes, hexadecimal.
        synthetic: whether a comment at its beginning says that the rows are.
    """

    X: pd.DataFrame
    y: np.ndarray
    name: str
    digest: str
    synthetic: bool


@dataclass(frozen=True)
class Census:
    """The two splits and where they came from.

    Attributes:
        train, test: the rows for training and choosing, and those for reporting.
        origin: ``uci`` (the digests are UCI's), ``synthetic`` (the file carries the marker) or
            ``directory`` (vouched for by the user).
        source: the folder, or what generated the rows.
        warning: why ``auto`` fell back to synthetic rows, else None.
    """

    train: Split
    test: Split
    origin: str
    source: str
    warning: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 over the digests of both files."""
        return hashlib.sha256(f"{self.train.digest}{self.test.digest}".encode()).hexdigest()


def load(data: str = "auto") -> Census:
    """Find the rows that ``data`` names, check and read them.

    Args:
        data: ``auto``, ``uci``, ``synthetic``, ``synthetic:N`` or a directory.

    Raises:
        UserError: the source was named and cannot be used, or a row is malformed.
    """
    try:
        return _load(data)
    except (OSError, RuntimeError) as error:  # unreadable, a loop of links, ~nobody
        raise UserError(f"data: {error}") from None


def _load(data: str) -> Census:
    if match := re.fullmatch(r"synthetic(?::(\d{1,9}))?", data):
        return _generate(int(match[1] or synthetic.DEFAULT_ROWS))
    if data.startswith("synthetic:"):
        raise UserError(
            f"data: expected synthetic:N with a whole number N of up to nine digits, got {data!r}"
        )
    if data not in ("auto", "uci"):
        return _read_directory(user_path(data, "data"), "data")
    if named := os.environ.get("CENSUS_DATA_DIR"):
        folder = user_path(named, "CENSUS_DATA_DIR")
        if data == "uci":
            _require_uci(folder)
        return _read_directory(folder, "CENSUS_DATA_DIR")
    try:
        return _read_directory(_find_uci(), "data")
    except UserError as error:
        if data == "uci":
            raise
        return _generate(synthetic.DEFAULT_ROWS, warning=str(error))


def user_path(text: str, name: str) -> Path:
    """The path a user typed; a relative one is refused where it cannot mean what the user meant.

    ``mlflow run <git URL>`` works in a fresh temporary clone (``tempfile.mkdtemp``), which is gone
    from the user's mind and soon from the disk.
    """
    if not text.strip():
        raise UserError(f"{name}: expected a path, got nothing")
    path = Path(text).expanduser()
    here, temporary = Path.cwd().resolve(), Path(tempfile.gettempdir()).resolve()
    if not path.is_absolute() and "MLFLOW_RUN_ID" in os.environ and here.is_relative_to(temporary):
        first = here.relative_to(temporary).parts[:1]
        if first and re.fullmatch(r"tmp[a-z0-9_]{8}", first[0]):
            raise UserError(
                f"{name}: expected an absolute path, got {text!r}: this run works in a temporary "
                f"clone of the project ({here}), so a relative path would be looked up there"
            )
    return path.resolve()


def read(path: Path) -> Split:
    """Read one file in the UCI dialect and check every row.

    The dialect: fields separated by a comma and a space, ``?`` for missing, lines that open with
    ``|`` are comments, blank lines are skipped, a label may end with a full stop.

    Raises:
        UserError: naming file, line, what was expected and what was found.
    """
    if not path.stat().st_size:
        raise UserError(f"{path}: expected rows, got an empty file")
    content = pa.memory_map(str(path)).read_buffer()
    comments = _leading_comments(path)
    try:
        X, y = _parse(content, skip_rows=len(comments))
    except (pa.ArrowInvalid, ValueError):
        try:
            X, y = _parse(pa.py_buffer("\n".join(_tidy_lines(path)).encode()))
        except (pa.ArrowInvalid, ValueError) as error:
            raise UserError(f"{path}: {str(error)[:200]}") from None
    if len(set(y)) < 2:
        raise UserError(
            f"{path}: expected rows of both labels, {table.NEGATIVE} and {table.POSITIVE}; "
            f"found {len(y)} rows, {int(y.sum())} of them {table.POSITIVE}"
        )
    digest = hashlib.sha256(content).hexdigest()
    return Split(X, y, path.name, digest, any(c.startswith(synthetic.MARKER) for c in comments))


def _leading_comments(path: Path) -> list[str]:
    """The comments and blank lines that a file opens with."""
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        return list(takewhile(_is_no_row, lines))


def _is_no_row(line: str) -> bool:
    return not line.strip() or line.startswith(table.COMMENT)


def _parse(content: pa.Buffer, skip_rows: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Read rows fast. Anything unusual, a comment between rows too, is a ``ValueError``."""
    types = dict.fromkeys([*table.FEATURES, table.LABEL], pa.dictionary(pa.int32(), pa.string()))
    types |= dict.fromkeys(table.NUMERIC, pa.float64())
    rows = pa.csv.read_csv(
        pa.BufferReader(content),
        read_options=pa.csv.ReadOptions(column_names=list(types), skip_rows=skip_rows),
        parse_options=pa.csv.ParseOptions(quote_char=False),
        convert_options=pa.csv.ConvertOptions(
            column_types=types, null_values=[table.MISSING, f" {table.MISSING}"]
        ),
    ).unify_dictionaries()
    columns = {name: _column(rows[name]) for name in table.FEATURES}
    return pd.DataFrame(columns), _labels(rows[table.LABEL])


def _column(values: pa.ChunkedArray) -> np.ndarray | pd.Categorical:
    if not pa.types.is_dictionary(values.type):
        with np.errstate(over="ignore"):
            numbers = values.to_numpy().astype(np.float32)
        if np.isfinite(numbers).sum() < len(numbers) - values.null_count:
            raise ValueError("a number is not finite in 32 bits")
        return numbers
    codes, words = _words(values)
    if "" in words:
        raise ValueError("an empty field")
    categories = sorted(set(words) - {table.MISSING}) or [table.MISSING]  # XGBoost wants one
    lookup = np.array([-1 if w == table.MISSING else categories.index(w) for w in words], int)
    return pd.Categorical.from_codes(lookup[codes], categories)


def _labels(values: pa.ChunkedArray) -> np.ndarray:
    codes, words = _words(values)
    lookup = [
        (table.NEGATIVE, table.POSITIVE).index(word.removesuffix(table.LABEL_SUFFIX))
        for word in words
    ]
    return np.array(lookup, np.int8)[codes]


def _words(values: pa.ChunkedArray) -> tuple[np.ndarray, list[str]]:
    """Codes (n_samples,) and the stripped text each of them stands for."""
    combined = values.combine_chunks()
    if isinstance(combined, pa.ChunkedArray):  # what an empty column combines to
        return np.empty(0, np.int32), []
    return combined.indices.to_numpy(), [w.strip() for w in combined.dictionary.to_pylist()]


def _tidy_lines(path: Path) -> Iterator[str]:
    """The rows that the fast reading refused, made plain, or an error that says what is wrong."""
    text = path.read_bytes()
    try:
        lines = re.split(r"\r\n|\r|\n", text.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        number = text.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path} line {number}: expected UTF-8 text, got {error.reason}") from None
    for number, line in enumerate(lines, start=1):
        where = f"{path} line {number}"
        if _is_no_row(line):
            continue
        fields = [field.strip() for field in line.split(",")]
        if len(fields) != len(table.FEATURES) + 1:
            expected = len(table.FEATURES) + 1
            raise UserError(f"{where}: expected {expected} fields, got {len(fields)}")
        *values, label = fields
        for name, value in zip(table.FEATURES, values, strict=True):
            if not value:
                raise UserError(f"{where}, {name}: expected a value, got an empty field")
            if name in table.NUMERIC and value != table.MISSING and not _is_number(value):
                raise UserError(f"{where}, {name}: expected a number, got {value[:50]!r}")
        if label.removesuffix(table.LABEL_SUFFIX) not in (table.NEGATIVE, table.POSITIVE):
            expected = f"{table.NEGATIVE} or {table.POSITIVE}"
            raise UserError(f"{where}: expected the label {expected}, got {label[:50]!r}")
        yield ",".join(fields)


def _is_number(text: str) -> bool:
    try:
        with np.errstate(over="ignore"):
            return bool(np.isfinite(np.float32(pa.scalar(text).cast(pa.float64()).as_py())))
    except pa.ArrowInvalid:
        return False


def _read_directory(folder: Path, named_by: str) -> Census:
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        wanted = f"a folder of {table.TRAIN} and {table.TEST}"
        raise UserError(f"{named_by}: expected {wanted}, found {found} at {folder}")
    for name in table.DIGESTS:
        if not (folder / name).is_file():
            raise UserError(f"{named_by}: expected the file {name} in {folder}, found none")
    train, test = read(folder / table.TRAIN), read(folder / table.TEST)
    origin = "synthetic" if train.synthetic or test.synthetic else "directory"
    if {table.TRAIN: train.digest, table.TEST: test.digest} == table.DIGESTS:
        origin = "uci"
    return Census(train, test, origin, str(folder))


def _generate(n_rows: int, warning: str | None = None) -> Census:
    if n_rows < synthetic.MINIMUM_ROWS:
        raise UserError(
            f"data: expected at least {synthetic.MINIMUM_ROWS} synthetic rows, got {n_rows}"
        )
    with tempfile.TemporaryDirectory(prefix="census-synthetic-") as folder:
        synthetic.write(Path(folder), n_rows)
        made = _read_directory(Path(folder), "data")
    return replace(made, source=f"synthetic:{n_rows}", warning=warning)


def _require_uci(folder: Path) -> None:
    for name, expected in table.DIGESTS.items():
        path = folder / name
        if not path.is_file():
            raise UserError(f"{path}: no such file; expected UCI's, see data/README.md")
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != expected:
            raise UserError(
                f"{path}: expected UCI's file with SHA-256 {expected}, got {found}; "
                "replace it, or name its folder with data=<folder> to vouch for it yourself"
            )


def _find_uci() -> Path:
    """The folder of verified real files: the project's, the user's cache, or a download into it."""
    import pooch

    cache = Path(pooch.os_cache("census-mlflow"))
    for folder in (PROJECT_DATA, cache):
        if not any((folder / name).exists() for name in table.DIGESTS):
            continue
        try:
            _require_uci(folder)
            return folder
        except (UserError, OSError) as error:
            print(f"not used: {error}", file=sys.stderr)
    download(cache)
    return cache


def download(folder: Path) -> None:
    """Fetch both files into ``folder``; each appears there whole and verified, or not at all.

    Raises:
        UserError: naming every address tried and why it failed.
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")
    fetch = pooch.HTTPDownloader(
        timeout=(CONNECT_SECONDS, READ_SECONDS), progressbar=sys.stderr.isatty()
    )
    for name, digest in table.DIGESTS.items():
        failures = []
        for address in table.ADDRESSES:
            try:
                pooch.retrieve(address + name, f"sha256:{digest}", name, folder, downloader=fetch)
                break
            except (OSError, ValueError) as error:  # requests' errors are OSErrors
                failures.append(f"{address}: {_reason(error)}")
        else:
            raise UserError(
                f"{name} could not be downloaded ({'; '.join(failures)}). "
                f"Put {table.TRAIN} and {table.TEST} into a folder and set CENSUS_DATA_DIR to it, "
                "or use data=synthetic"
            )


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    for sign, reason in (
        ("NameResolution", "the host name is not found; is this machine offline?"),
        ("timed out", "no answer in time"),
        ("refused", "connection refused"),
    ):
        if sign in text:
            return reason
    return text
