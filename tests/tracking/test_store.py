"""A tracking server that cannot be used is reported in one line, within seconds."""

import http.server
import time
from pathlib import PureWindowsPath

import pytest
from click.testing import CliRunner

import promote
import reproduce
import score
import sweep
import train
from tabular.errors import UserError
from tabular.tracking import artifacts, store
from tests.servers import answering, free_port, running

SCRIPTS = {
    train: [],
    sweep: ["--max_depth", "2"],
    score: ["--model", "models:/x/1", "--input", "x.csv", "--output", "y.csv"],
    promote: ["--model", "models:/x/1"],
    reproduce: ["--run_id", "0" * 32],
}


@pytest.fixture
def server_with(monkeypatch):
    """A server that responds with the statuses of a list, and then with the last one again."""

    def start(*statuses, body=b"{}"):
        remaining = [*statuses]

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(remaining.pop(0) if len(remaining) > 1 else remaining[0])
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        return answering(Handler)

    return start


def test_a_server_that_does_not_exist_is_reported_at_once(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:secret@127.0.0.1:{free_port()}")
    message = r"http://127.0.0.1:\d+ does not answer; is the addr"
    with pytest.raises(UserError, match=message) as raised:
        store.require_reachable()
    assert "secret" not in raised.value.format_message()


def test_a_silent_server_is_given_up_within_seconds(silent, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", silent)
    start = time.perf_counter()
    with pytest.raises(UserError, match=f"{silent} did not answer within 6 seconds; is the add"):
        store.require_reachable()
    assert time.perf_counter() - start < 20


def test_a_website_is_no_tracking_server(server_with, monkeypatch):
    with server_with(200, body=b"<html>Log in</html>") as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with pytest.raises(UserError, match=f"{address} answers, but not as an MLflow server"):
            store.require_reachable()


def test_a_server_is_asked_again_after_its_own_errors(server_with, monkeypatch):
    with server_with(500, 502, 503, 504, 200) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        store.require_reachable()


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_whose_errors_do_not_pass_is_given_up(server_with, monkeypatch, status):
    monkeypatch.setattr(store, "RETRY_SECONDS", 2)
    start = time.perf_counter()
    with server_with(status, body=b"out of order") as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with pytest.raises(UserError, match=f"answers with HTTP status {status}: out of order"):
            store.require_reachable()
    assert 1 < time.perf_counter() - start < 10


def test_a_refusal_is_not_asked_for_again(server_with, monkeypatch):
    with server_with(401, 200) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with pytest.raises(UserError, match="refuses user and password: set MLFLOW_TRACKING_USER"):
            store.require_reachable()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_every_script_asks_the_server_before_it_does_anything(monkeypatch, tmp_path, script):
    (tmp_path / "x.csv").touch()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    start = time.perf_counter()
    result = CliRunner().invoke(script.main, SCRIPTS[script])
    assert time.perf_counter() - start < 60  # on a busy machine; MLflow would try for minutes
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Error: MLFLOW_TRACKING_URI: http://127.0.0.1:")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(("address", "shown"), [
    ("https://user:token@host/a.git", "https://host/a.git"),
    ("https://token@host/a.git#sub", "https://host/a.git#sub"),
    ("postgresql+psycopg2://u:p@db:5432/x", "postgresql+psycopg2://db:5432/x"),
    ("https://user:p@ss@host/a", "https://host/a"),
    ("postgresql://db/x?user=u&password=p&a=b", "postgresql://db/x?user=u&password=&a=b"),
    ("git@host:a.git", "git@host:a.git"),
    ("ssh://git@host/a.git", "ssh://git@host/a.git"),
    ("/home/ada/a@b", "/home/ada/a@b"),
    ("sqlite:////home/ada/mlflow.db", "sqlite:////home/ada/mlflow.db"),
])  # fmt: skip
def test_an_address_is_shown_without_password_or_token(address, shown):
    assert store.redact(address) == shown


@pytest.mark.slow
def test_a_host_name_that_the_server_does_not_accept(monkeypatch, tmp_path):
    port = free_port()
    command = [
        "mlflow", "server", "--host", "0.0.0.0", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{tmp_path}/server.db", "--allowed-hosts", "ml.example",
    ]  # fmt: skip
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    message = ""
    with running(command, port, tmp_path / "log"):
        for _ in range(100):  # the port is open before the application answers
            try:
                store.require_reachable()
            except UserError as error:
                message = error.format_message()
            if "--allowed-hosts" in message:
                break
            time.sleep(0.2)
    assert "does not take this host name: start the server with --allowed-hosts" in message


@pytest.mark.slow
def test_a_script_refuses_an_experiment_in_a_folder_of_the_server(
    run_script, monkeypatch, tmp_path
):
    port = free_port()
    command = [
        "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{tmp_path}/server.db",
        "--no-serve-artifacts", "--default-artifact-root", "/somewhere/else",
    ]  # fmt: skip
    with running(command, port, tmp_path / "log", "/health"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        with pytest.raises(UserError, match=r"/somewhere/else/0, a folder of the server's machine"):
            artifacts.require_usable(store.current_experiment())
        done = run_script(train.main, "--data", "synthetic:500")
    assert done.returncode == 2
    line = done.stderr.splitlines()[-1]
    assert line.startswith("error: Default keeps artifacts in /somewhere/else/0, a folder of the")


@pytest.mark.parametrize(("uri", "local", "described"), [
    ("sqlite:///C:/runs/mlflow.db", True, "sqlite sqlite:///C:/runs/mlflow.db"),
    (r"C:\runs\mlruns", True, r"folder C:\runs\mlruns"),
    ("postgresql://db/mlflow", False, "postgresql postgresql://db/mlflow"),
])  # fmt: skip
def test_a_drive_of_windows_is_no_scheme(uri, local, described):
    assert store.is_local(uri) == local
    assert store.describe(uri) == described


@pytest.mark.parametrize(("uri", "relative"), [
    ("sqlite:///mlflow.db", True),
    ("sqlite:///C:/runs/mlflow.db", False),
    (r"sqlite:///C:\runs\mlflow.db", False),
    ("http://127.0.0.1:5000", False),
])  # fmt: skip
def test_an_sqlite_file_on_a_drive_is_not_relative(uri, relative, monkeypatch):
    monkeypatch.setattr(store, "Path", PureWindowsPath)
    assert store.is_relative(uri) == relative


@pytest.mark.parametrize(("name", "value", "expected"), [
    ("MLFLOW_HTTP_REQUEST_TIMEOUT", "abc", "a whole number"),
    ("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "maybe", "true or false"),
    ("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", "abc", "a number"),
])  # fmt: skip
def test_a_variable_that_mlflow_cannot_read_is_named(monkeypatch, name, value, expected):
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=f"{name}: expected {expected}, got '{value}'"):
        store.require_reachable()


def test_an_empty_variable_is_taken_as_not_set(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "")
    store.require_reachable()
