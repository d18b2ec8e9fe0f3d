"""MLflow's webhooks on changed aliases, as docs/tracking-server.md describes them."""

import http.server
import json
import queue
import re
import sys

import mlflow
import pytest
from cryptography.fernet import Fernet
from mlflow.exceptions import MlflowException

from tabular.tracking import registry
from tests.helpers import PROJECT
from tests.servers import answering, free_port, running

PAGE = (PROJECT / "docs" / "tracking-server.md").read_text()
CREATE, VERIFY = re.findall(r"```python\n(.*?)```", PAGE, re.S)
EVENTS = ["model_version_alias.created", "model_version_alias.deleted"]


@pytest.fixture
def receiver():
    """The address of a receiver of webhooks, and the queue of (headers, body) that it received."""
    received: queue.Queue = queue.Queue()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.put((dict(self.headers), body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    with answering(Handler) as address:
        yield address, received


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A tracking server that may send to 127.0.0.1."""
    port, uri = free_port(), f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY", Fernet.generate_key().decode())
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "true")
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOWED_SCHEMES", "https,http")
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", uri, "--artifacts-destination", str(tmp_path / "artifacts")]
    with running(command, port, tmp_path / "server.log", "/health"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        yield


@pytest.mark.slow
def test_a_promotion_and_a_rollback_send_signed_messages(server, receiver):
    (address, received), names = receiver, {}
    create = CREATE.replace("https://hooks.example.org/census", address)
    exec(create.replace("<random text>", "the secret"))
    exec(VERIFY, names)
    client = mlflow.MlflowClient()
    model_id = client.create_logged_model("0", "model").model_id
    client.create_registered_model("people")
    first, second = (
        client.create_model_version("people", f"models:/{model_id}", model_id=model_id)
        for _ in range(2)
    )
    registry.set_champion(first, None)
    registry.set_champion(second, first)
    registry.roll_back(registry.version_by_alias("people", registry.PREVIOUS))
    messages = [received.get(timeout=30) for _ in range(5)]
    found = []
    for headers, body in messages:
        assert names["is_genuine"](headers, body, "the secret")
        assert not names["is_genuine"](headers, body, "another secret")
        assert not names["is_genuine"](headers, body + b" ", "the secret")
        assert not names["is_genuine"](headers, body, "the secret", max_age=-1)
        message = json.loads(body)
        data = message["data"]
        assert (message["entity"], data["name"]) == ("model_version_alias", "people")
        found.append((message["action"], data["alias"], data.get("version")))
    assert sorted(found, key=str) == [
        ("created", "champion", "1"), ("created", "champion", "1"), ("created", "champion", "2"),
        ("created", "previous", "1"), ("deleted", "previous", None),
    ]  # fmt: skip


@pytest.mark.parametrize(("address", "reason"), [
    ("http://hooks.example.org", "Invalid webhook URL scheme: 'http'"),
    ("https://127.0.0.1/census", "private|non-public|public"),
])  # fmt: skip
def test_without_the_settings_mlflow_sends_to_public_https_addresses_only(address, reason):
    with pytest.raises(MlflowException, match=reason):
        mlflow.MlflowClient().create_webhook("champions", address, EVENTS)
