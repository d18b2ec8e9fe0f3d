"""Registered models in the MLflow store: their versions, and the aliases of those in use."""

import re
from collections.abc import Iterator
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
from mlflow.store.artifact.utils.models import get_model_name_and_version

from tabular import cancel
from tabular.data.census import CENSUS
from tabular.data.dataset import Dataset, Split
from tabular.data.table import Table
from tabular.errors import UserError, WorkFailed, one_line, shorten_markdown
from tabular.evaluation.drift import Profile
from tabular.model import boosting
from tabular.options import DEFAULT_THRESHOLD
from tabular.tracking import artifacts, logged_model, opening, store

CHAMPION, PREVIOUS = "champion", "previous"
LOGGED_MODEL = re.compile(r"models:/+m-[0-9a-f]{32}(/.*)?")
MAX_DESCRIPTION = 5000  # characters of a version, which MLflow's databases have room for
REST = f"The rest is in {logged_model.CARD}, in the folder of the model."
RULE = "\n\n---\n\n"  # in a version's description: below the verdict, above the earlier text
VERDICTS = ("**passed** against ", "**refused** against ", "**rolled back** to ")  # their starts


@dataclass(frozen=True)
class LoggedModel:
    """A logged model.

    Attributes:
        uri: the one address that every run records for it.
        run_id: of the run that logged it.
        run: that run; None if this store has it no more, or never had it.
        version: the version of a registered model that the model was named by; else None.
    """

    uri: str
    signature: ModelSignature
    run_id: str
    run: Run | None
    version: ModelVersion | None = None

    @property
    def tags(self) -> dict[str, str]:
        """The tags of its run; empty if that is not in the store."""
        return self.run.data.tags if self.run else {}

    @property
    def threshold(self) -> float:
        """The threshold that it uses where a client sends none."""
        defaults = {param.name: param.default for param in self.signature.params or ()}
        return defaults.get(logged_model.THRESHOLD, DEFAULT_THRESHOLD)


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


def is_registered(uri: str) -> bool:
    """Whether an address is that of a registered model, and not of a run or a logged model."""
    return uri.startswith("models:/") and not LOGGED_MODEL.fullmatch(uri)


def is_of_store(uri: str) -> bool:
    """Whether a model at an address is known to the tracking store alone."""
    apart = mlflow.get_registry_uri() != store.tracking_uri()
    return uri.startswith("runs:/") or (uri.startswith("models:/") and not apart)


def register(uri: str, name: str, card: str | None = None) -> ModelVersion:
    """Make the model a new version of the registered model ``name``.

    Args:
        card: the version's description; None: the card in the model's folder, if there is one.
    """
    version = mlflow.register_model(uri, name)
    card = artifacts.read_text(uri, logged_model.CARD) if card is None else card
    description = shorten_markdown(card, MAX_DESCRIPTION, REST)
    mlflow.MlflowClient().update_model_version(name, version.version, description)
    return version


def find_model(uri: str, option: str = "model") -> LoggedModel:
    """The model of this project at an address.

    Args:
        option: the option that the address came from, for the error message.

    Raises:
        UserError: there is none.
    """
    expected = f"{option}: expected the address of a model that train.py or sweep.py logged"
    try:
        model = mlflow.models.Model.load(uri)
        opening.require_store()
        client = mlflow.MlflowClient()
        version = _addressed_version(uri)
        # one that was copied from another store names its model there
        copied = model.model_id and not store.find(client.get_logged_model, model.model_id)
        own = uri if copied else model.get_model_info().model_uri
    except UserError:
        raise
    except Exception as error:  # whatever the library of an artifact store raises
        raise UserError(f"{expected}, got {uri!r}: {_why_not_found(uri, error)}") from None
    run = store.find_run(model.run_id or "")
    if run and not {"data.digest", "data.source"} <= set(run.data.tags):
        raise UserError(f"{expected}, got {uri!r}, whose run has recorded no data")
    return LoggedModel(own, logged_model.full_signature(model), model.run_id or "", run, version)


def _why_not_found(uri: str, error: Exception) -> str:
    """Why there is no model at an address: of what the store knows of it, else of the error."""
    try:
        location = artifacts.locate_model(uri)
        folder = artifacts.missing_folder(location) if location != uri else None
    except Exception as other:  # the registered model or the logged model has been deleted
        folder, error = None, other
    return artifacts.explain_missing(folder, "its artifacts") if folder else one_line(error)[:200]


def _addressed_version(uri: str) -> ModelVersion | None:
    """The version that models:/<name>/<version>, /latest or @<alias> names; else None."""
    if not uri.startswith("models:/"):
        return None
    client = mlflow.MlflowClient()
    name, *number = get_model_name_and_version(client, uri)
    return client.get_model_version(name, number[0]) if number else None


def require_run(model: LoggedModel, option: str, advice: str) -> Run:
    """The run that logged a model; ``UserError`` with the advice if this store does not have it."""
    if not model.run:
        raise UserError(
            f"{option}: run {model.run_id or '(none)'}, which logged the model, is not in "
            f"{store.describe(store.tracking_uri())}, so that the rows it was trained on are "
            f"unknown; {advice}"
        )
    return model.run


def find_version(model: LoggedModel, name: str) -> ModelVersion | None:
    """The version, under that name, of a logged model; None if there is none.

    It is the one that the model was named by, or else the newest; a copy of another name's version
    is one, too.
    """
    if model.version and model.version.name == name:
        return model.version
    location = artifacts.locate_model(model.uri)
    found = mlflow.MlflowClient().search_model_versions(f"run_id = '{model.run_id}'")
    for version in sorted(found, key=lambda version: -int(version.version)):
        if version.name == name and location == artifacts.locate_model(address(version)):
            return version
    return None


def address(version: ModelVersion) -> str:
    """The address of a version of a registered model."""
    return f"models:/{version.name}/{version.version}"


def version_by_alias(name: str, alias: str) -> ModelVersion | None:
    """The version with the alias; None if there is none."""
    try:
        return store.find(mlflow.MlflowClient().get_model_version_by_alias, name, alias)
    except MlflowException as error:
        if store.is_permission_denied(error):  # a server with accounts: the name is unknown
            return None
        raise


def versions_in_use() -> Iterator[ModelVersion]:
    """The champion and the previous version of every registered model that has one."""
    for model in mlflow.search_registered_models():
        for alias in (CHAMPION, PREVIOUS):
            if alias in model.aliases and (version := version_by_alias(model.name, alias)):
                yield version


def predict(model: LoggedModel, split: Split) -> np.ndarray:
    """Probabilities that the model predicts when it is called as a client would call it.

    Returns:
        float32 array, (n_samples,): the bits that the booster returns.
    """
    predictions: pd.DataFrame = _load(model, "model").predict(logged_model.to_client_frame(split.X))
    return predictions.iloc[:, -1].to_numpy(np.float32)


class Predictor:
    """The model's own code, for rows that have been read from a file.

    Attributes:
        table: that the model was trained on.
        categories: of each categorical feature, by name.
        profile: of the rows that it was trained on; None: the model is older than the profiles.

    Raises:
        UserError: the model cannot be loaded, or is none of this project.
    """

    def __init__(self, model: LoggedModel, option: str = "model") -> None:
        loaded = _load(model, option)
        try:
            served = loaded.unwrap_python_model()
            self.encode = served.encode
        except (MlflowException, AttributeError):
            raise UserError(f"{option}: {model.uri} is no model of train.py or sweep.py") from None
        known = zip(served.encode.names, served.encode.lookups, strict=True)
        self.categories = {name: [*lookup] for name, lookup in known if lookup is not None}
        self.booster = served.booster.copy()
        self.booster.set_param({"nthread": 1})
        self._decisive = boosting.decisive_features(self.booster)
        record = getattr(served, "table", None)  # None: the model is older than the record
        self.table = Table.from_json(Path(record).read_text("utf-8")) if record else CENSUS
        profile = getattr(served, "profile", None)
        self.profile = Profile.from_json(profile) if profile else None

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Probabilities of the positive label for features, (n_samples, n_features).

        Several threads may call it at a time; each call uses one.

        Returns:
            float32 array, (n_samples,).
        """
        codes = self.encode(X)
        order = boosting.order_by_path(codes, self._decisive)
        probability = np.empty(len(codes), np.float32)
        probability[order] = self.booster.inplace_predict(codes[order])
        return probability


def _load(model: LoggedModel, option: str) -> PyFuncModel:
    try:
        with logged_model.no_bytecode():
            return mlflow.pyfunc.load_model(model.uri)
    except Exception as error:  # whatever the code of a model raises
        reason = one_line(f"{type(error).__name__}: {error}")[:200]
        raise UserError(f"{option}: {model.uri} cannot be loaded: {reason}") from None


def require_loads(uri: str, option: str) -> None:
    """Raise ``UserError`` unless a model of this project loads from the address."""
    Predictor(find_model(uri, option), option)


def incompatibilities(new: ModelSignature, old: ModelSignature) -> list[str]:
    """What would break for a client of ``old`` that calls ``new``; empty if nothing would.

    ``new`` may ignore columns of a request, but must return every column that ``old`` returned. It
    may have another default of a parameter: a client that depends on the value sends it.
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
        "parameter": {p.name: p.dtype for p in signature.params or ()},
    }


def log_verdict(version: ModelVersion, tags: dict[str, str], note: str) -> None:
    """Log a verdict on a version: tags, and Markdown that replaces an earlier verdict's."""
    client, name, number = mlflow.MlflowClient(), version.name, version.version
    for key, value in tags.items():
        client.set_model_version_tag(name, number, key, value)
    description = client.get_model_version(name, number).description or ""
    if description.startswith(VERDICTS):
        description = description.partition(RULE)[2]
    description = shorten_markdown(description, MAX_DESCRIPTION - len(note + RULE), REST)
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


def roll_back(previous: ModelVersion) -> None:
    """Make the previous version the champion again; no version is the previous one then."""
    client, name = mlflow.MlflowClient(), previous.name
    with cancel.uninterrupted():  # both aliases change, or none
        client.set_registered_model_alias(name, CHAMPION, previous.version)
        client.delete_registered_model_alias(name, PREVIOUS)
