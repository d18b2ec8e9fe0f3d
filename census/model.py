"""Gradient-boosted trees: how they are fitted (XGBoost, ``hist``) and what they split on.

Categories are XGBoost's own: a split sends a set of categories left, and the vocabulary is kept in
the model file. The README says what else was tried.
"""

import warnings

import numpy as np
import pandas as pd
import xgboost

from census import UserError, table

VALIDATION_SHARE = 0.2


def matrix(X: pd.DataFrame, y: np.ndarray, ref: xgboost.QuantileDMatrix | None = None):
    """The binned rows that ``fit`` trains on; rows to validate on take the bins of ``ref``."""
    return xgboost.QuantileDMatrix(X, y, enable_categorical=True, ref=ref)


def fit(
    hyperparameters: dict[str, int | float],
    train: xgboost.QuantileDMatrix,
    *,
    seed: int = 0,
    device: str = "cpu",
    n_jobs: int | None = None,
    validation: xgboost.QuantileDMatrix | None = None,
    early_stopping_rounds: int = 0,
) -> tuple[xgboost.Booster, dict[str, list[float]]]:
    """Fit a booster; the same input gives the same bytes, whatever ``n_jobs``.

    Args:
        hyperparameters: values by name, as in ``hyperparameters.DEFAULTS``.
        n_jobs: threads; None takes all.
        validation: rows to follow the log loss on, beside the training rows.
        early_stopping_rounds: with ``validation``, stop after this many rounds without a better
            log loss; ``booster.best_iteration`` is the best round, counted from 0. 0 never stops.

    Returns:
        The booster, and the log loss after each round under ``train`` and ``validation``.
    """
    parameters = dict(hyperparameters)
    rounds = parameters.pop("n_estimators")
    parameters |= {
        "objective": "binary:logistic",
        "eval_metric": "logloss",
        "tree_method": "hist",
        "seed": seed,
        "device": device,
    }
    if n_jobs:
        parameters["nthread"] = n_jobs
    followed = {"train": train} | ({"validation": validation} if validation is not None else {})
    curves: dict[str, dict[str, list[float]]] = {}
    booster = xgboost.train(
        parameters,
        train,
        rounds,
        evals=[(rows, name) for name, rows in followed.items()],
        evals_result=curves,
        early_stopping_rounds=early_stopping_rounds or None,
        verbose_eval=False,
    )
    booster.set_attr(label=table.LABEL, negative=table.NEGATIVE, positive=table.POSITIVE)
    return booster, {name: curve["logloss"] for name, curve in curves.items()}


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


def validation_split(y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of the stratified 80 % to train on and 20 % to validate on.

    Raises:
        UserError: a label has too few rows to stand in both parts.
    """
    from sklearn.model_selection import train_test_split

    if (fewest := np.bincount(y).min()) < 1 / VALIDATION_SHARE:
        raise UserError(
            f"data: a validation split needs at least {1 / VALIDATION_SHARE:.0f} training rows of "
            f"each label, got {fewest}"
        )
    return train_test_split(
        np.arange(len(y)), test_size=VALIDATION_SHARE, stratify=y, random_state=seed
    )


def importance(booster: xgboost.Booster) -> pd.DataFrame:
    """Gain, weight and cover of each feature, most gain first; 0 for a feature never split on.

    Gain is the mean reduction of the log loss over the feature's splits, weight the number of
    splits, cover the mean sum of hessians of the rows that reach them.
    """
    scores = {kind: booster.get_score(importance_type=kind) for kind in ("gain", "weight", "cover")}
    frame = pd.DataFrame(scores, index=booster.feature_names).fillna(0.0)
    return frame.rename_axis("feature").sort_values("gain", ascending=False).reset_index()
