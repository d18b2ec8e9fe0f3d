"""The served model: predictions, errors of a caller, and independence of the project."""

import gc
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server

from tabular.data import columns
from tabular.data.census import CENSUS
from tabular.model import boosting, hyperparameters, served
from tabular.tracking import logged_model
from tests.helpers import PERSON

CONFIG = hyperparameters.DEFAULTS | {"n_estimators": 30}


@pytest.fixture(scope="module")
def booster(dataset):
    booster, _ = boosting.fit(CONFIG, boosting.full_matrix(dataset.train))
    boosting.set_labels(booster, CENSUS)
    return booster


@pytest.fixture(scope="module")
def python_model(booster, tmp_path_factory):
    path = tmp_path_factory.mktemp("booster") / "booster.ubj"
    booster.save_model(path)
    loaded = served.TableModel()
    loaded.load_context(SimpleNamespace(artifacts={"booster": str(path)}, model_config=None))
    return loaded


def frame_of(*changes) -> pd.DataFrame:
    """One row for each change to a row, or that row itself."""
    return pd.DataFrame([PERSON | change for change in changes or ({},)])


def test_predictions_equal_those_of_xgboost_for_the_frame_itself(dataset, booster, python_model):
    """The reference is XGBoost's own encoding of pandas categories."""
    X = dataset.test.X.copy()
    for name in CENSUS.categorical:
        X[name] = X[name].cat.set_categories(dataset.train.X[name].cat.categories)
    expected = booster.predict(xgboost.DMatrix(X, enable_categorical=True))
    raw = logged_model.to_client_frame(dataset.test.X)
    for frame in (dataset.test.X, raw, raw.convert_dtypes(), raw[list(raw)[::-1]]):
        predictions = python_model.predict(frame)
        assert list(predictions) == [CENSUS.label, "probability"]
        assert np.array_equal(predictions["probability"].astype(np.float32), expected)
        assert predictions[CENSUS.label].tolist() == [
            CENSUS.positive if p >= 0.5 else CENSUS.negative for p in expected
        ]


@pytest.mark.parametrize("n_rows", [1, 2, served.SMALL_BATCH, served.SMALL_BATCH + 1])
def test_small_and_large_batches_are_encoded_alike(dataset, booster, n_rows):
    encode = served.Encoder(booster)
    raw = logged_model.to_client_frame(dataset.test.X)
    assert np.array_equal(encode(raw.head(n_rows)), encode(raw)[:n_rows], equal_nan=True)


@pytest.mark.parametrize("copies", [1, 2, 300])
@pytest.mark.parametrize("unknown", [None, np.nan, pd.NA, "?", " ?", "", "Atlantis", 7])
def test_unseen_categories_are_predicted_as_missing_ones(python_model, unknown, copies):
    frame = frame_of(*[{"native-country": unknown, "occupation": "Sales"}] * copies)
    missing = frame_of(*[{"native-country": None, "occupation": "Sales"}] * copies)
    assert python_model.predict(frame).equals(python_model.predict(missing))


@pytest.mark.parametrize("copies", [1, 2, 300])
def test_number_types_column_order_and_spaces_around_text_do_not_matter(python_model, copies):
    expected = python_model.predict(frame_of(*[{}] * copies))
    doubles = frame_of(*[{}] * copies).astype(dict.fromkeys(CENSUS.numeric, float))
    spaced = frame_of(*[{"workclass": " Private", "race": "White "}] * copies)
    nullable = frame_of(*[{}] * copies).convert_dtypes()
    extra = frame_of(*[{"shoe-size": 43}] * copies)
    for frame in (doubles, spaced, nullable, extra, extra[list(extra)[::-1]]):
        assert python_model.predict(frame).equals(expected)


@pytest.mark.parametrize("copies", [1, 2, 300])
@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_missing_numbers_are_accepted(python_model, missing, copies):
    predictions = python_model.predict(frame_of(*[{"age": missing}] * copies))
    assert predictions["probability"].between(0, 1).all()


@pytest.mark.parametrize("copies", [1, 2, 300])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"age": "old"}, "column 'age': expected finite numbers"),
        ({"age": float("inf")}, "column 'age': expected finite numbers, got inf"),
        ({"age": 1e300}, "column 'age': expected finite numbers, got 1e+300"),
        ({"age": [39]}, "column 'age': expected finite numbers"),
        ({"race": ["White"]}, "column 'race': expected text"),
        ({"age": pd.Timestamp("1994-01-01")}, "column 'age': expected finite numbers"),
        ({"age": pd.Timedelta("39D")}, "column 'age': expected finite numbers"),
        ({"age": 39 + 0j}, "column 'age': expected finite numbers"),
        ({"age": 10**400}, "column 'age': expected finite numbers"),
    ],
)
def test_an_invalid_value_is_an_error_that_names_the_column(python_model, change, message, copies):
    """Over REST it is HTTP status 400."""
    with pytest.raises(MlflowException) as caught:
        python_model.predict(frame_of({}, *[change] * copies))
    assert message in str(caught.value)
    assert caught.value.get_http_status_code() == 400


CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.decimals(),
    st.text(max_size=5),
    st.binary(max_size=3),
    st.dates(),
    st.complex_numbers(),
    st.lists(st.integers(), max_size=2),
    st.sampled_from(["Private", " White", "?", pd.NA, pd.NaT, np.float32(1.5), np.int8(3)]),
)


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(CENSUS.features), CELLS, max_size=4))
def test_any_value_has_the_same_outcome_in_small_and_large_batches(python_model, change):
    """It is a prediction or an error of status 400, never another error (status 500)."""
    outcomes = []
    for copies in (1, 2, served.SMALL_BATCH + 1):
        try:
            predictions = python_model.predict(frame_of(*[change] * copies))
            assert predictions["probability"].between(0, 1).all()
            outcomes.append(predictions["probability"].iloc[0])
        except MlflowException as error:
            assert error.get_http_status_code() == 400
            outcomes.append("error")
    assert len(set(outcomes)) == 1


@pytest.mark.parametrize("n_rows", [1, 2, served.SMALL_BATCH + 1])
def test_a_null_is_not_the_category_whose_text_is_nan(n_rows):
    y = np.arange(40) % 2
    X = pd.DataFrame({"answer": pd.Categorical(np.where(y, "nan", "yes"))})
    booster, _ = boosting.fit(CONFIG | {"n_estimators": 1}, boosting.bin_rows(X, y))
    for missing in (np.nan, np.float32("nan"), None):
        frame = pd.DataFrame({"answer": ["nan", *[missing] * n_rows]})
        for dtype in ("str", object):
            codes = served.Encoder(booster)(frame.astype(dtype))
            assert codes[0] == 0
            assert np.isnan(served.Encoder(booster)(frame.astype(dtype).tail(n_rows))).all()
            assert np.isnan(codes[1:]).all()


@pytest.mark.parametrize("n_rows", [1, 2, served.SMALL_BATCH + 1])
@pytest.mark.parametrize("dtype", ["float32", "Float32", "category"])
def test_a_narrow_number_is_the_category_of_its_own_digits(n_rows, dtype):
    """As a float64, the float32 of 0.1 is 0.10000000149011612."""
    y = np.arange(40) % 2
    X = pd.DataFrame({"rate": pd.Categorical(np.where(y, "0.1", "0.2")), "n": y * 1.0})
    booster, _ = boosting.fit(CONFIG | {"n_estimators": 1}, boosting.bin_rows(X, y))
    rates = pd.Series([0.2] * n_rows).astype("float32").astype(dtype)
    for n in (1.0, "?"):  # one row with text in it is an array of objects
        codes = served.Encoder(booster, ["?"])(pd.DataFrame({"rate": rates, "n": n}))
        assert codes[:, 0].tolist() == [1] * n_rows


@pytest.mark.parametrize("n_rows", [1, served.SMALL_BATCH + 1])
def test_a_number_of_16_bits_is_the_category_that_training_makes_of_it(n_rows):
    """Arrow cannot encode float16, so a Parquet file's column is read as float32."""
    y = np.arange(40) % 2
    column = pa.chunked_array([pa.array(np.where(y, 0.1, 0.2).astype(np.float16))])
    texts = columns._encode_distinct(column).cast(pa.string()).to_pandas()
    X = pd.DataFrame({"rate": pd.Categorical(texts), "n": y * 1.0})
    booster, _ = boosting.fit(CONFIG | {"n_estimators": 1}, boosting.bin_rows(X, y))
    frame = pd.DataFrame({"rate": np.full(n_rows, 0.2, np.float16), "n": 1.0})
    assert served.Encoder(booster)(frame)[:, 0].tolist() == [1] * n_rows


def test_all_missing_columns_are_named(python_model):
    with pytest.raises(MlflowException, match="columns are missing: age, race$"):
        python_model.predict(frame_of().drop(columns=["race", "age"]))


def test_rows_whose_columns_are_not_separated_by_commas_are_explained(python_model):
    rows = pd.DataFrame({";".join(PERSON): ["39;Private"]})
    with pytest.raises(MlflowException, match="; separate the columns by commas, not by ';'$"):
        python_model.predict(rows)


@pytest.mark.parametrize("copies", [1, 2, 300])
@pytest.mark.parametrize("change", [pd.Timestamp("1994-01-01"), pd.Timedelta("39D"), 39 + 0j])
def test_a_column_of_dates_durations_or_complex_numbers_is_an_error(python_model, change, copies):
    with pytest.raises(MlflowException, match="column 'age': expected finite numbers"):
        python_model.predict(frame_of(*[{"age": change}] * copies))


@pytest.mark.parametrize("copies", [1, 2, 300])
def test_a_duplicated_column_is_an_error(python_model, copies):
    frame = frame_of(*[{}] * copies)
    with pytest.raises(MlflowException, match="columns are given twice"):
        python_model.predict(pd.concat([frame, frame[["race"]]], axis=1))


@pytest.mark.parametrize(
    "rows",
    [
        [PERSON, PERSON],
        [{name: np.array(value) for name, value in PERSON.items()}, PERSON],
        {name: [value, value] for name, value in PERSON.items()},
        {name: np.array([value, value]) for name, value in PERSON.items()},
        {name: [value, value] for name, value in PERSON.items()} | {"age": PERSON["age"]},
    ],
    ids=["rows", "a row of arrays", "columns", "columns of arrays", "a single value"],
)
def test_rows_and_columns_by_name_are_the_rows_of_the_frame(python_model, rows):
    assert python_model.predict(rows).equals(python_model.predict(frame_of({}, {})))


def test_a_row_by_name_is_one_row(python_model):
    expected = python_model.predict(frame_of())
    arrays = {name: np.array(value) for name, value in PERSON.items()}
    for row in (PERSON, arrays):
        assert python_model.predict(row).equals(expected)


@pytest.mark.parametrize("rows", ["text", 5, [PERSON, 5], {"age": [39, 40], "race": ["White"]}])
def test_what_is_no_table_is_an_error(python_model, rows):
    with pytest.raises(MlflowException, match=f"expected a data frame, got {type(rows).__name__}"):
        python_model.predict(rows)


def test_predictions_have_the_index_of_the_rows(python_model):
    """A caller who filtered a frame joins the predictions by index."""
    frame = frame_of({}, {"age": 20}, {"age": 60}).iloc[[2, 0]]
    assert python_model.predict(frame).index.tolist() == [2, 0]


def test_no_rows_give_no_predictions(python_model):
    assert len(python_model.predict(frame_of().head(0))) == 0


def test_the_threshold_changes_labels_and_not_probabilities(dataset, python_model):
    frame = dataset.test.X.head(500)
    default = python_model.predict(frame)
    for threshold, share in ((0.0, 1.0), (0.3, (default["probability"] >= 0.3).mean())):
        predictions = python_model.predict(frame, {"threshold": threshold})
        assert (predictions[CENSUS.label] == CENSUS.positive).mean() == share
        assert predictions["probability"].equals(default["probability"])


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan"), None])
def test_an_invalid_threshold_is_an_error(python_model, threshold):
    with pytest.raises(MlflowException, match="threshold: expected a number from 0 to 1"):
        python_model.predict(frame_of(), {"threshold": threshold})


@pytest.fixture
def loaded_by_the_server(logged, monkeypatch):
    """The logged model as MLflow's server loads it, and how often the collector was frozen."""
    frozen = []
    monkeypatch.setenv(served.SERVER, logged.model_uri)
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(True))
    loaded = mlflow.pyfunc.load_model(logged.model_uri)
    monkeypatch.delenv(served.SERVER)
    return loaded, frozen


@pytest.mark.parametrize("n_rows", [0, 1, 2, 300])
def test_the_server_answers_with_the_json_of_the_frame(
    logged, dataset, loaded_by_the_server, n_rows
):
    frame = logged_model.to_client_frame(dataset.test.X.head(n_rows))
    split = {"columns": [*frame], "data": frame.to_numpy().tolist()}
    body = json.dumps({"dataframe_split": split, "params": {"threshold": 0.3}})
    loaded, _ = loaded_by_the_server
    found, expected = (
        scoring_server.invocations(body, "application/json", model, None).response
        for model in (loaded, mlflow.pyfunc.load_model(logged.model_uri))
    )
    assert isinstance(loaded.predict(frame), list)
    assert found == expected


def test_only_the_server_takes_what_is_loaded_out_of_garbage_collection(
    logged, loaded_by_the_server
):
    _, frozen = loaded_by_the_server
    assert len(frozen) == 1
    mlflow.pyfunc.load_model(logged.model_uri)
    assert len(frozen) == 1


@pytest.fixture
def logged(booster, dataset):
    with mlflow.start_run():
        return logged_model.log_model(
            booster,
            logged_model.to_client_frame(dataset.test.X.head(5)),
            {"max_depth": "3"},
            CENSUS,
        )


def test_a_request_without_a_threshold_gets_that_of_the_model(booster, dataset, tmp_path):
    """From a program, over REST, and from ``mlflow models predict``."""
    raw = logged_model.to_client_frame(dataset.test.X.head(50))
    with mlflow.start_run():
        info = logged_model.log_model(booster, raw.head(5), {}, CENSUS, 0.1)
    loaded = mlflow.pyfunc.load_model(info.model_uri)
    expected = loaded.predict(raw, params={"threshold": 0.1}).to_dict("records")
    assert loaded.predict(raw).to_dict("records") == expected
    assert loaded.predict(raw, params={"threshold": 0.5}).to_dict("records") != expected
    body = json.dumps({"dataframe_split": json.loads(raw.to_json(orient="split"))})
    (tmp_path / "rows.json").write_text(body)
    response = scoring_server.invocations(body, "application/json", loaded, None).response
    mlflow.models.predict(
        info.model_uri, None, "rows.json", output_path="out.json", env_manager="local"
    )
    for answer in (response, (tmp_path / "out.json").read_text()):
        assert json.loads(answer)["predictions"] == expected


def test_the_logged_model_has_signature_files_and_pinned_requirements(logged):
    signature = logged_model.full_signature(logged)
    assert logged.signature.inputs is None  # MLflow would refuse integers, booleans, categories
    assert {c.name: c.type.name for c in signature.inputs} == {
        name: "double" if name in CENSUS.numeric else "string" for name in CENSUS.features
    }
    assert {c.name: c.type.name for c in signature.outputs} == {
        CENSUS.label: "string",
        "probability": "double",
    }
    assert [(p.name, p.default) for p in signature.params] == [("threshold", 0.5)]
    folder = mlflow.artifacts.download_artifacts(logged.model_uri)
    files = {p.name for p in Path(folder).rglob("*") if p.is_file()}
    files -= {"registered_model_meta"}  # MLflow adds it to a download
    assert files == {
        "MLmodel",
        "booster.ubj",
        "conda.yaml",
        "input_example.json",
        "python_env.yaml",
        "requirements.txt",
        "sbom.cdx.json",
        "served.py",
        "table.json",
        "serving_input_example.json",
    }
    requirements = (Path(folder) / "requirements.txt").read_text().splitlines()
    assert requirements == logged_model.requirements()


def test_the_logged_model_loads_without_the_project_and_without_pickle(
    logged, dataset, python_model, tmp_path, monkeypatch
):
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    raw = logged_model.to_client_frame(dataset.test.X.head(200))
    raw.to_parquet(tmp_path / "rows.parquet")
    script = Path(__file__).with_name("predict_isolated.py")
    command = [sys.executable, "-I", script, logged.model_uri, "rows.parquet", "output.parquet"]
    subprocess.run(command, cwd=tmp_path, check=True)
    expected = python_model.predict(raw, {"threshold": 0.3})
    assert pd.read_parquet(tmp_path / "output.parquet").equals(expected)


def test_integer_columns_are_accepted_by_a_loaded_model(logged, python_model):
    frame = frame_of()
    assert frame["age"].dtype == np.int64
    loaded = mlflow.pyfunc.load_model(logged.model_uri)
    expected = python_model.predict(frame)
    assert loaded.predict(frame).equals(expected)
    assert loaded.predict(frame.astype(dict.fromkeys(CENSUS.numeric, float))).equals(expected)


def test_the_page_of_the_model_says_which_columns_are_numbers(logged):
    note = mlflow.MlflowClient().get_logged_model(logged.model_id).tags["mlflow.note.content"]
    numeric, categorical, output = note.split("\n\n")
    assert numeric.startswith("Takes numeric columns: age, fnlwgt, ")
    assert categorical.startswith("Takes categorical columns: workclass, education, ")
    assert output == "Returns income and, as probability, the probability of &#62;50K."


def test_the_booster_file_opens_with_xgboost_alone(logged, dataset, booster):
    """It holds the categories and the names of the labels."""
    folder = mlflow.artifacts.download_artifacts(logged.model_uri)
    native = xgboost.Booster(model_file=f"{folder}/artifacts/booster.ubj")
    X = dataset.train.X.head(100)
    expected = booster.inplace_predict(served.Encoder(booster)(X))
    assert np.array_equal(native.predict(xgboost.DMatrix(X, enable_categorical=True)), expected)
    assert native.attributes() == {
        "label": CENSUS.label,
        "negative": CENSUS.negative,
        "positive": CENSUS.positive,
    }
