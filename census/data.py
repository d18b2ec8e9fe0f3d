"""Where the rows come from, and how a file of them is read and checked."""

import hashlib
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from census import UserError, synthetic, table

PROJECT_DATA = Path(__file__).resolve().parent.parent / "data"
CONNECT_SECONDS, READ_SECONDS = 4, 30
DEFAULT_SYNTHETIC_ROWS = 32_561  # as many as adult.data has


@dataclass(frozen=True)
class Split:
    """One file of rows.

    Attributes:
        X: frame (n_samples, 14) in the order of ``table.FEATURES``; numeric columns are float32,
            categorical ones pandas categories in sorted order, missing values NaN.
        y: int8 array (n_samples,), 1 where the label is ``table.POSITIVE``.
        name: the file's name.
        digest: SHA-256 of the file's bytes, hexadecimal.
    """

    X: pd.DataFrame
    y: np.ndarray
    name: str
    digest: str


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
    if match := re.fullmatch(r"synthetic(?::(\d+))?", data):
        return _generate(int(match[1] or DEFAULT_SYNTHETIC_ROWS))
    if data.startswith("synthetic"):
        raise UserError(f"data: expected synthetic:N with a whole number N, got {data!r}")
    if data not in ("auto", "uci"):
        return _read_directory(user_path(data, "data"))
    if named := os.environ.get("CENSUS_DATA_DIR"):
        folder = user_path(named, "CENSUS_DATA_DIR")
        if data == "uci":
            _require_uci(folder)
        return _read_directory(folder)
    try:
        return _read_directory(_find_uci())
    except UserError as error:
        if data == "uci":
            raise
        return _generate(DEFAULT_SYNTHETIC_ROWS, warning=str(error))


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
    types = dict.fromkeys([*table.FEATURES, table.LABEL], pa.dictionary(pa.int32(), pa.string()))
    types |= dict.fromkeys(table.NUMERIC, pa.float64())
    try:
        rows = pa.csv.read_csv(
            pa.BufferReader(content),
            read_options=pa.csv.ReadOptions(column_names=list(types)),
            parse_options=pa.csv.ParseOptions(
                quote_char=False,
                invalid_row_handler=lambda row: (
                    "skip" if row.text.startswith(table.COMMENT) else "error"
                ),
            ),
            convert_options=pa.csv.ConvertOptions(
                column_types=types,
                null_values=[f"{a}{table.MISSING}{b}" for a in ("", " ") for b in ("", " ")],
            ),
        ).unify_dictionaries()
        columns = {name: _column(rows[name]) for name in table.FEATURES}
        y = _labels(rows[table.LABEL])
    except (pa.ArrowInvalid, ValueError) as error:
        raise UserError(_first_bad_line(path) or f"{path}: {error}") from None
    if len(set(y)) < 2:
        raise UserError(
            f"{path}: expected rows of both labels, {table.NEGATIVE} and {table.POSITIVE}; "
            f"found {len(y)} rows, {int(y.sum())} of them {table.POSITIVE}"
        )
    return Split(pd.DataFrame(columns), y, path.name, hashlib.sha256(content).hexdigest())


def _column(values: pa.ChunkedArray) -> np.ndarray | pd.Categorical:
    if not pa.types.is_dictionary(values.type):
        numbers = values.to_numpy()
        if pc.any(pc.is_inf(values)).as_py() or np.isnan(numbers).sum() > values.null_count:
            raise ValueError("a number is not finite")
        return numbers.astype(np.float32)
    codes, words = _words(values)
    if "" in words:
        raise ValueError("an empty field")
    categories = sorted(set(words) - {table.MISSING})
    lookup = pd.Index(categories, dtype=object).get_indexer(words)
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


def _first_bad_line(path: Path) -> str | None:
    """The slow, careful reading of a file that the fast one refused."""
    width = len(table.FEATURES) + 1
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            where = f"{path} line {number}"
            try:
                text = line.decode()
            except UnicodeDecodeError as error:
                return f"{where}: expected UTF-8 text, got {error}"
            if not text.strip() or text.startswith(table.COMMENT):
                continue
            fields = [field.strip() for field in text.split(",")]
            if len(fields) != width:
                return f"{where}: expected {width} fields, got {len(fields)}"
            *values, label = fields
            for name, value in zip(table.FEATURES, values, strict=True):
                if not value:
                    return f"{where}, {name}: expected a value, got an empty field"
                if name in table.NUMERIC and value != table.MISSING and not _is_number(value):
                    return f"{where}, {name}: expected a number, got {value!r}"
            if label.removesuffix(table.LABEL_SUFFIX) not in (table.NEGATIVE, table.POSITIVE):
                expected = f"{table.NEGATIVE} or {table.POSITIVE}"
                return f"{where}: expected the label {expected}, got {label!r}"
    return None


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(pa.scalar(text).cast(pa.float64()).as_py()))
    except pa.ArrowInvalid:
        return False


def _read_directory(folder: Path, warning: str | None = None) -> Census:
    for name in table.DIGESTS:
        if not (folder / name).is_file():
            found = (
                ", ".join(sorted(p.name for p in folder.iterdir())[:8]) if folder.is_dir() else ""
            )
            raise UserError(
                f"data: expected the files {table.TRAIN} and {table.TEST} in {folder}, "
                + (f"found {found or 'an empty folder'}" if folder.is_dir() else "no such folder")
            )
    train, test = read(folder / table.TRAIN), read(folder / table.TEST)
    if {table.TRAIN: train.digest, table.TEST: test.digest} == table.DIGESTS:
        origin = "uci"
    elif synthetic.is_marked(folder / table.TRAIN) or synthetic.is_marked(folder / table.TEST):
        origin = "synthetic"
    else:
        origin = "directory"
    return Census(train, test, origin, str(folder), warning)


def _generate(n_rows: int, warning: str | None = None) -> Census:
    if n_rows < synthetic.MINIMUM_ROWS:
        raise UserError(
            f"data: expected at least {synthetic.MINIMUM_ROWS} synthetic rows, got {n_rows}"
        )
    with tempfile.TemporaryDirectory(prefix="census-synthetic-") as folder:
        synthetic.write(Path(folder), n_rows)
        census = _read_directory(Path(folder))
    return Census(census.train, census.test, census.origin, f"synthetic:{n_rows}", warning)


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
        except UserError as error:
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
