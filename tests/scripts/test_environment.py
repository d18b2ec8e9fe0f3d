"""What the caller's environment says does not decide whether a run succeeds."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import mlflow
import pytest

from tabular import environment
from tabular.errors import UserError
from tests.helpers import PROJECT, the_run
from tests.servers import free_port, running

TRAIN = ["python", PROJECT / "train.py"]
# What a script has on Windows: no module resource, no timer, and a narrow encoding
WINDOWS = """
import signal, sys
import psutil  # imports the module on Linux
sys.modules["resource"] = None
del signal.SIGALRM, signal.setitimer
"""
WITHOUT_PROC = "import psutil; psutil.PROCFS_PATH = '/nowhere'"
PRINT = """
import sys
import click
from tabular import environment
environment.prepare()
click.echo({text!r})
print("second line", flush=True)
sys.exit("survived")
"""


@pytest.fixture
def at_start(tmp_path):
    """A function that lets every Python process run some code at its start."""

    def write(code):
        (tmp_path / "site").mkdir()
        (tmp_path / "site" / "sitecustomize.py").write_text(code)
        return str(tmp_path / "site")

    return write


def run_code(code, **options):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=PROJECT, stderr=subprocess.PIPE, timeout=60, **options)


def require_finished(done):
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert the_run().info.status == "FINISHED"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_text_that_an_encoding_lacks_is_printed_all_the_same(monkeypatch, encoding):
    """MLflow prints a symbol when a run ends on a server."""
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    code = "import sys; from tabular import environment; environment.prepare(); print('\U0001f3c3')"
    done = run_code(code, stdout=subprocess.PIPE)
    assert done.returncode == 0
    expected = "\U0001f3c3" if encoding == "utf-8" else "\\U0001f3c3"
    assert done.stdout.decode(encoding).strip() == expected


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_is_discarded_when_its_reader_is_gone(monkeypatch, unbuffered):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = run_code(PRINT.format(text="line"), stdout=writer)
    finally:
        os.close(writer)
    assert done.stderr == b"survived\n"


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_error(run_command, tmp_path, closed):
    code = PRINT.format(text="line").replace("sys.exit", "open('done', 'w').write")
    path = tmp_path / "code.py"
    path.write_text(code)
    shell = f"PYTHONPATH={PROJECT} {sys.executable} {path} {closed}"
    assert run_command("bash", "-c", shell).returncode == 0
    assert Path("done").read_text() == "survived"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_output_that_does_not_fit_on_the_disk_is_an_error_once():
    code = PRINT.format(text="line").replace("click.echo('line')", "")
    with Path("/dev/full").open("w") as full:
        done = run_code(code, stdout=full)
    assert b"WorkFailed: the output cannot be written: No space left on device" in done.stderr
    assert b"Exception ignored" not in done.stderr


@pytest.mark.parametrize(("given", "expected"), [
    ({}, "10000"), ({"GOMP_SPINCOUNT": "0"}, "0"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None"),
])  # fmt: skip
def test_threads_that_wait_spin_a_bounded_number_of_times_unless_told_otherwise(
    monkeypatch, given, expected
):
    """Where others need the cores, a thread that spins keeps the one it waits for from running."""
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    code = "import os; from tabular import environment; environment.prepare(); print(os.environ{})"
    done = run_code(code.format(".get('GOMP_SPINCOUNT')"), stdout=subprocess.PIPE)
    assert done.stdout.decode().strip() == expected


def test_a_warning_that_python_was_told_to_raise_is_only_shown(monkeypatch):
    """Also in the processes of a local cluster, which are spawned."""
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    prepare = "from tabular import environment; environment.prepare()"
    child = """
import multiprocessing, sys, warnings
if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=warnings.warn, args=["odd"])
    process.start()
    process.join()
    sys.exit(process.exitcode)
"""
    done = run_code(f"{prepare}{child}")
    assert done.returncode == 0
    assert b"UserWarning: odd" in done.stderr


def test_a_number_of_cores_that_is_none_is_refused(monkeypatch):
    monkeypatch.setenv(environment.CORES, "many")
    with pytest.raises(UserError, match="LOKY_MAX_CPU_COUNT: expected a whole number, got 'many'"):
        environment.prepare()


@pytest.mark.parametrize(("name", "value"), [("PYTHONOPTIMIZE", "2"), ("PYTHONSAFEPATH", "1")])
def test_the_help_is_complete(run_command, monkeypatch, name, value):
    """Without docstrings, and without the script's folder on Python's path."""
    monkeypatch.setenv(name, value)
    done = run_command(*TRAIN, "--help")
    assert "Train one model on one configuration" in done.stdout
    assert "python train.py --max_depth 6" in done.stdout
    assert done.stderr == ""


def test_docstrings_that_a_flag_removes_are_asked_for_in_one_line(run_command, no_store):
    done = run_command("python", "-OO", PROJECT / "train.py")
    assert done.returncode == 2
    assert done.stderr.startswith("error: XGBoost needs docstrings: use PYTHONOPTIMIZE=1")


@pytest.mark.parametrize(("name", "value"), [
    ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "abc"),
    ("MLFLOW_ENABLE_ASYNC_LOGGING", "yes please"),
    ("LOKY_MAX_CPU_COUNT", "abc"),
])  # fmt: skip
def test_a_variable_that_a_library_cannot_read_is_one_line(
    run_command, monkeypatch, no_store, name, value
):
    monkeypatch.setenv(name, value)
    done = run_command(*TRAIN)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {name}: expected ")
    assert done.stderr.count("\n") == 1


def test_a_variable_with_which_mlflow_cannot_be_imported_is_one_line(run_command, monkeypatch):
    monkeypatch.setenv("MLFLOW_LOGGING_LEVEL", "verbose")
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)  # the run cannot be told either
    done = run_command(*TRAIN)
    assert done.returncode == 1
    assert "imported (MLFLOW_LOGGING_LEVEL?): ValueError: Unknown level: 'VERBOSE'" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("code", [WINDOWS, WITHOUT_PROC], ids=["windows", "without /proc"])
def test_a_run_needs_nothing_that_only_linux_has(
    run_command, at_start, monkeypatch, synthetic_folder, code
):
    monkeypatch.setenv("PYTHONPATH", at_start(code))
    monkeypatch.setenv("PYTHONIOENCODING", "cp1252")
    require_finished(run_command(*TRAIN, "--data", synthetic_folder, "--n_estimators", 3))


@pytest.mark.slow
@pytest.mark.parametrize("variables", [
    {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "MATPLOTLIBRC": "latex"},
    {"PYTHONOPTIMIZE": "2", "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "abc"},
    {"PYTHONWARNINGS": "error", "LC_ALL": "xx_YY.UTF-8", "COLUMNS": "20", "TERM": "dumb"},
    {"HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null", "MPLCONFIGDIR": "/dev/null"},
    {"TMPDIR": "/nowhere", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "0"},
], ids=lambda variables: next(iter(variables)))  # fmt: skip
def test_a_run_finishes_whatever_the_environment_says(
    run_command, monkeypatch, synthetic_folder, variables
):
    Path("latex").write_text("text.usetex: True\nfont.family: Nowhere\nsavefig.format: svg\n")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    require_finished(run_command(*TRAIN, "--data", synthetic_folder, "--n_estimators", 3))


@pytest.mark.slow
def test_a_run_with_a_server_finishes_though_its_reader_is_gone(
    run_command, synthetic_folder, monkeypatch, tmp_path
):
    port = free_port()
    server = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    server += ["--backend-store-uri", f"sqlite:///{tmp_path}/server.db"]
    server += ["--artifacts-destination", str(tmp_path / "artifacts")]
    with running(server, port, tmp_path / "server.log", "/health"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("PYTHONIOENCODING", "ascii")
        command = f"{PROJECT / 'train.py'} --data {synthetic_folder} --n_estimators 3"
        done = run_command("bash", "-c", f"set -o pipefail; python {command} 2>&1 | head -1")
        require_finished(done)


@pytest.mark.slow
def test_a_thread_of_a_notebook_can_run_the_project(monkeypatch, synthetic_folder):
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    parameters = {"data": str(synthetic_folder), "n_estimators": 3}

    def run():
        mlflow.projects.run(str(PROJECT), parameters=parameters, env_manager="local")

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(120)
    assert the_run().info.status == "FINISHED"
