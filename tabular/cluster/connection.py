"""A Dask cluster, of processes on this machine or on others: reached, and its workers able."""

import hashlib
import io
import os
import platform
import re
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import click
import joblib
import mlflow

from tabular import cancel
from tabular.errors import UserError, WorkFailed
from tabular.model import boosting
from tabular.tracking import process, runs, store

ADDRESS = re.compile(r"(tcp|tls)://[^/\s]+:\d+")
ANSWER_SECONDS = 10  # for a scheduler to answer
CONNECTION_LOST = "scheduler: the connection is lost"
# What a worker of a local cluster runs first: Ctrl-C reaches every process, and this one ends the
# others; an error of a task is told by this one, too.
QUIET = """
import logging, signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
logging.getLogger("distributed.worker").setLevel("CRITICAL")
"""


@contextmanager
def connect(
    executor: str, scheduler: str, device: str, workers: int | None = None, writes: bool = True
) -> Iterator:
    """A client of a scheduler, or of a cluster in this machine that ends with the body.

    Args:
        executor: local gives None.
        scheduler: its address, or local.
        device: what trains the trees.
        workers: processes of a local cluster; None: one for each core.
        writes: whether workers write to the tracking store.

    Raises:
        UserError: nothing answers there, nobody works for it, or somebody who cannot.
    """
    if executor == "local":
        if scheduler != "local":
            raise UserError(f"scheduler: {scheduler} is for executor=dask, got executor=local")
        yield None
        return
    if scheduler != "local" and not ADDRESS.fullmatch(scheduler):
        raise UserError(f"scheduler: expected local or an address tcp://host:port, got {scheduler}")
    with cancel.uninterrupted():
        from distributed import Client, LocalCluster
    with ExitStack() as stack:
        where = scheduler
        if scheduler == "local":
            size = {"n_workers": workers or joblib.cpu_count(), "threads_per_worker": 1}
            size |= {"dashboard_address": "127.0.0.1:0", "preload": QUIET}
            with cancel.uninterrupted():
                where = stack.enter_context(LocalCluster(**size))
        try:
            with cancel.uninterrupted():
                client = stack.enter_context(Client(where, timeout=ANSWER_SECONDS))
                client.wait_for_workers(1, timeout=ANSWER_SECONDS)
            _make_ready(client, Requirements.of_this_run(device, writes))
        except OSError as error:  # TimeoutError is one
            what = "has no worker" if isinstance(error, TimeoutError) else "does not answer"
            raise UserError(
                f"scheduler: {scheduler} {what}; start dask scheduler and dask "
                "worker there, in the environment of requirements.txt"
            ) from None
        yield client


def _code():
    """A plugin that puts this project's code on every worker, on those that join later too."""
    from distributed import WorkerPlugin

    content, package = io.BytesIO(), Path(__file__).parents[1]
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(package.rglob("*.py")):
            name = f"{package.name}/{path.relative_to(package)}"
            archive.writestr(zipfile.ZipInfo(name), path.read_bytes())
    content, package = content.getvalue(), package.name
    archive_name = f"{package}-{hashlib.sha256(content).hexdigest()[:16]}.zip"

    class Code(WorkerPlugin):  # a nested class travels whole: the scheduler needs no code of ours
        name = "census-mlflow"

        def setup(self, worker) -> None:
            path = Path(worker.local_directory) / archive_name
            if str(path) not in sys.path:
                path.write_bytes(content)
                sys.path.insert(0, str(path))
            if getattr(sys.modules.get(package), "__file__", "").startswith(str(path)):
                return
            for name in [name for name in sys.modules if name.split(".")[0] == package]:
                del sys.modules[name]  # another run's code

    return Code()


class Requirements(NamedTuple):
    """What a worker must have.

    Attributes:
        versions: of what decides a result, by name.
        device: what trains the trees.
        writes: whether it writes to the tracking store.
        uri: of the store; empty where it holds a password, which does not travel.
        machine: the only one that can write to the store; empty where any can.
    """

    versions: dict[str, str]
    device: str
    writes: bool
    uri: str
    machine: str

    @classmethod
    def of_this_run(cls, device: str, writes: bool = True) -> "Requirements":
        """What this process has."""
        uri = store.absolute(store.tracking_uri())
        sent = uri if store.redact(uri) == uri else ""
        machine = process.machine_id() if store.is_local(uri) else ""
        return cls(_versions(), device, writes, sent, machine)


def _versions() -> dict[str, str]:
    names = (*runs.REQUIREMENTS, "scikit-learn", "distributed")
    return {"python": platform.python_version()} | {name: version(name) for name in names}


def missing_requirement(needs: Requirements) -> str:
    """What this worker lacks, with what to do; nothing where it can do the work."""
    os.environ.pop("MLFLOW_RUN_ID", None)  # of whoever started the cluster
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # two lines for each child
    here = _versions()
    if wrong := [name for name, found in needs.versions.items() if here[name] != found]:
        shown = ", ".join(f"{name} {here[name]}, not {needs.versions[name]}" for name in wrong)
        return f"has {shown}; start it in the environment of requirements.txt"
    if needs.writes and needs.machine not in ("", process.machine_id()):
        return (
            f"is another machine, {platform.node()}, and the tracking store is a file of this one; "
            "set MLFLOW_TRACKING_URI to a server that both can reach"
        )
    if needs.writes and not needs.uri and "MLFLOW_TRACKING_URI" not in os.environ:
        return "needs MLFLOW_TRACKING_URI in its environment: one with a password is not sent"
    try:
        if needs.writes:
            mlflow.set_tracking_uri(needs.uri or None)
            store.require_reachable()
        boosting.require_device(needs.device)
    except UserError as error:
        return f"cannot work: {error.format_message()}"
    return ""


def _make_ready(client, needs: Requirements) -> None:
    """Bring the code to every worker; raise ``UserError`` unless each can do the work.

    A worker that does not answer holds this up until the scheduler gives it up.
    """
    note = "note   not every worker answers yet; a silent one is given up after Dask's worker-ttl"
    timer = threading.Timer(ANSWER_SECONDS, click.echo, [note])
    timer.start()
    try:
        while True:
            before = live_workers(client).keys()
            try:
                client.register_plugin(_code())
                break
            except OSError as error:
                if before <= live_workers(client).keys():  # and none was given up meanwhile
                    raise UserError(f"scheduler: a worker cannot take the code: {error}") from None
        found = client.run(missing_requirement, needs, on_error="return")
        client.wait_for_workers(1, timeout=ANSWER_SECONDS)
    finally:
        timer.cancel()
    here = live_workers(client)
    for address, lack in found.items():
        if isinstance(lack, Exception):
            lack = f"failed: {type(lack).__name__}: {lack}"
        if lack and address in here:
            raise UserError(f"scheduler: worker {address} {lack}")


def on_worker(function: Callable) -> Callable:
    """A function of this package for a scheduler, which unpickles it and has no code of ours."""
    module, name = function.__module__, function.__name__

    def call(*arguments):
        from importlib import import_module

        return getattr(import_module(module), name)(*arguments)

    call.__name__ = name  # what the dashboard shows
    return call


def capacity(client, device: str) -> int:
    """How many fits the cluster can do at a time, one thread each; a GPU does one."""
    workers = live_workers(client).values()
    return max(1, len(workers) if device == "cuda" else sum(w["nthreads"] for w in workers))


def live_workers(client, most: int = -1) -> dict[str, dict]:
    """What the scheduler knows of its workers, by address; of all, or of some of them."""
    known = client.scheduler_info(n_workers=most)
    if client.status != "running" or "workers" not in known:
        raise WorkFailed(CONNECTION_LOST)
    return known["workers"]


def peak_memory_mb(client) -> float:
    """The most memory that a worker has held, in MB."""
    return max(client.run(runs.peak_memory_mb, on_error="ignore").values(), default=0.0)
