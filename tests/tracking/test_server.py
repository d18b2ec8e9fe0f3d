"""A tracking server that cannot be used is reported in one line, within seconds."""

import http.server
import time

import pytest
from click.testing import CliRunner

import compare
import promote
import reproduce
import score
import sweep
import train
from tabular.errors import UserError
from tabular.tracking import opening, server
from tests.servers import answering, free_port, running

SCRIPTS = {
    train: [],
    sweep: ["--max_depth", "2"],
    score: ["--model", "models:/x/1", "--input", "x.csv", "--output", "y.csv"],
    promote: ["--model", "models:/x/1"],
    compare: ["--a", "models:/x/1", "--b", "models:/x/2"],
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
        opening.require_store()
    assert "secret" not in raised.value.format_message()


def test_a_silent_server_is_given_up_within_seconds(silent, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", silent)
    start = time.perf_counter()
    with pytest.raises(UserError, match=f"{silent} did not answer within 6 seconds; is the add"):
        opening.require_store()
    assert time.perf_counter() - start < 20


def test_a_website_is_no_tracking_server(server_with, monkeypatch):
    with server_with(200, body=b"<html>Log in</html>") as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with pytest.raises(UserError, match=f"{address} answers, but not as an MLflow server"):
            opening.require_store()


def test_a_server_is_asked_again_after_its_own_errors(server_with, monkeypatch):
    with server_with(500, 502, 503, 504, 200) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        opening.require_store()


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_whose_errors_do_not_pass_is_given_up(server_with, monkeypatch, status):
    monkeypatch.setattr(server, "RETRY_SECONDS", 2)
    start = time.perf_counter()
    with server_with(status, body=b"out of order") as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with pytest.raises(UserError, match=f"answers with HTTP status {status}: out of order"):
            opening.require_store()
    assert 1 < time.perf_counter() - start < 10


def test_a_refusal_is_not_asked_for_again(server_with, monkeypatch):
    with server_with(401, 200) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with pytest.raises(UserError, match="refuses user and password: set MLFLOW_TRACKING_USER"):
            opening.require_store()


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
                opening.require_store()
            except UserError as error:
                message = error.format_message()
            if "--allowed-hosts" in message:
                break
            time.sleep(0.2)
    assert "does not take this host name: start the server with --allowed-hosts" in message


@pytest.mark.parametrize("body", [b"[]", b'{"status": "ok"}', b"", b"1"])
def test_json_of_another_program_is_no_tracking_server(server_with, monkeypatch, body):
    with server_with(200, body=body) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with pytest.raises(UserError, match="answers, but not as an MLflow server does"):
            opening.require_store()


@pytest.mark.parametrize("status", [404, 405])
def test_a_server_without_the_models_of_mlflow_3_is_refused_before_the_work(
    server_with, monkeypatch, status
):
    with server_with(200, status) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with pytest.raises(UserError, match=f"{address} is of an MLflow before 3.0, or not comp"):
            opening.require_store()


def test_a_server_of_mlflow_3_says_that_it_has_no_such_model(server_with):
    with server_with(404, body=b'{"error_code": "RESOURCE_DOES_NOT_EXIST"}') as address:
        server.require_logged_models(address, "")


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_the_proxy_that_does_not_reach_a_server_is_named(server_with, monkeypatch, variable):
    with server_with(200) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        monkeypatch.setenv(variable, f"http://ada:secret@127.0.0.1:{free_port()}")
        with pytest.raises(UserError, match="does not answer; is the address right") as raised:
            opening.require_store()
        line = raised.value.format_message()
        assert "proxy http://127.0.0.1:" in line
        assert f"of {variable}: add 127.0.0.1 to NO_PROXY" in line
        assert "secret" not in line
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        opening.require_store()


def test_a_proxy_that_answers_for_the_server_is_named(server_with, monkeypatch):
    monkeypatch.setattr(server, "RETRY_SECONDS", 1)
    with server_with(503, body=b"proxy error") as proxy:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
        monkeypatch.setenv("http_proxy", proxy)
        with pytest.raises(UserError, match=f"status 503: proxy error .*the proxy {proxy} of http"):
            opening.require_store()


def test_no_proxy_is_named_where_none_is_used(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert server._describe_proxy("http://127.0.0.1:5000") == ""


@pytest.mark.parametrize(("error", "line"), [
    ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]", "not trusted here"),
    ("SSLError(SSLError(1, '[SSL: WRONG_VERSION_NUMBER]", "does not speak HTTPS"),
    ("NameResolutionError", "does not answer; is the address right"),
    ("Read timed out", "did not answer within 6 seconds"),
])  # fmt: skip
def test_silence_is_explained(error, line):
    assert line in server._explain_silence(error)
