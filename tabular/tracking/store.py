"""The tracking store: its address, the experiment of this process, and looking up runs."""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import mlflow
from mlflow.entities import Experiment, Run
from mlflow.exceptions import MlflowException

from tabular.errors import StoreUnusable, UserError, one_line

Found = TypeVar("Found")

SQLITE = "sqlite:///"  # what the path of an SQLite file follows
EXPERIMENT_ID, EXPERIMENT_NAME = "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"
RUN_ID = "MLFLOW_RUN_ID"  # set by ``mlflow run``
SECRET = re.compile(  # a user with a password, in which / may occur, or a token; a parameter
    r"((?!ssh:)\b[a-z][\w+.-]*://)(?:[^/?\s]+|[^/?\s:@]+:(?!\d+(?:/|$))\S*)@|((?:password|passwd|pwd|token|odbc_connect)=)[^&\s]+",
    re.IGNORECASE,
)


def tracking_uri() -> str:
    """The address of the tracking store."""
    return mlflow.get_tracking_uri()


def absolute(uri: str) -> str:
    """The address with the path of an SQLite file made absolute."""
    return f"{SQLITE}{Path(uri.removeprefix(SQLITE)).absolute()}" if is_relative(uri) else uri


def is_relative(uri: str) -> bool:
    """Whether the address is an SQLite file relative to the working directory."""
    path = uri.removeprefix(SQLITE)
    return path not in ("", uri) and not Path(path).is_absolute()


def is_remote(uri: str) -> bool:
    """Whether the store is a server that is reached over HTTP."""
    return urlsplit(uri).scheme in ("http", "https")


def is_local(uri: str) -> bool:
    """Whether the store is a file or a folder, to which no other machine can write."""
    return _scheme(uri) in ("sqlite", "file", "")


def _scheme(uri: str) -> str:
    """The scheme of an address; empty for a path, with or without a drive such as C:."""
    scheme = urlsplit(uri).scheme
    return scheme if len(scheme) > 1 else ""


def describe(uri: str) -> str:
    """The kind of store and its address, without secrets."""
    name = "server" if is_remote(uri) else _scheme(uri).partition("+")[0] or "folder"
    return f"{name} {redact(uri)}"


def redact(uri: str) -> str:
    """The address without the user and the password or token that it may contain."""
    return SECRET.sub(r"\1\2", uri)


def is_permission_denied(error: BaseException) -> bool:
    """Whether the error is a server's refusal for lack of permission."""
    return isinstance(error, MlflowException) and "permission denied" in str(error).lower()


def find_experiment() -> Experiment | None:
    """The experiment that a run started here belongs to, chosen as MLflow does.

    Returns:
        None if ``MLFLOW_EXPERIMENT_NAME`` names one that does not exist yet.

    Raises:
        UserError: a variable names a run or an experiment that is not there or is deleted, or two
            variables name different experiments.
    """
    client = mlflow.MlflowClient()
    if run_id := os.environ.get(RUN_ID):
        return client.get_experiment(_require_run(run_id).info.experiment_id)
    name, experiment_id = os.environ.get(EXPERIMENT_NAME), os.environ.get(EXPERIMENT_ID)
    if name is not None and not name.strip():
        raise UserError(f"{EXPERIMENT_NAME}: expected a name, got an empty one: unset it")
    if name:
        found, source = client.get_experiment_by_name(name), f"{EXPERIMENT_NAME}: {name!r}"
        if experiment_id and (not found or found.experiment_id != experiment_id):
            number = found.experiment_id if found else "not there yet"
            raise UserError(
                f"{source} ({number}) and {EXPERIMENT_ID} ({experiment_id}) are different "
                "experiments: unset one of the two"
            )
        if not found:
            return None
    else:
        source = f"{EXPERIMENT_ID}: {experiment_id}" if experiment_id else "the default experiment"
        found = find(client.get_experiment, experiment_id or "0")
        if not found:
            raise UserError(
                f"{source} is not in {describe(tracking_uri())}, whose experiments `mlflow "
                f"experiments search` lists: name one in {EXPERIMENT_NAME}"
            )
    if found.lifecycle_stage != "active":
        raise UserError(
            f"{source} is deleted: restore it (mlflow experiments restore -x "
            f"{found.experiment_id}), or name another in {EXPERIMENT_NAME}"
        )
    return found


def _require_run(run_id: str) -> Run:
    """The run that ``MLFLOW_RUN_ID`` names, as ``mlflow run`` does."""
    run, uri = find_run(run_id), describe(tracking_uri())
    if not run:
        raise StoreUnusable(
            f"{RUN_ID}: there is no run {run_id} in {uri}: unset it, or, under `mlflow run`, "
            "export an MLFLOW_TRACKING_URI that means the same in every folder"
        )
    if run.info.lifecycle_stage != "active":
        raise UserError(
            f"{RUN_ID}: run {run_id} is deleted: restore it (mlflow runs restore --run-id "
            f"{run_id}), or unset the variable"
        )
    return run


def current_experiment() -> Experiment:
    """The experiment that a run started here belongs to; made if it does not exist.

    Raises:
        UserError: as ``find_experiment``, or MLflow refuses the name.
    """
    if found := find_experiment():
        return found
    client, name = mlflow.MlflowClient(), os.environ[EXPERIMENT_NAME]
    try:
        return client.get_experiment(client.create_experiment(name))
    except MlflowException as error:
        if error.error_code == "INVALID_PARAMETER_VALUE":
            raise UserError(f"{EXPERIMENT_NAME}: {one_line(error)[:300]}") from None
        if found := find_experiment():  # another process has made it at the same time
            return found
        raise


def find_run(run_id: str) -> Run | None:
    """The run with that id; None if the store has none."""
    return find(mlflow.MlflowClient().get_run, run_id)


def find(look_up: Callable[..., Found], *names: str) -> Found | None:
    """The result of ``look_up(*names)``; None if the store has nothing under these names."""
    try:
        return look_up(*names)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def search_runs(condition: str, experiment_id: str | None = None) -> list[Run]:
    """All runs that match MLflow's filter string, the oldest first; None: in all experiments."""
    return mlflow.search_runs(
        [experiment_id] if experiment_id else None,
        condition,
        max_results=sys.maxsize,
        order_by=["attributes.start_time ASC"],
        output_format="list",
        search_all_experiments=not experiment_id,
    )


def metric_history(run_id: str, name: str) -> dict[int, float]:
    """What a run has recorded of a metric, by step, in the order of the steps."""
    history = mlflow.MlflowClient().get_metric_history(run_id, name)
    return {metric.step: metric.value for metric in sorted(history, key=lambda one: one.step)}


def recorded_value(
    run: Run, name: str, like: str | float | dict[int, float]
) -> str | float | dict[int, float] | None:
    """What a run has recorded under a name; None if nothing.

    Args:
        like: a value of the expected kind: a number for a metric, a dictionary for its history at
            these steps and any later one, a text for a tag or, if the name ends in .csv, a table.
    """
    if isinstance(like, dict):
        history = metric_history(run.info.run_id, name)
        return {step: history[step] for step in history if step in like or step > max(like)}
    if name.endswith(".csv"):
        if name not in {
            file.path for file in mlflow.MlflowClient().list_artifacts(run.info.run_id)
        }:
            return None
        return mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/{name}")
    if isinstance(like, str):
        return run.data.tags.get(name)
    former = name.rpartition("/")[2]  # earlier versions had no groups of metrics
    return run.data.metrics.get(name, run.data.metrics.get(former))
