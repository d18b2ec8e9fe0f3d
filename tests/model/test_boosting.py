"""The trees: the same bytes for the same input, and early stopping that means what it says."""

import numpy as np
import pandas as pd
import pytest
import xgboost

from tabular.data import sources
from tabular.errors import UserError
from tabular.evaluation import metrics, shap
from tabular.model import boosting, hyperparameters
from tabular.model.served import Encoder

SMALL = hyperparameters.DEFAULTS | {"n_estimators": 20, "max_depth": 4}


def fit(rows, config=SMALL, **options):
    return boosting.fit(config, boosting.bin_rows(rows.train.X, rows.train.y), **options)


@pytest.mark.parametrize("sampling", [{}, {"subsample": 0.7, "colsample_bytree": 0.6}])
def test_threads_do_not_change_a_byte(rows, sampling):
    files = {
        bytes(fit(rows, SMALL | sampling, n_jobs=n, seed=3)[0].save_raw("ubj")) for n in (1, 2, 4)
    }
    assert len(files) == 1


def test_the_seed_counts_only_where_rows_or_columns_are_drawn(rows):
    def file(config, seed):
        return bytes(fit(rows, config, seed=seed)[0].save_raw("ubj"))

    assert file(SMALL, 0) == file(SMALL, 1)
    for sampled in (SMALL | {"subsample": 0.5}, SMALL | {"colsample_bytree": 0.5}):
        assert file(sampled, 0) == file(sampled, 0) != file(sampled, 1)


def test_every_hyperparameter_reaches_xgboost(rows):
    """A declared parameter that is never passed on is the classic trap of project templates."""
    values = {
        "learning_rate": 0.3, "max_depth": 2, "n_estimators": 5, "subsample": 0.9,
        "colsample_bytree": 0.8, "min_child_weight": 7.0, "gamma": 200.0, "reg_alpha": 2.0,
        "reg_lambda": 5.0, "scale_pos_weight": 4.0,
    }  # fmt: skip
    assert set(values) == set(hyperparameters.DEFAULTS)
    plain = fit(rows, hyperparameters.DEFAULTS | {"n_estimators": 10})[0].trees_to_dataframe()
    for name, value in values.items():
        config = hyperparameters.DEFAULTS | {"n_estimators": 10} | {name: value}
        changed = fit(rows, config)[0].trees_to_dataframe()
        assert not plain.equals(changed), name


def test_the_curve_is_the_log_loss_of_each_prefix(rows):
    """Independent reference: scikit-learn's log loss of the first trees' predictions."""
    booster, curve = fit(rows)
    X = Encoder(booster)(rows.train.X)
    for n_trees in (1, 7, 20):
        probability = booster.inplace_predict(X, iteration_range=(0, n_trees))
        expected = metrics.classification_metrics(rows.train.y, probability)["log_loss"]
        assert curve[n_trees - 1] == pytest.approx(expected, abs=1e-6)


def test_early_stopping_keeps_the_best_round_of_the_validation_rows(rows):
    (part,) = boosting.validation_splits(rows.train.y, seed=0)
    train, validation = boosting.split_matrices(rows.train, part)
    booster, curve = boosting.fit(
        SMALL | {"n_estimators": 500, "learning_rate": 0.5},
        train,
        follow=validation,
        early_stopping_rounds=5,
    )
    assert len(curve) < 500
    assert booster.best_iteration == int(np.argmin(curve))
    assert len(curve) == booster.best_iteration + 1 + 5


def test_the_validation_split_is_stratified_seeded_and_a_fifth(rows):
    y = rows.train.y
    ((train, held_out),) = boosting.validation_splits(y, seed=0)
    assert len(held_out) == pytest.approx(len(y) / 5, abs=1)
    assert sorted([*train, *held_out]) == list(range(len(y)))
    assert y[train].mean() == pytest.approx(y[held_out].mean(), abs=1e-3)
    assert np.array_equal(train, boosting.validation_splits(y, seed=0)[0][0])
    assert not np.array_equal(train, boosting.validation_splits(y, seed=1)[0][0])


@pytest.mark.parametrize("folds", [2, 5])
def test_folds_hold_every_row_out_once_and_are_stratified(rows, folds):
    y = rows.train.y
    parts = boosting.validation_splits(y, 0, folds)
    assert sorted(np.concatenate([held_out for _, held_out in parts])) == list(range(len(y)))
    for train, held_out in parts:
        assert not set(train) & set(held_out)
        assert len(train) + len(held_out) == len(y)
        assert y[held_out].mean() == pytest.approx(y.mean(), abs=2e-3)


def test_a_validation_split_needs_rows_of_both_labels():
    for y in ([0, 1], [0] * 50 + [1] * 4):
        with pytest.raises(UserError, match="at least 5 training rows of each label, got"):
            boosting.validation_splits(np.array(y), seed=0)
    with pytest.raises(UserError, match="7 folds need at least 7 training rows of each label, got"):
        boosting.validation_splits(np.array([0] * 50 + [1] * 6), 0, folds=7)
    ((_, held_out),) = boosting.validation_splits(np.array([0] * 5 + [1] * 5), seed=0)
    assert len(held_out) == 2


def test_words_in_any_letters_tell_rows_apart():
    """XGBoost counts a word's letters where it should count its bytes, and takes no NUL."""
    words = ["Espa\u00f1a", "\u65e5\u672c", "Espa\\xf1a", "a\\b", "a\0b", "a", "\U0001f600"]
    codes = np.random.default_rng(0).integers(0, len(words), 2000)
    y = (codes % 3 == 0).astype(int)
    probabilities = []
    for names in (words, [f"{place}" for place in range(len(words))]):
        X = pd.DataFrame({"place": pd.Categorical.from_codes(codes, names)})
        X["place"] = X["place"].cat.reorder_categories(names)
        split = sources.Split(X, y, "", "", False)
        part = boosting.validation_splits(y, seed=0)[0]
        train, validation = boosting.split_matrices(split, part)
        booster, curve = boosting.fit(SMALL, train, follow=validation)
        assert curve[-1] < 0.2
        loaded = xgboost.Booster(model_file=booster.save_raw("ubj"))
        probabilities.append(loaded.inplace_predict(Encoder(loaded)(X.astype(object))))
        assert np.array_equal(loaded.inplace_predict(Encoder(loaded)(X)), probabilities[-1])
    assert np.array_equal(*probabilities)
    assert np.array_equal(probabilities[0] > 0.5, y)


def test_importance_lists_every_feature_once_most_gain_first(rows):
    booster, _ = fit(rows, SMALL | {"n_estimators": 1, "max_depth": 1})
    table = shap.importance_table(booster)
    assert sorted(table["feature"]) == sorted(rows.train.X)
    assert table["gain"].is_monotonic_decreasing
    assert (table["gain"] > 0).sum() == 1  # a stump splits once
    assert table["weight"].sum() == 1


def test_a_missing_gpu_is_an_error_not_a_silent_cpu():
    if xgboost.build_info()["USE_CUDA"] and _has_gpu():
        boosting.require_device("cuda")
        return
    with pytest.raises(UserError, match="device: expected a GPU for cuda"):
        boosting.require_device("cuda")


def _has_gpu() -> bool:
    import ctypes.util

    name = ctypes.util.find_library("cuda")
    count = ctypes.c_int(0)
    if name:
        driver = ctypes.CDLL(name)
        driver.cuInit(0)
        driver.cuDeviceGetCount(ctypes.byref(count))
    return count.value > 0
