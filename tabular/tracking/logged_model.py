"""The model that a run logs: its schemas, its requirements, and how it gets into the store."""

import hashlib
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import xgboost
from mlflow.models import ModelSignature
from mlflow.models.model import Model, ModelInfo
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

from tabular.data.table import CATEGORICAL, NUMERIC, RECORD, Table
from tabular.errors import escape_markdown
from tabular.evaluation.drift import Profile
from tabular.model import served
from tabular.model.boosting import has_cuda
from tabular.options import DEFAULT_THRESHOLD
from tabular.tracking import model_files, sbom

DIGEST = "model.digest"  # the tag of a run with ``model_digest`` of its model
BOOSTER = "booster.ubj"  # the native file, in the model's folder ``artifacts``
PROFILE = "profile.json"  # beside it: the distribution of the training rows
CARD = "model_card.md"  # the artifact of a run, and a file in the model's folder
MODEL_NAME = "model"  # the logged model's name: runs:/<run id>/model
# what tabular/model/served.py imports; the package that installs xgboost may have another name
VERSIONS = {module.__name__: module.__version__ for module in (mlflow, np, pd, xgboost)}
INPUTS = "inputs"  # key of a model's metadata: its columns and their types, as a schema
NOTE = "mlflow.note.content"  # the tag that MLflow's pages show as the description
SHOWN_COLUMNS = 50  # of each kind, in the description

THRESHOLD = "threshold"  # the inference parameter


def ignore_active_model() -> None:
    """Link metrics of this process to its own model, not to one that the environment names."""
    if mlflow.get_active_model_id():
        mlflow.clear_active_model()
    os.environ.pop("MLFLOW_ACTIVE_MODEL_ID", None)


def signature(table: Table, threshold: float = DEFAULT_THRESHOLD) -> ModelSignature:
    """What a model of the table takes and returns; a request without a threshold gets this one."""
    probability = served.probability_name([table.label])
    output = Schema([ColSpec("string", table.label), ColSpec("double", probability)])
    params = ParamSchema([ParamSpec(THRESHOLD, "double", threshold)])
    return ModelSignature(Schema([*input_columns(table)]), output, params)


def logged_signature(table: Table, threshold: float = DEFAULT_THRESHOLD) -> ModelSignature:
    """The signature that is logged with a model of the table: outputs and parameters.

    With inputs in it, MLflow would refuse integers, booleans and categories where it declares
    doubles and text. The model checks its input itself, and its metadata have the inputs.
    """
    promised = signature(table, threshold)
    return ModelSignature(None, promised.outputs, promised.params)


def full_signature(info: Model | ModelInfo) -> ModelSignature:
    """The signature of a logged model with its inputs, which the metadata have if it has none."""
    logged, schema = info.signature, (info.metadata or {}).get(INPUTS)
    if logged.inputs is not None or not schema:
        return logged
    return ModelSignature(Schema.from_json(schema), logged.outputs, logged.params)


def input_columns(table: Table) -> list[ColSpec]:
    """The columns that a model of the table takes."""
    return [
        ColSpec("double" if kind == NUMERIC else "string", name)
        for name, kind in table.columns.items()
    ]


def describe_columns(table: Table, threshold: float = DEFAULT_THRESHOLD) -> str:
    """Which columns a model of the table takes, and what it returns, as Markdown."""
    lines = [
        f"Takes {kind} columns: {_shorten(names)}."
        for kind, names in ((NUMERIC, table.numeric), (CATEGORICAL, table.categorical))
        if names
    ]
    probability = served.probability_name([table.label])
    label, positive = escape_markdown(table.label), escape_markdown(table.positive)
    lines.append(f"Returns {label} and, as {probability}, the probability of {positive}.")
    if threshold != DEFAULT_THRESHOLD:
        lines.append(
            f"Returns {positive} from the probability {threshold} on, unless a request "
            "sets another `threshold`."
        )
    return "\n\n".join(lines)


def _shorten(names: tuple[str, ...]) -> str:
    shown = ", ".join(escape_markdown(name[:60]) for name in names[:SHOWN_COLUMNS])
    more = len(names) - SHOWN_COLUMNS
    return f"{shown} and {more:,} more" if more > 0 else shown


def to_client_frame(X: pd.DataFrame) -> pd.DataFrame:
    """Features as a client would send them, (n_samples, n_features).

    Numeric columns are float64, categorical ones text; a missing value is None.
    """
    dtypes = {name: object if X[name].dtype == "category" else float for name in X}
    frame = X.astype(dtypes)
    return frame.where(frame.notna(), None)


class Flavors:
    """The two flavors of the model: pyfunc, which is served, and the same booster for XGBoost.

    Attributes:
        name: of the model, in the bill of materials of its environment.
        digests: of the files that ``save_model`` has written.
    """

    def __init__(self, name: str) -> None:
        self.name, self.digests = name, ""

    def save_model(self, path: str, mlflow_model: Model, **options: Any) -> None:
        """Save the model in a folder, as ``Model.log`` asks a flavor to."""
        mlflow_model.add_flavor(
            "xgboost",
            data=f"artifacts/{BOOSTER}",
            model_class="xgboost.core.Booster",
            model_format="ubj",
            xgb_version=xgboost.__version__,
        )
        config = {served.RETURNS: None}
        mlflow.pyfunc.save_model(path, mlflow_model=mlflow_model, model_config=config, **options)
        bill = sbom.write(self.name, model_files.sha256(Path(path, "artifacts", BOOSTER)))
        Path(path, sbom.NAME).write_text(bill, encoding="utf-8")
        self.digests = model_files.list_digests(Path(path))


def log_model(
    booster: xgboost.Booster,
    examples: pd.DataFrame,
    params: dict[str, str],
    table: Table,
    threshold: float = DEFAULT_THRESHOLD,
    profile: Profile | None = None,
) -> ModelInfo:
    """Log the model: code, native booster file, two flavors, signature, example, requirements.

    Args:
        examples: a few rows as ``to_client_frame`` returns them, shown on the model's page.
        params: hyper-parameters, shown on the model's page.
        table: recorded in the model.
        threshold: the default of the inference parameter.
        profile: of the training rows, likewise; None: there is none.
    """
    with tempfile.TemporaryDirectory() as folder, no_bytecode():
        path = str(Path(folder) / BOOSTER)
        booster.save_model(path)
        record = Path(folder) / RECORD
        record.write_text(table.to_json(), encoding="utf-8")
        artifacts = {"booster": path, "table": str(record)}
        if profile:
            artifacts["profile"] = str(Path(folder) / PROFILE)
            Path(artifacts["profile"]).write_text(profile.to_json(), encoding="utf-8")
        flavors = Flavors(table.name)
        info = Model.log(
            artifact_path=None,
            name=MODEL_NAME,
            flavor=flavors,
            flavor_name="pyfunc.ModelFromCode",
            python_model=served.__file__,
            artifacts=artifacts,
            signature=logged_signature(table, threshold),
            metadata={INPUTS: signature(table).inputs.to_json()},
            tags={NOTE: describe_columns(table, threshold)},
            input_example=(examples, {THRESHOLD: threshold}),
            conda_env=_environment(),
            params=params,
        )
    model_files.record(info.model_id, flavors.digests)
    return info


def requirements() -> list[str]:
    """What a served model needs, for pip: the light build of XGBoost where it was trained with it.

    Where the build with CUDA is installed, MLflow would warn whenever it loads a model that
    requires the light one.
    """
    lines = [f"{name}=={found}" for name, found in VERSIONS.items() if name != "xgboost"]
    build = f"=={VERSIONS['xgboost']}"
    if has_cuda():
        return [*lines, f"xgboost{build}"]
    return [
        *lines,
        f'xgboost-cpu{build}; sys_platform != "darwin"',
        f'xgboost{build}; sys_platform == "darwin"',
    ]


def _environment() -> dict[str, Any]:
    """The environment of a served model as MLflow takes it, from which it writes its three files.

    Given the requirements alone, MLflow looks for pip and warns in an environment without it.
    """
    dependencies = [f"python={platform.python_version()}", "pip", {"pip": requirements()}]
    return {"name": "mlflow-env", "channels": ["conda-forge"], "dependencies": dependencies}


@contextmanager
def no_bytecode() -> Iterator[None]:
    """Keep Python from writing bytecode while MLflow imports a model's code.

    MLflow imports the code where it lies, so its ``__pycache__`` would be logged with a model, and
    on a full disk a truncated file would stay beside it.
    """
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def model_digest(booster: xgboost.Booster) -> str:
    """SHA-256 of the native model file, hexadecimal."""
    return hashlib.sha256(booster.save_raw("ubj")).hexdigest()
