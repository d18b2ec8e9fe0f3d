"""Locating, downloading and loading a dataset."""

import hashlib
import http.server
import signal
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest

from tabular import cancel
from tabular.data import census, reading, sources, synthetic
from tabular.data.census import CENSUS
from tabular.errors import UserError
from tests.helpers import REAL


@pytest.mark.real
def test_the_files_of_uci_are_recognised_in_any_folder(monkeypatch):
    """According to adult.names they have 32,561 and 16,281 rows, 24.08 % and 23.62 % above 50K."""
    dataset = sources.load(str(REAL))
    assert dataset.origin == "uci"
    assert (dataset.train.n_rows, dataset.test.n_rows) == (32_561, 16_281)
    assert dataset.train.y.mean() == pytest.approx(0.2408, abs=5e-5)
    assert dataset.test.y.mean() == pytest.approx(0.2362, abs=5e-5)
    assert dataset.train.X.isna().sum().sum() == 4262
    monkeypatch.setenv("CENSUS_DATA_DIR", str(REAL))
    assert sources.load("uci").digest == sources.load("auto").digest == dataset.digest


def test_a_named_source_is_used_or_is_an_error(monkeypatch, tmp_path, synthetic_folder):
    """Only auto without CENSUS_DATA_DIR tries other sources."""
    for value in ("nowhere", str(tmp_path / "nowhere")):
        with pytest.raises(
            UserError,
            match=r"expected a folder of adult.data and adult.test, or of train",
        ):
            sources.load(value)
    monkeypatch.setenv("CENSUS_DATA_DIR", str(synthetic_folder))
    assert sources.load("auto").source == str(synthetic_folder)
    with pytest.raises(UserError, match="SHA-256"):
        sources.load("uci")
    monkeypatch.setenv("CENSUS_DATA_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="CENSUS_DATA_DIR: expected a folder"):
        sources.load("auto")


@pytest.mark.parametrize(
    "value",
    [
        "synthetic:",
        "synthetic:x",
        "synthetic:-5",
        "synthetic:5",
        "synthetic:" + "9" * 5000,
        "",
        " ",
    ],
)
def test_a_malformed_source_is_refused(value):
    with pytest.raises(UserError):
        sources.load(value)


@pytest.mark.parametrize("clone", [True, False])
def test_a_relative_path_is_refused_in_a_temporary_clone(monkeypatch, tmp_path, clone):
    """`mlflow run <git URL>` works in tempfile.mkdtemp(), not in the folder of the user."""
    here = tmp_path / "tmp" / ("tmpab12cd_9" if clone else "project")
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    assert sources.resolve_path("rows", "data") == here / "rows"
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    assert sources.resolve_path("/rows", "data").is_absolute()
    if clone:
        with pytest.raises(UserError, match="data: expected an absolute path, got 'rows'"):
            sources.resolve_path("rows", "data")
    else:
        assert sources.resolve_path("rows", "data") == here / "rows"


@pytest.fixture
def mirror(monkeypatch, tmp_path, synthetic_folder):
    """A loopback server of two files with the recorded digests; yields what it serves, by name."""
    contents = {name: (synthetic_folder / name).read_bytes() for name in census.DIGESTS}
    digests = {name: hashlib.sha256(body).hexdigest() for name, body in contents.items()}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = contents.get(self.path.removeprefix("/"), b"")
            cut = self.path.removeprefix("/") in contents.get("cut", ())
            self.send_response(200 if body else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if cut else body)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    monkeypatch.setattr(census, "DIGESTS", digests)
    monkeypatch.setattr(
        census, "ADDRESSES", ("http://127.0.0.1:9/", f"http://127.0.0.1:{server.server_port}/")
    )
    monkeypatch.setattr(sources, "PROJECT_DATA", tmp_path / "project-data")
    monkeypatch.setenv("CENSUS_DOWNLOAD", "uci")
    yield contents
    server.shutdown()
    server.server_close()


def test_a_download_goes_to_the_cache_and_is_not_repeated(mirror, tmp_path):
    dataset = sources.load("uci")
    assert dataset.origin == "uci"
    assert dataset.source.startswith(str(tmp_path / "home" / "cache"))
    mirror.clear()
    assert sources.load("auto").digest == dataset.digest


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda c: c.update({census.TEST: b"<html>log in</html>"}),
            "does not match the known hash",
        ),
        (lambda c: c.update({census.TRAIN: c[census.TRAIN][:-5]}), "does not match the known hash"),
        (lambda c: c.update(cut=[census.TRAIN]), "adult.data could not be downloaded"),
        (lambda c: c.pop(census.TEST), "404"),
    ],
)
def test_a_failed_download_is_an_error_and_leaves_no_partial_file(mirror, tmp_path, spoil, message):
    spoil(mirror)
    with pytest.raises(UserError, match=message):
        sources.load("uci")
    complete = [p for p in (tmp_path / "home").rglob("*") if p.is_file()]
    assert {p.name for p in complete} <= {census.TRAIN}
    for path in complete:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == census.DIGESTS[path.name]


def test_a_download_can_be_cancelled(mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(cancel, "_received", signal.SIGTERM)
    with pytest.raises(cancel.Cancelled):
        sources.load("uci")
    assert not [p for p in (tmp_path / "home").rglob("*") if p.is_file()]


@pytest.mark.parametrize("data", ["synthetic", "auto"])
def test_generated_files_are_deleted(mirror, data):
    mirror.clear()
    with sources.located(data) as location:
        assert location.train.exists()
        assert location.test.exists()
    assert not [*Path(tempfile.gettempdir()).iterdir()]


def test_the_training_split_can_be_read_by_another_reader(synthetic_folder):
    """A cluster reads it so."""
    expected, read = reading.read_split(synthetic_folder / census.TRAIN, CENSUS), []

    def other_reader(location, table):
        read.extend([location.train, table])
        return expected, reading.read_split(location.test, table), table

    assert sources.load(str(synthetic_folder), read=other_reader).train is expected
    assert read == [synthetic_folder / census.TRAIN, CENSUS]


@pytest.mark.parametrize("data", ["synthetic:500", "folder"])
def test_a_dataset_is_loaded_again_by_the_tags_of_its_run(synthetic_folder, data):
    dataset = sources.load(str(synthetic_folder) if data == "folder" else data)
    tags = {"data.origin": dataset.origin, "data.source": dataset.source}
    assert sources.reload(tags, dataset.table).digest == dataset.digest


def test_auto_falls_back_to_synthetic_rows_with_a_warning(mirror):
    mirror.clear()
    dataset = sources.load("auto")
    assert dataset.origin == "synthetic"
    assert "adult.data could not be downloaded" in dataset.warning


def test_a_file_with_a_wrong_digest_is_not_used(mirror, tmp_path, capsys):
    """Files in the project's folder and in the cache are checked as downloads are."""
    project, cache = tmp_path / "project-data", tmp_path / "home" / "cache" / "census-mlflow"
    for folder in (project, cache):
        folder.mkdir(parents=True)
        (folder / census.TRAIN).write_text("spoilt")
        (folder / census.TEST).write_bytes(mirror[census.TEST])
    dataset = sources.load("uci")
    assert (dataset.origin, dataset.source) == ("uci", str(cache))
    expected = (
        f"the files in data/ are ignored: {project / census.TRAIN}: expected UCI's file with SHA"
    )
    assert capsys.readouterr().err.startswith(expected)


def test_the_project_folder_comes_before_the_cache(mirror, tmp_path):
    folder = tmp_path / "project-data"
    folder.mkdir()
    for name, body in mirror.items():
        (folder / name).write_bytes(body)
    assert sources.load("auto").source == str(folder)


@pytest.mark.parametrize("data", ["auto", "uci"])
def test_a_wrong_name_of_a_source_of_downloads_is_an_error(monkeypatch, data):
    monkeypatch.setenv("CENSUS_DOWNLOAD", "uci,weel")
    with pytest.raises(UserError, match="CENSUS_DOWNLOAD: expected .*, got 'weel'"):
        sources.load(data)


def test_origin_and_digest_depend_on_the_bytes_of_the_files(tmp_path, synthetic_folder):
    """Without the marker, the same rows have the origin "directory" and another digest."""
    marked = sources.load(str(synthetic_folder))
    assert marked.origin == "synthetic"
    for name in census.DIGESTS:
        lines = (synthetic_folder / name).read_text().splitlines()
        assert lines[0] == synthetic.MARKER
        (tmp_path / name).write_text("\n".join(lines[1:]) + "\n")
    plain = sources.load(str(tmp_path))
    assert plain.origin == "directory"
    assert plain.digest != marked.digest
    assert np.array_equal(plain.train.y, marked.train.y)


@pytest.mark.parametrize(("location", "temporary", "inside"), [
    ("file:///tmp/tmpabcdefgh/mlruns/0", "/tmp", True),
    ("/tmp/tmpabcdefgh", "/tmp", True),
    ("/home/ada/tmpabcdefgh", "/tmp", False),
    (r"C:\Temp\tmpabcdefgh\mlruns", r"C:\Temp", True),
    ("file:///C:/Temp/tmpabcdefgh/mlruns/0", r"C:\Temp", True),
    ("file:///C:/Temp/mlruns/0", r"C:\Temp", False),
])  # fmt: skip
def test_a_temporary_clone_is_recognised_on_windows_too(location, temporary, inside):
    assert sources._is_temporary_clone(location, temporary) == inside
