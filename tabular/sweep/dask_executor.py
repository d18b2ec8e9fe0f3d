"""The shared fits of a sweep on the workers of a Dask cluster, which may come and go."""

import pickle
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

import dask
from distributed import CancelledError, Client, Future, KilledWorker, get_worker
from mlflow.entities import Run

from tabular.cluster.connection import (
    ANSWER_SECONDS,
    CONNECTION_LOST,
    Requirements,
    capacity,
    live_workers,
    missing_requirement,
    on_worker,
)
from tabular.cluster.connection import (
    connect as connect_client,
)
from tabular.errors import WorkFailed
from tabular.sweep import child_runs
from tabular.sweep.executors import MakeExecutor, allocate_cores
from tabular.sweep.options import SweepOptions
from tabular.sweep.space import Config
from tabular.sweep.trials import (
    Matrices,
    Stopped,
    SweepSpec,
    TrialResult,
    cached_matrices,
    run_shared_fit,
)

NO_WORKER_SECONDS = 300  # without any worker, after which a sweep fails
LOCK = threading.Lock()  # of a worker's process
GPU = threading.Lock()  # the copies of the shared rows on it are not made for several threads


@dataclass
class WorkerContext:
    """What all fits of a sweep share: a worker gets it once and bins its rows once.

    If the fits differ in ``max_bin``, the rows are binned again.
    """

    spec: SweepSpec
    required: Requirements
    folds: dict[int, list[Matrices]] = field(default_factory=dict, init=False)  # by max_bin

    def __getstate__(self) -> dict:
        return self.__dict__ | {"folds": {}}

    def prepare(self, max_bin: int) -> list[Matrices]:
        """The matrices of each fold; a worker that joined after the start is checked first."""
        with LOCK:
            if not self.folds and (missing := missing_requirement(self.required)):
                raise WorkFailed(f"a worker {missing}")
            return cached_matrices(self.spec, max_bin, self.folds)


class SharedFit(NamedTuple):
    """A shared fit that was submitted: its configurations, their runs, and where it is placed.

    ``when`` is the timestamp of its metrics, in ms since 1970.
    """

    configs: list[Config]
    run_ids: list[str]
    when: int
    address: str | None


class _Released(threading.Event):
    """Set as soon as nobody wants the result of a task any more."""

    def __init__(self, state: Any, key: Any) -> None:
        super().__init__()
        self.state, self.key = state, key

    def is_set(self) -> bool:
        task = self.state.tasks.get(self.key)
        if task is None or task.state != "executing":
            self.set()  # for good, though the task may be wanted again
        return super().is_set()


def run_on_worker(
    context: WorkerContext, configs: list[Config], run_ids: list[str], n_jobs: int, when: int
) -> list[TrialResult] | None:
    """Run a shared fit, here on a worker, and log its results.

    The runs exist already, and what is logged a second time is stored once: a worker that was
    removed and wakes again does no harm.

    Returns:
        None where the task was taken from this worker meanwhile.
    """
    worker = get_worker()
    released = _Released(worker.state, worker.get_current_task())
    folds, spec = context.prepare(configs[0]["max_bin"]), context.spec
    for run_id in run_ids:
        child_runs.log_lineage(spec, run_id)
    try:
        with GPU if spec.device == "cuda" else nullcontext():
            results = run_shared_fit(spec, folds, configs, run_ids, n_jobs, released.is_set)
    except Stopped:
        return None
    for result in results:
        child_runs.finish(spec, result, when)
        result.validation = None  # larger than all the rest of what is sent back
    return results


@contextmanager
def connect(options: SweepOptions) -> Iterator[MakeExecutor]:
    """What makes the executor of ``executor=dask``, once the cluster is ready."""
    with connect_client(options.scheduler, options.device, options.workers) as client:
        yield partial(DaskExecutor, client, workers=options.workers)


class DaskExecutor:
    """Workers of a Dask cluster.

    The child runs are created here, so that a configuration has one, however often it is computed.
    The fits of a lost worker are computed again; one that four workers died of has failed.
    """

    def __init__(
        self, client: Client, parent: Run, spec: SweepSpec, n_fits: int, workers: int | None = None
    ) -> None:
        self.client, self.parent, self.spec = client, parent, spec
        cores = capacity(client, spec.device)
        wanted = workers or cores  # also of GPUs
        self.workers, self.n_jobs = allocate_cores(max(1, n_fits), wanted, spec.device, cores)
        # the next fits wait at their workers, unless others than the wanted ones would take them
        self.max_in_flight = self.workers if self.workers < cores else 2 * self.workers
        self._finished: SimpleQueue = SimpleQueue()
        self._in_flight: dict[Future, SharedFit] = {}
        self._stopped = False
        dataset = spec.dataset
        none = {name: getattr(dataset.test, name)[:0] for name in ("X", "y", "groups")}
        test = replace(dataset.test, **none)  # is not needed
        context = WorkerContext(
            replace(spec, dataset=replace(dataset, test=test)),
            Requirements.of_this_process(spec.device),
        )
        # a task and not scattered, so that the scheduler can make it again when its workers are
        # lost; and in bytes, because the scheduler has no code of ours
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"}):
            self._context = client.submit(pickle.loads, pickle.dumps(context), pure=False)

    def submit(self, configs: list[Config]) -> None:
        """Create the child runs of a shared fit, and send it to the worker with the least work."""
        run_ids = [child_runs.create(self.parent, self.spec, config) for config in configs]
        self._send(configs, run_ids, int(time.time() * 1000))

    def _send(self, configs: list[Config], run_ids: list[str], when: int) -> None:
        workers = live_workers(self.client)
        load = Counter(fit.address for fit in self._in_flight.values())
        address = min(workers, key=lambda w: load[w] / workers[w]["nthreads"], default=None)
        # left alone, Dask would send all fits to the worker that has the rows
        place = {"workers": address, "allow_other_workers": True} if address else {}
        arguments = self._context, configs, run_ids, self.n_jobs, when
        future = self.client.submit(on_worker(run_on_worker), *arguments, pure=False, **place)
        self._in_flight[future] = SharedFit(configs, run_ids, when, address)
        future.add_done_callback(self._finished.put)

    def next_results(self, check: Callable[[], None]) -> list[TrialResult]:
        """Wait for one shared fit; returns its results, which a worker has logged."""
        while True:
            future = self._next_future(check)
            fit = self._in_flight[future]
            try:
                results = future.result(timeout=ANSWER_SECONDS)
            except CancelledError:
                if not self._stopped:  # the scheduler was restarted, or is lost
                    raise WorkFailed(CONNECTION_LOST) from None
                results = []
            except KilledWorker:
                results = [
                    child_runs.result_of_lost_fit(
                        self.spec, config, run_id, "its worker died in every attempt"
                    )
                    for config, run_id in zip(fit.configs, fit.run_ids, strict=True)
                ]
            except OSError as error:  # who holds it is silent or lost; Dask will compute it again
                if future.status == "error" and error is future.exception():
                    raise
                future.add_done_callback(self._finished.put)
                continue
            del self._in_flight[future]
            if results is not None or self._stopped:
                return results or []
            self._send(fit.configs, fit.run_ids, fit.when)  # taken from its worker, and given back

    def _next_future(self, check: Callable[[], None]) -> Future:
        """The next of the futures that is done, failed or cancelled."""
        last_seen = time.monotonic()
        while True:
            check()
            with suppress(Empty):
                if (future := self._finished.get(timeout=0.5)) in self._in_flight:
                    return future
                continue
            if live_workers(self.client, 1):
                last_seen = time.monotonic()
            elif time.monotonic() > last_seen + NO_WORKER_SECONDS:
                raise WorkFailed(
                    f"scheduler: for {NO_WORKER_SECONDS} seconds there has been no worker"
                )

    def stop(self) -> None:
        """Cancel the fits that have not ended; their workers stop after the current rounds."""
        if not self._stopped:
            self._stopped = True
            self.client.cancel([future for future in self._in_flight if not future.done()])

    def close(self) -> None:
        """Cancel the fits that still run."""
        if self.client.status == "running":
            self.client.cancel([*self._in_flight])
