"""Where the data come from: a dataset is located, its files are checked and read.

``data/README.md`` lists the values of ``data``.
"""

import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pooch

from tabular.data import census, published, readers, reading, resolution, signatures, synthetic
from tabular.data.dataset import Dataset, Location, Split
from tabular.data.requests import TableRequest, merge, read_table_file
from tabular.data.resolution import Draft, with_bands
from tabular.data.table import Table
from tabular.errors import UserError

PROJECT_DATA = Path(__file__).resolve().parents[2] / "data"
SPLIT_NAMES = {census.TRAIN: "train", census.TEST: "test"}  # a split's name, without an extension

Read = Callable[[Location, Table | Draft], tuple[Any, Split, Table]]  # as reading.read_dataset


def load(
    data: str = "auto",
    request: TableRequest | None = None,
    table: Table | None = None,
    read: Read = reading.read_dataset,
) -> Dataset:
    """Locate the dataset that ``data`` names, check it and read it.

    Args:
        request: what the user fixes of the table, by parameters.
        table: of a past run; None: the built-in one, or one that is inferred.
        read: reads the files.

    Raises:
        UserError: the named source cannot be used, or a row is malformed.
    """
    try:
        with located(data) as location:
            plan = table or _propose(location, request or TableRequest())
            train, test, found = read(location, plan)
    except (OSError, RuntimeError) as error:  # an unreadable file, a loop of links
        raise UserError(f"data: {error}") from None
    origin = "synthetic" if train.synthetic or test.synthetic else "directory"
    if [train.digest, test.digest] == [*census.DIGESTS.values()]:
        origin = "uci"
    table_file = plan.request.path if isinstance(plan, Draft) else None
    table = table or with_bands(found, train.group_values)
    return Dataset(table, train, test, origin, location.source, location.warning, table_file)


def reload(tags: dict[str, str], table: Table) -> Dataset:
    """Load the dataset of a past run again, from the tags and the table of the run."""
    data = "uci" if tags["data.origin"] == "uci" else tags["data.source"]
    return load(data, table=table)


def _propose(location: Location, request: TableRequest) -> Table | Draft:
    """The table of the files, or what is known of it before its rows are read."""
    path = location.train
    folder = path.parent
    request = merge(request, read_table_file(folder))
    files = reading.data_files(path)
    for file in files + (reading.data_files(location.test) if location.test else []):
        expected = request.digests.get(file.name)
        if expected and (digest := reading.fingerprint(file)[0]) != expected:
            raise UserError(f"{file}: expected SHA-256 {expected} (table.toml), got {digest}")
    name = folder.name if location.test else path.name.removesuffix(readers.extension(path))
    return resolution.propose(files[0], name, request)


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
        return _find_splits(path, "CENSUS_DATA_DIR", verified=data == "uci")
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
            return _find_splits(PROJECT_DATA, "data", verified=True)
        except (UserError, OSError) as error:
            print(f"the files in data/ are ignored: {error}", file=sys.stderr)
    cache = Path(pooch.os_cache("census-mlflow"))
    published.download(cache)
    return _find_splits(cache, "data", verified=True)


def _find_splits(folder: Path, option: str, verified: bool = False) -> Location:
    """Both splits at a path; if ``verified``, every file must have UCI's digest.

    The path is a folder of a training and a test split, or one file of the rows of both.
    """
    if folder.is_file():
        readers.require_known_extension(folder, option)
        return Location(folder, None, str(folder))
    train, test = (_find_split(folder, name, option) for name in SPLIT_NAMES)
    if train is None and test is None and (one := _only_file(folder)):
        return Location(one, None, str(one))
    if train is None or test is None:
        absent = census.TEST if train else census.TRAIN
        expected = f"a folder of {census.TRAIN} and {census.TEST}, or of train.* and test.*"
        found = f"found no {absent} in {folder}{signatures.explain_missing(folder / absent)}"
        if not folder.exists():
            found = f"or a file of rows; there is no {folder}{signatures.explain_missing(folder)}"
        raise UserError(f"{option}: expected {expected}, {found}")
    for path, expected in zip((train, test), census.DIGESTS.values(), strict=True):
        for file in reading.data_files(path) if verified else []:
            if (digest := reading.fingerprint(file)[0]) != expected:
                raise UserError(
                    f"{file}: expected UCI's file with SHA-256 {expected}, got {digest}; replace "
                    "the file, or name its folder with data=<folder> to use it as it is"
                )
    return Location(train, test, str(folder))


def _find_split(folder: Path, name: str, option: str) -> Path | None:
    """Locate a split by UCI's file name or, as one file or a folder of files, by its own name."""
    own_name = SPLIT_NAMES[name]
    names = [name, own_name, *(f"{own_name}{extension}" for extension in readers.EXTENSIONS)]
    found = [folder / name for name in names if (folder / name).exists()]
    if len(found) > 1:
        both = " and ".join(path.name for path in found)
        raise UserError(f"{option}: expected one of {both}, found both in {folder}")
    return found[0] if found else None


def _only_file(folder: Path) -> Path | None:
    """The one data file of a folder; None if there are none or several."""
    if not folder.is_dir():
        return None
    files = [file for file in folder.iterdir() if file.is_file() and reading.is_data_file(file)]
    return files[0] if len(files) == 1 else None


def is_in_temporary_clone(location: str) -> bool:
    """Whether a path or file URI lies where ``mlflow run <git URL>`` clones a project to."""
    return _is_temporary_clone(location, str(Path(tempfile.gettempdir()).resolve()))


def _is_temporary_clone(location: str, temporary: str) -> bool:
    """As ``is_in_temporary_clone``, for the absolute path of a folder of temporary files."""
    location, temporary = (text.replace("\\", "/") for text in (location, temporary))
    slashes = "(//)?" if temporary.startswith("/") else "(///)?"  # before a drive there are three
    start = f"(file:{slashes})?"
    return bool(re.match(rf"{start}{re.escape(temporary)}/tmp[a-z0-9_]{{8}}(/|$)", location))


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
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            path.stat()  # from Python 3.13 on, resolve() accepts a loop of links
    except (OSError, RuntimeError) as error:  # a loop of links, an unknown user in ~user
        raise UserError(f"{option}: {error}") from None
    in_run = "MLFLOW_RUN_ID" in os.environ
    if in_run and not path.is_absolute() and is_in_temporary_clone(str(here)):
        raise UserError(
            f"{option}: expected an absolute path, got {text!r}: this run works in a temporary "
            f"clone of the project ({here}), so a relative path would be looked up there"
        )
    return absolute
