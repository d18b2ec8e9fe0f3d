"""Opening the store at the start of a command: what keeps it from starting is one line."""

import logging
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import mlflow
from mlflow import environment_variables
from mlflow.environment_variables import MLFLOW_ALLOW_FILE_STORE
from mlflow.exceptions import MlflowException
from mlflow.utils.databricks_utils import get_databricks_host_creds
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.string_utils import quote

from tabular.errors import StoreUnusable, UserError, one_line
from tabular.tracking import database, server, store

TRACKING, REGISTRY = "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
DATABRICKS = ("databricks", "databricks-uc")
HOST_AND_PORT = re.compile(r"[\w.-]+:\d+(/.*)?")
EXPECTED = "expected http://host:port, sqlite:////folder/mlflow.db or postgresql://host/database"

KINDS = {bool: "true or false", int: "a whole number", float: "a number"}  # of variables

_opened: set[str] = set()  # addresses of tracking stores


def require_usable(make: bool = True) -> bool:
    """Open the tracking store, and find the experiment of this process.

    Args:
        make: whether to make a database that is new; ``start_run`` makes it otherwise.

    Returns:
        False if it is new and was not made.

    Raises:
        UserError: a run cannot start there.
    """
    uri = store.tracking_uri()
    if not require_store(make):
        if (experiment_id := os.environ.get(store.EXPERIMENT_ID) or "0") != "0":
            raise UserError(
                f"{store.EXPERIMENT_ID}: {experiment_id} is not in {store.describe(uri)}, which is "
                "a new store: unset it, or name the store that has it"
            )
        return False
    try:
        experiment = store.find_experiment()
    except MlflowException as error:
        raise UserError(f"{_name(TRACKING, uri)} {server.explain(error)}") from None
    location = experiment.artifact_location if experiment else ""
    if experiment and re.match("mlflow-artifacts:/(?!/)", location) and not store.is_remote(uri):
        raise UserError(
            f"{_name(TRACKING, uri)} is a server's database, whose experiment {experiment.name} "
            f"keeps artifacts where only the server can: export {TRACKING}=http://host:port of "
            "the server, or choose another experiment with MLFLOW_EXPERIMENT_NAME"
        )
    return True


def require_store(make: bool = True) -> bool:
    """Open the tracking store, once in a process.

    Args:
        make: whether to make a database that is new.

    Returns:
        False if it is new and was not made.

    Raises:
        StoreUnusable: it cannot be read and written.
        UserError: it can, but not hold the models of runs; or MLflow cannot read a variable.
    """
    require_valid_variables()
    uri, of_run = store.tracking_uri(), store.RUN_ID in os.environ
    if uri in _opened:
        return True
    try:
        found = _require(TRACKING, uri, writes=True, make=make and not of_run)
        if of_run and not found:
            raise UserError(
                f"{_name(TRACKING, uri)} is not there, although {store.RUN_ID} names a run in it: "
                "unset that, or, under `mlflow run`, export an address that means the same in "
                "every folder"
            )
    except UserError as error:
        raise StoreUnusable(error.format_message()) from None
    if store.is_remote(uri):
        server.require_logged_models(uri, _name(TRACKING, uri))
    if found:
        _opened.add(uri)
    return found


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


def require_registry(writes: bool = True) -> None:
    """Open the model registry if it is apart from the tracking store.

    Args:
        writes: whether it must be writable.

    Raises:
        UserError: it cannot be used.
    """
    if (uri := mlflow.get_registry_uri()) != store.tracking_uri():
        _require(REGISTRY, uri, writes, make=True)


def _require(variable: str, uri: str, writes: bool, make: bool) -> bool:
    """Open a store; False if it is a database that is new and was not made."""
    require_spelling(variable, uri)
    scheme, where = urlsplit(uri).scheme.partition("+")[0], _name(variable, uri)
    is_registry = variable == REGISTRY

    def open_store() -> None:
        client = mlflow.MlflowClient()
        search = client.search_registered_models if is_registry else client.search_experiments
        search(max_results=1)

    if store.is_remote(uri):
        kind = server.REGISTERED_MODELS if is_registry else server.EXPERIMENTS
        server.require_server(uri, where, kind)
    elif scheme in DATABASES:
        return database.require_database(uri, where, open_store, writes=writes, make=make)
    elif scheme in DATABRICKS or uri in DATABRICKS:
        _require_databricks(uri, where)
    elif scheme in ("file", "") or len(scheme) == 1:  # a drive of Windows
        _require_folder(variable, uri, open_store, writes)
    else:  # a plugin may know the scheme
        try:
            open_store()
        except Exception as error:
            reason = f"cannot be used: {store.redact(one_line(error))[:300]}"
            if "unsupported URI" in str(error) or "not supported" in str(error):
                reason = f"is not a kind of store that MLflow knows: {EXPECTED}"
            raise UserError(f"{where} {reason}") from None
    return True


def require_spelling(variable: str, uri: str) -> None:
    """Raise ``UserError`` for an address that MLflow would take for something else than is meant.

    Args:
        variable: that holds it.
        uri: the address.
    """
    found, meant = store.redact(uri), uri.strip(" \t\r\n'\"")
    if meant != uri:
        problem = f"{found!r} has quotes or blanks around the address"
    elif HOST_AND_PORT.fullmatch(uri):
        problem, meant = f"{found} has no http:// before the host", f"http://{uri}"
    elif match := re.fullmatch(r"(https?):/?([^/].*)", uri):
        problem, meant = f"{found} lacks a slash", f"{match[1]}://{match[2]}"
    elif uri.startswith("postgres://"):
        problem, meant = (
            f"{found}: MLflow knows no postgres",
            uri.replace("postgres", "postgresql", 1),
        )
    elif match := re.fullmatch(r"sqlite:(/?/?)([^/].*)", uri):
        root = "/" if match[1] == "/" else ""
        problem, meant = f"{found} lacks a slash", f"sqlite:///{root}{match[2]}"
    else:
        try:
            parts = urlsplit(uri)
        except ValueError:  # its text may hold a part of the password
            raise UserError(
                f"{variable}: {EXPECTED}, with %5B for [ in a password and the like for other "
                "special characters"
            ) from None
        if parts.scheme in ("http", "https") and not parts.hostname:
            raise UserError(f"{variable}: {EXPECTED}, got {found}")
        return
    raise UserError(f"{variable}: {problem}: export {variable}={store.redact(meant)}")


def _name(variable: str, uri: str) -> str:
    """How a message names a store."""
    shown = store.redact(uri)
    return f"{variable}: {shown}" if variable in os.environ else f"the default store {shown}"


def _require_folder(variable: str, uri: str, open_store: Callable[[], None], writes: bool) -> None:
    """Raise ``UserError`` unless MLflow is allowed to use a folder as a store, and can."""
    folder, where = Path(local_file_uri_to_path(uri)).absolute(), _name(variable, uri)
    if not MLFLOW_ALLOW_FILE_STORE.get():
        target = f"sqlite:///{Path.cwd() / 'mlflow.db'}"
        move = ""
        if folder.is_dir():
            move = (
                f" (mlflow migrate-filestore --source {quote(str(folder))} --target "
                f"{quote(target)} copies the runs)"
            )
        raise UserError(
            f"{where} is a folder, which MLflow {mlflow.__version__} refuses as a store: export "
            f"{variable}={target}{move}, or the address of a server (http://host:port), or allow "
            f"the folder with {MLFLOW_ALLOW_FILE_STORE.name}=true"
        )
    try:
        open_store()
        if writes:
            with tempfile.TemporaryFile(dir=folder):
                pass
    except (OSError, MlflowException) as error:
        raise UserError(f"{where} cannot be read and written: {one_line(error)[:300]}") from None


def _require_databricks(uri: str, where: str) -> None:
    logger = logging.getLogger(get_databricks_host_creds.__module__)
    level = logger.level
    logger.setLevel("ERROR")  # its warning is a paragraph that says the same
    try:
        get_databricks_host_creds(uri)
    except Exception:  # of the library of Databricks too
        raise UserError(
            f"{where} has no credentials here: set DATABRICKS_HOST and DATABRICKS_TOKEN, or run "
            "`databricks auth login`, or name another store"
        ) from None
    finally:
        logger.setLevel(level)
