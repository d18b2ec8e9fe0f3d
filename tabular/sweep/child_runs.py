"""The child runs of a sweep in the MLflow store: written, found again, adopted, ended."""

import hashlib
import json
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

import mlflow
import numpy as np
import xgboost
from mlflow.entities import Metric, Param, Run, RunTag

from tabular import cancel
from tabular.data.sources import Dataset
from tabular.errors import UserError
from tabular.model import boosting
from tabular.model.hyperparameters import config_name
from tabular.sweep import trials
from tabular.sweep.space import Config
from tabular.sweep.trials import PATIENCE_ROUNDS, TrialResult
from tabular.tracking import process, runs, store

RESULT_VERSION = 1  # to be raised when the code would give another result for the same point

PARENT = "mlflow.parentRunId"
CONFIG, TRIAL, SIZE = "sweep.config", "sweep.trial", "sweep.points"
BEST, RESUMED_FROM = "sweep.best_run_id", "sweep.resumed_from"
CONTEXT = ("mlflow.user", "mlflow.source.name", "mlflow.source.type", "mlflow.source.git.commit")
VALIDATION = "validation_"


@dataclass(frozen=True)
class SweepSpec:
    """What all points of a sweep have in common."""

    rows: Dataset
    device: str
    seed: int
    folds: int
    trees: Sequence[int] | None = None  # a trial is judged at the best of these numbers of trees

    def matrices(self) -> list[tuple]:
        """Of each fold the rows to train on and to validate on, binned."""
        parts = boosting.validation_splits(self.rows.train.y, self.seed, self.folds)
        return [boosting.split_matrices(self.rows.train, part) for part in parts]

    def trial(self, point: Config) -> str:
        """SHA-256 of everything that decides the result of a trial, its number of trees too."""
        return self.digest(point, trees=str(self.trees), patience=PATIENCE_ROUNDS)

    def digest(self, point: Config, **more) -> str:
        """SHA-256 of everything that decides the result of a point."""
        decisive = more | {
            "hyperparameters": point,
            "rows": self.rows.train.digest,
            "folds": self.folds,
            "seed": self.seed,
            "device": self.device,
            "xgboost": xgboost.__version__,
            "version": RESULT_VERSION,
        }
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def begin(parent: Run, setting: SweepSpec, point: Config) -> str:
    """Make the child run of a point, RUNNING, with its lineage; returns its id."""
    run_id = create(parent, setting, point)
    log_lineage(setting, run_id)
    return run_id


def create(parent: Run, setting: SweepSpec, point: Config) -> str:
    """Make the child run of a point, RUNNING; returns its id."""
    client = mlflow.MlflowClient()
    tags = {key: parent.data.tags[key] for key in CONTEXT if key in parent.data.tags}
    tags |= {PARENT: parent.info.run_id} | runs.provenance_tags(setting.rows, setting.device)
    if setting.trees:
        tags[TRIAL] = setting.trial(point)
    else:
        tags[CONFIG] = setting.digest(point)
    name = setting.rows.marked(config_name(point))
    return client.create_run(parent.info.experiment_id, tags=tags, run_name=name).info.run_id


def log_lineage(setting: SweepSpec, run_id: str) -> None:
    """Write on a child which rows it was trained on; a second time, nothing changes."""
    runs.log_inputs(run_id, setting.rows, training=setting.rows.train)


def finish(setting: SweepSpec, outcome: TrialResult, when: int | None = None) -> None:
    """Write a point and what it gave, and end its run, FINISHED or FAILED.

    It is one call for all, because a call takes a server longer than what it holds.

    Args:
        when: date of the metrics, in ms since 1970; None: now. What is written a second time with
            the same date stands there once.
    """
    point = outcome.point | {"seed": setting.seed, "folds": setting.folds}
    points, tags = [], {}
    if outcome.error:
        line = outcome.error[:5000]
        note = f"**error**: {runs.escape_markdown(line)}"
        tags = {"error": line, runs.DESCRIPTION: note}
        if setting.trees:
            del point["n_estimators"]  # was to be found
    else:
        when, rounds = when or int(time.time() * 1000), len(outcome.curve)
        points = [Metric(VALIDATION + k, v, when, rounds) for k, v in outcome.metrics.items()]
        points += [  # the last round's is among the metrics
            Metric(f"{VALIDATION}log_loss", float(value), when, step)
            for step, value in enumerate(outcome.curve[:-1], start=1)
        ]
        if setting.trees:
            name = setting.rows.marked(config_name(outcome.point))
            tags = {CONFIG: setting.digest(outcome.point), "mlflow.runName": name}
    client = mlflow.MlflowClient()
    client.log_batch(
        outcome.run_id,
        points,
        [Param(key, str(value)) for key, value in point.items()],
        [RunTag(key, value) for key, value in tags.items()],
    )
    status = "FAILED" if outcome.error else "FINISHED"
    client.set_terminated(outcome.run_id, status)


def judged(
    setting: SweepSpec,
    fits: Iterator[list[Config] | None],
    folds: list[tuple],
    workers: int,
    n_jobs: int,
    begin: Callable[[list[Config]], list[str]],
    ahead: float = math.inf,
    when: int | None = None,
    stop: threading.Event | None = None,
) -> Iterator[TrialResult]:
    """``trials.judged``, each outcome written to its run before it is given.

    Args:
        n_jobs: threads of a fit.
        when: as of ``finish``.
        The rest are those of ``trials.judged``.
    """
    options = {"seed": setting.seed, "device": setting.device, "n_jobs": n_jobs}
    found = trials.judged(fits, folds, workers, begin, ahead, setting.trees, stop, **options)
    with closing(found):
        for outcome in found:
            if stop and stop.is_set():
                return
            finish(setting, outcome, when)
            yield outcome


def curve(run_id: str) -> np.ndarray:
    """The validation log loss of a child run after each round, shape (n_estimators,)."""
    return np.array(store.recorded_value(store.find_run(run_id), f"{VALIDATION}log_loss", []))


@contextmanager
def ensure_children_ended(parent: Run) -> Iterator[None]:
    """However the body ends, no child of ``parent`` reads RUNNING afterwards.

    After an undisturbed one that is a child that the store made twice, because its first answer
    got lost on the way.
    """
    reason = "made twice"
    try:
        yield
    except BaseException as error:
        number = cancel.received()
        reason = number.name if number else type(error).__name__
        runs.shorten_http_timeouts()
        raise
    finally:
        with cancel.uninterrupted():
            try:
                ours = f"attributes.status = 'RUNNING' and tags.`{PARENT}` = '{parent.info.run_id}'"
                for child in store.search_runs(ours, parent.info.experiment_id):
                    _kill(child, reason)
            except Exception as error:
                print(f"not ended: {str(error)[:500]}", file=sys.stderr)


def end_orphaned_runs(parent: Run) -> list[str]:
    """End the runs of the experiment that read RUNNING and whose process is certainly gone.

    Returns:
        Ids of other runs that read RUNNING and are no child of any.
    """
    dead, others = left_running(parent.info.experiment_id)
    end(dead)
    return [run.info.run_id for run in others if run.info.run_id != parent.info.run_id]


def left_running(experiment_id: str) -> tuple[list[Run], list[Run]]:
    """Runs that read RUNNING: those whose process is certainly gone; others that are no child."""
    dead, others = [], []
    for run in store.search_runs("attributes.status = 'RUNNING'", experiment_id):
        author = store.find_run(run.data.tags.get(PARENT, "")) or run
        if process.is_gone(author.data.tags.get(runs.PROCESS, "")):
            dead.append(run)
        elif author is run:
            others.append(run)
    return dead, others


def end(dead: list[Run]) -> None:
    """End runs whose process is gone, as KILLED."""
    for run in dead:
        _kill(run, "its process was gone")


def require_resumable(resume: str) -> None:
    """Raise ``UserError`` unless ``resume`` is auto, never or the run id of a sweep."""
    if resume in ("auto", "never"):
        return
    with cancel.uninterrupted():
        run = store.find_run(resume)
    if not run or SIZE not in run.data.tags:
        raise UserError(
            f"resume: expected auto, never or the run id of a sweep, got {resume!r}, which is none "
            f"in {store.tracking_uri()}"
        )


def find_finished(
    parent: Run, setting: SweepSpec, how: str
) -> Callable[[Config], TrialResult | None]:
    """What looks up what a FINISHED child of an earlier sweep already holds for a point.

    Children of a sweep that did not finish move to ``parent`` when they are looked up; those of a
    finished one, of one that still runs and of another experiment stay where they are.
    """
    client, where, only = mlflow.MlflowClient(), parent, None
    if how not in ("auto", "never"):
        where = client.get_run(how)
        only = {how, *where.data.tags.get(RESUMED_FROM, how).split(",")}
    tag, digest = (TRIAL, setting.trial) if setting.trees else (CONFIG, setting.digest)
    found, earlier, used = {}, {}, []
    finished = f"attributes.status = 'FINISHED' and tags.`{tag}` != ''"
    experiment_id = where.info.experiment_id
    for child in [] if how == "never" else store.search_runs(finished, experiment_id):
        if not only or child.data.tags.get(PARENT, "") in only:
            found.setdefault(child.data.tags[tag], child)

    def look_up(point: Config) -> TrialResult | None:
        child = found.get(digest(point))
        if not child:
            return None
        of = child.data.tags.get(PARENT, "")
        if of not in earlier:
            earlier[of] = store.find_run(of)
            used.extend(filter(None, [of]))
            client.set_tag(parent.info.run_id, RESUMED_FROM, ",".join(used)[:5000])
        ended = earlier[of] is None or earlier[of].info.status in ("FAILED", "KILLED")
        adopted = ended and experiment_id == parent.info.experiment_id
        if adopted:
            client.set_tag(child.info.run_id, PARENT, parent.info.run_id)
        return _outcome(point, child, "adopted" if adopted else "reused")

    return look_up


def _outcome(point: Config, child: Run, source: str) -> TrialResult:
    """What a FINISHED child holds."""
    metrics = child.data.metrics.items()
    return TrialResult(
        point | {"n_estimators": int(child.data.params["n_estimators"])},
        {name.removeprefix(VALIDATION): value for name, value in metrics},
        run_id=child.info.run_id,
        source=source,
    )


def result_of_lost_fit(setting: SweepSpec, point: Config, run_id: str, reason: str) -> TrialResult:
    """The outcome of a point whose worker was lost: that of its run, or a failure."""
    child = store.find_run(run_id)
    if child.info.status == "FINISHED":
        return _outcome(point, child, "computed")
    outcome = TrialResult(point, error=reason, run_id=run_id)
    finish(setting, outcome)
    return outcome


def _kill(run: Run, reason: str) -> None:
    client = mlflow.MlflowClient()
    client.set_tag(run.info.run_id, "ended_by", reason)
    client.set_terminated(run.info.run_id, "KILLED")
