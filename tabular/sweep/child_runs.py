"""The child runs of a sweep in the MLflow store: created, finished, found again, ended."""

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import mlflow
import numpy as np
import xgboost
from mlflow.entities import Metric, Param, Run, RunTag

from tabular import cancel
from tabular.data.census import CENSUS
from tabular.errors import UserError, escape_markdown
from tabular.model.hyperparameters import config_name, decisive_values
from tabular.sweep.budget import Budget
from tabular.sweep.space import Config
from tabular.sweep.trials import PATIENCE_ROUNDS, SweepSpec, TrialResult
from tabular.tracking import datasets, opening, orphans, runs, store
from tabular.tracking.orphans import PARENT

RESULT_VERSION = 1  # to be raised when the code would give another result for the same config

CONFIG, TRIAL, SIZE = "sweep.config", "sweep.trial", "sweep.points"
REPEAT = "sweep.repeat"
BEST, RESUMED_FROM = "sweep.best_run_id", "sweep.resumed_from"
CONTEXT = ("mlflow.user", "mlflow.source.name", "mlflow.source.type", "mlflow.source.git.commit")
VALIDATION = "validation_"


def config_digest(spec: SweepSpec, config: Config, **more: str | int) -> str:
    """SHA-256 of everything that decides the result of a configuration, hexadecimal."""
    dataset = spec.dataset
    # results of the published and the synthetic rows are known by digests without the table
    if dataset.table.digest != CENSUS.digest or dataset.origin == "directory":
        more |= {"table": dataset.table.reading_digest}
    decisive = more | {
        "hyperparameters": decisive_values(config),
        "rows": spec.dataset.train.digest,
        "folds": spec.folds,
        "seed": spec.seed,
        "device": spec.device,
        "xgboost": xgboost.__version__,
        "version": RESULT_VERSION,
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def trial_digest(spec: SweepSpec, config: Config) -> str:
    """SHA-256 of everything that decides a trial's result, including its number of trees."""
    more: dict[str, str | int] = {"trees": str(spec.tree_choices), "patience": PATIENCE_ROUNDS}
    if not isinstance(spec.tree_choices, range):
        more |= {"end": "from the lowest log loss on"}  # formerly from the first choice on
    return config_digest(spec, config, **more)


def create(parent: Run, spec: SweepSpec, config: Config) -> str:
    """Create the child run of a configuration, RUNNING; returns its id."""
    client = mlflow.MlflowClient()
    tags = {key: parent.data.tags[key] for key in CONTEXT if key in parent.data.tags}
    tags |= {PARENT: parent.info.run_id} | runs.provenance_tags(spec.dataset, spec.device)
    if spec.tree_choices:
        tags[TRIAL] = trial_digest(spec, config)
    else:
        tags[CONFIG] = config_digest(spec, config)
    name = spec.dataset.qualify(config_name(config))
    if spec.repeat:
        tags[REPEAT], name = str(spec.repeat), f"{name} seed={spec.seed}"
    return client.create_run(parent.info.experiment_id, tags=tags, run_name=name).info.run_id


def log_lineage(spec: SweepSpec, run_id: str) -> None:
    """Log the training data of a child run; a second time changes nothing."""
    datasets.log_inputs(run_id, spec.dataset, training=spec.dataset.train)


def finish(spec: SweepSpec, result: TrialResult, when: int | None = None) -> None:
    """Log a result on its child run, and end the run, FINISHED or FAILED.

    Metrics, parameters and tags go in one request, because its latency dominates.

    Args:
        when: timestamp of the metrics, in ms since 1970; None: now. What is logged a second time
            with the same timestamp is stored once.
    """
    params = result.config | {"seed": spec.seed, "folds": spec.folds}
    points, tags = [], {}
    if result.error:
        line = result.error[:5000]
        note = f"**error**: {escape_markdown(line)}"
        tags = {"error": line, runs.DESCRIPTION: note}
        if spec.tree_choices:
            del params["n_estimators"]  # was to be found
    else:
        points = _metric_points(result, when or int(time.time() * 1000))
        if spec.tree_choices:
            name = spec.dataset.qualify(config_name(result.config))
            tags = {CONFIG: config_digest(spec, result.config), "mlflow.runName": name}
    client = mlflow.MlflowClient()
    client.log_batch(
        result.run_id,
        points,
        [Param(key, str(value)) for key, value in params.items()],
        [RunTag(key, value) for key, value in tags.items()],
    )
    client.set_terminated(result.run_id, "FAILED" if result.error else "FINISHED")


def _metric_points(result: TrialResult, when: int) -> list[Metric]:
    """The metrics at the last round, and the log loss of the rounds before it."""
    *earlier, _ = [] if result.curve is None else result.curve
    values = runs.defined(result.metrics)
    points = [Metric(VALIDATION + k, v, when, len(earlier) + 1) for k, v in values.items()]
    return points + [
        Metric(f"{VALIDATION}log_loss", float(value), when, step)
        for step, value in enumerate(earlier, start=1)
    ]


def curve(run_id: str) -> np.ndarray:
    """The validation log loss of a child run after each round, (n_estimators,)."""
    return np.array([*store.metric_history(run_id, f"{VALIDATION}log_loss").values()])


@contextmanager
def ensure_children_ended(parent: Run, budget: Budget) -> Iterator[None]:
    """However the body ends, no child of ``parent`` reads RUNNING afterwards.

    If the body succeeds, a child that still reads RUNNING was stopped because the budget was spent,
    or it was created twice, because the store's first response was lost.
    """
    reason = "duplicate of a repeated request"
    try:
        yield
        if budget.spent():
            reason = "budget"
    except BaseException as error:
        number = cancel.received()
        reason = number.name if number else type(error).__name__
        runs.shorten_http_timeouts()
        raise
    finally:
        with cancel.uninterrupted():
            try:
                running = f"attributes.status = 'RUNNING' and tags.`{PARENT}` = "
                condition = f"{running}'{parent.info.run_id}'"
                for child in store.search_runs(condition, parent.info.experiment_id):
                    orphans.kill(child, reason)
            except Exception as error:
                print(f"child runs could not be ended: {str(error)[:500]}", file=sys.stderr)
                runs.shorten_http_timeouts(1)


def require_resumable(resume: str) -> None:
    """Raise ``UserError`` unless ``resume`` is auto, never or the run id of a sweep."""
    if resume in ("auto", "never"):
        return
    run = store.find_run(resume) if opening.require_store(make=False) else None
    if not run or SIZE not in run.data.tags:
        raise UserError(
            f"resume: expected auto, never or the run id of a sweep, got {resume!r}; there is no "
            f"such sweep in {store.describe(store.tracking_uri())}"
        )


def find_finished(
    parent: Run, spec: SweepSpec, resume: str
) -> Callable[[Config], TrialResult | None]:
    """A function that returns the result of a configuration from an earlier sweep's child run.

    A child of a sweep that did not finish moves to ``parent`` when it is looked up; one of a
    finished sweep, of a sweep that still runs or of another experiment stays where it is.

    Args:
        resume: auto, never, or the run id of the sweep whose children are used.
    """
    client, source, allowed = mlflow.MlflowClient(), parent, None
    if resume not in ("auto", "never"):
        source = client.get_run(resume)
        allowed = {resume, *source.data.tags.get(RESUMED_FROM, resume).split(",")}
    tag, digest = (TRIAL, trial_digest) if spec.tree_choices else (CONFIG, config_digest)
    found: dict[str, Run] = {}
    condition = f"attributes.status = 'FINISHED' and tags.`{tag}` != ''"
    if spec.repeat:  # few of the results of an experiment have this seed
        condition += f" and params.seed = '{spec.seed}'"
    experiment_id = source.info.experiment_id
    for child in [] if resume == "never" else store.search_runs(condition, experiment_id):
        if not allowed or child.data.tags.get(PARENT, "") in allowed:
            found.setdefault(child.data.tags[tag], child)
    earlier: dict[str, Run | None] = {}

    def look_up(config: Config) -> TrialResult | None:
        child = found.get(digest(spec, config))
        if not child:
            return None
        sweep_id = child.data.tags.get(PARENT, "")
        if sweep_id not in earlier:
            earlier[sweep_id] = store.find_run(sweep_id)
            before = client.get_run(parent.info.run_id).data.tags.get(RESUMED_FROM, "").split(",")
            used = ",".join(dict.fromkeys(filter(None, [*before, sweep_id])))[:5000]
            client.set_tag(parent.info.run_id, RESUMED_FROM, used)
        sweep = earlier[sweep_id]
        unfinished = sweep is None or sweep.info.status in ("FAILED", "KILLED")
        adopt = unfinished and experiment_id == parent.info.experiment_id
        if adopt:
            client.set_tag(child.info.run_id, PARENT, parent.info.run_id)
        return _recorded_result(config, child, "adopted" if adopt else "reused")

    return look_up


def _recorded_result(config: Config, child: Run, source: str) -> TrialResult:
    """The result that a FINISHED child run holds."""
    return TrialResult(
        config | {"n_estimators": int(child.data.params["n_estimators"])},
        {name.removeprefix(VALIDATION): value for name, value in child.data.metrics.items()},
        run_id=child.info.run_id,
        source=source,
    )


def result_of_lost_fit(spec: SweepSpec, config: Config, run_id: str, reason: str) -> TrialResult:
    """The result of a configuration whose worker was lost: that of its run, or a failure."""
    child = store.find_run(run_id)
    if child and child.info.status == "FINISHED":
        return _recorded_result(config, child, "computed")
    result = TrialResult(config, error=reason, run_id=run_id)
    finish(spec, result)
    return result
