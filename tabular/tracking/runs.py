"""The run of this process in the MLflow store: opened, ended, and everything logged on it."""

import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.string_utils import quote

from tabular import cancel
from tabular.data import census
from tabular.data.dataset import Dataset
from tabular.data.table import RECORD, Table
from tabular.errors import WorkFailed, escape_markdown, one_line
from tabular.tracking import artifacts, datasets, opening, process, store
from tabular.tracking.logged_model import MODEL_NAME, VERSIONS, ignore_active_model

COMMIT = "mlflow.source.git.commit"  # a tag, from MLflow
DESCRIPTION = "mlflow.note.content"  # MLflow shows this tag as the run's description
TABLE = "data.table"  # the tag with the digest of the table; the artifact RECORD has all of it
DIAGNOSIS = "diagnosis"  # the tag with the codes of the checks that found something, or none
PROCESS = "process"  # the tag with ``process.identity()``, by which orphaned runs are found
LOST = re.compile(r"[Rr]un (?:with id=)?(\w+) (?:must be in the 'active' state|not found)")
GENERATED_NAME = re.compile(r"[a-z]+-[a-z]+-\d{1,4}")  # as in bold-owl-123


@contextmanager
def start_run(name: str) -> Iterator[Run]:
    """Open the run of this process, and end it with a status that is true.

    The run ends FINISHED if the body does, KILLED after a signal, and FAILED, with the reason on
    it, after any other error. Under ``mlflow run`` it is the run that MLflow has created. It gets
    the name unless the user chose another.

    Raises:
        UserError: the experiment's artifacts cannot be kept; no run is opened.
        WorkFailed: the run, or a child run, was deleted meanwhile.
    """
    cancel.check()
    run: Run | None = None
    try:
        run = _open_run(name)
        yield run
        cancel.check()
        with cancel.uninterrupted():
            mlflow.end_run("FINISHED")
    except BaseException as error:
        with cancel.uninterrupted():
            _end_unfinished(mlflow.active_run() or run, error)
        if isinstance(error, MlflowException) and (lost := LOST.search(str(error))):
            raise WorkFailed(
                f"run {lost[1]} was deleted while it ran; mlflow runs restore --run-id {lost[1]} "
                "brings it back, unless mlflow gc has deleted it for good"
            ) from None
        raise


def _open_run(name: str) -> Run:
    resumed = "MLFLOW_RUN_ID" in os.environ
    own_name = None if resumed else os.environ.get("MLFLOW_RUN_NAME", name)
    ignore_active_model()
    tags = {PROCESS: process.identity()}
    opening.require_store()
    experiment = store.current_experiment()
    artifacts.require_usable(experiment)
    opened = mlflow.start_run(
        run_name=own_name, tags=tags, experiment_id=None if resumed else experiment.experiment_id
    )
    run = _redact_tags(opened)
    if resumed and _is_generated(run.info.run_name or ""):
        mlflow.set_tag("mlflow.runName", name)
    return run


def _end_unfinished(run: Run | None, error: BaseException) -> None:
    """End the run, if there is one, as KILLED or FAILED; a failure to do so is printed."""
    number = cancel.received()
    if not run:
        return
    reason = ("ended_by", number.name) if number else ("error", _describe(error))
    try:
        record_failure(run.info.run_id, *reason)
    finally:  # also if a second signal arrives meanwhile
        try:
            status = "KILLED" if number else "FAILED"
            if mlflow.active_run():
                mlflow.end_run(status)
            else:  # ending it as FINISHED has failed
                mlflow.MlflowClient().set_terminated(run.info.run_id, status)
        except Exception as failure:
            _print_unless_lost(f"run {run.info.run_id} not ended", failure)


def _print_unless_lost(what: str, error: Exception) -> None:
    """Print why something could not be written, unless it is that the run was deleted."""
    if not LOST.search(str(error)):
        print(f"{what}: {_describe(error)[:500]}", file=sys.stderr)


def _redact_tags(run: Run) -> Run:
    """Remove the token or password of a Git URL from the tags that ``mlflow run`` has written."""
    own = {key: value for key, value in run.data.tags.items() if key.startswith("mlflow.")}
    redacted = {key: store.redact(value) for key, value in own.items()}
    if redacted == own:
        return run
    log_tags(run, redacted)
    return mlflow.MlflowClient().get_run(run.info.run_id)


def _is_generated(name: str) -> bool:
    """Whether MLflow generated the name, because the user gave none to ``mlflow run``.

    Limitation: a name of the same form that a program gave to ``mlflow.projects.run`` is taken for
    a generated one, since it stands in no command line.
    """
    return bool(GENERATED_NAME.fullmatch(name)) and not any(
        name in command for command in process.ancestor_commands()
    )


def _describe(error: BaseException) -> str:
    """The message in one line, after the type's name unless the message was written for users."""
    kind = "" if isinstance(error, WorkFailed) else f"{type(error).__name__}: "
    return one_line(f"{kind}{error}")


def record_failure(run_id: str, tag: str, line: str) -> None:
    """Write on a run why it ended: as a tag, and at the top of its description.

    The store may be the very thing that failed. There are two attempts, for one that fails at
    times; if both do, this is printed, not raised. After the first, requests wait for a second.
    """
    for seconds in (3, 1):
        shorten_http_timeouts(seconds)
        try:
            _write_reason(run_id, tag, one_line(line))
            break
        except Exception as error:
            failure = error
    else:
        _print_unless_lost("not written on the run", failure)


def _write_reason(run_id: str, tag: str, line: str) -> None:
    client, shown = mlflow.MlflowClient(), escape_markdown(line)
    description = client.get_run(run_id).data.tags.get(DESCRIPTION, "")
    if shown not in description:
        description = f"**{tag}**: {shown}\n\n{description}"
    client.log_batch(run_id, tags=[RunTag(tag, line), RunTag(DESCRIPTION, description)])


def shorten_http_timeouts(seconds: int = 4) -> None:
    """Wait at most this long for a response; repeat a request once, or never after a signal."""
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0" if cancel.received() else "1"
    before = os.environ.get("MLFLOW_HTTP_REQUEST_TIMEOUT", "")
    if not before.isdecimal() or int(before) > seconds:
        os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(seconds)


def provenance_tags(dataset: Dataset, device: str) -> dict[str, str]:
    """Tags for what decides a result: data, device, type of machine and versions."""
    return {
        "data.origin": dataset.origin,
        "data.digest": dataset.digest,
        "data.source": dataset.source,
        TABLE: dataset.table.digest,
        "device": device,
        "machine": platform.machine(),
        "version.python": platform.python_version(),
        **{f"version.{name}": found for name, found in VERSIONS.items()},
    }


def log_setup(
    run: Run,
    cli_args: dict[str, str],
    dataset: Dataset,
    device: str,
    tags: dict[str, str] | None = None,
) -> None:
    """Log what decides the result, before the work starts: options, provenance, ``tags``, data."""
    log_params(run, cli_args)
    mlflow.MlflowClient().log_text(run.info.run_id, dataset.table.to_json(), RECORD)
    log_tags(run, provenance_tags(dataset, device) | (tags or {}))
    datasets.log_inputs(run.info.run_id, dataset, training=dataset.train, test=dataset.test)


def log_params(run: Run, cli_args: dict[str, str]) -> None:
    """Log options as typed, unless ``mlflow run`` has: a parameter can be written only once."""
    params = [Param(key, value) for key, value in cli_args.items() if key not in run.data.params]
    mlflow.MlflowClient().log_batch(run.info.run_id, params=params)


def recorded_table(run: Run) -> Table:
    """The table that a run, or the sweep that it is a child of, has recorded.

    Runs that are older than this record are of the built-in table.

    Raises:
        WorkFailed: there is no record.
    """
    digest, client = run.data.tags.get(TABLE, census.CENSUS.digest), mlflow.MlflowClient()
    for run_id in (run.info.run_id, run.data.tags.get("mlflow.parentRunId")):
        found = client.list_artifacts(run_id) if run_id and store.find_run(run_id) else []
        if RECORD in [artifact.path for artifact in found]:
            return Table.from_json(mlflow.artifacts.load_text(f"runs:/{run_id}/{RECORD}"))
    if digest == census.CENSUS.digest:
        return census.CENSUS
    what = f"run {run.info.run_id} and its parent have no {RECORD} any more"
    if folder := artifacts.missing_folder(run.info.artifact_uri):
        what += "; " + artifacts.explain_missing(folder, "the run's artifacts")
    raise WorkFailed(what)


def log_results(
    run: Run,
    model_id: str,
    test_metrics: dict[str, float],
    dataset: Dataset,
    metrics: dict[str, float],
    curves: dict[str, dict[int, float]],
) -> None:
    """Log the metrics of a run in few requests.

    Args:
        model_id: of the logged model that the test metrics are linked to.
        test_metrics: metrics on the test set, by name.
        metrics: other metrics, by name.
        curves: values by boosting round, by the metric's name.
    """
    run_id, now = run.info.run_id, int(time.time() * 1000)
    entries = [Metric(key, value, now, 0) for key, value in defined(metrics).items()]
    entries += [
        Metric(key, value, now, step)
        for key, values in curves.items()
        for step, value in values.items()
    ]
    mlflow.MlflowClient().log_batch(run_id, entries)
    test = datasets.to_entity(dataset, dataset.test)
    mlflow.log_metrics(defined(test_metrics), run_id=run_id, model_id=model_id, dataset=test)


def log_artifacts(run: Run, plots: dict[str, bytes], tables: dict[str, pd.DataFrame]) -> None:
    """Log PNG files and tables, by the artifact's path: .csv, or .json, which MLflow displays."""
    client, run_id = mlflow.MlflowClient(), run.info.run_id
    with tempfile.TemporaryDirectory() as folder:
        for path, content in plots.items():
            file = Path(folder) / path
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(content)
        for path, table in tables.items():
            cancel.check()
            if path.endswith(".json"):
                client.log_table(run_id, table, path)
            else:
                (Path(folder) / path).write_bytes(to_csv(table).encode())
        cancel.check()
        client.log_artifacts(run_id, folder)


def to_csv(table: pd.DataFrame) -> str:
    """A table as the text of a CSV file, the same on every system."""
    return table.to_csv(index=False, lineterminator="\n")


def log_metrics(run: Run, metrics: dict[str, float]) -> None:
    """Log metrics by name."""
    mlflow.log_metrics(defined(metrics), run_id=run.info.run_id)


def defined(metrics: dict[str, float]) -> dict[str, float]:
    """Metrics without those that are NaN: what does not exist is not logged."""
    return {name: value for name, value in metrics.items() if value == value}


def log_tags(run: Run, tags: dict[str, str]) -> None:
    """Log tags in one request."""
    client = mlflow.MlflowClient()
    client.log_batch(run.info.run_id, tags=[RunTag(key, value) for key, value in tags.items()])


def ui_command() -> str:
    """The command, or the address of the server, that shows the runs of this store."""
    uri = store.redact(store.tracking_uri())
    return uri if store.is_remote(uri) else f"mlflow ui --backend-store-uri {quote(uri)}"


def serve_command(run: Run) -> str:
    """The command that serves the run's model over REST, beside a user interface on port 5000."""
    uri = f"runs:/{run.info.run_id}/{MODEL_NAME}"
    return f"mlflow models serve -m {uri} --env-manager local --port 5001"
