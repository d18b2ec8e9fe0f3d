"""Encodings of the categories, compared by repeated cross-validation on adult.data alone.

All encodings share the same 5 folds, repeated 4 times. Differences are paired by fold, and given
with their standard error, which is slightly too small because folds of a repetition share rows.

    CENSUS_DATA_DIR=<folder of the real files> python -m benchmarks.categories
"""

import numpy as np
import pandas as pd
import xgboost
from sklearn.model_selection import RepeatedStratifiedKFold
from tqdm import tqdm

from tabular.data import sources
from tabular.data.census import CENSUS
from tabular.evaluation import metrics

CHOSEN = "XGBoost's categories"
METRICS = ("log_loss", "accuracy", "roc_auc")


def by_share(X: pd.DataFrame, y: np.ndarray, rows: np.ndarray) -> pd.DataFrame:
    """Target encoding by rank: codes in the order of the training rows' share of positives."""
    X = X.copy()
    for name in CENSUS.categorical:
        share = pd.Series(y[rows]).groupby(X[name].iloc[rows].to_numpy(), observed=True).mean()
        codes = X[name].cat.set_categories(share.sort_values().index, ordered=True).cat.codes
        X[name] = codes.astype(np.float32).replace(-1, np.nan)
    return X


def candidates(X: pd.DataFrame, y: np.ndarray):
    """For each encoding a function of the training rows: encoded features, XGBoost's options."""
    codes = X.copy()
    for name in CENSUS.categorical:
        codes[name] = X[name].cat.codes.astype(np.float32).replace(-1, np.nan)
    columns = pd.get_dummies(X, columns=list(CENSUS.categorical), dtype=np.float32)
    without_weight = X.drop(columns="fnlwgt")
    return {
        CHOSEN: lambda rows: (X, {}),
        "one category against the rest": lambda rows: (X, {"max_cat_to_onehot": 100}),
        "one column for each category": lambda rows: (columns, {}),
        "codes in alphabetical order": lambda rows: (codes, {}),
        "codes in the order of their share": lambda rows: (by_share(X, y, rows), {}),
        f"{CHOSEN}, without fnlwgt": lambda rows: (without_weight, {}),
    }


def main() -> None:
    train = sources.load("uci").train
    y, encodings = train.y, candidates(train.X, train.y)
    folds = list(RepeatedStratifiedKFold(n_splits=5, n_repeats=4, random_state=0).split(y, y))
    for max_depth in (3, 6):
        found = {name: [] for name in encodings}
        for rows, held_out in tqdm(folds, desc=f"max_depth={max_depth}", disable=None):
            for name, encode in encodings.items():
                X, options = encode(rows)
                matrix = xgboost.QuantileDMatrix(X.iloc[rows], y[rows], enable_categorical=True)
                parameters = {"objective": "binary:logistic", "max_depth": max_depth} | options
                booster = xgboost.train(parameters | {"learning_rate": 0.1}, matrix, 100)
                scores = metrics.classification_metrics(
                    y[held_out], booster.inplace_predict(X.iloc[held_out])
                )
                found[name].append([scores[metric] for metric in METRICS])
        print(f"max_depth={max_depth}, learning_rate=0.1, n_estimators=100; {len(folds)} folds")
        for name, values in found.items():
            mean = np.mean(values, axis=0)
            difference = np.array(values) - np.array(found[CHOSEN])
            error = difference.std(axis=0, ddof=1) / np.sqrt(len(folds))
            print(
                f"  {name:38}"
                + "  ".join(
                    f"{metric} {m:.4f} ({d:+.4f} ± {e:.4f})"
                    for metric, m, d, e in zip(
                        METRICS, mean, difference.mean(axis=0), error, strict=True
                    )
                )
            )


if __name__ == "__main__":
    main()
