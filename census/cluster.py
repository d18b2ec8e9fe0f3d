"""A Dask cluster: the fits of a sweep in many processes, on this machine or on others."""

import hashlib
import io
import os
import platform
import re
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NamedTuple

import joblib
import mlflow
from mlflow.entities import Run

from census import UserError, WorkFailed, children, interruption, model, process, store, tracking
from census.grid import Point
from census.search import Outcome

ADDRESS = re.compile(r"(tcp|tls)://[^/\s]+:\d+")
SECONDS = 10  # for a scheduler to answer
NOBODY = 300  # seconds without any worker after which a sweep fails
DESERTED = f"scheduler: for {NOBODY} seconds there has been no worker"
# What a worker of a local cluster runs first: Ctrl-C reaches every process, and this one ends the
# others; an error of a task is told by this one, too.
QUIET = """
import logging, signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
logging.getLogger("distributed.worker").setLevel("CRITICAL")
"""
LOCK = threading.Lock()  # of a worker's process


@contextmanager
def connected(
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
    with interruption.held_off():
        from distributed import Client, LocalCluster
    with ExitStack() as stack:
        with interruption.held_off():
            where = scheduler
            if scheduler == "local":
                size = {"n_workers": workers or joblib.cpu_count(), "threads_per_worker": 1}
                size |= {"dashboard_address": "127.0.0.1:0", "preload": QUIET}
                where = stack.enter_context(LocalCluster(**size))
            try:
                client = stack.enter_context(Client(where, timeout=SECONDS))
                client.wait_for_workers(1, timeout=SECONDS)
            except OSError as error:  # TimeoutError is one
                what = "has no worker" if isinstance(error, TimeoutError) else "does not answer"
                raise UserError(
                    f"scheduler: {scheduler} {what}; start dask scheduler and dask "
                    "worker there, in the environment of requirements.txt"
                ) from None
            client.register_plugin(_code())
            _require_able(client, Needs.of_this_run(device, writes))
        yield client


def _code():
    """A plugin that puts this project's code on every worker, on those that join later too."""
    from distributed import WorkerPlugin

    content, package = io.BytesIO(), Path(__file__).parent
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(package.glob("*.py")):
            archive.writestr(zipfile.ZipInfo(f"{package.name}/{path.name}"), path.read_bytes())
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


class Needs(NamedTuple):
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
    def of_this_run(cls, device: str, writes: bool = True) -> "Needs":
        """What this process has."""
        uri = store.absolute(store.address())
        sent = uri if store.without_secrets(uri) == uri else ""
        machine = process.machine() if store.is_on_this_machine(uri) else ""
        return cls(_versions(), device, writes, sent, machine)


def _versions() -> dict[str, str]:
    names = (*tracking.REQUIREMENTS, "scikit-learn", "distributed")
    return {"python": platform.python_version()} | {name: version(name) for name in names}


def lacking(needs: Needs) -> str:
    """What this worker lacks, with what to do; nothing where it can do the work."""
    os.environ.pop("MLFLOW_RUN_ID", None)  # of whoever started the cluster
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # two lines for each child
    here = _versions()
    if wrong := [name for name, found in needs.versions.items() if here[name] != found]:
        shown = ", ".join(f"{name} {here[name]}, not {needs.versions[name]}" for name in wrong)
        return f"has {shown}; start it in the environment of requirements.txt"
    if needs.writes and needs.machine not in ("", process.machine()):
        return (
            f"is another machine, {platform.node()}, and the tracking store is a file of this one; "
            "set MLFLOW_TRACKING_URI to a server that both can reach"
        )
    if needs.writes and not needs.uri and "MLFLOW_TRACKING_URI" not in os.environ:
        return "needs MLFLOW_TRACKING_URI in its environment: one with a password is not sent"
    try:
        if needs.writes:
            mlflow.set_tracking_uri(needs.uri or None)
            store.require()
        model.require_device(needs.device)
    except UserError as error:
        return f"cannot work: {error.format_message()}"
    return ""


def _require_able(client, needs: Needs) -> None:
    """Raise ``UserError`` unless every worker can do the work."""
    for address, lack in client.run(lacking, needs, on_error="return").items():
        if isinstance(lack, Exception):
            lack = f"failed: {type(lack).__name__}: {lack}"
        if lack:
            raise UserError(f"scheduler: worker {address} {lack}")


@dataclass
class Bench:
    """What all fits of a sweep share; a worker gets it once and bins its rows once."""

    setting: children.Setting
    needs: Needs
    folds: list[tuple] | None = field(default=None, init=False)

    def __getstate__(self) -> dict:
        return self.__dict__ | {"folds": None}

    def prepare(self) -> list[tuple]:
        """Rows as ``children.Setting.matrices`` gives them; a worker that came later is checked."""
        with LOCK:
            if self.folds is None:
                if lack := lacking(self.needs):
                    raise WorkFailed(f"a worker {lack}")
                self.folds = self.setting.matrices()
            return self.folds


def judge(
    bench: Bench, fit: list[Point], run_ids: list[str], n_jobs: int, when: int
) -> list[Outcome]:
    """Judge the points of a shared fit, here on a worker, and write their runs.

    The runs are there already, and what is written a second time stands there once: a worker that
    was given up and wakes again does no harm.
    """
    from distributed import get_worker

    def begin(points: list[Point]) -> list[str]:
        for run_id in run_ids:
            children.log_lineage(bench.setting, run_id)
        return run_ids

    worker = get_worker()
    stop, fits = _Released(worker.state, worker.get_current_task()), iter([fit])
    folds = bench.prepare()
    return [*children.judged(bench.setting, fits, folds, 1, n_jobs, begin, when=when, stop=stop)]


class _Released(threading.Event):
    """Set as soon as nobody wants the result of a task any more."""

    def __init__(self, state, key):
        super().__init__()
        self.state, self.key = state, key

    def is_set(self) -> bool:
        task = self.state.tasks.get(self.key)
        return super().is_set() or task is None or task.state != "executing"


def on_worker(function: Callable) -> Callable:
    """A function of this package for a scheduler, which unpickles it and has no code of ours."""
    module, name = function.__module__, function.__name__

    def call(*arguments):
        from importlib import import_module

        return getattr(import_module(module), name)(*arguments)

    call.__name__ = name  # what the dashboard shows
    return call


def slots(client, device: str) -> int:
    """How many fits the cluster can do at a time, one thread each; a GPU does one."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return max(1, len(workers) if device == "cuda" else sum(w["nthreads"] for w in workers))


def peak_memory_mb(client) -> float:
    """The most memory that a worker has held, in MB."""
    return max(client.run(tracking.peak_memory_mb).values())


def judged(
    client, run: Run, setting: children.Setting, fits: Iterator, ahead: int, n_jobs: int
) -> Iterator[Outcome]:
    """Outcomes of all points, from workers that have written them.

    The runs are made here, so that a point has one, however often it is computed. The points of a
    lost worker are computed again; those of a fit that three workers died of have failed.

    Args:
        run: the parent.
        fits, ahead: as of ``search.judged``.
        n_jobs: threads of a fit.
    """
    from distributed import CancelledError, KilledWorker

    def share():
        _require_connection(client)
        with suppress(TimeoutError):
            client.wait_for_workers(1, timeout=NOBODY)
            return client.scatter(bench, broadcast=True, hash=False)
        raise WorkFailed(DESERTED)

    test = replace(setting.rows.test, X=setting.rows.test.X[:0], y=setting.rows.test.y[:0])
    needs = Needs.of_this_run(setting.device)
    bench = Bench(replace(setting, rows=replace(setting.rows, test=test)), needs)
    news, in_hand = SimpleQueue(), {}
    shared = share()

    def submit(fit: list[Point], run_ids: list[str], when: int) -> None:
        arguments = fit, run_ids, n_jobs, when
        future = client.submit(on_worker(judge), shared, *arguments, pure=False)
        in_hand[future] = shared, fit, run_ids, when
        future.add_done_callback(news.put)

    try:
        while True:
            while len(in_hand) < ahead and (fit := next(fits, None)):
                run_ids = [children.create(run, setting, point) for point in fit]
                submit(fit, run_ids, int(time.time() * 1000))
            if not in_hand:
                return
            future = _next(client, news, in_hand)
            used, fit, run_ids, when = in_hand.pop(future)
            try:
                if future.status == "lost":
                    raise CancelledError
                yield from future.result()
            except KilledWorker:
                for point, run_id in zip(fit, run_ids, strict=True):
                    yield children.given_up(setting, point, run_id, "workers died of it")
            except CancelledError:  # rows or outcomes went with the last worker that held them
                if used is shared:
                    shared = share()
                submit(fit, run_ids, when)
    finally:
        if client.status == "running":
            client.cancel([*in_hand])


def _require_connection(client) -> None:
    if client.status != "running":
        raise WorkFailed("scheduler: the connection is lost")


def _next(client, news: SimpleQueue, in_hand: dict):
    """The next of the futures that is done, failed or lost."""
    last_seen = time.monotonic()
    while True:
        with suppress(Empty):
            if (future := news.get(timeout=1)) in in_hand:
                return future
            continue
        for future in in_hand:
            if future.status in ("lost", "cancelled"):
                return future
        _require_connection(client)
        if client.scheduler_info(n_workers=1)["workers"]:
            last_seen = time.monotonic()
        elif time.monotonic() > last_seen + NOBODY:
            raise WorkFailed(DESERTED)
