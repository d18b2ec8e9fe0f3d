"""What tests share: a clean environment, rows to work on, and an account of what was skipped."""

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import mlflow
import pytest

from tabular.data import sources, synthetic
from tests import team
from tests.helpers import PROJECT, REAL
from tests.servers import free_port, running

NEEDS = {
    "real": "the real files in $CENSUS_DATA_DIR",
    "network": "the internet",
    "postgresql": "PostgreSQL",
}


def pytest_collection_modifyitems(items):
    there = {"real": REAL is not None, "network": _online(), "postgresql": team.initdb()}
    for item in items:
        for marker, what in NEEDS.items():
            if item.get_closest_marker(marker) and not there[marker]:
                item.add_marker(pytest.mark.skip(reason=f"needs {what}"))


def pytest_terminal_summary(terminalreporter):
    skipped = [report.keywords for report in terminalreporter.stats.get("skipped", [])]
    for marker, what in NEEDS.items():
        count = sum(marker in keywords for keywords in skipped)
        terminalreporter.write_line(f"skipped for want of {what}: {count}")


def _online() -> bool:
    try:
        socket.create_connection(("archive.ics.uci.edu", 443), timeout=3).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    """A store's database as MLflow makes it at first use, which takes it two seconds."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path, empty_store):
    """No setting of the caller's leaks in; whatever is written goes into temporary folders."""
    for name in [*os.environ]:
        if name.startswith(("MLFLOW_", "CENSUS_", "GIT_", "DASK_")):
            monkeypatch.delenv(name)
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home" / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    shutil.copy(empty_store, tmp_path)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as store, store:
        store.execute("UPDATE experiments SET artifact_location = ?", [f"{tmp_path}/mlruns/0"])
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def no_store(tmp_path):
    """There is no store at first, and there must be none at the end."""
    (tmp_path / "mlflow.db").unlink()
    yield
    assert not (tmp_path / "mlflow.db").exists()


@pytest.fixture(scope="session")
def synthetic_folder(tmp_path_factory) -> Path:
    """Files of 4,000 and 2,000 synthetic rows."""
    folder = tmp_path_factory.mktemp("synthetic")
    synthetic.write(folder, 4000)
    return folder


@pytest.fixture(scope="session", params=["synthetic", pytest.param("real", marks=pytest.mark.real)])
def rows(request, synthetic_folder) -> sources.Dataset:
    """The synthetic rows and, where they are there, the real ones."""
    return sources.load(str(REAL if request.param == "real" else synthetic_folder))


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """A copy of the working tree, as a repository of one commit on the branch `main`."""
    folder = tmp_path_factory.mktemp("git") / "census-mlflow"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    for name in listed:
        if (PROJECT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, folder / name)
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    for command in (
        ["init", "-q", "-b", "main"],
        ["add", "."],
        [*identity, "commit", "-q", "-m", "everything"],
        ["tag", "v1"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


@pytest.fixture
def git_url(project, tmp_path):
    """The project at an address that can only be cloned."""
    port = free_port()
    command = ["git", "daemon", "--export-all", f"--base-path={project.parent}", "--reuseaddr"]
    command += ["--listen=127.0.0.1", f"--port={port}"]
    with running(command, port, tmp_path / "git-daemon.log"):
        yield f"git://127.0.0.1:{port}/census-mlflow"


@pytest.fixture
def run_command():
    """Run a command to its end, within two minutes; returns ``CompletedProcess`` with text."""

    def run(*command, **options) -> subprocess.CompletedProcess:
        return subprocess.run(
            [str(word) for word in command],
            capture_output=True,
            text=True,
            timeout=options.pop("timeout", 120),
            **options,
        )

    return run
