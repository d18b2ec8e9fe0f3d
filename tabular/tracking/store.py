"""The tracking store itself: whether it answers, what is wrong with it, and which runs it has."""

import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import mlflow
import requests
from mlflow.entities import Experiment, Run
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from tabular.errors import UserError, WorkFailed

ANSWER_SECONDS = 6  # for an answer; a script needs two or three to start, and ten are the bound
# an address with a password or a token
ADDRESS = re.compile(r"((?:https?|postgresql|mysql|mssql)[\w+]*://)[^/@\s]+@")


def tracking_uri() -> str:
    """Where the tracking store is."""
    return mlflow.get_tracking_uri()


def absolute(uri: str) -> str:
    """An address that means the same in every folder."""
    head, _, path = uri.partition("sqlite:///")
    return f"sqlite:///{Path(path).absolute()}" if path and not head else uri


def is_remote(uri: str) -> bool:
    """Whether the store is a server that is asked over HTTP."""
    return uri.startswith(("http://", "https://"))


def is_local(uri: str) -> bool:
    """Whether the store is a file or a folder, which no other machine can write to."""
    return urlsplit(uri).scheme in ("sqlite", "file", "")


def describe(uri: str) -> str:
    """What sort of store lies at an address."""
    name = "server" if is_remote(uri) else urlsplit(uri).scheme.partition("+")[0] or "folder"
    return f"{name} {redact(uri)}"


def redact(uri: str) -> str:
    """An address without the user, and the password or token, that it may hold."""
    return ADDRESS.sub(r"\1", uri)


def require_reachable() -> None:
    """Raise ``UserError`` within ten seconds where a server cannot be used, with what to do.

    MLflow itself would try for minutes. A database or a folder is not touched.
    """
    uri = tracking_uri()
    if is_remote(uri):
        _require_server(uri)


def _require_server(uri: str) -> None:
    """Ask for one experiment, which any user may see."""
    where = f"MLFLOW_TRACKING_URI: {redact(uri)}"
    try:
        answer = http_request(
            get_default_host_creds(uri),
            "/api/2.0/mlflow/experiments/search?max_results=1",
            "GET",
            max_retries=0,
            timeout=ANSWER_SECONDS,
            raise_on_status=False,
        )
    except MlflowException as error:
        if "timed out" in str(error).lower():
            reason = f"did not answer within {ANSWER_SECONDS} seconds"
        else:
            reason = "does not answer"
        raise UserError(
            f"{where} {reason}; is the address right and the server running (mlflow server --host "
            "0.0.0.0)?"
        ) from None
    if answer.status_code == 200:
        try:
            answer.json()
        except requests.JSONDecodeError:
            raise UserError(f"{where} answers, but not as an MLflow server does") from None
        return
    raise UserError(f"{where} {explain_http_status(answer.status_code, answer.text)}")


def require_artifacts(experiment: Experiment) -> None:
    """Raise ``UserError`` where a server sends clients to a folder that this machine lacks.

    MLflow would make that folder here, or fail when the work is done.
    """
    folder = re.sub("^file:(//)?", "", experiment.artifact_location)
    if is_remote(tracking_uri()) and folder.startswith("/") and not Path(folder).parent.is_dir():
        raise UserError(
            f"{experiment.name} keeps artifacts in {folder}, a folder of the server's machine: "
            "start the server with --artifacts-destination and make a new experiment"
        )


def is_permission_denied(error: BaseException) -> bool:
    """Whether a server refused permission for what was asked of it."""
    return isinstance(error, MlflowException) and "permission denied" in str(error).lower()


def explain_http_status(status: int, text: str = "") -> str:
    """What a server's refusal means, and what to do about it."""
    if status == 401:
        return (
            "refuses user and password: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD "
            "to an account of the server"
        )
    if status == 403 and "host" in text.lower():
        return (
            "does not take this host name: start the server with --allowed-hosts "
            "<the name in the address>"
        )
    if status == 403:
        return (
            "refuses permission: ask its administrator for EDIT on experiment and model, or "
            "choose an experiment of yours with MLFLOW_EXPERIMENT_NAME"
        )
    line = " ".join(text.split())[:200]
    return f"answers with HTTP status {status}: {line}"


def current_experiment() -> Experiment:
    """The experiment that a run started here would belong to; it is made if there is none."""
    client, name = mlflow.MlflowClient(), os.environ.get("MLFLOW_EXPERIMENT_NAME", "Default")
    if run_id := os.environ.get("MLFLOW_RUN_ID"):
        return client.get_experiment(client.get_run(run_id).info.experiment_id)
    if experiment_id := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        return client.get_experiment(experiment_id)
    found = client.get_experiment_by_name(name)
    return found or client.get_experiment(client.create_experiment(name))


def artifact_round_trip(uri: str) -> int:
    """Write an artifact, read it back and delete it; returns its size in bytes."""
    repository, content = get_artifact_repository(uri), b"census-mlflow"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "check.txt").write_bytes(content)
        repository.log_artifact(str(Path(folder) / "check.txt"))
        (Path(folder) / "back").mkdir()
        back = repository.download_artifacts("check.txt", str(Path(folder) / "back"))
        if Path(back).read_bytes() != content:
            raise WorkFailed(f"{uri} gave back other bytes than it was given")
    repository.delete_artifacts()
    return len(content)


def find_run(run_id: str) -> Run | None:
    """The run; None if the store has none of that id."""
    return find(mlflow.MlflowClient().get_run, run_id)


def find(look_up: Callable, *names: str):
    """What the store finds by names; None where it has nothing of them."""
    try:
        return look_up(*names)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def search_runs(condition: str, experiment_id: str | None = None) -> list[Run]:
    """All runs of an experiment, or of the whole store, that meet a condition, the oldest first."""
    return mlflow.search_runs(
        experiment_id and [experiment_id],
        condition,
        max_results=sys.maxsize,
        order_by=["attributes.start_time ASC"],
        output_format="list",
        search_all_experiments=not experiment_id,
    )


def recorded_value(
    run: Run, name: str, like: str | float | list[float]
) -> str | float | list | None:
    """What a run holds under a name: a tag, a table's text, a metric or, like a list, a curve."""
    client = mlflow.MlflowClient()
    if isinstance(like, list):
        history = client.get_metric_history(run.info.run_id, name)
        return [point.value for point in sorted(history, key=lambda point: point.step)]
    if name.endswith(".csv"):
        return mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/{name}")
    return run.data.tags.get(name) if isinstance(like, str) else run.data.metrics.get(name)
