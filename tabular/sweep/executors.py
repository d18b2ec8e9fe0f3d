"""Who runs the shared fits of a sweep: one interface, and the threads of this process."""

import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from queue import Empty, SimpleQueue
from typing import Protocol

import joblib
from mlflow.entities import Run

from tabular import cancel
from tabular.sweep import child_runs, trials
from tabular.sweep.budget import Budget
from tabular.sweep.options import SweepOptions
from tabular.sweep.space import Config
from tabular.sweep.trials import Matrices, SweepSpec, TrialResult
from tabular.tracking.transactions import in_one_transaction

# A fit asks for Python's lock every round; it must not wait 5 ms for the thread that logs results.
SWITCH_SECONDS = 0.0002


class Search(Protocol):
    """Proposes shared fits, and takes note of their results."""

    def fits(self, max_in_flight: int) -> Iterator[list[Config] | None]:
        """The next fit; None while it depends on a result that is not there yet."""

    def tell(self, result: TrialResult) -> None:
        """Take note of a result."""


class Executor(Protocol):
    """Runs shared fits and logs their child runs.

    Attributes:
        workers: fits at a time.
        n_jobs: threads of a fit.
        max_in_flight: fits that may run or wait for a worker.
    """

    workers: int
    n_jobs: int
    max_in_flight: int

    def submit(self, configs: list[Config]) -> None:
        """Create the child runs of a shared fit, and queue it."""

    def next_results(self, check: Callable[[], None]) -> list[TrialResult]:
        """Wait for one shared fit; returns its results, whose child runs have ended.

        Args:
            check: is called before and, a few times a second, during the wait.
        """

    def stop(self) -> None:
        """Stop all fits: ``next_results`` returns what each has completed."""

    def close(self) -> None:
        """Stop the fits that still run."""


MakeExecutor = Callable[[Run, SweepSpec, int], Executor]  # of parent run, spec, number of fits


def run_trials(search: Search, executor: Executor, budget: Budget) -> Iterator[TrialResult]:
    """Submit the shared fits of a search, and pass their results on to it as they come.

    When the budget is spent, no fit is submitted any more, and those in flight are stopped.
    """
    fits, in_flight = search.fits(executor.max_in_flight), 0

    def check() -> None:
        cancel.check()
        if budget.spent():
            executor.stop()

    while True:
        # None: there are no more, or the next one depends on a result that is not there yet
        while (
            in_flight < executor.max_in_flight
            and not budget.spent()
            and (configs := next(fits, None))
        ):
            budget.start()
            executor.submit(configs)
            in_flight += 1
        if not in_flight:
            return
        results = executor.next_results(check)
        in_flight -= 1
        budget.tell()
        for result in results:
            search.tell(result)
            yield result


def allocate_cores(
    n_fits: int, workers: int | None, device: str, cores: int | None = None
) -> tuple[int, int]:
    """How many fits run at a time, and how many threads each has.

    A fit gains less from a second thread than a second fit does, so there are as many workers as
    cores or fits. A GPU takes one fit at a time.

    Args:
        workers: how many the user wants; None leaves it open.
        cores: None: those of this machine.
    """
    cores = cores or joblib.cpu_count()
    workers = min(n_fits, workers or (1 if device == "cuda" else cores))
    return workers, max(1, cores // workers)


@contextmanager
def connect(options: SweepOptions) -> Iterator[MakeExecutor]:
    """What makes the executor of ``executor=local``."""
    yield partial(LocalExecutor, workers=options.workers)


class LocalExecutor:
    """Threads of this process: XGBoost does not hold Python's lock while it trains.

    All fits with the same ``max_bin`` share the binned rows.
    """

    def __init__(
        self, parent: Run, spec: SweepSpec, n_fits: int, workers: int | None = None
    ) -> None:
        self.parent, self.spec = parent, spec
        n_tasks = max(1, n_fits * spec.folds)
        if spec.device == "cuda":
            workers = 1  # the copies of the shared rows on the GPU are not made for several threads
        self.workers, self.n_jobs = allocate_cores(n_tasks, workers, spec.device)
        # a child run reads RUNNING from its submission on; how many trials Optuna draws ahead
        # decides which ones it draws
        self.max_in_flight = 2 * self.workers if spec.tree_choices else self.workers + 1
        self._folds: dict[int, list[Matrices]] = {}  # by max_bin
        self._pool = ThreadPoolExecutor(self.workers)
        self._finished: SimpleQueue = SimpleQueue()
        self._stopping = threading.Event()
        sys.setswitchinterval(SWITCH_SECONDS)

    def submit(self, configs: list[Config]) -> None:
        """Queue a shared fit, each fold by itself, and create its child runs meanwhile."""
        folds = trials.cached_matrices(self.spec, configs[0]["max_bin"], self._folds)
        stop = self._stopping.is_set
        futures = [
            self._pool.submit(trials.fit_fold, self.spec, fold, configs, self.n_jobs, stop)
            for fold in folds
        ]
        run_ids = in_one_transaction(partial(self._create_runs, configs))
        n_done = itertools.count(1)

        def done(_: Future) -> None:
            if next(n_done) == len(futures):
                self._finished.put((configs, run_ids, futures))

        for future in futures:
            future.add_done_callback(done)

    def _create_runs(self, configs: list[Config]) -> list[str]:
        run_ids = [child_runs.create(self.parent, self.spec, config) for config in configs]
        for run_id in run_ids:
            child_runs.log_lineage(self.spec, run_id)
        return run_ids

    def next_results(self, check: Callable[[], None]) -> list[TrialResult]:
        """Wait for the folds of one shared fit, and log its results."""
        while True:
            check()
            try:
                configs, run_ids, futures = self._finished.get(timeout=0.2)
                break
            except Empty:
                continue
        fitted = [future.result() for future in futures]
        results = trials.combine_folds(self.spec, configs, run_ids, fitted)
        in_one_transaction(partial(self._finish_runs, results))
        return results

    def _finish_runs(self, results: list[TrialResult]) -> None:
        for result in results:
            child_runs.finish(self.spec, result)

    def stop(self) -> None:
        """Stop the fits after their current rounds; the prefixes that are complete are results."""
        self._stopping.set()

    def close(self) -> None:
        """Stop the fits, and start no other."""
        self.stop()
        self._pool.shutdown(wait=False, cancel_futures=True)
