"""Why the model answers as it does: what its trees split on, and what each value adds."""

import numpy as np
import pandas as pd
import xgboost

from tabular import cancel

MAX_ROWS = 2000  # to explain
MAX_LEAVES = 20_000  # of a model with more, fewer rows are explained: the time stays in bounds
CHUNK_ROWS = 100  # rows; a signal waits so long


def importance_table(booster: xgboost.Booster) -> pd.DataFrame:
    """Gain, weight and cover of each feature, most gain first; 0 for a feature never split on.

    Gain is the mean reduction of the log loss over the feature's splits, weight the number of
    splits, cover the mean sum of hessians of the rows that reach them.
    """
    scores = {kind: booster.get_score(importance_type=kind) for kind in ("gain", "weight", "cover")}
    frame = pd.DataFrame(scores, index=booster.feature_names).fillna(0.0)
    return frame.rename_axis("feature").sort_values("gain", ascending=False).reset_index()


def sample_rows(booster: xgboost.Booster, n_samples: int, seed: int = 0) -> np.ndarray:
    """The numbers of the rows to explain, drawn without replacement, in order."""
    splits = sum(booster.get_score(importance_type="weight").values())
    leaves = splits + booster.num_boosted_rounds()
    n_rows = int(min(MAX_ROWS, max(MAX_ROWS * MAX_LEAVES // leaves, CHUNK_ROWS), n_samples))
    return np.sort(np.random.default_rng(seed).choice(n_samples, n_rows, replace=False))


def shap_values(booster: xgboost.Booster, codes: np.ndarray, n_jobs: int = 0) -> np.ndarray:
    """Exact SHAP values, in log odds: what each feature adds to the answer for each row.

    Args:
        codes: (n_samples, n_features), as ``served.Encoder`` gives them.
        n_jobs: threads; 0 takes all.

    Returns:
        (n_samples, n_features + 1); the last column is the mean answer, and a row's sum is the
        log odds that the model gives it.

    Source: Lundberg et al., From local explanations to global understanding with explainable AI
    for trees, 2020; computed by XGBoost (``pred_contribs``).
    """
    booster, found = booster.copy(), []
    booster.set_param("nthread", n_jobs)
    kinds = {"feature_names": booster.feature_names, "feature_types": booster.feature_types}
    for part in np.array_split(codes, -(-len(codes) // CHUNK_ROWS)):
        cancel.check()
        rows = xgboost.DMatrix(part, nthread=n_jobs, **kinds)
        found.append(booster.predict(rows, pred_contribs=True))
    return np.concatenate(found)


def shap_table(names: list[str], values: np.ndarray) -> pd.DataFrame:
    """Of each feature the mean absolute SHAP value, most first, and where 90 % of its values lie.

    Args:
        names: of the features.
        values: as of ``shap_values``.
    """
    values = values[:, :-1].astype(float)
    low, high = np.quantile(values, [0.05, 0.95], axis=0)
    columns = {
        "feature": names,
        "mean_abs_shap": np.abs(values).mean(axis=0),
        "shap_p05": low,
        "shap_p95": high,
    }
    return pd.DataFrame(columns).sort_values("mean_abs_shap", ascending=False, ignore_index=True)
