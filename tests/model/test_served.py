"""The model that travels: right numbers, plain refusals, and no need of the project."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException

from tabular.data import census
from tabular.model import boosting, hyperparameters, served
from tabular.tracking import logged_model
from tests.helpers import PERSON

CONFIG = hyperparameters.DEFAULTS | {"n_estimators": 30}


@pytest.fixture(scope="module")
def booster(rows):
    return boosting.fit(CONFIG, boosting.bin_rows(rows.train.X, rows.train.y))[0]


@pytest.fixture(scope="module")
def python_model(booster, tmp_path_factory):
    path = tmp_path_factory.mktemp("booster") / "booster.ubj"
    booster.save_model(path)
    loaded = served.TableModel()
    loaded.load_context(SimpleNamespace(artifacts={"booster": str(path)}))
    return loaded


def people(*changes) -> pd.DataFrame:
    return pd.DataFrame([PERSON | change for change in changes or ({},)])


def test_answers_equal_what_xgboost_says_of_the_frame_itself(rows, booster, python_model):
    """Independent reference: XGBoost encodes pandas categories with its own code."""
    X = rows.test.X.copy()
    for name in census.CATEGORICAL:
        X[name] = X[name].cat.set_categories(rows.train.X[name].cat.categories)
    expected = booster.predict(xgboost.DMatrix(X, enable_categorical=True))
    raw = logged_model.to_client_frame(rows.test.X)
    for frame in (rows.test.X, raw, raw.convert_dtypes(), raw[list(raw)[::-1]]):
        answers = python_model.predict(frame)
        assert list(answers) == [census.LABEL, "probability"]
        assert np.array_equal(answers["probability"].astype(np.float32), expected)
        assert answers[census.LABEL].tolist() == [
            census.POSITIVE if p >= 0.5 else census.NEGATIVE for p in expected
        ]


@pytest.mark.parametrize("n_rows", [1, served.FEW, served.FEW + 1])
def test_few_rows_and_many_are_encoded_alike(rows, booster, n_rows):
    encode = served.Encoder(booster)
    raw = logged_model.to_client_frame(rows.test.X)
    assert np.array_equal(encode(raw.head(n_rows)), encode(raw)[:n_rows], equal_nan=True)


@pytest.mark.parametrize("copies", [1, 100])
@pytest.mark.parametrize("unknown", [None, np.nan, pd.NA, "?", " ?", "", "Atlantis", 7])
def test_unseen_and_missing_categories_are_one_and_the_same(python_model, unknown, copies):
    frame = people(*[{"native-country": unknown, "occupation": "Sales"}] * copies)
    missing = people(*[{"native-country": None, "occupation": "Sales"}] * copies)
    answers, expected = python_model.predict(frame), python_model.predict(missing)
    assert answers.equals(expected)


@pytest.mark.parametrize("copies", [1, 100])
def test_numbers_of_any_kind_and_spaces_around_words_do_not_matter(python_model, copies):
    expected = python_model.predict(people(*[{}] * copies))
    doubles = people(*[{}] * copies).astype(dict.fromkeys(census.NUMERIC, float))
    spaced = people(*[{"workclass": " Private", "race": "White "}] * copies)
    nullable = people(*[{}] * copies).convert_dtypes()
    extra = people(*[{"shoe-size": 43}] * copies)
    for frame in (doubles, spaced, nullable, extra, extra[list(extra)[::-1]]):
        assert python_model.predict(frame).equals(expected)


@pytest.mark.parametrize("copies", [1, 100])
@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_missing_numbers_get_an_answer(python_model, missing, copies):
    answers = python_model.predict(people(*[{"age": missing}] * copies))
    assert answers["probability"].between(0, 1).all()


@pytest.mark.parametrize("copies", [1, 100])
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
def test_what_cannot_be_encoded_is_refused_with_its_column(python_model, change, message, copies):
    """With status 400 over REST: INVALID_PARAMETER_VALUE."""
    with pytest.raises(MlflowException) as caught:
        python_model.predict(people({}, *[change] * copies))
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


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(census.FEATURES), CELLS, max_size=4))
def test_any_value_is_answered_or_refused_in_few_rows_as_in_many(python_model, change):
    """Never another error, which a client would see as a 500; and one answer, however asked."""
    found = []
    for copies in (1, served.FEW + 1):
        try:
            answers = python_model.predict(people(*[change] * copies))
            assert answers["probability"].between(0, 1).all()
            found.append(answers["probability"].iloc[0])
        except MlflowException as refusal:
            assert refusal.get_http_status_code() == 400
            found.append("refused")
    assert found[0] == found[1]


def test_missing_columns_are_all_named(python_model):
    with pytest.raises(MlflowException, match="columns are missing: age, race"):
        python_model.predict(people().drop(columns=["race", "age"]))


@pytest.mark.parametrize("copies", [1, 100])
@pytest.mark.parametrize("change", [pd.Timestamp("1994-01-01"), pd.Timedelta("39D"), 39 + 0j])
def test_a_column_of_dates_or_the_like_is_no_number(python_model, change, copies):
    with pytest.raises(MlflowException, match="column 'age': expected finite numbers"):
        python_model.predict(people(*[{"age": change}] * copies))


@pytest.mark.parametrize("copies", [1, 100])
def test_a_column_given_twice_is_refused(python_model, copies):
    frame = people(*[{}] * copies)
    with pytest.raises(MlflowException, match="columns are given twice"):
        python_model.predict(pd.concat([frame, frame[["race"]]], axis=1))


def test_answers_keep_the_index_of_the_rows(python_model):
    """A caller who filtered a frame joins the answers by index."""
    frame = people({}, {"age": 20}, {"age": 60}).iloc[[2, 0]]
    assert python_model.predict(frame).index.tolist() == [2, 0]


def test_no_rows_get_no_answers(python_model):
    assert len(python_model.predict(people().head(0))) == 0


def test_the_threshold_moves_labels_and_not_probabilities(rows, python_model):
    frame = rows.test.X.head(500)
    plain = python_model.predict(frame)
    for threshold, share in ((0.0, 1.0), (0.3, (plain["probability"] >= 0.3).mean())):
        answers = python_model.predict(frame, {"threshold": threshold})
        assert (answers[census.LABEL] == census.POSITIVE).mean() == share
        assert answers["probability"].equals(plain["probability"])
    for wrong in (-0.1, 1.1, float("nan"), None):
        with pytest.raises(MlflowException, match="threshold: expected a number from 0 to 1"):
            python_model.predict(frame, {"threshold": wrong})


@pytest.fixture
def logged(booster, rows):
    with mlflow.start_run():
        return logged_model.log_model(
            booster, logged_model.to_client_frame(rows.test.X.head(5)), {"max_depth": "3"}
        )


def test_the_logged_model_says_what_it_takes_and_gives(logged):
    signature = logged.signature
    assert {c.name: c.type.name for c in signature.inputs} == {
        name: "double" if name in census.NUMERIC else "string" for name in census.FEATURES
    }
    assert {c.name: c.type.name for c in signature.outputs} == {
        census.LABEL: "string",
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
        "served.py",
        "serving_input_example.json",
    }
    requirements = (Path(folder) / "requirements.txt").read_text().split()
    assert all("==" in line for line in requirements)
    assert len(requirements) == len(logged_model.REQUIREMENTS)


def test_it_loads_without_the_project_and_without_pickle(
    logged, rows, python_model, tmp_path, monkeypatch
):
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    raw = logged_model.to_client_frame(rows.test.X.head(200))
    raw.to_parquet(tmp_path / "rows.parquet")
    code = (
        "import sys, pandas, mlflow\n"
        f"model = mlflow.pyfunc.load_model({logged.model_uri!r})\n"
        "assert 'census' not in sys.modules\n"
        "frame = pandas.read_parquet('rows.parquet')\n"
        "model.predict(frame, params={'threshold': 0.3}).to_parquet('answers.parquet')\n"
    )
    subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, check=True)
    expected = python_model.predict(raw, {"threshold": 0.3})
    assert pd.read_parquet(tmp_path / "answers.parquet").equals(expected)


def test_integer_frames_work_in_process(logged, python_model):
    """MLflow's own check lets no int64 pass for a double; the model itself takes any number."""
    frame = people()
    assert frame["age"].dtype == np.int64
    loaded = mlflow.pyfunc.load_model(logged.model_uri)
    expected = python_model.predict(frame)
    assert loaded.unwrap_python_model().predict(frame).equals(expected)
    assert loaded.predict(frame.astype(dict.fromkeys(census.NUMERIC, float))).equals(expected)


def test_the_native_file_opens_with_xgboost_alone(logged, rows, booster):
    """Its categories and labels are inside; pandas categories go straight in."""
    folder = mlflow.artifacts.download_artifacts(logged.model_uri)
    native = xgboost.Booster(model_file=f"{folder}/artifacts/booster.ubj")
    X = rows.train.X.head(100)
    expected = booster.inplace_predict(served.Encoder(booster)(X))
    assert np.array_equal(native.predict(xgboost.DMatrix(X, enable_categorical=True)), expected)
    assert native.attributes() == {
        "label": census.LABEL,
        "negative": census.NEGATIVE,
        "positive": census.POSITIVE,
    }
