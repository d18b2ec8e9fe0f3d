"""A store that cannot be used is told in plain lines, soon, by check.py and by every script."""

import http.server
import socket
import time

import mlflow
import pytest

import check
from tabular.errors import UserError
from tabular.sweep import child_runs
from tabular.tracking import process, runs, store
from tests.helpers import PROJECT
from tests.servers import answering, free_port, running

SCRIPTS = {
    "train.py": [],
    "sweep.py": ["--max_depth", "2"],
    "score.py": ["--model", "models:/x/1", "--input", "x.csv", "--output", "y.csv"],
    "promote.py": ["--model", "models:/x/1"],
    "reproduce.py": ["--run_id", "0" * 32],
}


@pytest.fixture
def silent():
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def website(tmp_path):
    """A server that is no MLflow."""
    (tmp_path / "site" / "api" / "2.0" / "mlflow" / "experiments").mkdir(parents=True)
    (tmp_path / "site/api/2.0/mlflow/experiments/search").write_text("<html>Log in</html>")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=tmp_path / "site")

        def log_message(self, *args):
            pass

    with answering(Handler) as address:
        yield address


def test_a_server_that_is_not_there_is_told_at_once(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:secret@127.0.0.1:{free_port()}")
    with pytest.raises(
        UserError, match=r"http://127.0.0.1:\d+ does not answer; is the addr"
    ) as told:
        store.require_reachable()
    assert "secret" not in told.value.format_message()


def test_a_silent_server_is_given_up_within_seconds(silent, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", silent)
    start = time.perf_counter()
    with pytest.raises(UserError, match=f"{silent} did not answer within 6 seconds; is the add"):
        store.require_reachable()
    assert time.perf_counter() - start < 20


def test_a_website_is_no_mlflow_server(website, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", website)
    with pytest.raises(UserError, match=f"{website} answers, but not as an MLflow server does"):
        store.require_reachable()


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_says_so_before_it_does_anything(run_command, monkeypatch, tmp_path, script):
    (tmp_path / "x.csv").touch()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    start = time.perf_counter()
    done = run_command("python", PROJECT / script, *SCRIPTS[script])
    assert time.perf_counter() - start < 60  # on a busy machine; MLflow would try for minutes
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: MLFLOW_TRACKING_URI: http://127.0.0.1:")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("address", "shown"), [
    ("https://user:token@host/a.git", "https://host/a.git"),
    ("https://token@host/a.git#sub", "https://host/a.git#sub"),
    ("postgresql+psycopg2://u:p@db:5432/x", "postgresql+psycopg2://db:5432/x"),
    ("git@host:a.git", "git@host:a.git"),
    ("ssh://git@host/a.git", "ssh://git@host/a.git"),
    ("/home/ada/a@b", "/home/ada/a@b"),
    ("sqlite:////home/ada/mlflow.db", "sqlite:////home/ada/mlflow.db"),
])  # fmt: skip
def test_passwords_and_tokens_are_not_shown(address, shown):
    assert store.redact(address) == shown


def test_check_says_ok_in_a_line_for_each_item(run_command, synthetic_folder):
    done = run_command("python", PROJECT / "check.py", "--data", synthetic_folder)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    names = ["versions", "data", "device", "store", "experiment", "artifacts", "runs"]
    assert [line.split(":")[0] for line in lines] == [f"ok     {name}" for name in names]


def test_check_finds_what_is_wrong_and_says_what_mends_it(
    run_command, monkeypatch, synthetic_folder, tmp_path
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    options = ["--data", tmp_path / "nowhere", "--device", "cuda"]
    done = run_command("python", PROJECT / "check.py", *options)
    assert done.returncode == 1
    wrong = [line for line in done.stdout.splitlines() if line.startswith("WRONG")]
    assert [line.split(":")[0] for line in wrong] == [
        "WRONG  data",
        "WRONG  device",
        "WRONG  store",
    ]
    assert "expected a folder of adult.data and adult.test" in wrong[0]
    assert wrong[2].endswith(f"export MLFLOW_TRACKING_URI=sqlite:///{tmp_path}/mlflow.db")
    assert "Traceback" not in done.stderr


def test_check_finds_another_version_than_the_pinned(monkeypatch):
    monkeypatch.setattr(check, "version", lambda name: "0.1")
    with pytest.raises(
        UserError, match=r"is 0.1, pinned ==.*; ...: uv pip install -r requirements"
    ):
        check.versions()


def test_check_lists_and_ends_runs_whose_process_is_gone():
    client = mlflow.MlflowClient()
    gone = process.identity().rsplit(" ", 2)[0] + " 999999999 1"
    dead = client.create_run("0", tags={runs.PROCESS: gone}).info.run_id
    child = client.create_run("0", tags={child_runs.PARENT: dead}).info.run_id
    alive = client.create_run("0", tags={runs.PROCESS: process.identity()}).info.run_id
    with pytest.raises(UserError, match=f"2 read RUNNING though their process is gone .*{dead}"):
        check.runs(fix=False)
    assert check.runs(fix=True) == "2 ended whose process was gone; 1 read RUNNING and may be alive"
    assert [client.get_run(run).info.status for run in (dead, child, alive)] == [
        "KILLED", "KILLED", "RUNNING",
    ]  # fmt: skip
    assert check.runs(fix=False) == "1 read RUNNING and may be alive"


@pytest.mark.slow
def test_check_finds_a_server_without_artifact_proxy(run_command, monkeypatch, tmp_path):
    port = free_port()
    command = [
        "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{tmp_path}/server.db",
        "--no-serve-artifacts", "--default-artifact-root", "/somewhere/else",
    ]  # fmt: skip
    with running(command, port, tmp_path / "log", "/health"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        with pytest.raises(UserError, match=r"/somewhere/else/0, a folder of the server's machine"):
            check.experiment()
        done = run_command("python", PROJECT / "train.py", "--data", "synthetic:500")
    assert done.returncode == 2
    line = done.stderr.splitlines()[-1]
    assert line.startswith("error: Default keeps artifacts in /somewhere/else/0, a folder of the")


@pytest.mark.slow
def test_a_host_name_that_the_server_does_not_take(monkeypatch, tmp_path):
    port = free_port()
    command = [
        "mlflow", "server", "--host", "0.0.0.0", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{tmp_path}/server.db", "--allowed-hosts", "ml.example",
    ]  # fmt: skip
    with running(command, port, tmp_path / "log"):
        for _ in range(100):  # the port is open before the application answers
            monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
            try:
                store.require_reachable()
            except UserError as error:
                told = error.format_message()
                if "--allowed-hosts" in told:
                    break
            time.sleep(0.2)
        assert "does not take this host name: start the server with --allowed-hosts" in told
