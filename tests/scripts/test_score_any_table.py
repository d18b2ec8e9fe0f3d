"""A model of any table is told, in a file, in a request and in a call, which columns do not fit."""

import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server

from tabular import scoring, training
from tabular.data import sources
from tabular.data.requests import TableRequest
from tabular.errors import UserError
from tabular.model.hyperparameters import DEFAULTS
from tabular.tracking import logged_model, runs
from tests import tables

CONFIG = DEFAULTS | {"n_estimators": 3}


def log(frame: pd.DataFrame, folder: Path, **fixed) -> str:
    """The address of a logged model of a table."""
    frame.to_parquet(folder / "table.parquet")
    dataset = sources.load(str(folder / "table.parquet"), TableRequest(**fixed))
    booster = training.fit(CONFIG, dataset, seed=0, device="cpu").booster
    with runs.start_run("a run") as run:
        runs.log_setup(run, {}, dataset, "cpu")
        examples = logged_model.to_client_frame(dataset.test.X.head(3))
        return logged_model.log_model(booster, examples, {}, dataset.table).model_uri


@pytest.fixture(scope="module")
def churn(tmp_path_factory, empty_store):
    """A logged model of the customers in a store of its own: its address, and the store's."""
    folder = tmp_path_factory.mktemp("churn")
    store = f"sqlite:///{folder}/mlflow.db"
    mlflow.set_tracking_uri(store)
    uri = log(tables.churn(300), folder, label="Churn")
    mlflow.set_tracking_uri(None)
    return uri, store


@pytest.fixture
def uri(churn, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", churn[1])
    mlflow.set_tracking_uri(churn[1])
    yield churn[0]
    mlflow.set_tracking_uri(None)


@pytest.fixture
def rows():
    """The features of some rows as a client sends them."""
    X = tables.churn(30)[["senior", "tenure", "contract", "monthly charges", "total charges"]]
    X = X.astype({"tenure": float}).assign(Zahlungsart="Lastschrift")
    return X.assign(senior=X["senior"].map({True: "true", False: "false"}))


def score(uri: str, frame: pd.DataFrame, source: str) -> pd.DataFrame:
    if source.endswith(".csv"):
        frame.to_csv(source, index=False)
    else:
        frame.to_parquet(source)
    scoring.score(uri, source, "out.parquet", 0.5, {})
    return pd.read_parquet("out.parquet")


@pytest.mark.parametrize("source", ["in.csv", "in.parquet"])
def test_all_missing_columns_of_a_file_are_named(uri, rows, source):
    with pytest.raises(UserError, match=rf"^input: {source} has no senior, contract; it has ten"):
        score(uri, rows.drop(columns=["senior", "contract"]), source)
    assert not Path("out.parquet").exists()


def test_all_columns_of_a_wrong_type_are_named(uri, rows):
    wrong = rows.assign(tenure=True, **{"monthly charges": pd.Timestamp("2020-01-01")})
    with pytest.raises(UserError) as error:
        score(uri, wrong, "in.parquet")
    assert error.value.message == (
        "input: in.parquet, tenure: expected numbers, got bool; "
        "monthly charges: expected numbers, got timestamp[us]"
    )


def test_all_columns_of_numbers_where_text_is_known_are_named(uri, rows):
    with pytest.raises(UserError) as error:
        score(uri, rows.assign(contract=5, senior=1.0), "in.parquet")
    assert error.value.message == (
        "input: in.parquet, senior: expected text like false, true, got double; "
        "contract: expected text like month-to-month, one year, two years, got int64"
    )


@pytest.mark.parametrize("source", ["in.csv", "in.parquet"])
def test_unknown_columns_of_a_file_are_kept_and_make_no_difference(uri, rows, source):
    expected = score(uri, rows, source)["probability"]
    found = score(uri, rows.assign(note="x", **{"a [b] <c>": 1}), source)
    assert found["probability"].equals(expected)
    assert {"note", "a [b] <c>"} < {*found}


def test_a_column_of_categories_that_the_model_has_never_seen_is_named(uri, rows, capsys):
    """They may be another spelling of the known ones; single new ones are usual."""
    score(uri, rows.assign(senior=1, contract="Month-to-month"), "in.csv")
    warning = "the model knows no value of contract, senior: all of them were treated as missing"
    assert warning in capsys.readouterr().err
    some = rows["contract"].where(rows.index > 0, "three years")
    score(uri, rows.assign(contract=some, senior=None), "in.csv")
    assert "WARNING" not in capsys.readouterr().err


def ask(model, frame: pd.DataFrame) -> object:
    """The answer of the scoring server."""
    body = json.dumps({"dataframe_split": json.loads(frame.to_json(orient="split", index=False))})
    schema = model.metadata.get_input_schema()
    return scoring_server.invocations(body, "application/json", model, schema)


@pytest.mark.parametrize("call", [lambda model, frame: model.predict(frame), ask])
@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda X: X.drop(columns=["tenure", "contract"]), ["tenure", "contract"]),
        (lambda X: X.assign(tenure="long"), ["tenure"]),
    ],
    ids=["missing", "text for numbers"],
)
def test_a_request_and_a_call_name_the_columns_that_do_not_fit(uri, rows, call, change, named):
    model = mlflow.pyfunc.load_model(uri)
    with pytest.raises(MlflowException) as error:
        call(model, change(rows))
    assert error.value.get_http_status_code() == 400
    _, _, reason = str(error.value).rpartition("Error: ")
    shown = str(error.value).partition("Error: ")[0][-200:] + reason
    assert all(name in shown for name in named)


def test_a_request_with_unknown_columns_is_answered(uri, rows):
    model = mlflow.pyfunc.load_model(uri)
    expected = model.predict(rows)
    assert model.predict(rows.assign(note="x")).equals(expected)
    assert ask(model, rows.assign(note="x")).status == 200


def test_columns_that_are_named_as_those_of_a_scored_file_are_features(tmp_path):
    names = ["probability", "predicted_probability", "true_y", "true_true_y"]
    X = pd.DataFrame({name: np.arange(40) % (i + 2) for i, name in enumerate(names)})
    frame = X.assign(y=np.arange(40) % 2)
    uri = log(frame, tmp_path, label="y")
    found = score(uri, frame, "in.csv")
    added = ["true_true_true_y", "y", "predicted_predicted_probability"]
    assert [*found] == [*names, *added]
    expected = mlflow.pyfunc.load_model(uri).predict(X.astype(float))
    assert found[added[-1]].tolist() == expected["probability"].tolist()


def test_the_label_may_be_named_probability(tmp_path):
    frame = pd.DataFrame({"a": np.arange(40) % 5, "probability": ["low", "high"] * 20})
    uri = log(frame, tmp_path, label="probability", positive="high")
    answer = mlflow.pyfunc.load_model(uri).predict(frame[["a"]].astype(float))
    assert [*answer] == ["probability", "predicted_probability"]
    assert {*answer["probability"]} <= {"low", "high"}
    found = score(uri, frame[["a"]], "in.csv")
    assert found[[*answer]].equals(answer)


def test_labels_may_have_characters_that_a_booster_cannot_keep(tmp_path):
    frame = pd.DataFrame({"a": np.arange(40) % 2, "y\0z": ["n\0", "n\0\\x41"] * 20})
    uri = log(frame, tmp_path, label="y\0z", positive="n\0\\x41")
    answer = mlflow.pyfunc.load_model(uri).predict(frame[["a"]].astype(float))
    assert answer["y\0z"].tolist() == frame["y\0z"].tolist()


def test_a_group_column_that_is_no_feature_need_not_be_in_a_scored_file(tmp_path):
    frame = pd.DataFrame({"a": np.arange(40) % 5, "g": ["x", "y"] * 20, "y": [0, 0, 1, 1] * 10})
    uri = log(frame, tmp_path, label="y", groups=("g",), drop=("g",))
    assert len(score(uri, frame[["a"]], "in.csv")) == 40


def test_metrics_of_labels_are_those_of_the_written_labels(tmp_path):
    """Also for a threshold between a probability and the middle of its step in the histogram."""
    frame = tables.churn(300)
    uri = log(frame, tmp_path, label="Churn")
    paths = [str(tmp_path / name) for name in ("table.parquet", "out.parquet")]
    largest = mlflow.pyfunc.load_model(uri).predict(frame)["probability"].max()
    for threshold in (largest, np.nextafter(largest, 1)):
        scoring.score(uri, *paths, threshold, {})
        out = pd.read_parquet(paths[1])
        found = mlflow.last_active_run().data.metrics["score_accuracy"]
        assert found == pytest.approx((out["Churn"] == out["true_Churn"]).mean())


def test_numbers_in_a_dictionary_of_texts_are_written_as_numbers(tmp_path):
    frame = tables.churn(300)
    uri = log(frame, tmp_path, label="Churn")
    as_texts = frame.assign(tenure=frame["tenure"].astype(str).astype("category"))
    as_texts.to_parquet(tmp_path / "texts.parquet")
    scoring.score(uri, str(tmp_path / "texts.parquet"), str(tmp_path / "out.parquet"), None, {})
    assert pd.read_parquet(tmp_path / "out.parquet")["tenure"].tolist() == frame["tenure"].tolist()
