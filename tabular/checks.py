"""Checks before a run: versions, data, device, store, experiment, artifacts and earlier runs."""

import os
import re
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from uuid import uuid4

import click
import mlflow
from mlflow.entities.model_registry import ModelVersion
from packaging.requirements import Requirement

from tabular import cancel
from tabular.data import sources
from tabular.data.requests import TableRequest
from tabular.errors import UserError, WorkFailed, one_line
from tabular.model import boosting
from tabular.tracking import artifacts, model_files, opening, orphans, registry, server, store

PROJECT = Path(__file__).resolve().parents[1]
BUILDS = ("xgboost", "xgboost-cpu")  # packages that install the same module


def run_checks(data: str, request: TableRequest, device: str, fix: bool) -> None:
    """Print the result of each check in one line; raise ``WorkFailed`` if one has failed."""
    passed = [
        _report("versions", check_versions),
        _report("data", check_data, data, request),
        _report("device", check_device, device),
        _report("store", check_store),
    ]
    if passed[-1]:  # without a store, the others have nothing to ask
        passed.append(_report("experiment", check_experiment))
        if passed[-1]:  # a folder that is gone would be made again
            passed += [_report("artifacts", check_artifacts), _report("runs", check_runs, fix)]
        apart = mlflow.get_registry_uri() != store.tracking_uri()
        usable = _report("registry", check_registry) if apart else True
        passed += [usable, usable and _report("models", check_models)]
    if not all(passed):
        raise WorkFailed("a run would not succeed, or its results would not be found again")


def _report(name: str, check: Callable[..., str], *args: object) -> bool:
    """Print what a check returns, or the error that it raises; False in that case."""
    cancel.check()
    try:
        found = check(*args)
    except (UserError, WorkFailed) as error:
        click.echo(f"WRONG  {name}: {one_line(error.format_message())}")
        return False
    click.echo(f"ok     {name}: {found}")
    return True


def check_versions() -> str:
    """Check that the pinned packages are installed, those for a GPU where XGBoost can use one."""
    file = PROJECT / ("requirements-gpu.txt" if boosting.has_cuda() else "requirements.txt")
    if all(_installed(name) != "missing" for name in BUILDS):
        raise UserError(
            f"{' and '.join(BUILDS)} are both installed and overwrite each other: "
            f"uv pip uninstall {' '.join(BUILDS)} && uv pip install -r {file.name}"
        )
    lines = re.findall(r"^\w[^\\\n]*", file.read_text("utf-8"), re.M)
    pinned = [line for line in map(Requirement, lines) if not line.marker or line.marker.evaluate()]
    found = {line.name: _installed(line.name) for line in pinned}
    different = [
        f"{line.name} is {found[line.name]}, pinned {line.specifier}"
        for line in pinned
        if not line.specifier.contains(found[line.name])
    ]
    if different:
        shown = "; ".join(different[:3]) + ("; ..." if len(different) > 3 else "")
        raise UserError(f"{shown}: uv pip install -r {file.name}")
    return f"{len(pinned)} packages as pinned in {file.name}"


def _installed(name: str) -> str:
    """The installed version of a package, or "missing"."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def check_data(data: str, request: TableRequest) -> str:
    """Check that the data can be read and are not the synthetic fallback."""
    dataset = sources.load(data, request)
    if dataset.warning:
        raise UserError(f"only synthetic rows: {dataset.warning}")
    return f"{dataset.provenance}, digest {dataset.digest[:8]}"


def check_device(device: str) -> str:
    """Check that XGBoost can train on the device."""
    boosting.require_device(device)
    return device


def check_store() -> str:
    """Check that the store can be used, and that its address means the same in every folder."""
    uri = store.tracking_uri()
    opening.require_store()
    if store.is_relative(uri):
        raise UserError(
            f"{uri} is relative to this folder, and `mlflow run` may work in another one: "
            f"{'set' if os.name == 'nt' else 'export'} MLFLOW_TRACKING_URI={store.absolute(uri)}"
        )
    return store.describe(uri)


def check_experiment() -> str:
    """Check that this machine can reach the experiment's artifacts, and that they will be kept."""
    opening.require_usable()
    experiment = store.current_experiment()
    location = experiment.artifact_location
    artifacts.require_usable(experiment)
    if sources.is_in_temporary_clone(location):
        raise UserError(
            f"{experiment.name} keeps artifacts in {location}, a clone that MLflow removes: choose "
            "another with MLFLOW_EXPERIMENT_NAME"
        )
    return f"{experiment.name}, artifacts in {location}"


def check_registry() -> str:
    """Check that the model registry, which is apart from the store, can be used."""
    opening.require_registry()
    return store.describe(mlflow.get_registry_uri())


def check_artifacts() -> str:
    """Check that an artifact can be written, read and deleted."""
    location = store.current_experiment().artifact_location
    try:
        n_bytes = artifacts.round_trip(f"{location}/check-{uuid4().hex}")
    except Exception as error:  # an artifact store's library raises errors of its own
        if getattr(getattr(error, "response", None), "status_code", None) == 403:
            raise UserError(f"{location} {server.explain_http_status(403)}") from None
        raise UserError(
            f"{location} cannot be written, read and cleared: {_describe(error)}; is the server "
            "started with --artifacts-destination, and may it use that?"
        ) from None
    return f"{n_bytes} bytes written, read and deleted in {location}"


def check_runs(fix: bool) -> str:
    """Check that no run of the experiment reads RUNNING although its process is gone."""
    orphaned, others = orphans.find_running(store.current_experiment().experiment_id)
    if orphaned and not fix:
        ids = ", ".join(run.info.run_id for run in orphaned[:3]) + ", ..." * (len(orphaned) > 3)
        problem = f"{len(orphaned)} read RUNNING though their process is gone ({ids})"
        raise UserError(f"{problem}: check.py --fix true")
    orphans.end_orphaned(orphaned)
    ended = f"{len(orphaned)} ended whose process was gone; " if orphaned else ""
    return f"{ended}{len(others)} read RUNNING and may be alive"


def check_models() -> str:
    """Check that the files of champions, and of the versions before them, are as they were logged.

    Raises:
        UserError: a file differs or is missing, or the folder of a model is gone.
    """
    found = {registry.address(one): _changed_files(one) for one in registry.versions_in_use()}
    problems = [f"{name}: {what}" for name, changed in found.items() for what in changed or ()]
    if problems:
        raise UserError(
            f"{'; '.join(problems[:3])}{'; ...' * (len(problems) > 3)}: put back the files that "
            "were logged, or promote another model"
        )
    if not found:
        return "no model is champion"
    n_unknown = sum(changed is None for changed in found.values())
    unknown = f"; {n_unknown} older than the record of files" if n_unknown else ""
    return f"{len(found) - n_unknown} in use, whose files are as they were logged{unknown}"


def _changed_files(version: ModelVersion) -> list[str] | None:
    """Which files of a version are not as they were logged; None if there is no record."""
    location = artifacts.locate_model(registry.address(version))
    model_id = re.search(r"m-[0-9a-f]{32}", location)
    model = store.find(mlflow.get_logged_model, model_id[0]) if model_id else None
    if not model or not (digests := model.tags.get(model_files.FILES)):
        return None
    try:
        with artifacts.open_folder(location) as folder:
            return model_files.find_changed(digests, folder)
    except UserError as error:  # the folder is gone
        return [error.format_message()]


def _describe(error: Exception) -> str:
    return one_line(f"{type(error).__name__}: {error}")[:300]
