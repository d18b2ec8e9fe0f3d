"""The connection to a Dask cluster, and the checks of what its workers need."""

import asyncio
import hashlib
import io
import logging
import os
import pickle
import platform
import re
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import click
import joblib
import mlflow
from distributed import Client, LocalCluster, Worker, WorkerPlugin

from tabular.errors import UserError, WorkFailed
from tabular.model import boosting
from tabular.tracking import logged_model, opening, process, store

ADDRESS = re.compile(r"(tcp|tls)://[^/\s]+:\d+")
ANSWER_SECONDS = 10  # for a scheduler to answer
CONNECTION_LOST = "scheduler: the connection is lost"
PACKAGE = Path(__file__).resolve().parents[1]
# What a worker of a local cluster runs first. Ctrl-C reaches every process of a terminal: only the
# parent handles it, ends the workers and reports the errors of tasks.
PRELOAD = """
import logging, signal
for name in ("SIGINT", "SIGBREAK"):  # the second one exists on Windows only
    if hasattr(signal, name):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
logging.getLogger("distributed.worker").setLevel("CRITICAL")
"""


@contextmanager
def connect(
    scheduler: str, device: str, workers: int | None = None, writes: bool = True
) -> Iterator[Client]:
    """A client of a scheduler, or of a cluster on this machine that ends with the body.

    Args:
        scheduler: its address, or local.
        device: what trains the trees.
        workers: processes of a local cluster; None: one for each core, or one that has the GPU.
        writes: whether workers write to the tracking store.

    Raises:
        UserError: nothing answers there, or there is no worker, or one that cannot do the work.
    """
    if scheduler != "local" and not ADDRESS.fullmatch(scheduler):
        raise UserError(
            f"scheduler: expected local or an address tcp://host:port or tls://host:port, "
            f"got {scheduler}"
        )
    with ExitStack() as stack:
        address = scheduler
        if scheduler == "local":
            n_workers = workers or (1 if device == "cuda" else joblib.cpu_count())
            size = {"n_workers": n_workers, "threads_per_worker": 1}
            size |= {"dashboard_address": "127.0.0.1:0", "preload": PRELOAD}
            address = stack.enter_context(LocalCluster(**size))
            # that a busy worker is killed at the end is no news
            stack.callback(logging.getLogger("distributed.nanny").setLevel, "ERROR")
        try:
            client = stack.enter_context(Client(address, timeout=ANSWER_SECONDS))
            client.wait_for_workers(1, timeout=ANSWER_SECONDS)
            _prepare_workers(client, Requirements.of_this_process(device, writes))
        except OSError as error:  # TimeoutError is one
            what = "has no worker" if isinstance(error, TimeoutError) else "does not answer"
            raise UserError(
                f"scheduler: {scheduler} {what}; start dask scheduler and dask "
                "worker there, in the environment of requirements.txt"
            ) from None
        yield client


def _code_plugin() -> WorkerPlugin:
    """A plugin that puts this package on every worker, on those that join later too.

    Dask's ``upload_file`` reloads the top of a package only: modules of another run's code would
    stay.
    """
    buffer, package = io.BytesIO(), PACKAGE.name
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(PACKAGE.rglob("*.py")):
            name = f"{package}/{path.relative_to(PACKAGE)}"
            archive.writestr(zipfile.ZipInfo(name), path.read_bytes())
    content = buffer.getvalue()
    archive_name = f"{package}-{hashlib.sha256(content).hexdigest()[:16]}.zip"

    class Code(WorkerPlugin):  # a nested class travels whole: the scheduler has no code of ours
        name = "census-mlflow"

        def setup(self, worker: Worker) -> None:
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
        versions: of the packages that decide a result, by name.
        device: what trains the trees.
        writes: whether it writes to the tracking store.
        uri: of the store; empty where it holds a password, which is not sent.
        machine: the only one that can write to the store; empty where any can.
    """

    versions: dict[str, str]
    device: str
    writes: bool
    uri: str
    machine: str

    @classmethod
    def of_this_process(cls, device: str, writes: bool = True) -> "Requirements":
        """What this process has."""
        uri = store.absolute(store.tracking_uri())
        sent = uri if store.redact(uri) == uri else ""
        machine = process.machine_id() if store.is_local(uri) else ""
        return cls(_versions(), device, writes, sent, machine)


def _versions() -> dict[str, str]:
    others = {name: version(name) for name in ("scikit-learn", "distributed")}
    return {"python": platform.python_version()} | logged_model.VERSIONS | others


def missing_requirement(required: Requirements) -> str:
    """What this worker lacks, and what to do about it; empty where it can do the work."""
    os.environ.pop("MLFLOW_RUN_ID", None)  # of whoever started the cluster
    logged_model.ignore_active_model()
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # two lines for each child
    here = _versions()
    if wrong := [name for name, found in required.versions.items() if here[name] != found]:
        shown = ", ".join(f"{name} {here[name]}, not {required.versions[name]}" for name in wrong)
        return f"has {shown}; start it in the environment of requirements.txt"
    if required.writes and required.machine not in ("", process.machine_id()):
        return (
            f"is another machine, {platform.node()}, and the tracking store is a file of this one; "
            "set MLFLOW_TRACKING_URI to a server that both can reach"
        )
    if required.writes and not required.uri and "MLFLOW_TRACKING_URI" not in os.environ:
        return "needs MLFLOW_TRACKING_URI in its environment: one with a password is not sent"
    try:
        if required.writes:
            uri = required.uri or None  # None: that of the environment
            mlflow.set_tracking_uri(uri)  # type: ignore[arg-type]
            opening.require_store()
        boosting.require_device(required.device)
    except UserError as error:
        return f"cannot work: {error.format_message()}"
    return ""


def _prepare_workers(client: Client, required: Requirements) -> None:
    """Bring the code to every worker; raise ``UserError`` unless each can do the work.

    A worker that does not answer delays this until the scheduler removes it.
    """
    note = "note   a worker does not answer; Dask removes it after its worker-ttl"
    timer = threading.Timer(ANSWER_SECONDS, click.echo, [note])
    timer.start()
    try:
        while True:
            before = live_workers(client).keys()
            try:
                client.register_plugin(_code_plugin())
                break
            except OSError as error:
                if before <= live_workers(client).keys():  # and none was removed meanwhile
                    raise UserError(f"scheduler: a worker cannot take the code: {error}") from None
        ask = _beside_event_loop(missing_requirement)
        found = client.run(ask, pickle.dumps(required), on_error="return")
        client.wait_for_workers(1, timeout=ANSWER_SECONDS)
    finally:
        timer.cancel()
    here = live_workers(client)
    for address, missing in found.items():
        if isinstance(missing, Exception):
            missing = f"failed: {type(missing).__name__}: {missing}"
        if missing and address in here:
            raise UserError(f"scheduler: worker {address} {missing}")


def on_worker(function: Callable) -> Callable:
    """A function of this package for a scheduler, which unpickles it and has no code of ours."""
    module, name = function.__module__, function.__name__

    def call(*arguments: Any) -> Any:
        return getattr(import_module(module), name)(*arguments)

    call.__name__ = name  # what the dashboard shows
    return call


def _beside_event_loop(function: Callable) -> Callable:
    """A function of this package for ``Client.run``, whose pickled argument its worker takes.

    It runs in a thread: imports of several seconds in the worker's event loop would keep the worker
    from telling the scheduler that it is alive.
    """
    work = on_worker(function)

    async def call(pickled: bytes) -> Any:
        return await asyncio.to_thread(lambda: work(pickle.loads(pickled)))

    return call


def capacity(client: Client, device: str) -> int:
    """How many fits of one thread the cluster can run at a time; a GPU runs one."""
    workers = live_workers(client).values()
    return max(1, len(workers) if device == "cuda" else sum(w["nthreads"] for w in workers))


def live_workers(client: Client, most: int = -1) -> dict[str, dict]:
    """What the scheduler knows of its workers, by address; of all of them, or of ``most``."""
    known = client.scheduler_info(n_workers=most)
    if client.status != "running" or "workers" not in known:
        raise WorkFailed(CONNECTION_LOST)
    return known["workers"]


def peak_memory_mb(client: Client) -> float:
    """The most memory that any worker has held, in MB."""
    return max(client.run(process.peak_memory_mb, on_error="ignore").values(), default=0.0)
