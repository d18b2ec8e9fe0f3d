"""What a run leaves in the MLflow store."""

import json
import os
import platform
import re
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.entities import (
    DatasetInput,
    InputTag,
    Metric,
    Param,
    Run,
    RunTag,
)
from mlflow.exceptions import MlflowException
from mlflow.types import ColSpec, Schema
from mlflow.utils import name_utils

from tabular import cancel
from tabular.data import census
from tabular.data.dataset import Dataset, Split
from tabular.errors import WorkFailed, one_line
from tabular.tracking import process, store
from tabular.tracking.logged_model import INPUT_SCHEMA, MODEL_NAME, REQUIREMENTS

DESCRIPTION = "mlflow.note.content"  # MLflow shows this tag as the run's description
PROCESS = "process"  # the tag that says who writes a run, so that a dead writer's can be ended


@contextmanager
def start_run(name: str) -> Iterator[Run]:
    """Open the run of this process, and end it with the status it deserves.

    Under ``mlflow run`` that is the run MLflow made: where it still has a generated name it takes
    ours, and one that the user chose stays.
    """
    cancel.check()
    resumed = "MLFLOW_RUN_ID" in os.environ
    try:
        own_name = None if resumed else os.environ.get("MLFLOW_RUN_NAME", name)
        run = mlflow.start_run(run_name=own_name, tags={PROCESS: process.identity()})
        run = _without_secrets(run)
        store.require_artifacts(mlflow.MlflowClient().get_experiment(run.info.experiment_id))
        if resumed and _is_generated(run.info.run_name or ""):
            mlflow.set_tag("mlflow.runName", name)
        yield run
        cancel.check()
    except BaseException as error:
        number, opened = cancel.received(), mlflow.active_run()
        if opened:
            reason = ("ended_by", number.name) if number else ("error", _one_line(error))
            with cancel.uninterrupted():
                record_failure(opened.info.run_id, *reason)
                mlflow.end_run("KILLED" if number else "FAILED")
        raise
    with cancel.uninterrupted():
        mlflow.end_run("FINISHED")


def _without_secrets(run: Run) -> Run:
    """Take the token or password of a Git URL from the tags that `mlflow run` has written."""
    shown = {
        key: store.redact(value)
        for key, value in run.data.tags.items()
        if key.startswith("mlflow.")
    }
    if changed := {key: value for key, value in shown.items() if value != run.data.tags[key]}:
        log_tags(run, changed)
        run = mlflow.MlflowClient().get_run(run.info.run_id)
    return run


def _is_generated(name: str) -> bool:
    """Whether MLflow made up the name, as in bold-owl-123."""
    predicate, _, rest = name.partition("-")
    noun, _, number = rest.partition("-")
    words = predicate in name_utils._GENERATOR_PREDICATES and noun in name_utils._GENERATOR_NOUNS
    return words and number.isdigit()


def _one_line(error: BaseException) -> str:
    return one_line(
        f"{'' if isinstance(error, WorkFailed) else f'{type(error).__name__}: '}{error}"
    )


def escape_markdown(text: str) -> str:
    """Text of anybody's for a description: nothing in it is a tag, a link, a picture or a cell."""
    return re.sub(r"[<>&\[\]|`*\\]", lambda match: f"&#{ord(match[0])};", one_line(text))


def record_failure(run_id: str, tag: str, line: str) -> None:
    """Write on a run what ended it, where a reader of the run sees it.

    The store itself may have ended it: then this gives up soon, and prints why.
    """
    shorten_http_timeouts()
    line, client = one_line(line), mlflow.MlflowClient()
    shown = escape_markdown(line)
    try:
        told = client.get_run(run_id).data.tags.get(DESCRIPTION, "")
        note = told if shown in told else f"**{tag}**: {shown}\n\n{told}"
        client.log_batch(run_id, tags=[RunTag(tag, line), RunTag(DESCRIPTION, note)])
    except Exception as error:
        print(f"not written on the run: {_one_line(error)[:500]}", file=sys.stderr)
        shorten_http_timeouts(1)


def shorten_http_timeouts(seconds: int = 4) -> None:
    """Wait this long for a tracking server from now on; after a signal, ask it only once."""
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0" if cancel.received() else "1"
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(seconds)


def provenance_tags(rows: Dataset, device: str) -> dict[str, str]:
    """Tags that say what decided a result: data, device, machine and versions."""
    return {
        "data.origin": rows.origin,
        "data.digest": rows.digest,
        "data.source": rows.source,
        "device": device,
        "machine": platform.machine(),
        "version.python": platform.python_version(),
        **{f"version.{name}": version(name) for name in REQUIREMENTS},
    }


def log_setup(
    run: Run, typed: dict[str, str], rows: Dataset, device: str, tags: dict[str, str] | None = None
) -> None:
    """Log what decides the result, before the work starts: parameters, data, versions, ``tags``."""
    log_params(run, typed)
    log_tags(run, provenance_tags(rows, device) | (tags or {}))
    log_inputs(run.info.run_id, rows, training=rows.train, test=rows.test)


def log_params(run: Run, typed: dict[str, str]) -> None:
    """Log parameters as typed; those that `mlflow run` has written already stay as they are."""
    params = [Param(key, value) for key, value in typed.items() if key not in run.data.params]
    mlflow.MlflowClient().log_batch(run.info.run_id, params=params)


def log_inputs(run_id: str, rows: Dataset, **splits: Split) -> None:
    """Log the lineage of splits, by the context they were used in.

    MLflow looks whether it knows a data set and then inserts it: where another process inserts it
    in between, that fails, and the second attempt finds it.
    """
    inputs = [
        DatasetInput(_dataset(rows, split), [InputTag("mlflow.data.context", context)])
        for context, split in splits.items()
    ]
    try:
        mlflow.MlflowClient().log_inputs(run_id, inputs)
    except MlflowException:
        mlflow.MlflowClient().log_inputs(run_id, inputs)


def _dataset(rows: Dataset, split: Split) -> mlflow.entities.Dataset:
    """A split's lineage, its digest as short as MLflow's own; ``data.digest`` is the whole one.

    ``mlflow.data.from_pandas`` would spend 0.35 s on each one's schema.
    """
    kind, source = {
        "uci": ("http", {"url": "".join(census.ADDRESSES[:1]) + split.name}),
        "directory": ("local", {"uri": str(Path(rows.source) / split.name)}),
        "synthetic": ("code", {"tags": {"data": rows.source}}),
    }[rows.origin]
    columns, n_rows = Schema([*INPUT_SCHEMA, ColSpec("string", census.LABEL)]), split.n_rows
    return mlflow.entities.Dataset(
        name=census.NAME + ("-synthetic" if rows.origin == "synthetic" else ""),
        digest=split.digest[:8],
        source_type=kind,
        source=json.dumps(source),
        schema=json.dumps({"mlflow_colspec": columns.to_dict()}),
        profile=json.dumps({"num_rows": n_rows, "num_elements": n_rows * len(census.FEATURES)}),
    )


def log_results(
    run: Run,
    model_id: str,
    scores: dict[str, float],
    rows: Dataset,
    metrics: dict[str, float],
    curves: dict[str, list[float]],
) -> None:
    """Log numbers, in few calls.

    Args:
        model_id: of the logged model whose page shows the scores too.
        scores: of the test rows, by the metric's name.
        metrics: other numbers, by name.
        curves: values by boosting round, by the metric's name.
    """
    run_id, now = run.info.run_id, int(time.time() * 1000)
    points = [Metric(key, value, now, 0) for key, value in metrics.items()]
    points += [
        Metric(key, value, now, step)
        for key, values in curves.items()
        for step, value in enumerate(values, start=1)
    ]
    mlflow.MlflowClient().log_batch(run_id, points)
    test = _dataset(rows, rows.test)
    mlflow.log_metrics(scores, run_id=run_id, model_id=model_id, dataset=test)


def log_artifacts(run: Run, pictures: dict[str, bytes], tables: dict[str, pd.DataFrame]) -> None:
    """Log pictures and tables, by the artifact's path; MLflow's page shows a .json as a table."""
    client, run_id = mlflow.MlflowClient(), run.info.run_id
    with tempfile.TemporaryDirectory() as folder:
        for path, picture in pictures.items():
            (Path(folder) / path).parent.mkdir(exist_ok=True)
            (Path(folder) / path).write_bytes(picture)
        for path, frame in tables.items():
            if path.endswith(".json"):
                client.log_table(run_id, frame, path)
            else:
                frame.to_csv(Path(folder) / path, index=False)
        client.log_artifacts(run_id, folder)


def log_metrics(run: Run, metrics: dict[str, float]) -> None:
    """Log numbers by name."""
    mlflow.log_metrics(metrics, run_id=run.info.run_id)


def log_tags(run: Run, tags: dict[str, str]) -> None:
    """Log tags in one call."""
    client = mlflow.MlflowClient()
    client.log_batch(run.info.run_id, tags=[RunTag(key, value) for key, value in tags.items()])


def ui_command() -> str:
    """The command or address that shows the runs of this store."""
    uri = store.redact(store.tracking_uri())
    return uri if store.is_remote(uri) else f"mlflow ui --backend-store-uri {shlex.quote(uri)}"


def serve_command(run: Run) -> str:
    """The command that serves the run's model over REST."""
    return f"mlflow models serve -m runs:/{run.info.run_id}/{MODEL_NAME} --env-manager local"
