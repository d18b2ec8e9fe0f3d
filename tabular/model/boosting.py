"""Gradient-boosted trees: how they are fitted (XGBoost, ``hist``).

Categories are XGBoost's own: a split sends a set of categories left, and the vocabulary is kept in
the model file. docs/measurements.md says what else was tried.
"""

import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
import xgboost

from tabular.data import census
from tabular.data.dataset import Split
from tabular.errors import UserError

VALIDATION_SHARE = 0.2


def bin_rows(X: pd.DataFrame, y: np.ndarray) -> xgboost.QuantileDMatrix:
    """The binned rows that ``fit`` trains on."""
    return xgboost.QuantileDMatrix(escape_categories(X), y, enable_categorical=True)


def escape_categories(X: pd.DataFrame) -> pd.DataFrame:
    """The rows with words that XGBoost can keep, which ``served.Encoder`` reads back.

    It takes the number of a word's letters for that of its bytes, and no NUL.
    """
    escaped = {}
    for name, column in X.select_dtypes("category").items():
        letters = "".join(column.cat.categories)
        if not letters.isascii() or {"\\", "\0"} & {*letters}:
            words = [word.encode("unicode_escape").decode() for word in column.cat.categories]
            escaped[name] = column.cat.rename_categories(words)
    return X.assign(**escaped)


def split_matrices(split: Split, part: tuple[np.ndarray, np.ndarray]):
    """Rows to train on, binned, and to validate on, by the numbers of ``validation_splits``.

    The rows to validate on are not binned: following the log loss on them gives the same numbers
    and takes half the time.
    """
    (X, y), (X_validation, y_validation) = ((split.X.iloc[rows], split.y[rows]) for rows in part)
    X_validation = escape_categories(X_validation)
    return bin_rows(X, y), xgboost.DMatrix(X_validation, y_validation, enable_categorical=True)


def full_matrix(split: Split) -> xgboost.QuantileDMatrix:
    """All rows, binned."""
    return bin_rows(split.X, split.y)


def validation_parts(split: Split, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Row numbers to train on and to validate on, as ``validation_splits`` gives them."""
    return validation_splits(split.y, seed)


def predict(
    booster: xgboost.Booster, rows: xgboost.DMatrix, n_trees: int
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities (n_samples,) of rows, by the first trees."""
    return rows.get_label(), booster.predict(rows, iteration_range=(0, n_trees))


class _AfterRound(xgboost.callback.TrainingCallback):
    def __init__(self, call: Callable):
        self.call = call

    def after_iteration(self, model, epoch, evals_log) -> bool:
        return self.call(model, evals_log["followed"]["logloss"])


def fit(
    hyperparameters: dict[str, int | float],
    train: xgboost.QuantileDMatrix,
    *,
    follow: xgboost.DMatrix | None = None,
    seed: int = 0,
    device: str = "cpu",
    n_jobs: int | None = None,
    early_stopping_rounds: int = 0,
    after_round: Callable[[xgboost.Booster, list[float]], bool] | None = None,
) -> tuple[xgboost.Booster, list[float]]:
    """Fit a booster; the same input gives the same bytes, whatever ``n_jobs``.

    Args:
        hyperparameters: values by name, as in ``hyperparameters.DEFAULTS``.
        n_jobs: threads; None takes all.
        follow: rows to follow the log loss on; None: the training rows.
        early_stopping_rounds: stop after this many rounds without a better log loss;
            ``booster.best_iteration`` is the best round, counted from 0. 0 never stops.
        after_round: is called with the booster and the log losses so far; True ends the fit.

    Returns:
        The booster, and the log loss after each round.
    """
    chosen, rounds = xgboost_params(hyperparameters, seed, device)
    if n_jobs:
        chosen["nthread"] = n_jobs
    history: dict[str, dict[str, list[float]]] = {}
    booster = xgboost.train(
        chosen,
        train,
        rounds,
        evals=[(follow or train, "followed")],
        evals_result=history,
        early_stopping_rounds=early_stopping_rounds or None,
        callbacks=[_AfterRound(after_round)] if after_round else None,
        verbose_eval=False,
    )
    return finalize(booster, history)


def xgboost_params(
    hyperparameters: dict[str, int | float], seed: int, device: str
) -> tuple[dict[str, int | float | str], int]:
    """What XGBoost is told, and the number of rounds."""
    chosen = hyperparameters | {
        "objective": "binary:logistic",
        "eval_metric": "logloss",
        "tree_method": "hist",
        "seed": seed,
        "device": device,
    }
    return chosen, chosen.pop("n_estimators")


def finalize(booster: xgboost.Booster, history: dict) -> tuple[xgboost.Booster, list[float]]:
    """A booster that knows the names of the labels, and its curve."""
    booster.set_attr(label=census.LABEL, negative=census.NEGATIVE, positive=census.POSITIVE)
    return booster, history["followed"]["logloss"]


def require_device(device: str) -> None:
    """Raise ``UserError`` where ``device`` is missing: XGBoost would silently take the CPU."""
    if device == "cpu":
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rows = xgboost.DMatrix(np.zeros((2, 1)), label=[0, 1])
        try:
            xgboost.train({"device": device}, rows, 1)
        except xgboost.core.XGBoostError as error:
            raise UserError(f"device: {device} failed: {str(error).splitlines()[0]}") from None
    if any("GPU" in str(warning.message) for warning in caught):
        raise UserError(f"device: expected a GPU for {device}, XGBoost found none; use device=cpu")


def validation_splits(
    y: np.ndarray, seed: int, folds: int = 1
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Stratified row numbers to train on and to validate on.

    Args:
        folds: 1 holds 20 % of the rows out, once; k >= 2 holds each row out in one of k folds.

    Raises:
        UserError: a label has too few rows to stand in every part.
    """
    from sklearn.model_selection import StratifiedKFold, train_test_split

    needed = folds if folds > 1 else round(1 / VALIDATION_SHARE)
    if (fewest := np.bincount(y).min()) < needed:
        what = "a validation split needs" if folds == 1 else f"{folds} folds need"
        raise UserError(f"data: {what} at least {needed} training rows of each label, got {fewest}")
    if folds > 1:
        return [*StratifiedKFold(folds, shuffle=True, random_state=seed).split(y, y)]
    numbers = np.arange(len(y))
    parts = train_test_split(numbers, test_size=VALIDATION_SHARE, stratify=y, random_state=seed)
    return [tuple(parts)]
