"""The fits of a sweep on the workers of a Dask cluster, whatever becomes of them."""

import pickle
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue

from mlflow.entities import Run

from tabular.cluster.connection import (
    ANSWER_SECONDS,
    CONNECTION_LOST,
    Requirements,
    live_workers,
    missing_requirement,
    on_worker,
)
from tabular.errors import WorkFailed
from tabular.sweep import child_runs
from tabular.sweep.space import Config
from tabular.sweep.trials import TrialResult

NO_WORKER_SECONDS = 300  # seconds without any worker after which a sweep fails
LOCK = threading.Lock()  # of a worker's process


@dataclass
class WorkerContext:
    """What all fits of a sweep share; a worker gets it once and bins its rows once."""

    setting: child_runs.SweepSpec
    needs: Requirements
    folds: list[tuple] | None = field(default=None, init=False)

    def __getstate__(self) -> dict:
        return self.__dict__ | {"folds": None}

    def prepare(self) -> list[tuple]:
        """Rows as ``child_runs.SweepSpec.matrices`` gives them."""
        with LOCK:
            if self.folds is None:
                if lack := missing_requirement(self.needs):
                    raise WorkFailed(f"a worker {lack}")
                self.folds = self.setting.matrices()
            return self.folds


def judge(
    bench: WorkerContext, fit: list[Config], run_ids: list[str], n_jobs: int, when: int
) -> list[TrialResult]:
    """Judge the points of a shared fit, here on a worker, and write their runs.

    The runs are there already, and what is written a second time stands there once: a worker that
    was given up and wakes again does no harm.
    """
    from distributed import get_worker

    def begin(points: list[Config]) -> list[str]:
        for run_id in run_ids:
            child_runs.log_lineage(bench.setting, run_id)
        return run_ids

    worker = get_worker()
    stop, fits = _Released(worker.state, worker.get_current_task()), iter([fit])
    folds = bench.prepare()
    return [*child_runs.judged(bench.setting, fits, folds, 1, n_jobs, begin, when=when, stop=stop)]


class _Released(threading.Event):
    """Set as soon as nobody wants the result of a task any more."""

    def __init__(self, state, key):
        super().__init__()
        self.state, self.key = state, key

    def is_set(self) -> bool:
        task = self.state.tasks.get(self.key)
        if task is None or task.state != "executing":
            self.set()  # for good, though the task may be wanted again
        return super().is_set()


def judged(
    client, run: Run, setting: child_runs.SweepSpec, fits: Iterator, ahead: int, n_jobs: int
) -> Iterator[TrialResult]:
    """Outcomes of all points, from workers that have written them.

    The runs are made here, so that a point has one, however often it is computed. The points of a
    lost worker are computed again; those of a fit that four workers died of have failed.

    Args:
        run: the parent.
        fits, ahead: as of ``trials.judged``.
        n_jobs: threads of a fit.
    """
    import dask
    from distributed import CancelledError, KilledWorker

    test = replace(setting.rows.test, X=setting.rows.test.X[:0], y=setting.rows.test.y[:0])
    needs = Requirements.of_this_run(setting.device)
    bench = WorkerContext(replace(setting, rows=replace(setting.rows, test=test)), needs)
    # a task and not scattered, so that the scheduler can make it again when its workers are lost;
    # and in bytes, because the scheduler has no code of ours
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"}):
        shared = client.submit(pickle.loads, pickle.dumps(bench), pure=False)
    news, in_hand = SimpleQueue(), {}

    def submit(fit: list[Config], run_ids: list[str], when: int) -> None:
        workers = live_workers(client)
        load = Counter(where for *_, where in in_hand.values())
        where = min(workers, key=lambda w: load[w] / workers[w]["nthreads"], default=None)
        # Dask left alone would give all to the one that has the rows
        place = {"workers": where, "allow_other_workers": True} if where else {}
        arguments = shared, fit, run_ids, n_jobs, when
        future = client.submit(on_worker(judge), *arguments, pure=False, **place)
        in_hand[future] = fit, run_ids, when, where
        future.add_done_callback(news.put)

    try:
        while True:
            while len(in_hand) < ahead and (fit := next(fits, None)):
                run_ids = [child_runs.create(run, setting, point) for point in fit]
                submit(fit, run_ids, int(time.time() * 1000))
            if not in_hand:
                return
            future = _next(client, news, in_hand)
            fit, run_ids, when, _ = in_hand[future]
            try:
                outcomes = future.result(timeout=ANSWER_SECONDS)
            except CancelledError:  # the scheduler has forgotten all: it was started anew, or lost
                raise WorkFailed(CONNECTION_LOST) from None
            except KilledWorker:
                outcomes = [
                    child_runs.result_of_lost_fit(setting, point, run_id, "workers died of it")
                    for point, run_id in zip(fit, run_ids, strict=True)
                ]
            except OSError as error:  # who holds it is silent or lost; Dask will compute it again
                if future.status == "error" and error is future.exception():
                    raise
                future.add_done_callback(news.put)
                continue
            del in_hand[future]
            if len(outcomes) < len(fit):  # it was taken from the worker, and given back
                submit(fit, run_ids, when)
            else:
                yield from outcomes
    finally:
        if client.status == "running":
            client.cancel([*in_hand])


def _next(client, news: SimpleQueue, in_hand: dict):
    """The next of the futures that is done, failed or cancelled."""
    last_seen = time.monotonic()
    while True:
        with suppress(Empty):
            if (future := news.get(timeout=1)) in in_hand:
                return future
            continue
        if live_workers(client, 1):
            last_seen = time.monotonic()
        elif time.monotonic() > last_seen + NO_WORKER_SECONDS:
            raise WorkFailed(f"scheduler: for {NO_WORKER_SECONDS} seconds there has been no worker")
