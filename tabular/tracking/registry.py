"""Registered models in the MLflow store: their versions, and the aliases of those in use."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.pyfunc import PyFuncModel

from tabular import cancel
from tabular.data.census import CENSUS
from tabular.data.dataset import Dataset, Split
from tabular.data.table import Table
from tabular.errors import UserError, WorkFailed
from tabular.tracking import logged_model, store

CHAMPION, PREVIOUS = "champion", "previous"
RULE = "\n\n---\n\n"  # in a version's description: below the verdict, above the earlier text


@dataclass(frozen=True)
class LoggedModel:
    """A logged model: its address, its signature, and the run that logged it."""

    uri: str
    signature: ModelSignature
    run: Run


def require_name(option: str, name: str) -> None:
    """Raise ``UserError`` if ``models:/<name>/1`` could not address a model of that name."""
    unfit = set(name) & set("/:@?#") or not name.isprintable()
    if name.strip() in ("", ".", "..") or unfit:
        raise UserError(f"{option}: expected a name without / : @ ? #, got {name!r}")


def require_registrable(register: str, dataset: Dataset) -> None:
    """Raise ``UserError`` if a model trained on the dataset cannot be registered under the name."""
    if dataset.origin == "synthetic":
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
    """The model of this project at an address.

    Args:
        option: the option that the address came from, for the error message.

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
        raise UserError(f"{option}: {expected}, got {uri!r}, whose run has recorded no data")
    return LoggedModel(info.model_uri, info.signature, run)


def find_version(model: LoggedModel, name: str) -> ModelVersion | None:
    """The newest version, under that name, of a logged model; None if there is none."""
    condition = f"run_id = '{model.run.info.run_id}'"
    versions = mlflow.MlflowClient().search_model_versions(condition)
    same = [v for v in versions if (v.name, v.source) == (name, model.uri)]
    return max(same, key=lambda version: int(version.version), default=None)


def version_by_alias(name: str, alias: str) -> ModelVersion | None:
    """The version with the alias; None if there is none."""
    try:
        return store.find(mlflow.MlflowClient().get_model_version_by_alias, name, alias)
    except MlflowException as error:
        if store.is_permission_denied(error):  # a server with accounts: the name is unknown
            return None
        raise


def predict(model: LoggedModel, split: Split) -> np.ndarray:
    """Probabilities that the model predicts when it is called as a client would call it.

    Returns:
        float32 array, (n_samples,): the bits that the booster returns.
    """
    predictions: pd.DataFrame = _load(model).predict(logged_model.to_client_frame(split.X))
    return predictions.iloc[:, -1].to_numpy(np.float32)


class Predictor:
    """The model's own code, for rows that have been read from a file.

    Attributes:
        table: that the model was trained on.
        categories: of each categorical feature, by name.
    """

    def __init__(self, model: LoggedModel) -> None:
        served = _load(model).unwrap_python_model()
        self.encode = served.encode
        known = zip(served.encode.names, served.encode.lookups, strict=True)
        self.categories = {name: [*lookup] for name, lookup in known if lookup is not None}
        self.booster = served.booster.copy()
        self.booster.set_param({"nthread": 1})
        record = getattr(served, "table", None)  # None: the model is older than the record
        self.table = Table.from_json(Path(record).read_text("utf-8")) if record else CENSUS

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Probabilities of the positive label for features, (n_samples, n_features).

        Several threads may call it at a time; each call uses one.

        Returns:
            float32 array, (n_samples,).
        """
        return self.booster.inplace_predict(self.encode(X))


def _load(model: LoggedModel) -> PyFuncModel:
    with logged_model.no_bytecode():
        return mlflow.pyfunc.load_model(model.uri)


def incompatibilities(new: ModelSignature, old: ModelSignature) -> list[str]:
    """What would break for a client of ``old`` that calls ``new``; empty if nothing would.

    ``new`` may ignore columns of a request, but must return every column that ``old`` returned.
    """
    before, after = _promises(old), _promises(new)
    required = [column.name for column in new.inputs if column.required]
    found = [f"input {name} is new" for name in required if name not in before["input"]]
    after["input"] = before["input"] | after["input"]  # a column that is ignored breaks nothing
    for kind, promised in before.items():
        for name, value in promised.items():
            if name not in after[kind]:
                found.append(f"{kind} {name} is missing")
            elif after[kind][name] != value:
                found.append(f"{kind} {name} was {value}, is {after[kind][name]}")
    return found


def _promises(signature: ModelSignature) -> dict[str, dict[str, Any]]:
    return {
        "input": {column.name: column.type for column in signature.inputs},
        "output": {column.name: column.type for column in signature.outputs},
        "parameter": {p.name: (p.dtype, p.default) for p in signature.params or ()},
    }


def log_verdict(version: ModelVersion, tags: dict[str, str], note: str) -> None:
    """Log a verdict on a version: tags, and Markdown that replaces an earlier verdict's."""
    client, name, number = mlflow.MlflowClient(), version.name, version.version
    for key, value in tags.items():
        client.set_model_version_tag(name, number, key, value)
    description = (client.get_model_version(name, number).description or "").rpartition(RULE)[2]
    client.update_model_version(name, number, note + RULE + description)


def set_champion(version: ModelVersion, champion: ModelVersion | None) -> None:
    """Make a version the champion, and the champion that it was compared with the previous one.

    Args:
        champion: the version that ``version`` was compared with; None if there was none.

    Raises:
        WorkFailed: another version has become champion since the comparison.
    """
    client, now = mlflow.MlflowClient(), version_by_alias(version.name, CHAMPION)
    if (now and now.version) != (champion and champion.version):
        raise WorkFailed(f"version {now and now.version} became champion meanwhile; start again")
    with cancel.uninterrupted():  # both aliases move, or none
        if champion:
            client.set_registered_model_alias(version.name, PREVIOUS, champion.version)
        client.set_registered_model_alias(version.name, CHAMPION, version.version)


def roll_back(champion: ModelVersion, previous: ModelVersion) -> None:
    """Make the previous version the champion again; no version is the previous one then."""
    client = mlflow.MlflowClient()
    with cancel.uninterrupted():  # both aliases change, or none
        client.set_registered_model_alias(champion.name, CHAMPION, previous.version)
        client.delete_registered_model_alias(champion.name, PREVIOUS)
