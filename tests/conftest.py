"""Shared fixtures: a clean environment, data, ways to run scripts; and a count of skipped tests."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import traceback
from contextlib import closing
from pathlib import Path

# Threads that wait for one another sleep: two test processes would otherwise busy-wait for cores
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import hypothesis
import mlflow
import pytest

# the trainer keeps the functions of its module, which no test may have replaced by then
import tabular.model.trainer  # noqa: F401
from tabular import cancel, cli
from tabular.data import sources, synthetic
from tabular.tracking import opening
from tests import real_files, team
from tests.helpers import PROJECT, REAL
from tests.servers import free_port, running

# a busy machine takes longer than the 200 ms that an example may take by default
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")

REQUIREMENTS = {
    "real": "the real files, named by CENSUS_DATA_DIR or downloaded",
    "network": "the internet",
    "postgresql": "PostgreSQL",
}


def pytest_collection_modifyitems(items):
    available = {
        "real": REAL is not None,
        "network": real_files.online(),
        "postgresql": team.initdb(),
    }
    for item in items:
        for marker, requirement in REQUIREMENTS.items():
            if item.get_closest_marker(marker) and not available[marker]:
                item.add_marker(pytest.mark.skip(reason=f"needs {requirement}"))


def pytest_terminal_summary(terminalreporter):
    skipped = [report.keywords for report in terminalreporter.stats.get("skipped", [])]
    for marker, requirement in REQUIREMENTS.items():
        count = sum(marker in keywords for keywords in skipped)
        terminalreporter.write_line(f"skipped without {requirement}: {count}")


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    """The database of an empty store, which takes MLflow two seconds to make."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path, empty_store):
    """Hide the caller's settings, and let everything be written into temporary folders."""
    for name in [*os.environ]:
        if name.startswith(("MLFLOW_", "CENSUS_", "GIT_", "DASK_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CENSUS_DOWNLOAD", "none")  # a test that downloads says from where
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
    monkeypatch.setattr(opening, "_opened", set())
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def no_store(tmp_path):
    """Delete the store, and check at the end that none was made."""
    (tmp_path / "mlflow.db").unlink()
    yield
    assert not (tmp_path / "mlflow.db").exists()


@pytest.fixture(scope="session")
def synthetic_folder(tmp_path_factory) -> Path:
    """A folder of 4,000 training and 2,000 test rows, synthetic."""
    folder = tmp_path_factory.mktemp("synthetic")
    synthetic.write(folder, 4000)
    return folder


@pytest.fixture(scope="session", params=["synthetic", pytest.param("real", marks=pytest.mark.real)])
def dataset(request, synthetic_folder) -> sources.Dataset:
    """The synthetic dataset and, if its files are available, the real one."""
    return sources.load(str(REAL if request.param == "real" else synthetic_folder))


@pytest.fixture(scope="session")
def rows(dataset):
    """Another name of ``dataset``."""
    return dataset


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """A copy of the working tree, as a Git repository with one commit on the branch `main`."""
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
        [*identity, "commit", "-q", "-m", "the working tree"],
        ["tag", "v1"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


@pytest.fixture
def git_url(project, tmp_path):
    """The URL of a Git server that has the project."""
    port = free_port()
    command = ["git", "daemon", "--export-all", f"--base-path={project.parent}", "--reuseaddr"]
    command += ["--listen=127.0.0.1", f"--port={port}"]
    with running(command, port, tmp_path / "git-daemon.log"):
        yield f"git://127.0.0.1:{port}/census-mlflow"


@pytest.fixture
def run_command():
    """A function that runs a command for at most five minutes and returns what it printed."""

    def run(*command, **options) -> subprocess.CompletedProcess:
        return subprocess.run(
            [str(argument) for argument in command],
            capture_output=True,
            text=True,
            timeout=options.pop("timeout", 300),
            **options,
        )

    return run


@pytest.fixture
def run_script(monkeypatch, capsys):
    """A function like ``run_command`` that runs the command of a script in this process."""
    for name in ("install", "ignore_signals"):  # the handlers of signals stay pytest's
        monkeypatch.setattr(cancel, name, lambda: None)

    def run(command, *arguments) -> subprocess.CompletedProcess:
        monkeypatch.setattr(sys, "argv", [command.name, *map(str, arguments)])
        capsys.readouterr()
        status = 0
        try:
            cli.run(command)
        except SystemExit as error:
            status = error.code
        except Exception:  # as Python ends a process
            traceback.print_exc()
            status = 1
        out, err = capsys.readouterr()
        return subprocess.CompletedProcess(sys.argv, status, out, err)

    return run
