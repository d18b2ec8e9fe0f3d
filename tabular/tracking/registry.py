"""Registered models in the MLflow store: versions, and the aliases that say which one is in use."""

from collections.abc import Callable
from dataclasses import dataclass

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature

from tabular.data.dataset import Dataset, Split
from tabular.errors import UserError, WorkFailed
from tabular.tracking import logged_model, store

CHAMPION, PREVIOUS = "champion", "previous"
RULE = "\n\n---\n\n"  # in a description: above it the verdict, below it what stood there


@dataclass(frozen=True)
class LoggedModel:
    """A logged model: where it lies, what it promises, and the run that made it."""

    uri: str
    signature: ModelSignature
    run: Run


def require_name(option: str, name: str) -> None:
    """Raise ``UserError`` where a registered model cannot have the name."""
    unfit = set(name) & set("/:@?#") or not name.isprintable()  # no models:/<name>/1 would find it
    if name.strip() in ("", ".", "..") or unfit:
        raise UserError(f"{option}: expected a name without / : @ ? #, got {name!r}")


def require_registrable(register: str, rows: Dataset) -> None:
    """Raise ``UserError`` where a model must not, or cannot, get the name ``register``."""
    if rows.origin == "synthetic":
        raise UserError(
            f"register: a model trained on synthetic rows cannot be registered as {register!r}; "
            "train on real rows (data=uci) or leave register out"
        )
    require_name("register", register)


def register(uri: str, name: str, description: str = "") -> ModelVersion:
    """Make the model a new version of the registered model ``name``."""
    version = mlflow.register_model(uri, name)
    mlflow.MlflowClient().update_model_version(name, version.version, description)
    return version


def find_model(uri: str, option: str = "model") -> LoggedModel:
    """The model of this project that lies at ``uri``, an address that ``option`` led to.

    Raises:
        UserError: there is none.
    """
    expected = "expected the address of a model that train.py or sweep.py logged"
    try:
        info = mlflow.models.get_model_info(uri)
    except Exception as error:  # whatever the library of an artifact store raises
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{option}: {expected}, got {uri!r}: {reason}") from None
    run = store.find_run(info.run_id or "")
    if not run or not {"data.digest", "data.source"} <= set(run.data.tags):
        raise UserError(f"{option}: {expected}, got {uri!r}, which tells of no run with data")
    return LoggedModel(info.model_uri, info.signature, run)


def find_version(model: LoggedModel, name: str) -> ModelVersion | None:
    """The newest version of the registered model that is this model; None if none is."""
    made = f"run_id = '{model.run.info.run_id}'"
    versions = mlflow.MlflowClient().search_model_versions(made)
    same = [v for v in versions if (v.name, v.source) == (name, model.uri)]
    return max(same, key=lambda version: int(version.version), default=None)


def version_by_alias(name: str, alias: str) -> ModelVersion | None:
    """The version with the alias; None where there is none."""
    try:
        return store.find(mlflow.MlflowClient().get_model_version_by_alias, name, alias)
    except MlflowException as error:
        if store.is_permission_denied(
            error
        ):  # a server with accounts gives it for names it does not know
            return None
        raise


def predict(model: LoggedModel, split: Split) -> np.ndarray:
    """The probabilities that the model, loaded as it would be served, gives rows: (n_samples,)."""
    served = _loaded(model)
    probability = served.predict(logged_model.to_client_frame(split.X))["probability"]
    return probability.to_numpy(np.float32)  # as the booster gave them


def predictor(model: LoggedModel) -> Callable[[pd.DataFrame], np.ndarray]:
    """What gives features the probabilities that the model gives them when it is served.

    It uses the model's own code, one thread for each call, and may be called by many at a time.
    """
    served = _loaded(model).unwrap_python_model()
    booster = served.booster.copy()
    booster.set_param({"nthread": 1})
    return lambda X: booster.inplace_predict(served.encode(X))


def _loaded(model: LoggedModel) -> mlflow.pyfunc.PyFuncModel:
    with logged_model.no_bytecode():
        return mlflow.pyfunc.load_model(model.uri)


def incompatibilities(new: ModelSignature, old: ModelSignature) -> list[str]:
    """What a client of ``old`` would stumble over with ``new``.

    A request of theirs must be taken, though it may hold more than is needed, and the answer must
    hold all that it held.
    """
    given = {column.name: column.type for column in old.inputs}
    needed = {column.name: column.type for column in new.inputs if column.required}
    found = [f"input {name} is new" for name in needed if name not in given]
    for what, before, after in (
        ("input", given, {c.name: c.type for c in new.inputs if c.name in given}),
        ("output", *({c.name: c.type for c in s.outputs} for s in (old, new))),
        ("parameter", *({p.name: (p.dtype, p.default) for p in _params(s)} for s in (old, new))),
    ):
        if what != "input":
            found += [f"{what} {name} is missing" for name in before if name not in after]
        found += [
            f"{what} {name} was {before[name]}, is {after[name]}"
            for name in before
            if name in after and before[name] != after[name]
        ]
    return found


def _params(signature: ModelSignature) -> list:
    return signature.params.params if signature.params else []


def log_verdict(version: ModelVersion, tags: dict[str, str], note: str) -> None:
    """Write a verdict on a version: tags, and Markdown above its description."""
    client, place = mlflow.MlflowClient(), (version.name, version.version)
    for key, value in tags.items():
        client.set_model_version_tag(*place, key, value)
    before = (client.get_model_version(*place).description or "").rpartition(RULE)[2]
    client.update_model_version(*place, note + RULE + before)


def set_champion(version: ModelVersion, champion: ModelVersion | None) -> None:
    """Make a version the champion, and ``champion``, the one it was compared with, the previous.

    Raises:
        WorkFailed: another version has become champion since.
    """
    client, now = mlflow.MlflowClient(), version_by_alias(version.name, CHAMPION)
    if (now and now.version) != (champion and champion.version):
        raise WorkFailed(f"version {now and now.version} became champion meanwhile; start again")
    if champion:
        client.set_registered_model_alias(version.name, PREVIOUS, champion.version)
    client.set_registered_model_alias(version.name, CHAMPION, version.version)


def roll_back(champion: ModelVersion, previous: ModelVersion) -> None:
    """Make the previous version the champion again; nothing is previous then."""
    client = mlflow.MlflowClient()
    client.set_registered_model_alias(champion.name, CHAMPION, previous.version)
    client.delete_registered_model_alias(champion.name, PREVIOUS)
