"""Where the store keeps artifacts: whether that place is there, is the one meant, and works."""

import os
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
from mlflow.entities import Experiment
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.models_artifact_repo import ModelsArtifactRepository
from mlflow.store.artifact.runs_artifact_repo import RunsArtifactRepository
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.uri import is_local_uri

from tabular.errors import UserError, WorkFailed
from tabular.tracking import store
from tabular.tracking.logged_model import DIGEST


def require_usable(experiment: Experiment) -> None:
    """Check that artifacts of new runs can be kept where the experiment keeps them.

    A folder that no run has needed so far is made later.

    Raises:
        UserError: the place is a folder of a server's machine, MLflow would take its name for
            another one, it cannot be written to, or it is gone with models in it or with the folder
            of the store.
    """
    name, location = experiment.name, experiment.artifact_location
    folder = local_folder(location)
    if folder is None:
        return
    if store.is_remote(store.tracking_uri()):
        if not folder.parent.is_dir():  # MLflow would make it here, or fail after the work
            raise UserError(
                f"{name} keeps artifacts in {folder}, a folder of the server's machine: "
                "start the server with --artifacts-destination and make a new experiment"
            )
        return
    if not location.startswith("file:") and folder != Path(location):
        raise UserError(
            f"{name} keeps artifacts in {location}, which MLflow reads as {folder}: rename the "
            "folder so that no % is in its name, and make a new experiment there "
            "(MLFLOW_EXPERIMENT_NAME=<name>)"
        )
    moved = folder.parent.name == "mlruns" and not folder.parent.parent.exists()
    if not folder.exists() and (moved or _has_models(experiment)):
        raise UserError(
            f"{explain_missing(folder, f'the artifacts of {name}')}; or make a new experiment for "
            "new runs (MLFLOW_EXPERIMENT_NAME=<name>)"
        )
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(
            f"{name} keeps artifacts in {folder}, and {nearest} cannot be written to: "
            "change its permissions, or make a new experiment (MLFLOW_EXPERIMENT_NAME=<name>)"
        )


def local_folder(location: str) -> Path | None:
    """The folder of this machine that an artifact location names; None if it is elsewhere."""
    if not is_local_uri(location, is_tracking_or_registry_uri=False):
        return None
    return Path(local_file_uri_to_path(location))


def _has_models(experiment: Experiment) -> bool:
    """Whether a run of the experiment has logged a model of this project."""
    condition, ids = f"tags.`{DIGEST}` != ''", [experiment.experiment_id]
    return bool(mlflow.MlflowClient().search_runs(ids, condition, max_results=1))


def missing_folder(location: str) -> Path | None:
    """The folder of an artifact location that is of this machine and does not exist, else None."""
    folder = local_folder(location)
    return folder if folder and not folder.exists() else None


@contextmanager
def open_folder(location: str) -> Iterator[Path]:
    """The folder at an artifact location: of this machine, or a temporary copy.

    Raises:
        UserError: the folder is gone.
    """
    folder = local_folder(location)
    if folder and not folder.exists():
        raise UserError(explain_missing(folder, "its files"))
    with tempfile.TemporaryDirectory() as copy:
        yield folder or Path(
            mlflow.artifacts.download_artifacts(artifact_uri=location, dst_path=copy)
        )


def locate_model(uri: str) -> str:
    """The location of a model's artifacts, as the store knows it; else the address itself.

    Args:
        uri: runs:/<run id>/<name>, models:/... or any other address.
    """
    if uri.startswith("models:/"):
        return str(ModelsArtifactRepository.get_underlying_uri(uri))
    if not uri.startswith("runs:/"):
        return uri
    run_id, name = RunsArtifactRepository.parse_runs_uri(uri)
    run = store.find_run(run_id)
    for output in run.outputs.model_outputs if run and run.outputs else ():
        model = mlflow.get_logged_model(output.model_id)
        if model.name == name:
            return model.artifact_location
    return uri


def read_text(uri: str, name: str) -> str:
    """The text of a file of a model; empty if the model, which may be an older one, has none."""
    try:
        return mlflow.artifacts.load_text(f"{locate_model(uri)}/{name}")
    except Exception:  # whatever the library of an artifact store raises
        return ""


def explain_missing(folder: Path, what: str) -> str:
    """What to do about a folder that is gone, which was perhaps moved together with others."""
    gone = next(path for path in (*reversed(folder.parents), folder) if not path.exists())
    return (
        f"{what} were in {folder}, and {gone} is gone; if it was moved, move it back or link it "
        f"(ln -s <where it is now> {shlex.quote(str(gone))})"
    )


def round_trip(uri: str) -> int:
    """Write an artifact, read it back, compare and delete it; returns its size in bytes."""
    repository, content = get_artifact_repository(uri), b"census-mlflow"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "check.txt").write_bytes(content)
        repository.log_artifact(str(Path(folder) / "check.txt"))
        (Path(folder) / "back").mkdir()
        back = repository.download_artifacts("check.txt", str(Path(folder) / "back"))
        if Path(back).read_bytes() != content:
            raise WorkFailed(f"{uri}: the bytes read back differ from those written")
    repository.delete_artifacts()
    return len(content)
