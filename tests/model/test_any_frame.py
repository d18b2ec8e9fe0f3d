"""A model gives a row the same answer, however the row reaches it."""

import gzip
import io
import json
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PyFuncModel, scoring_server

from tabular import scoring
from tabular.data import readers, sources
from tabular.data.requests import TableRequest
from tabular.model import boosting, served
from tabular.model.hyperparameters import DEFAULTS
from tabular.tracking import logged_model

NUMERIC, WORDS = ["size", "price"], ["code", "level", "flag", "answer"]
MARKERS = ("", "NA", "?", "\\N", "-1")  # the user's own; "None" is an answer


def make_table(n_rows: int = 400) -> pd.DataFrame:
    """Rows as text: codes with zeros in front, whole levels, truth values, and answers."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({
        "size": rng.integers(0, 50, n_rows).astype(str),
        "price": rng.normal(20, 9, n_rows).round(2).astype(str),
        "code": [f"{code:05d}" for code in rng.integers(0, 12, n_rows)],
        "level": rng.choice(["1", "2", "3"], n_rows),
        "flag": rng.choice(["true", "false"], n_rows),
        "answer": rng.choice(["None", "some", "N/A"], n_rows),
    })  # fmt: skip
    score = frame["code"].astype(int) / 4 + frame["level"].astype(int)
    score += 2.0 * (frame["flag"] == "true") + (frame["answer"] == "None")
    y = score + frame["size"].astype(float) / 25 + rng.normal(size=n_rows) > 6
    frame.loc[rng.random(n_rows) < 0.1, "code"] = "NA"
    frame.loc[rng.random(n_rows) < 0.1, "size"] = "-1"
    return frame.assign(y=y.astype(int))


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> SimpleNamespace:
    """A loaded model, its table, and the saved model's folder."""
    folder = tmp_path_factory.mktemp("model")
    make_table().to_csv(folder / "rows.csv", index=False)
    kinds = {"level": "categorical"}
    request = TableRequest(label="y", columns=kinds, missing=MARKERS)
    dataset = sources.load(str(folder / "rows.csv"), request)
    assert [*dataset.table.numeric] == NUMERIC
    matrix = boosting.bin_rows(dataset.train.X, dataset.train.y)
    booster, _ = boosting.fit(DEFAULTS | {"n_estimators": 30, "learning_rate": 0.5}, matrix)
    boosting.set_labels(booster, dataset.table)
    booster.save_model(folder / "booster.ubj")
    (folder / "table.json").write_text(dataset.table.to_json())
    mlflow.pyfunc.save_model(
        folder / "model",
        python_model=served.__file__,
        artifacts={"booster": str(folder / "booster.ubj"), "table": str(folder / "table.json")},
        signature=logged_model.logged_signature(dataset.table),
        pip_requirements=[],
    )
    loaded = mlflow.pyfunc.load_model(str(folder / "model"))
    return SimpleNamespace(loaded=loaded, table=dataset.table, folder=folder / "model")


def probabilities(model: PyFuncModel, rows) -> list[float]:
    return model.predict(rows)["probability"].tolist()


def over_rest(model: PyFuncModel, body: object, content_type: str = "application/json") -> list:
    text = body if isinstance(body, str) else json.dumps(body)
    schema = model.metadata.get_input_schema()
    response = scoring_server.invocations(text, content_type, model, schema)
    return [row["probability"] for row in json.loads(response.response)["predictions"]]


def from_file(model: SimpleNamespace, path: Path) -> list[float]:
    code = model.loaded.unwrap_python_model()
    with readers.open_rows(path, path.name) as source:
        job = scoring.ScoringJob(
            source,
            path.with_name("out.parquet"),
            model.table,
            lambda X: code.booster.inplace_predict(code.encode(X)),
            0.5,
        )
        assert not scoring.score_source(job)["rows_bad"]
    return pd.read_parquet(path.with_name("out.parquet"))["probability"].tolist()


CELLS = {
    "size": st.one_of(st.integers(-2, 60).map(str), st.sampled_from(["-1.0", "1e1", "NA", ""])),
    "price": st.one_of(st.floats(-1e6, 1e6).map(repr), st.sampled_from(["\\N", "-1", "?", ".5"])),
    "code": st.one_of(st.integers(0, 13).map(lambda n: f"{n:05d}"), st.sampled_from(MARKERS)),
    "level": st.sampled_from(["1", "2", "3", "3.0", "4", "+2", "NA", " 1"]),
    "flag": st.sampled_from(["true", "True", "FALSE", "?", "yes"]),
    "answer": st.sampled_from(["None", "some", "N/A", "NA", "null", " some ", "none"]),
}


@settings(max_examples=60)
@given(rows=st.lists(st.fixed_dictionaries(CELLS), min_size=1, max_size=5), copies=st.booleans())
def test_a_row_has_the_same_probability_to_the_bit_in_every_form(
    model, tmp_path_factory, rows, copies
):
    rows = rows * 300 if copies else rows  # a small and a large batch
    folder, frame = tmp_path_factory.mktemp("rows"), pd.DataFrame(rows, dtype=object)
    text = frame.to_csv(index=False)
    (folder / "in.csv").write_text(text)
    (folder / "in.csv.gz").write_bytes(gzip.compress(text.encode()))
    frame.to_parquet(folder / "in.parquet")
    typed = frame.copy()  # missing values as nulls, and numbers as numbers
    for name in NUMERIC:
        numbers = [None if text.strip() in MARKERS else float(text) for text in frame[name]]
        typed[name] = pd.array(numbers, "Float64")
        marked = [text if text.strip() in MARKERS else float(text) for text in frame[name]]
        frame[name] = pd.Series(marked, frame.index, dtype=object)
    expected = probabilities(model.loaded, frame)
    for name in WORDS:
        typed[name] = frame[name].where(~frame[name].str.strip().isin(MARKERS), None)
    typed.to_parquet(folder / "typed.parquet")
    found = {name: from_file(model, folder / name) for name in
             ("in.csv", "in.csv.gz", "in.parquet", "typed.parquet")}  # fmt: skip
    found["typed"] = probabilities(model.loaded, typed)
    words = dict.fromkeys(WORDS, "string")
    found["strings"] = probabilities(model.loaded, frame.astype(words))
    found["arrow"] = probabilities(
        model.loaded, frame.astype(dict.fromkeys(WORDS, "string[pyarrow]"))
    )
    found["categories"] = probabilities(model.loaded, typed.astype("category"))
    records = json.loads(typed.to_json(orient="records"))
    split = {"columns": [*frame], "data": frame.to_numpy().tolist()}
    found["split"] = over_rest(model.loaded, {"dataframe_split": split})
    found["records"] = over_rest(model.loaded, {"dataframe_records": records})
    found["inputs"] = over_rest(model.loaded, {"inputs": records})
    found["instances"] = over_rest(model.loaded, {"instances": records})
    columns = {name: [row[name] for row in records] for name in frame}
    found["columns"] = over_rest(model.loaded, {"inputs": columns})
    for form, values in found.items():
        assert values == expected, form


@pytest.fixture
def rows() -> pd.DataFrame:
    frame = make_table(1200).drop(columns="y").astype(dict.fromkeys(NUMERIC, float))
    return frame[(frame["size"] != -1) & (frame["code"] != "NA") & (frame["answer"] == "some")]


@pytest.mark.parametrize("n_rows", [20, 300])
def test_a_frame_that_pandas_has_read_is_predicted_as_its_text(model, rows, n_rows):
    """Codes have lost their zeros, and levels and truth values are no text."""
    rows = rows.head(n_rows)
    expected = probabilities(model.loaded, rows)
    frame = pd.read_csv(io.StringIO(rows.astype({"size": int}).to_csv(index=False)))
    assert [frame[name].dtype.kind for name in ("size", "code", "level", "flag")] == [*"iiib"]
    assert probabilities(model.loaded, frame) == expected
    assert probabilities(model.loaded, frame.convert_dtypes()) == expected
    assert probabilities(model.loaded, frame.convert_dtypes(dtype_backend="pyarrow")) == expected
    assert probabilities(model.loaded, frame.astype("category")) == expected
    narrow = frame.assign(level=frame["level"].astype("float32"))
    assert probabilities(model.loaded, narrow) == expected
    assert over_rest(model.loaded, rows.to_csv(index=False), "text/csv") == expected


@pytest.mark.parametrize("n_rows", [1, 2, 300])
@pytest.mark.parametrize(
    "column",
    [None, np.nan, pd.NA, pd.NaT, pd.array([None], "Int64")[0], "NA", "?", " ", "\\N", -1, "-1"],
)
def test_whatever_stands_for_a_missing_value_is_missing(model, rows, column, n_rows):
    rows = pd.concat([rows] * 2).head(n_rows)
    for name in ("size", "code"):
        expected = probabilities(model.loaded, rows.assign(**{name: None}))
        values = [column] * n_rows
        objects = pd.Series(values, rows.index, dtype=object)
        assert probabilities(model.loaded, rows.assign(**{name: objects})) == expected
        assert probabilities(model.loaded, rows.assign(**{name: values})) == expected


def test_a_category_that_looks_like_a_missing_value_is_one_if_the_user_says_so(model, rows):
    rows = rows.head(3)
    answers = [probabilities(model.loaded, rows.assign(answer=a)) for a in ("None", None, "NA")]
    assert answers[0] != answers[1]
    assert answers[1] == answers[2]


@pytest.mark.parametrize("n_rows", [1, 2, 300])
@pytest.mark.parametrize("value", ["old", "39", "1,5", "inf", "0x10", "None", [3], b"3"])
def test_text_in_a_number_is_refused_with_column_and_value(model, rows, value, n_rows):
    rows = pd.concat([rows] * 2).head(n_rows)
    with pytest.raises(MlflowException) as caught:
        model.loaded.predict(rows.assign(size=pd.Series([value] * n_rows, rows.index)))
    assert "column 'size': expected finite numbers, got" in str(caught.value)
    assert str(value).strip("[]b'") in str(caught.value)
    assert caught.value.get_http_status_code() == 400


@pytest.mark.parametrize("n_rows", [1, 300])
@pytest.mark.parametrize("marker", ["?", "NA"])
def test_text_beside_a_marker_of_a_missing_value_is_a_number(model, rows, marker, n_rows):
    """Pandas reads a column of CSV as text if it holds a marker that it does not know."""
    one = rows.head(1)
    expected = [probabilities(model.loaded, one.assign(size=size))[0] for size in (39.0, np.nan)]
    both = pd.concat([one.assign(size=size) for size in (" 39", marker)] * n_rows)
    assert probabilities(model.loaded, both) == expected * n_rows
    with pytest.raises(MlflowException, match="got the text 'old'"):
        model.loaded.predict(pd.concat([both, one.assign(size="old")]))


def test_a_batch_without_rows_and_columns_has_no_predictions(model):
    assert len(model.loaded.predict(pd.DataFrame())) == 0


def test_a_code_with_two_spellings_in_training_is_not_guessed():
    codes = served.Categories({"01": 0, "1": 1, "007": 2, "1E2": 3})
    assert codes.encode(["01", "1", 1, 1.0, "7", 7]) == [0, 1, 1, 1, 2, 2]
    assert np.isnan(codes.encode(["001", 100, "100", "x", None, "seven"])).all()


def test_the_command_line_predicts_a_csv_of_whole_numbers(model, rows, tmp_path, run_command):
    rows.head(3).to_csv(tmp_path / "rows.csv", index=False)
    command = ["mlflow", "models", "predict", "-m", model.folder, "--env-manager", "local"]
    done = run_command(*command, "-t", "csv", "-i", "rows.csv", "-o", "out.json")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out.json").read_text())["predictions"]
    expected = probabilities(model.loaded, rows.head(3))
    assert [row["probability"] for row in found] == expected
