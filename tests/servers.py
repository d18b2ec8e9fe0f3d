"""Servers on free ports of 127.0.0.1, each stopped at the end of a context."""

import base64
import contextlib
import http.server
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import requests


def free_port() -> int:
    """A port on which nothing listened a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(
    command: list[str],
    port: int,
    log: Path,
    path: str | None = None,
    host: str = "127.0.0.1",
    **options,
) -> Iterator[subprocess.Popen]:
    """Run a server and its child processes for the duration of the context.

    Args:
        path: returns status 200 over HTTP once the server is ready; None: the port is open then.
        log: the file that gets what the server prints.
        options: for ``subprocess.Popen``.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, **options
        )
    try:
        for _ in range(240):
            if _is_ready(host, port, path):
                break
            if process.poll() is not None:
                raise RuntimeError(f"{command} ended:\n{log.read_text()[-3000:]}")
            time.sleep(0.25)
        else:
            raise RuntimeError(f"{command} did not become ready:\n{log.read_text()[-3000:]}")
        yield process
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)


def _is_ready(host: str, port: int, path: str | None) -> bool:
    try:
        if path is None:
            socket.create_connection((host, port), timeout=1).close()
            return True
        return requests.get(f"http://{host}:{port}{path}", timeout=2).status_code == 200
    except OSError:
        return False


@contextlib.contextmanager
def serving(model_uri: str, log: Path) -> Iterator[str]:
    """Run `mlflow models serve`; yields the address that takes requests."""
    port = free_port()
    command = ["mlflow", "models", "serve", "-m", model_uri, "--env-manager", "local"]
    with running([*command, "-p", str(port)], port, log, "/ping"):
        yield f"http://127.0.0.1:{port}/invocations"


@contextlib.contextmanager
def git_over_http(folder: Path, user: str, token: str) -> Iterator[str]:
    """Serve the repositories of a folder over HTTP to a user with a token; yields the address."""
    expected = "Basic " + base64.b64encode(f"{user}:{token}".encode()).decode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.headers.get("Authorization") != expected:
                self.send_response(401)
                self.send_header("WWW-Authenticate", "Basic")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            path, _, query = self.path.partition("?")
            environment = os.environ | {
                "GIT_PROJECT_ROOT": str(folder),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "REMOTE_USER": user,
            }
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            done = subprocess.run(
                ["git", "http-backend"], input=body, env=environment, capture_output=True
            )
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
            self.send_response(int(headers.pop("Status", "200").split()[0]))
            for name, value in (headers | {"Content-Length": str(len(content))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, *args):
            pass

    with answering(Handler) as address:
        yield address


@contextlib.contextmanager
def answering(handler: type) -> Iterator[str]:
    """Serve HTTP in a thread of this process; yields the address."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
