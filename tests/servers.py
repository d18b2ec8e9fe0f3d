"""Servers on free ports of 127.0.0.1 that are surely stopped again."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import requests


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(command: list[str], port: int, log: Path, path: str | None = None) -> Iterator[None]:
    """Run a server, with its children, while the body runs.

    Args:
        path: what answers 200 over HTTP once the server is ready; None: the port is open.
        log: file that gets what the server prints.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        for _ in range(240):
            if _is_ready(port, path):
                break
            if process.poll() is not None:
                raise RuntimeError(f"{command} ended:\n{log.read_text()[-3000:]}")
            time.sleep(0.25)
        else:
            raise RuntimeError(f"{command} did not answer:\n{log.read_text()[-3000:]}")
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)


def _is_ready(port: int, path: str | None) -> bool:
    try:
        if path is None:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        return requests.get(f"http://127.0.0.1:{port}{path}", timeout=2).status_code == 200
    except OSError:
        return False


@contextlib.contextmanager
def serving(model_uri: str, log: Path) -> Iterator[str]:
    """`mlflow models serve`; yields the address that takes rows."""
    port = free_port()
    command = ["mlflow", "models", "serve", "-m", model_uri, "--env-manager", "local"]
    with running([*command, "-p", str(port)], port, log, "/ping"):
        yield f"http://127.0.0.1:{port}/invocations"
