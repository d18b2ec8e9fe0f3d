"""The splits of a dataset as the inputs of a run."""

import json
from pathlib import Path

import mlflow
from mlflow.entities import DatasetInput, InputTag
from mlflow.exceptions import MlflowException
from mlflow.types import ColSpec, Schema
from mlflow.utils.validation import MAX_DATASET_SCHEMA_SIZE

from tabular.data import census
from tabular.data.dataset import Dataset, Split
from tabular.tracking.logged_model import input_columns


def log_inputs(run_id: str, dataset: Dataset, **splits: Split) -> None:
    """Log splits of a dataset as inputs of a run, by the context that they are used in."""
    inputs = [
        DatasetInput(to_entity(dataset, split), [InputTag("mlflow.data.context", context)])
        for context, split in splits.items()
    ]
    try:
        mlflow.MlflowClient().log_inputs(run_id, inputs)
    except MlflowException:  # another process has inserted the same dataset at the same time
        mlflow.MlflowClient().log_inputs(run_id, inputs)


def to_entity(dataset: Dataset, split: Split) -> mlflow.entities.Dataset:
    """MLflow's description of a split.

    Its digest has eight digits like MLflow's own; the tag ``data.digest`` has all of them.
    ``mlflow.data.from_pandas`` would take 0.35 s to infer the schema.
    """
    source_type, source = {
        "uci": ("http", {"url": "".join(census.ADDRESSES[:1]) + split.name}),
        "directory": ("local", {"uri": _file_of(dataset, split)}),
        "synthetic": ("code", {"tags": {"data": dataset.source}}),
    }[dataset.origin]
    table, n_rows = dataset.table, split.n_rows
    schema = Schema([*input_columns(table), ColSpec("string", table.label)])
    described = json.dumps({"mlflow_colspec": schema.to_dict()})
    return mlflow.entities.Dataset(
        name=table.name + ("-synthetic" if dataset.origin == "synthetic" else ""),
        digest=split.digest[:8],
        source_type=source_type,
        source=json.dumps(source),
        schema=described if len(described) <= MAX_DATASET_SCHEMA_SIZE else None,
        profile=json.dumps({"num_rows": n_rows, "num_elements": n_rows * len(table.features)}),
    )


def _file_of(dataset: Dataset, split: Split) -> str:
    """The file or the folder of a split."""
    source = Path(dataset.source)
    return str(source if source.is_file() else source / split.name)
