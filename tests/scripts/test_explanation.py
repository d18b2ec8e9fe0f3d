"""The SHAP values of scored rows: they sum to the prediction, and change nothing else."""

import signal
from functools import cache
from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st

import score
from tabular import cancel
from tabular.evaluation import shap
from tabular.explanation import BLOCK_ROWS, Explainer
from tabular.model import boosting
from tabular.model.hyperparameters import DEFAULTS
from tabular.model.served import Encoder
from tabular.tracking import logged_model
from tests.scripts.test_score_any_table import log

NUMBERS = ["größe [m²]", "b"]
TEXTS = {"farbe <1>": ["rot", "grün", "年"], "d": ["x", "y"]}
N_FEATURES = len(NUMBERS) + len(TEXTS)
TOLERANCE = 1e-5  # of a sum of log odds, relative, or absolute below 1: 32 bits hold seven digits


def some_rows(n_rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    numbers = {name: rng.normal(size=n_rows).astype(np.float32) for name in NUMBERS}
    texts = {
        name: pd.Categorical(rng.choice([*values, None], n_rows), sorted(values))
        for name, values in TEXTS.items()
    }
    return pd.DataFrame(numbers | texts).where(lambda frame: rng.random(frame.shape) > 0.1)


@cache
def predictor() -> SimpleNamespace:
    X = some_rows(500)
    y = (X["größe [m²]"].fillna(0) + (X["farbe <1>"] == "年") > 0.3).to_numpy(np.int8)
    booster, _ = boosting.fit(DEFAULTS | {"n_estimators": 20}, boosting.bin_rows(X, y))
    return SimpleNamespace(booster=booster, encode=Encoder(booster))


def explain(X: pd.DataFrame, n_largest: int | None) -> pd.DataFrame:
    explainer = Explainer(predictor(), n_largest, [*X])
    return pa.Table.from_arrays(explainer.columns(X), schema=explainer.schema).to_pandas()


def margin(X: pd.DataFrame) -> np.ndarray:
    booster, codes = predictor().booster, predictor().encode(X)
    names = {"feature_names": booster.feature_names, "feature_types": booster.feature_types}
    return booster.predict(xgboost.DMatrix(codes, **names), output_margin=True)


finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
RAW_ROWS = st.lists(
    st.tuples(
        *(st.none() | finite for _ in NUMBERS),
        *(st.sampled_from([*values, "unseen", None]) for values in TEXTS.values()),
    ),
    min_size=1,
    max_size=20,
)


@given(RAW_ROWS, st.none() | st.integers(1, N_FEATURES + 2))
def test_contributions_rest_and_base_sum_to_the_log_odds(raw, n_largest):
    X = pd.DataFrame(raw, columns=[*NUMBERS, *TEXTS])
    X = X.astype(dict.fromkeys(NUMBERS, float) | dict.fromkeys(TEXTS, "category"))
    found = explain(X, n_largest)
    assert ("shap_rest" in found) == (n_largest is not None and n_largest < N_FEATURES)
    shown = found.filter(regex="shap_(contribution|base|rest)").to_numpy(float)
    assert shown.sum(axis=1) == pytest.approx(margin(X), rel=TOLERANCE, abs=TOLERANCE)
    sizes = found.filter(regex="contribution").abs().to_numpy()
    assert (np.diff(sizes, axis=1) <= 0).all()


def test_each_row_has_its_own_features_values_and_contributions():
    X = some_rows(BLOCK_ROWS + 3)  # of two blocks
    found, values = explain(X, None), shap.shap_values(predictor().booster, predictor().encode(X))
    for row in (0, 1, BLOCK_ROWS, BLOCK_ROWS + 2):
        for rank in range(1, N_FEATURES + 1):
            name = found[f"shap_feature_{rank}"][row]
            expected = values[row, X.columns.get_loc(name)]
            assert found[f"shap_contribution_{rank}"][row] == expected
            value, text = X[name][row], found[f"shap_value_{rank}"][row]
            if pd.isna(value):
                assert pd.isna(text)
            else:
                assert text == value if name in TEXTS else float(text) == value


def test_names_differ_from_those_of_the_input():
    taken = ["shap_base", "shap_shap_x", "age"]
    names = Explainer(predictor(), 1, taken).schema.names
    assert names == [
        f"shap_shap_shap_{name}"
        for name in ("feature_1", "value_1", "contribution_1", "base", "rest")
    ]


def test_a_signal_ends_it_between_two_chunks_of_rows(monkeypatch):
    monkeypatch.setattr(cancel, "_received", signal.SIGTERM)
    with pytest.raises(cancel.Cancelled):
        explain(some_rows(10), 3)


@pytest.fixture
def model(tmp_path, empty_store_copy):
    """The address of a model of some rows, in a store of its own."""
    y = margin(X := some_rows(200)) + np.random.default_rng(0).normal(size=200) > 0
    return log(X.assign(ziel=y.astype(int)), tmp_path, label="ziel")


@pytest.fixture
def empty_store_copy(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    yield
    mlflow.set_tracking_uri(None)


@pytest.mark.parametrize("target", ["out.csv", "out.parquet", "out.tsv.gz"])
def test_explained_rows_are_scored_as_others_are(model, run_script, target):
    """In their order, without the bad ones; the contributions stand behind all other columns."""
    rows = logged_model.to_client_frame(some_rows(60)).assign(b=[*"1x"] * 30)
    rows.to_csv("in.csv", index=False)
    options = ["--model", model, "--input", "in.csv", "--output", target]
    read = pd.read_parquet if target == "out.parquet" else pd.read_csv
    options_of_reader = {"sep": "\t"} if ".tsv" in target else {}
    assert run_script(score.main, *options).returncode == 1
    plain = read(target, **options_of_reader)
    assert run_script(score.main, *options, "--explain", "2").returncode == 1
    explained = read(target, **options_of_reader)
    assert len(explained) == 30
    pd.testing.assert_frame_equal(explained[[*plain]], plain)
    added = [*explained.columns.drop([*plain])]
    assert added == [
        "shap_feature_1", "shap_value_1", "shap_contribution_1",
        "shap_feature_2", "shap_value_2", "shap_contribution_2", "shap_base", "shap_rest",
    ]  # fmt: skip
    sums = explained.filter(regex="shap_(contribution|base|rest)").sum(axis=1)
    expected = pytest.approx(plain["probability"].to_numpy(), abs=TOLERANCE)
    assert (1 / (1 + np.exp(-sums))).to_numpy() == expected


def test_no_rows_have_the_columns_too(model, run_script):
    some_rows(0).to_csv("in.csv", index=False)
    options = ["--model", model, "--input", "in.csv", "--output", "out.csv", "--explain", "all"]
    assert run_script(score.main, *options).returncode == 0
    assert [*pd.read_csv("out.csv")][-2:] == ["shap_contribution_4", "shap_base"]


def test_a_wrong_number_is_refused(run_script):
    done = run_script(score.main, "--model", "m", "--input", "i", "--output", "o", "--explain", "x")
    assert done.returncode == 2
    assert done.stderr == "error: Invalid value for '--explain': 'x' is not a valid integer.\n"
