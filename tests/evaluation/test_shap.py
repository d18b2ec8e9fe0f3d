"""What the trees split on, and what each value adds: it must add up."""

import signal

import numpy as np
import pytest
import xgboost

from tabular import cancel
from tabular.evaluation import shap
from tabular.model import boosting
from tabular.model.hyperparameters import DEFAULTS
from tabular.model.served import Encoder


@pytest.fixture(scope="module")
def fitted(rows):
    config = DEFAULTS | {"max_depth": 4, "n_estimators": 30, "subsample": 0.8}
    return boosting.fit(config, boosting.bin_rows(rows.train.X, rows.train.y))[0]


def test_shap_values_sum_to_the_margin(fitted, rows):
    codes = Encoder(fitted)(rows.test.X.head(250))
    values = shap.shap_values(fitted, codes, n_jobs=1)
    names = {"feature_names": fitted.feature_names, "feature_types": fitted.feature_types}
    margin = fitted.predict(xgboost.DMatrix(codes, **names), output_margin=True)
    assert values.shape == (250, len(fitted.feature_names) + 1)
    assert values.sum(axis=1) == pytest.approx(margin, abs=1e-4)
    assert np.ptp(values[:, -1]) < 1e-5


def test_a_feature_that_is_never_split_on_adds_nothing(rows):
    """Two stumps split on two features at most."""
    config = DEFAULTS | {"max_depth": 1, "n_estimators": 2}
    booster, _ = boosting.fit(config, boosting.bin_rows(rows.train.X, rows.train.y))
    values = shap.shap_values(booster, Encoder(booster)(rows.test.X.head(100)))
    table = shap.shap_table(booster.feature_names, values).set_index("feature")
    used = shap.importance_table(booster).set_index("feature")["weight"] > 0
    assert (table["mean_abs_shap"] > 0).sum() == used.sum() <= 2
    assert (table.loc[used[used].index, "mean_abs_shap"] > 0).all()


def test_the_table_is_sorted_and_says_where_most_values_lie():
    values = np.column_stack([np.linspace(-1, 1, 101), np.full(101, -3), np.zeros(101)])
    found = shap.shap_table(["a", "b"], values)
    assert found["feature"].tolist() == ["b", "a"]
    assert found["mean_abs_shap"].tolist() == pytest.approx([3, 0.50495], abs=1e-4)
    assert found.loc[1, ["shap_p05", "shap_p95"]].tolist() == pytest.approx([-0.9, 0.9])


def test_the_sample_is_seeded_without_repeats_and_smaller_for_a_large_model(fitted, monkeypatch):
    rows = shap.sample_rows(fitted, 16_281)
    assert len(set(rows)) == shap.MAX_ROWS == len(rows)
    assert rows.tolist() == shap.sample_rows(fitted, 16_281).tolist()
    assert rows.tolist() != shap.sample_rows(fitted, 16_281, seed=1).tolist()
    assert len(shap.sample_rows(fitted, 50)) == 50
    monkeypatch.setattr(shap, "MAX_LEAVES", 1)
    assert len(shap.sample_rows(fitted, 16_281)) == shap.CHUNK_ROWS


def test_a_signal_ends_a_long_explanation(fitted, rows, monkeypatch):
    """It works in a thread of its own, where no signal arrives."""
    monkeypatch.setattr(cancel, "_received", signal.SIGINT)
    with pytest.raises(cancel.Cancelled):
        shap.shap_values(fitted, Encoder(fitted)(rows.test.X.head(300)))
