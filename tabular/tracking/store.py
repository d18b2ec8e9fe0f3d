"""The tracking store: its address, whether it can be used, and looking up runs in it."""

import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TypeVar
from urllib.parse import urlsplit

import mlflow
import requests
from mlflow import environment_variables
from mlflow.entities import Experiment, Run
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from tabular import cancel
from tabular.errors import UserError

Found = TypeVar("Found")

SQLITE = "sqlite:///"  # what the path of an SQLite file follows
KINDS = {bool: "true or false", int: "a whole number", float: "a number"}  # of variables
ANSWER_SECONDS = 6  # that a server may take for one response
RETRY_SECONDS = 8  # for all attempts: a script gives up within ten, two of which are its start
SECRET = re.compile(  # a user with a password or a token, or a password among the parameters
    r"((?:https?|postgresql|mysql|mssql)[\w+]*://)[^/?\s]+@|(password=)[^&\s]+"
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
    return uri.startswith(("http://", "https://"))


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


def require_reachable() -> None:
    """Raise ``UserError`` if a tracking server cannot be used; MLflow would try for minutes.

    The same holds for a variable that MLflow cannot read. A database or a folder is not touched.
    """
    require_valid_variables()
    uri = tracking_uri()
    if not is_remote(uri):
        return
    where = f"MLFLOW_TRACKING_URI: {redact(uri)}"
    response = _ask_server(uri, where)
    if response.status_code != 200:
        raise UserError(f"{where} {explain_http_status(response.status_code, response.text)}")
    try:
        response.json()
    except requests.JSONDecodeError:
        raise UserError(f"{where} answers, but not as an MLflow server does") from None


def require_valid_variables() -> None:
    """Raise ``UserError`` if MLflow cannot read a variable; it would fail where it first asks."""
    for variable in vars(environment_variables).values():
        if isinstance(variable, environment_variables._EnvironmentVariable) and variable.is_set():
            try:
                variable.get()
            except ValueError:
                found = os.environ.pop(variable.name)  # or it would keep the error from the run
                if found.strip():  # an empty one is taken as not set
                    expected = KINDS.get(variable.type, variable.type.__name__)
                    raise UserError(
                        f"{variable.name}: expected {expected}, got {found[:50]!r}; correct or "
                        "unset it"
                    ) from None


def _ask_server(uri: str, where: str) -> requests.Response:
    """Ask for one experiment, which any user may see; again after an error of the server's own."""
    deadline = time.monotonic() + RETRY_SECONDS
    while True:
        cancel.check()
        try:
            response = http_request(
                get_default_host_creds(uri),
                "/api/2.0/mlflow/experiments/search?max_results=1",
                "GET",
                max_retries=0,
                timeout=min(ANSWER_SECONDS, deadline - time.monotonic()),
                raise_on_status=False,
            )
        except MlflowException as error:
            timed_out = "timed out" in str(error).lower()
            reason = f"did not answer within {ANSWER_SECONDS} seconds"
            raise UserError(
                f"{where} {reason if timed_out else 'does not answer'}; is the address right and "
                "the server running (mlflow server --host 0.0.0.0)?"
            ) from None
        if response.status_code < 500 or time.monotonic() > deadline - 1:
            return response
        time.sleep(0.5)


def is_permission_denied(error: BaseException) -> bool:
    """Whether the error is a server's refusal for lack of permission."""
    return isinstance(error, MlflowException) and "permission denied" in str(error).lower()


def explain_http_status(status: int, text: str = "") -> str:
    """What a server's refusal means and what to do about it, as the predicate of a sentence."""
    reasons = {
        401: "refuses user and password: set MLFLOW_TRACKING_USERNAME and "
        "MLFLOW_TRACKING_PASSWORD to an account of the server",
        403: "refuses permission: ask its administrator for EDIT on experiment and model, or "
        "choose an experiment of yours with MLFLOW_EXPERIMENT_NAME",
    }
    if status == 403 and "host" in text.lower():
        name = "<the name in the address>"
        return f"does not take this host name: start the server with --allowed-hosts {name}"
    return reasons.get(status, f"answers with HTTP status {status}: {' '.join(text.split())[:200]}")


def current_experiment() -> Experiment:
    """The experiment that a run started here would belong to; created if it does not exist."""
    client, name = mlflow.MlflowClient(), os.environ.get("MLFLOW_EXPERIMENT_NAME", "Default")
    if run_id := os.environ.get("MLFLOW_RUN_ID"):
        return client.get_experiment(client.get_run(run_id).info.experiment_id)
    if experiment_id := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        return client.get_experiment(experiment_id)
    experiment = client.get_experiment_by_name(name)
    return experiment or client.get_experiment(client.create_experiment(name))


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


def recorded_value(
    run: Run, name: str, like: str | float | list[float]
) -> str | float | list | None:
    """What a run has recorded under a name; None if nothing.

    Args:
        like: a value of the expected kind: a number for a metric, a list for its history by step,
            a text for a tag or, if the name ends in .csv, for a table.
    """
    client = mlflow.MlflowClient()
    if isinstance(like, list):
        history = client.get_metric_history(run.info.run_id, name)
        return [metric.value for metric in sorted(history, key=lambda metric: metric.step)]
    if name.endswith(".csv"):
        if name not in {file.path for file in client.list_artifacts(run.info.run_id)}:
            return None
        return mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/{name}")
    return run.data.tags.get(name) if isinstance(like, str) else run.data.metrics.get(name)
