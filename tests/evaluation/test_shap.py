"""Importance of features, and SHAP values."""

import signal
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import xgboost

from tabular import cancel
from tabular.evaluation import shap
from tabular.model import boosting
from tabular.model.hyperparameters import DEFAULTS
from tabular.model.served import Encoder


@pytest.fixture(scope="module")
def booster(dataset):
    config = DEFAULTS | {"max_depth": 4, "n_estimators": 30, "subsample": 0.8}
    return boosting.fit(config, boosting.full_matrix(dataset.train))[0]


def test_importance_lists_every_feature_once_by_falling_gain(dataset):
    """A booster of one stump splits once."""
    config = DEFAULTS | {"n_estimators": 1, "max_depth": 1}
    booster, _ = boosting.fit(config, boosting.full_matrix(dataset.train))
    table = shap.importance_table(booster)
    assert sorted(table["feature"]) == sorted(dataset.train.X)
    assert table["gain"].is_monotonic_decreasing
    assert (table["gain"] > 0).sum() == table["weight"].sum() == 1


def test_shap_values_of_a_row_sum_to_its_log_odds(booster, dataset):
    codes = Encoder(booster)(dataset.test.X.head(250))
    values = shap.shap_values(booster, codes)
    names = {"feature_names": booster.feature_names, "feature_types": booster.feature_types}
    margin = booster.predict(xgboost.DMatrix(codes, **names), output_margin=True)
    assert values.shape == (250, len(booster.feature_names) + 1)
    assert values.sum(axis=1) == pytest.approx(margin, abs=1e-4)
    assert np.ptp(values[:, -1]) < 1e-5


def test_several_threads_compute_the_same_shap_values(booster, dataset):
    codes = Encoder(booster)(dataset.test.X.head(950))
    explanation = shap.Explanation(booster, codes)
    with ThreadPoolExecutor(3) as pool:
        for future in [pool.submit(explanation.compute) for _ in range(3)]:
            future.result()
    assert explanation.values().tobytes() == shap.shap_values(booster, codes).tobytes()


def test_a_feature_without_a_split_has_shap_values_of_zero(dataset):
    """Two stumps split on two features at most."""
    config = DEFAULTS | {"max_depth": 1, "n_estimators": 2}
    booster, _ = boosting.fit(config, boosting.full_matrix(dataset.train))
    values = shap.shap_values(booster, Encoder(booster)(dataset.test.X.head(100)))
    table = shap.shap_table(booster.feature_names, values).set_index("feature")
    used = shap.importance_table(booster).set_index("feature")["weight"] > 0
    assert (table["mean_abs_shap"] > 0).sum() == used.sum() <= 2
    assert (table.loc[used[used].index, "mean_abs_shap"] > 0).all()


def test_shap_table_is_sorted_and_has_the_range_of_most_values():
    values = np.column_stack([np.linspace(-1, 1, 101), np.full(101, -3), np.zeros(101)])
    table = shap.shap_table(["a", "b"], values)
    assert table["feature"].tolist() == ["b", "a"]
    assert table["mean_abs_shap"].tolist() == pytest.approx([3, 0.50495], abs=1e-4)
    assert table.loc[1, ["shap_p05", "shap_p95"]].tolist() == pytest.approx([-0.9, 0.9])


def test_a_sample_is_seeded_has_no_repeats_and_is_smaller_for_a_large_model(booster, monkeypatch):
    rows = shap.sample_rows(booster, 16_281)
    assert len(set(rows)) == shap.MAX_ROWS == len(rows)
    assert rows.tolist() == shap.sample_rows(booster, 16_281).tolist()
    assert rows.tolist() != shap.sample_rows(booster, 16_281, seed=1).tolist()
    assert len(shap.sample_rows(booster, 50)) == 50
    monkeypatch.setattr(shap, "MAX_LEAVES", 1)
    assert len(shap.sample_rows(booster, 16_281)) == shap.CHUNK_ROWS


def test_cancellation_ends_the_computation_of_shap_values(booster, dataset, monkeypatch):
    """It runs in a thread, where no signal arrives."""
    monkeypatch.setattr(cancel, "_received", signal.SIGINT)
    with pytest.raises(cancel.Cancelled):
        shap.shap_values(booster, Encoder(booster)(dataset.test.X.head(300)))
