"""Explanations of a booster: the importance of its features, and SHAP values of rows.

Source: Lundberg et al., From local explanations to global understanding with explainable AI for
trees, 2020.
"""

import numpy as np
import pandas as pd
import xgboost

from tabular import cancel
from tabular.model.served import Encoder

MAX_ROWS = 2000  # to explain
MAX_LEAVES = 8_000  # of a model with more leaves, fewer rows are explained
CHUNK_ROWS = 100  # rows between two checks for cancellation


def importance_table(booster: xgboost.Booster) -> pd.DataFrame:
    """Importance of each feature, by falling gain; 0 for a feature without a split.

    Returns:
        Columns ``feature``, ``gain`` (the mean reduction of the log loss over the feature's
        splits), ``weight`` (the number of splits) and ``cover`` (the mean sum of hessians of the
        rows that reach a split).
    """
    scores = {kind: booster.get_score(importance_type=kind) for kind in ("gain", "weight", "cover")}
    table = pd.DataFrame(scores, index=booster.feature_names).fillna(0.0)
    table.index = Encoder(booster).names
    return table.rename_axis("feature").sort_values("gain", ascending=False).reset_index()


def sample_rows(booster: xgboost.Booster, n_samples: int, seed: int = 0) -> np.ndarray:
    """Sorted indices of the rows to explain, drawn without replacement from ``n_samples`` rows."""
    n_splits = np.sum([*booster.get_score(importance_type="weight").values()])
    n_leaves = n_splits + booster.num_boosted_rounds()
    n_rows = int(min(MAX_ROWS, max(MAX_ROWS * MAX_LEAVES // n_leaves, CHUNK_ROWS), n_samples))
    return np.sort(np.random.default_rng(seed).choice(n_samples, n_rows, replace=False))


class Explanation:
    """Exact SHAP values, which every thread that calls ``compute`` helps to compute.

    One thread can begin in the background, and others join when they have nothing else to do.
    """

    def __init__(self, booster: xgboost.Booster, codes: np.ndarray) -> None:
        """Compute nothing yet; arguments as of ``shap_values``."""
        self.booster = booster
        self._chunks = np.array_split(codes, -(-len(codes) // CHUNK_ROWS))
        self._todo = iter(range(len(self._chunks)))
        self._values: dict[int, np.ndarray] = {}

    def compute(self) -> None:
        """Compute what no other thread has begun, on one core."""
        booster = self.booster.copy()  # XGBoost allows one thread for each
        booster.set_param("nthread", "1")
        features = {"feature_names": booster.feature_names, "feature_types": booster.feature_types}
        for number in self._todo:
            cancel.check()
            matrix = xgboost.DMatrix(self._chunks[number], nthread=1, **features)
            self._values[number] = booster.predict(matrix, pred_contribs=True)

    def values(self) -> np.ndarray:
        """The values, as of ``shap_values``, once every call of ``compute`` has returned."""
        return np.concatenate([self._values[number] for number in range(len(self._chunks))])


def shap_values(booster: xgboost.Booster, codes: np.ndarray) -> np.ndarray:
    """Exact SHAP values in log odds: what each feature adds to the prediction for each row.

    Args:
        codes: (n_samples, n_features), as ``served.Encoder`` returns them.

    Returns:
        (n_samples, n_features + 1); the last column is the mean prediction, and the sum of a row
        is the prediction in log odds.
    """
    explanation = Explanation(booster, codes)
    explanation.compute()
    return explanation.values()


def shap_table(names: list[str], values: np.ndarray) -> pd.DataFrame:
    """Mean absolute SHAP value of each feature, largest first, and the range of 90 % of its values.

    Args:
        names: of the features, (n_features,).
        values: as ``shap_values`` returns them.
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
