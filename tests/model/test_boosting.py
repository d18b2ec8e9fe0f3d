"""Boosting: reproducible fits, early stopping, validation splits, categories and devices."""

import ctypes.util
import signal
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import xgboost

from tabular import cancel
from tabular.data.dataset import Split
from tabular.errors import UserError
from tabular.evaluation.metrics import classification_metrics
from tabular.model import boosting
from tabular.model.hyperparameters import DEFAULTS, HYPERPARAMETERS
from tabular.model.served import Encoder

SMALL = DEFAULTS | {"n_estimators": 20, "max_depth": 4}


@pytest.fixture(scope="module")
def matrix(dataset):
    return boosting.full_matrix(dataset.train)


def model_bytes(matrix, config, **options):
    booster, _ = boosting.fit(config, matrix, **options)
    return bytes(booster.save_raw("ubj"))


@pytest.mark.parametrize("changes", [
    {},
    {"subsample": 0.7, "colsample_bytree": 0.6},
    {"colsample_bylevel": 0.7, "colsample_bynode": 0.6, "max_cat_to_onehot": 20},
    {"grow_policy": "lossguide", "max_leaves": 9, "max_depth": 0, "colsample_bynode": 0.5},
])  # fmt: skip
def test_model_bytes_do_not_depend_on_the_number_of_threads(matrix, changes):
    config = SMALL | changes
    assert len({model_bytes(matrix, config, n_jobs=n, seed=3) for n in (1, 2, 4)}) == 1


def test_seed_matters_only_if_rows_or_columns_are_sampled(matrix):
    assert model_bytes(matrix, SMALL, seed=0) == model_bytes(matrix, SMALL, seed=1)
    for sampled in (SMALL | {"subsample": 0.5}, SMALL | {"colsample_bytree": 0.5}):
        first = model_bytes(matrix, sampled, seed=0)
        assert first == model_bytes(matrix, sampled, seed=0)
        assert first != model_bytes(matrix, sampled, seed=1)


def test_every_hyperparameter_reaches_xgboost(dataset, matrix):
    values = {
        "learning_rate": 0.3, "max_depth": 2, "n_estimators": 5, "subsample": 0.9,
        "colsample_bytree": 0.8, "min_child_weight": 7.0, "gamma": 200.0, "reg_alpha": 2.0,
        "reg_lambda": 5.0, "scale_pos_weight": 4.0, "colsample_bylevel": 0.5,
        "colsample_bynode": 0.5, "max_leaves": 4, "grow_policy": "lossguide",
        "max_cat_to_onehot": 20, "max_bin": 16, "monotone_constraints": "age:-1",
        "interaction_constraints": "age+sex", "num_parallel_tree": 2,
    }  # fmt: skip
    assert set(values) == set(DEFAULTS)
    config = DEFAULTS | {"n_estimators": 10, "max_leaves": 6}
    trees = boosting.fit(config, matrix)[0].get_dump()
    for name, value in values.items():
        binned = boosting.full_matrix(dataset.train, (config | {name: value})["max_bin"])
        assert boosting.fit(config | {name: value}, binned)[0].get_dump() != trees, name


def test_what_was_added_later_is_passed_to_xgboost_only_if_it_is_not_default():
    added = {p.name for p in HYPERPARAMETERS if p.optional}
    assert not added & {*boosting.xgboost_params(DEFAULTS, 0, "cpu")[0]}
    config = DEFAULTS | {"max_bin": 64, "monotone_constraints": " none "}
    assert added & {*boosting.xgboost_params(config, 0, "cpu")[0]} == {"max_bin"}


def test_a_round_averages_parallel_trees(matrix):
    """Trees that see the same rows and columns are equal, and their average is each of them."""
    one, three = (
        boosting.fit(DEFAULTS | {"n_estimators": 4, "num_parallel_tree": n}, matrix)[0]
        for n in (1, 3)
    )
    assert three.num_boosted_rounds() == one.num_boosted_rounds() == 4
    assert len(three.get_dump()) == 3 * len(one.get_dump())
    assert np.allclose(one.predict(matrix), three.predict(matrix), atol=1e-6)


def test_curve_is_the_log_loss_after_each_round(dataset, matrix):
    """The reference is scikit-learn's log loss of the first trees' predictions."""
    booster, curve = boosting.fit(SMALL, matrix)
    X = Encoder(booster)(dataset.train.X)
    for n_trees in (1, 7, 20):
        probability = booster.inplace_predict(X, iteration_range=(0, n_trees))
        expected = classification_metrics(dataset.train.y, probability)["log_loss"]
        assert curve[n_trees] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("n_rounds", "expected"),
    [(1, [1]), (5, [1, 2, 5]), (20, [1, 2, 5, 10, 20]), (34, [1, 2, 5, 10, 20, 30, 34])],
)
def test_many_rows_have_their_log_loss_computed_after_some_rounds(
    matrix, monkeypatch, n_rounds, expected
):
    """The log loss is the same after these rounds, and so is the model."""
    config = SMALL | {"n_estimators": n_rounds}
    booster, curve = boosting.fit(config, matrix)
    monkeypatch.setattr(boosting, "MANY_ROWS", 1000)
    again, at_some = boosting.fit(config, matrix)
    assert at_some == {n: curve[n] for n in expected}
    assert again.save_raw("ubj") == booster.save_raw("ubj")


def test_many_training_rows_change_nothing_of_an_eval_set(dataset, monkeypatch):
    (indices,) = boosting.validation_splits(dataset.train.y, seed=0)
    train, validation = boosting.split_matrices(dataset.train, indices)
    monkeypatch.setattr(boosting, "MANY_ROWS", 1000)
    _, curve = boosting.fit(SMALL, train, eval_set=validation)
    assert [*curve] == [*range(1, 21)]


def test_early_stopping_finds_the_best_round_of_the_eval_set(dataset):
    (indices,) = boosting.validation_splits(dataset.train.y, seed=0)
    train, validation = boosting.split_matrices(dataset.train, indices)
    config = SMALL | {"n_estimators": 500, "learning_rate": 0.5}
    booster, curve = boosting.fit(config, train, eval_set=validation, early_stopping_rounds=5)
    assert len(curve) < 500
    assert booster.best_iteration + 1 == min(curve, key=curve.get)
    assert len(curve) == booster.best_iteration + 1 + 5


def test_after_round_can_end_a_fit(matrix):
    booster, curve = boosting.fit(SMALL, matrix, after_round=lambda booster, curve: len(curve) == 7)
    assert len(curve) == booster.num_boosted_rounds() == 7


@pytest.mark.parametrize("after_round", [None, lambda booster, curve: False])
def test_cancellation_ends_a_fit(matrix, monkeypatch, after_round):
    monkeypatch.setattr(cancel, "_received", signal.SIGINT)
    with pytest.raises(cancel.Cancelled):
        boosting.fit(SMALL, matrix, after_round=after_round)


def test_predict_uses_the_first_trees_only(dataset, matrix):
    booster, _ = boosting.fit(SMALL, matrix)
    shorter, _ = boosting.fit(SMALL | {"n_estimators": 7}, matrix)
    y_true, probability = boosting.predict(booster, matrix, 7)
    assert np.array_equal(y_true, dataset.train.y)
    assert np.array_equal(probability, shorter.predict(matrix))


def test_the_order_of_rows_changes_no_prediction(dataset, matrix):
    booster, _ = boosting.fit(SMALL, matrix)
    codes = Encoder(booster)(dataset.test.X)
    codes[::7, 3] = np.nan
    order = boosting.order_by_path(codes, boosting.decisive_features(booster))
    assert np.array_equal(np.sort(order), np.arange(len(codes)))
    expected = booster.inplace_predict(codes)
    assert np.array_equal(booster.inplace_predict(codes[order]), expected[order])


def test_rows_without_a_missing_value_come_first():
    codes = np.array([[5, np.nan], [-1, 2], [np.nan, 0], [3e38, 0]], np.float32)
    assert {*boosting.order_by_path(codes, [0, 1])[:2].tolist()} == {1, 3}


def test_the_most_decisive_features_have_the_greatest_gain(matrix):
    booster, _ = boosting.fit(SMALL, matrix)
    gains = booster.get_score(importance_type="total_gain")
    ranked = sorted(gains, key=gains.get, reverse=True)[:6]
    found = boosting.decisive_features(booster)
    assert [booster.feature_names[position] for position in found] == ranked


def test_a_model_without_a_split_has_features_to_order_by(matrix):
    booster, _ = boosting.fit(SMALL | {"gamma": 1e9, "n_estimators": 1}, matrix)
    assert len(boosting.decisive_features(booster)) == 6


def test_validation_split_is_a_stratified_seeded_fifth(dataset):
    y = dataset.train.y
    ((train, validation),) = boosting.validation_splits(y, seed=0)
    assert len(validation) == pytest.approx(len(y) / 5, abs=1)
    assert sorted([*train, *validation]) == list(range(len(y)))
    assert y[train].mean() == pytest.approx(y[validation].mean(), abs=1e-3)
    assert np.array_equal(train, boosting.validation_splits(y, seed=0)[0][0])
    assert not np.array_equal(train, boosting.validation_splits(y, seed=1)[0][0])


@pytest.mark.parametrize("folds", [2, 5])
def test_folds_are_stratified_and_hold_every_row_out_once(dataset, folds):
    y = dataset.train.y
    splits = boosting.validation_splits(y, 0, folds)
    assert len(splits) == folds
    assert sorted(np.concatenate([held_out for _, held_out in splits])) == list(range(len(y)))
    for train, held_out in splits:
        assert not set(train) & set(held_out)
        assert len(train) + len(held_out) == len(y)
        assert y[held_out].mean() == pytest.approx(y.mean(), abs=2e-3)


@pytest.mark.parametrize(("n_negative", "n_positive", "folds", "message"), [
    (1, 1, 1, "a validation split needs at least 5 training rows of each label, got 1"),
    (50, 4, 1, "a validation split needs at least 5 training rows of each label, got 4"),
    (50, 6, 7, "7 folds need at least 7 training rows of each label, got 6"),
])  # fmt: skip
def test_too_few_rows_of_a_label_are_an_error(n_negative, n_positive, folds, message):
    y = np.repeat([0, 1], [n_negative, n_positive])
    with pytest.raises(UserError, match=message):
        boosting.validation_splits(y, 0, folds)


def test_five_rows_of_each_label_can_be_split():
    ((_, validation),) = boosting.validation_splits(np.repeat([0, 1], 5), seed=0)
    assert len(validation) == 2


def test_categories_of_any_characters_are_told_apart():
    """XGBoost allocates one byte for each character of a category, and accepts no NUL.

    The reference is the same fit with digits as categories.
    """
    words = ["Espa\u00f1a", "\u65e5\u672c", "Espa\\xf1a", "a\\b", "a\0b", "a", "\U0001f600"]
    codes = np.random.default_rng(0).integers(0, len(words), 2000)
    y = (codes % 3 == 0).astype(int)
    probabilities = []
    for categories in (words, [f"{code}" for code in range(len(words))]):
        X = pd.DataFrame({"place": pd.Categorical.from_codes(codes, categories)})
        (indices,) = boosting.validation_splits(y, seed=0)
        train, validation = boosting.split_matrices(Split(X, y, X[[]], "", "", False), indices)
        booster, curve = boosting.fit(SMALL, train, eval_set=validation)
        assert curve[20] < 0.2
        loaded = xgboost.Booster(model_file=booster.save_raw("ubj"))
        probabilities.append(loaded.inplace_predict(Encoder(loaded)(X.astype(object))))
        assert np.array_equal(loaded.inplace_predict(Encoder(loaded)(X)), probabilities[-1])
    assert np.array_equal(*probabilities)
    assert np.array_equal(probabilities[0] > 0.5, y)


def test_a_booster_of_a_gpu_predicts_on_the_cpu_afterwards():
    booster = Mock()
    boosting.move_to_cpu(booster, "cuda")
    booster.set_param.assert_called_once_with({"device": "cpu"})


def test_cuda_with_the_light_build_of_xgboost_is_an_error_that_names_the_requirements(monkeypatch):
    """XGBoost itself falls back to the CPU."""
    monkeypatch.setattr(boosting, "has_cuda", lambda: False)
    with pytest.raises(UserError, match=r"XGBoost with CUDA for cuda, .* requirements-gpu.txt"):
        boosting.require_device("cuda")
    boosting.require_device("cpu")


def test_a_missing_gpu_is_an_error(monkeypatch):
    """XGBoost itself falls back to the CPU."""
    if boosting.has_cuda() and _has_gpu():
        boosting.require_device("cuda")
        return
    monkeypatch.setattr(boosting, "has_cuda", lambda: True)
    with pytest.raises(UserError, match="device: expected a GPU for cuda"):
        boosting.require_device("cuda")


def _has_gpu() -> bool:
    name = ctypes.util.find_library("cuda")
    count = ctypes.c_int(0)
    if name:
        driver = ctypes.CDLL(name)
        driver.cuInit(0)
        driver.cuDeviceGetCount(ctypes.byref(count))
    return count.value > 0
