"""Gradient-boosted trees: validation splits, matrices and fits (XGBoost's ``hist`` method).

Categories are XGBoost's own: a split sends a set of categories left, and the model file keeps the
list of categories. docs/measurements.md compares this with other encodings.
"""

import warnings
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import pandas as pd
import xgboost
from sklearn.model_selection import StratifiedKFold, train_test_split

from tabular import cancel
from tabular.data.dataset import Split
from tabular.data.table import Table
from tabular.errors import UserError
from tabular.model import constraints
from tabular.model.hyperparameters import DEFAULTS, Config, decisive_values

VALIDATION_SHARE = 0.2
MANY_ROWS = 1_000_000  # above this number, the log loss is computed after some rounds only
SORT_BITS = 10  # of each feature by which rows are ordered for their prediction
EVAL_NAME = "eval_set"  # of the rows whose log loss is recorded, in XGBoost's history


def bin_rows(
    X: pd.DataFrame, y: np.ndarray, max_bin: int = DEFAULTS["max_bin"]
) -> xgboost.QuantileDMatrix:
    """The binned rows that ``fit`` trains on, by a configuration with this ``max_bin``."""
    return xgboost.QuantileDMatrix(escape(X), y, enable_categorical=True, max_bin=max_bin)


def escape(X: pd.DataFrame) -> pd.DataFrame:
    """The rows with categories and names that XGBoost takes, which ``served.Encoder`` reads back.

    XGBoost allocates one byte for each character of a category, and accepts no NUL; a feature's
    name may have no ``[``, ``]`` and ``<``.
    """
    X = X.copy(deep=False)
    for name, column in X.select_dtypes("category").items():
        characters = "".join(column.cat.categories)
        if not characters.isascii() or {"\\", "\0"} & {*characters}:
            categories = [c.encode("unicode_escape").decode() for c in column.cat.categories]
            X[name] = column.cat.rename_categories(categories)
    names = {name: escape_name(name) for name in X}
    return X if [*names] == [*names.values()] else X.rename(columns=names)


def set_labels(booster: xgboost.Booster, table: Table) -> None:
    """Write the labels and the name of their column into a booster, where no text may have NUL."""
    texts = {"label": table.label, "negative": table.negative, "positive": table.positive}
    for key, text in texts.items():
        if {*text} & {*"\\\0"}:
            texts[key] = text.encode("unicode_escape").decode()
    booster.set_attr(**texts)


def escape_name(name: str) -> str:
    """The name of a feature in a booster."""
    if not {*name} & {*"[]<\\\0"}:
        return name
    escaped = name.encode("unicode_escape").decode()
    for character in "[]<":
        escaped = escaped.replace(character, f"\\x{ord(character):02x}")
    return escaped


def split_matrices(
    split: Split, indices: tuple[np.ndarray, np.ndarray], max_bin: int = DEFAULTS["max_bin"]
) -> tuple[xgboost.QuantileDMatrix, xgboost.DMatrix]:
    """Binned rows to train on, and rows to validate on.

    The validation rows are not binned: their log loss is the same and takes half the time.

    Args:
        indices: of the training and of the validation rows, a pair of ``validation_splits``.
    """
    train, validation = indices
    X = escape(split.X.iloc[validation])
    eval_set = xgboost.DMatrix(X, split.y[validation], enable_categorical=True)
    return bin_rows(split.X.iloc[train], split.y[train], max_bin), eval_set


def full_matrix(split: Split, max_bin: int = DEFAULTS["max_bin"]) -> xgboost.QuantileDMatrix:
    """All rows, binned."""
    return bin_rows(split.X, split.y, max_bin)


def predict(
    booster: xgboost.Booster, matrix: xgboost.DMatrix, n_trees: int
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predicted probabilities, each (n_samples,), by the first ``n_trees``."""
    return matrix.get_label(), booster.predict(matrix, iteration_range=(0, n_trees))


def decisive_features(booster: xgboost.Booster) -> list[int]:
    """The positions of the features with the greatest gain, the greatest first: at most six."""
    gains = booster.get_score(importance_type="total_gain")  # of the features that are used
    by_position = [gains.get(name, 0) for name in booster.feature_names or []]
    return np.argsort(by_position)[::-1][: 63 // SORT_BITS].tolist()


def order_by_path(codes: np.ndarray, positions: list[int]) -> np.ndarray:
    """An order of rows in which those that take similar paths through the trees are neighbours.

    In this order XGBoost predicts in three quarters of the time: the processor predicts more of its
    branches, and blocks of 64 rows without missing values are faster. No prediction changes.

    Args:
        codes: as ``served.Encoder`` returns them, float32, (n_samples, n_features).
        positions: as ``decisive_features`` returns them.

    Returns:
        Indices, (n_samples,).
    """
    key = np.isnan(codes).any(axis=1).astype(np.uint64)
    for position in positions:  # exponent and first digits, without the sign
        key = key << SORT_BITS | codes[:, position].view(np.uint32) << 1 >> (32 - SORT_BITS)
    return np.argsort(key)


AfterRound = Callable[[xgboost.Booster, list[float]], bool]


class _RoundCallback(xgboost.callback.TrainingCallback):
    """Checks for cancellation after each boosting round, then asks ``after_round``."""

    def __init__(self, after_round: AfterRound | None) -> None:
        self.after_round = after_round

    def after_iteration(self, model: xgboost.Booster, epoch: int, evals_log: dict) -> bool:
        cancel.check()
        return bool(self.after_round and self.after_round(model, evals_log[EVAL_NAME]["logloss"]))


def evaluated_rounds(n_rounds: int, n_rows: int) -> list[int]:
    """The rounds, counted from 1, after which the log loss of the training rows is computed.

    After each round of a fit of more than ``MANY_ROWS`` rows, it would take a fifth of the time.
    """
    if n_rows <= MANY_ROWS:
        return [*range(1, n_rounds + 1)]
    return sorted({n for n in (1, 2, 5, *range(10, n_rounds, 10)) if n < n_rounds} | {n_rounds})


def evaluate_after(rounds: Collection[int]) -> xgboost.callback.TrainingCallback:
    """A callback that lets XGBoost compute metrics after these rounds only, counted from 1."""

    class EvaluateAfter(xgboost.callback.TrainingCallback):  # in here, it is pickled as a whole
        def before_training(self, model: xgboost.Booster) -> xgboost.Booster:
            eval_set = model.eval_set

            def at_times(evals: list, iteration: int, *options: Any) -> str:
                wanted = evals if iteration + 1 in rounds else []
                return eval_set(wanted, iteration, *options)

            model.eval_set = at_times  # type: ignore[assignment,method-assign]
            return model

        def after_training(self, model: xgboost.Booster) -> xgboost.Booster:
            del model.eval_set  # the booster's own method is in its place again
            return model

    return EvaluateAfter()


def fit(
    hyperparameters: Config,
    train: xgboost.QuantileDMatrix,
    *,
    eval_set: xgboost.DMatrix | None = None,
    seed: int = 0,
    device: str = "cpu",
    n_jobs: int | None = None,
    early_stopping_rounds: int = 0,
    after_round: AfterRound | None = None,
) -> tuple[xgboost.Booster, dict[int, float]]:
    """Fit a booster; the same input gives the same bytes, whatever ``n_jobs``.

    Args:
        hyperparameters: values by name, as in ``hyperparameters.DEFAULTS``.
        eval_set: rows whose log loss is recorded after each round; None: the training rows, after
            ``evaluated_rounds``.
        n_jobs: threads; None uses all cores.
        early_stopping_rounds: stop after this many rounds without a lower log loss;
            ``booster.best_iteration`` is the best round, counted from 0. 0 never stops.
        after_round: is called with the booster and the log losses so far; True ends the fit.

    Returns:
        The booster, and the log loss by round, counted from 1.
    """
    params, n_rounds = xgboost_params(hyperparameters, seed, device)
    if n_jobs:
        params["nthread"] = n_jobs
    n_rows = 0 if eval_set else train.num_row()
    rounds = evaluated_rounds(n_rounds, n_rows)
    history: dict[str, dict[str, list[float]]] = {}
    booster = xgboost.train(
        params,
        train,
        n_rounds,
        evals=[(eval_set or train, EVAL_NAME)],
        evals_result=history,
        early_stopping_rounds=early_stopping_rounds or None,
        callbacks=[evaluate_after(rounds), _RoundCallback(after_round)],
        verbose_eval=False,
    )
    return booster, dict(zip(rounds, history[EVAL_NAME]["logloss"], strict=False))


def xgboost_params(hyperparameters: Config, seed: int, device: str) -> tuple[dict[str, Any], int]:
    """XGBoost's parameters, and the number of boosting rounds."""
    params = decisive_values(hyperparameters)
    n_rounds = params.pop("n_estimators")
    texts = [params.pop(name, constraints.NONE) for name in constraints.PARSERS]
    if signs := constraints.parse_monotone(texts[0]):
        params[constraints.MONOTONE] = {escape_name(name): sign for name, sign in signs.items()}
    if groups := constraints.parse_interaction(texts[1]):
        named = [[escape_name(name) for name in group] for group in groups]
        params[constraints.INTERACTION] = named
    params |= {
        "objective": "binary:logistic",
        "eval_metric": "logloss",
        "tree_method": "hist",
        "seed": seed,
        "device": device,
    }
    return params, int(n_rounds)


def move_to_cpu(booster: xgboost.Booster, device: str) -> None:
    """Let a booster fitted on ``device`` predict on the CPU, as it does where it is served.

    The test rows are there, and a prediction on a GPU differs in the last digits.
    """
    if device != "cpu":
        booster.set_param({"device": "cpu"})


def has_cuda() -> bool:
    """Whether the installed build of XGBoost can use a GPU."""
    return bool(xgboost.build_info()["USE_CUDA"])


def require_device(device: str) -> None:
    """Check the device, because XGBoost falls back to the CPU without an error.

    Raises:
        UserError: the installed XGBoost cannot use ``device``, or ``device`` is missing or fails.
    """
    if device == "cpu":
        return
    if not has_cuda():
        raise UserError(
            f"device: expected XGBoost with CUDA for {device}, found the build without; use an "
            "environment of requirements-gpu.txt instead of requirements.txt, or device=cpu"
        )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rows = xgboost.DMatrix(np.zeros((2, 1)), label=[0, 1])
        try:
            xgboost.train({"device": device}, rows, 1)
        except xgboost.core.XGBoostError as error:
            raise UserError(f"device: {device} failed: {str(error).splitlines()[0]}") from None
    if any("GPU" in str(warning.message) for warning in caught):
        raise UserError(f"device: expected a GPU for {device}, XGBoost found none; use device=cpu")


def require_rows(fewest: int, folds: int = 1) -> None:
    """Raise ``UserError`` unless the rows of the rarer label suffice for ``validation_splits``."""
    if fewest < (needed := folds if folds > 1 else round(1 / VALIDATION_SHARE)):
        what = "a validation split needs" if folds == 1 else f"{folds} folds need"
        raise UserError(f"data: {what} at least {needed} training rows of each label, got {fewest}")


def validation_splits(
    y: np.ndarray, seed: int, folds: int = 1
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Stratified pairs of training and validation indices.

    Args:
        y: 0 or 1, (n_samples,).
        folds: 1 holds ``VALIDATION_SHARE`` of the rows out, once; k >= 2 gives k folds.

    Raises:
        UserError: a label has too few rows for one in every fold.
    """
    require_rows(int(np.bincount(y, minlength=2).min()), folds)
    if folds > 1:
        return [*StratifiedKFold(folds, shuffle=True, random_state=seed).split(y, y)]
    train, validation = train_test_split(
        np.arange(len(y)), test_size=VALIDATION_SHARE, stratify=y, random_state=seed
    )
    return [(train, validation)]
