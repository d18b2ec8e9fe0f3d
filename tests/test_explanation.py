"""What the trees split on, and what each value adds: it must add up."""

import numpy as np
import pytest
import xgboost

from census import explanation, interruption, model
from census.hyperparameters import DEFAULTS
from census.served import Encoder


@pytest.fixture(scope="module")
def fitted(rows):
    config = DEFAULTS | {"max_depth": 4, "n_estimators": 30, "subsample": 0.8}
    return model.fit(config, model.matrix(rows.train.X, rows.train.y))[0]


def test_shap_values_sum_to_the_margin(fitted, rows):
    codes = Encoder(fitted)(rows.test.X.head(250))
    values = explanation.contributions(fitted, codes, n_jobs=1)
    names = {"feature_names": fitted.feature_names, "feature_types": fitted.feature_types}
    margin = fitted.predict(xgboost.DMatrix(codes, **names), output_margin=True)
    assert values.shape == (250, len(fitted.feature_names) + 1)
    assert values.sum(axis=1) == pytest.approx(margin, abs=1e-4)
    assert np.ptp(values[:, -1]) < 1e-5


def test_a_feature_that_is_never_split_on_adds_nothing(rows):
    """Two stumps split on two features at most."""
    config = DEFAULTS | {"max_depth": 1, "n_estimators": 2}
    booster, _ = model.fit(config, model.matrix(rows.train.X, rows.train.y))
    values = explanation.contributions(booster, Encoder(booster)(rows.test.X.head(100)))
    table = explanation.shap_table(booster.feature_names, values).set_index("feature")
    used = explanation.importance(booster).set_index("feature")["weight"] > 0
    assert (table["mean_abs_shap"] > 0).sum() == used.sum() <= 2
    assert (table.loc[used[used].index, "mean_abs_shap"] > 0).all()


def test_the_table_is_sorted_and_says_where_most_values_lie():
    values = np.column_stack([np.linspace(-1, 1, 101), np.full(101, -3), np.zeros(101)])
    found = explanation.shap_table(["a", "b"], values)
    assert found["feature"].tolist() == ["b", "a"]
    assert found["mean_abs_shap"].tolist() == pytest.approx([3, 0.50495], abs=1e-4)
    assert found.loc[1, ["shap_p05", "shap_p95"]].tolist() == pytest.approx([-0.9, 0.9])


def test_the_sample_is_seeded_without_repeats_and_smaller_for_a_large_model(fitted, monkeypatch):
    rows = explanation.sample(fitted, 16_281)
    assert len(set(rows)) == explanation.ROWS == len(rows)
    assert rows.tolist() == explanation.sample(fitted, 16_281).tolist()
    assert rows.tolist() != explanation.sample(fitted, 16_281, seed=1).tolist()
    assert len(explanation.sample(fitted, 50)) == 50
    monkeypatch.setattr(explanation, "LEAVES", 1)
    assert len(explanation.sample(fitted, 16_281)) == explanation.AT_A_TIME


def test_a_signal_ends_a_long_explanation(fitted, rows, monkeypatch):
    """It works in a thread of its own, where no signal arrives."""
    monkeypatch.setattr(interruption, "_first", 2)
    with pytest.raises(interruption.Interrupted):
        explanation.contributions(fitted, Encoder(fitted)(rows.test.X.head(300)))
