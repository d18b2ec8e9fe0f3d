"""MLflow's own functions take the logged model."""

import json
import re
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import xgboost
from mlflow.exceptions import MlflowException
from mlflow.metrics import make_metric
from sklearn import metrics

from tabular.data import sources
from tabular.data.census import CENSUS
from tabular.data.requests import TableRequest
from tabular.evaluation.metrics import classification_metrics
from tabular.model import boosting
from tabular.model.hyperparameters import DEFAULTS
from tabular.tracking import logged_model, registry, runs
from tests import tables
from tests.helpers import PROJECT

PAGE = PROJECT / "docs/mlflow-tools.md"
CONFIG = DEFAULTS | {"n_estimators": 5}


def fit(dataset: sources.Dataset) -> xgboost.Booster:
    booster, _ = boosting.fit(CONFIG, boosting.full_matrix(dataset.train))
    boosting.set_labels(booster, dataset.table)
    return booster


def log(booster: xgboost.Booster, dataset: sources.Dataset) -> str:
    """Log a booster as the model of a new run, with its test metrics; returns its address."""
    examples = logged_model.to_client_frame(dataset.test.X.head(3))
    with runs.start_run("a run") as run:
        runs.log_setup(run, {}, dataset, "cpu")
        info = logged_model.log_model(booster, examples, {}, dataset.table)
        probability = booster.inplace_predict(boosting.escape(dataset.test.X))
        scores = classification_metrics(dataset.test.y, probability)
        runs.log_results(run, info.model_id, scores, dataset, {}, {})
    return info.model_uri


@pytest.fixture(scope="module")
def dataset(synthetic_folder):
    return sources.load(str(synthetic_folder))


@pytest.fixture(scope="module")
def booster(dataset):
    return fit(dataset)


@pytest.fixture
def uri(booster, dataset):
    return log(booster, dataset)


@pytest.fixture
def raw(dataset) -> pd.DataFrame:
    """Test rows as a user has them."""
    return logged_model.to_client_frame(dataset.test.X)


@pytest.fixture
def labelled(raw, dataset) -> pd.DataFrame:
    return raw.assign(income=np.where(dataset.test.y, CENSUS.positive, CENSUS.negative))


def test_the_xgboost_flavor_is_the_booster_that_pyfunc_serves(uri, raw, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    booster, served = mlflow.xgboost.load_model(uri), mlflow.pyfunc.load_model(uri)
    encode = served.unwrap_python_model().encode
    expected = served.predict(raw)["probability"].tolist()
    assert booster.inplace_predict(encode(raw)).tolist() == expected
    assert len([*tmp_path.glob("mlruns/**/*.ubj")]) == 1  # the file is not logged twice


def test_the_booster_takes_pandas_categories_as_well(uri, raw):
    booster = mlflow.xgboost.load_model(uri)
    listed = dict(booster.get_categories(export_to_arrow=True).to_arrow())
    dtypes = {
        name: float if texts is None else pd.CategoricalDtype(texts.to_pylist())
        for name, texts in listed.items()
    }
    expected = mlflow.pyfunc.load_model(uri).predict(raw)["probability"].tolist()
    assert booster.inplace_predict(raw.astype(dtypes)).tolist() == expected


def test_the_booster_explains_rows_of_a_table_with_awkward_names(tmp_path):
    frame = tables.awkward_names()
    frame.to_csv(tmp_path / "table.csv", index=False)
    request = TableRequest(label="target", groups=())
    dataset = sources.load(str(tmp_path / "table.csv"), request)
    uri = log(fit(dataset), dataset)
    booster, served = mlflow.xgboost.load_model(uri), mlflow.pyfunc.load_model(uri)
    matrix = xgboost.DMatrix(
        served.unwrap_python_model().encode(frame),
        feature_names=booster.feature_names,
        feature_types=booster.feature_types,
    )
    margin = booster.predict(matrix, pred_contribs=True, strict_shape=True).sum(axis=(1, 2))
    probability = served.predict(frame).iloc[:, 1]
    np.testing.assert_allclose(1 / (1 + np.exp(-margin)), probability, rtol=1e-5)


def test_mlflow_evaluates_the_labels_as_the_run_does(uri, labelled):
    result = mlflow.models.evaluate(
        uri, labelled, targets="income", model_type="classifier",
        model_config={"returns": "income"},
        evaluator_config={"pos_label": CENSUS.positive, "metric_prefix": "again_"},
    )  # fmt: skip
    (model,) = mlflow.search_logged_models(output_format="list")
    linked = {metric.key: metric.value for metric in model.metrics}
    for ours in ("accuracy", "precision", "recall", "f1"):
        name = f"again_{ours}_score"
        assert result.metrics[name] == linked[name] == linked[ours]


@pytest.mark.filterwarnings("ignore:Only one class is present")  # MLflow tries out the first row
def test_mlflow_evaluates_the_probability_as_the_run_does(uri, labelled):
    functions = {
        "again_roc_auc": lambda predictions, targets: metrics.roc_auc_score(
            targets == CENSUS.positive, predictions
        ),
        "again_log_loss": lambda predictions, targets: metrics.log_loss(
            targets == CENSUS.positive, predictions, labels=[False, True]
        ),
    }
    wanted = [
        make_metric(eval_fn=function, greater_is_better=True, name=name)
        for name, function in functions.items()
    ]
    result = mlflow.models.evaluate(
        uri, labelled, targets="income", model_config={"returns": "probability"},
        extra_metrics=wanted,
    )  # fmt: skip
    (model,) = mlflow.search_logged_models(output_format="list")
    linked = {metric.key: metric.value for metric in model.metrics}
    assert result.metrics["again_roc_auc"] == linked["roc_auc"]
    assert result.metrics["again_log_loss"] == pytest.approx(linked["log_loss"], rel=1e-6)


@pytest.mark.parametrize("column", ["income", "probability"])
def test_a_model_returns_one_column_if_it_is_loaded_for_it(uri, raw, column):
    alone = mlflow.pyfunc.load_model(uri, model_config={"returns": column}).predict(raw)
    assert alone.equals(mlflow.pyfunc.load_model(uri).predict(raw)[column])


def test_a_column_that_the_model_does_not_return_is_an_error_that_names_those_it_does(uri):
    with pytest.raises(MlflowException, match="expected the column 'income' or 'probability'"):
        mlflow.pyfunc.load_model(uri, model_config={"returns": "label"})


def test_mlflow_predicts_frames_files_and_the_example_that_it_shows(uri, raw, tmp_path):
    rows = raw.head(3)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    body = {"dataframe_split": json.loads(rows.to_json(orient="split"))}
    (tmp_path / "rows.json").write_text(json.dumps(body))
    example = f"{mlflow.artifacts.download_artifacts(uri)}/serving_input_example.json"
    expected = mlflow.pyfunc.load_model(uri).predict(rows).to_dict("records")
    for given in (
        {"input_data": rows},
        {"input_path": "rows.csv", "content_type": "csv"},
        {"input_path": "rows.json"},
        {"input_path": example},
    ):
        mlflow.models.predict(uri, output_path="out.json", env_manager="local", **given)
        assert json.loads((tmp_path / "out.json").read_text()) == {"predictions": expected}


def test_a_version_copied_to_another_name_loads_in_both_flavors(uri, raw):
    mlflow.register_model(uri, "dev")
    mlflow.MlflowClient().copy_model_version("models:/dev/1", "prod")
    expected = mlflow.pyfunc.load_model(uri).predict(raw)
    assert mlflow.pyfunc.load_model("models:/prod/1").predict(raw).equals(expected)
    assert isinstance(mlflow.xgboost.load_model("models:/prod/1"), xgboost.Booster)
    assert registry.find_model("models:/prod/1").uri == uri


def test_a_model_is_registered_in_a_registry_other_than_the_store(
    uri, raw, tmp_path, empty_store, monkeypatch
):
    expected = mlflow.pyfunc.load_model(uri).predict(raw)
    (tmp_path / "registry.db").write_bytes(empty_store.read_bytes())
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", f"sqlite:///{tmp_path}/registry.db")
    mlflow.register_model(uri, "prod")
    assert mlflow.pyfunc.load_model("models:/prod/1").predict(raw).equals(expected)
    assert registry.find_model("models:/prod/1").uri == uri


def test_models_are_found_in_the_order_of_a_test_metric(uri, booster, dataset):
    worse = log(booster[:1], dataset)  # one tree; slicing keeps the labels
    order = [{"field_name": "metrics.log_loss", "ascending": True}]
    found = mlflow.search_logged_models(order_by=order, output_format="list")
    assert [f"models:/{model.model_id}" for model in found] == [uri, worse]


def test_the_code_of_the_page_runs(uri, labelled, tmp_path):
    """All but the code for Spark, which is not installed."""
    mlflow.register_model(uri, "census-income")
    mlflow.MlflowClient().set_registered_model_alias("census-income", "champion", 1)
    labelled.to_csv(tmp_path / "people.csv", index=False)
    blocks = re.findall("```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert [block.startswith("from pyspark") for block in blocks] == [False] * 4 + [True, False]
    names: dict[str, Any] = {}
    exec("\n".join(blocks[:-2] + blocks[-1:]), names)
    probability = names["model"].predict(names["rows"])["probability"]
    assert names["booster"].inplace_predict(names["codes"]).tolist() == probability.tolist()
    (model,) = mlflow.search_logged_models(output_format="list")
    linked = {metric.key: metric.value for metric in model.metrics}
    assert linked["june_accuracy_score"] == linked["accuracy"]
    assert linked["june_brier_score"] == pytest.approx(linked["brier_score"])
    assert mlflow.MlflowClient().get_model_version("census-production", 1)
    copied = mlflow.models.get_model_info(names["copy"]).signature
    assert copied == logged_model.signature(CENSUS)
