"""Fit the recipe of the synthetic rows to the real ones.

CENSUS_DATA_DIR=<folder of the real files> python -m data.fit_synthetic
"""

import numpy as np
import pandas as pd
import xgboost
from sklearn.tree import DecisionTreeClassifier

from tabular.data import census, sources, synthetic
from tabular.data.census import CENSUS
from tabular.data.dataset import Split

TREE = {"max_leaf_nodes": 320, "min_samples_leaf": 20, "criterion": "entropy", "random_state": 0}
BOOSTER = {"max_depth": 6, "learning_rate": 0.1, "min_child_weight": 3, "nthread": 1}
ROUNDS = 200
MAX_VALUES = 256  # a numeric column with more distinct values is cut into bins
BINS = 64  # quantile bins


def fit(train: Split) -> dict[str, np.ndarray]:
    """Fit the recipe: values of each column, nodes of its tree, and counts in the leaves."""
    recipe = dict[str, np.ndarray]()
    codes = np.empty((train.n_rows, 0), np.int16)
    for name in CENSUS.features:
        code, arrays = _encode(train.X[name], train.y)
        arrays |= _fit_tree(codes, code)
        recipe |= {f"{name}.{key}": array for key, array in arrays.items()}
        codes = np.column_stack([codes, code]).astype(np.int16)
    matrix = xgboost.QuantileDMatrix(codes.astype(np.float32), train.y)
    booster = xgboost.train({"objective": "binary:logistic"} | BOOSTER, matrix, ROUNDS)
    return recipe | {"booster": np.frombuffer(booster.save_raw("ubj"), np.uint8)}


def _encode(column: pd.Series, y: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Codes (n_samples,), the value of each code and, if the values are bins, their widths."""
    if column.name in CENSUS.categorical:  # codes are in the order of the positive rate
        texts = column.cat.add_categories(census.MISSING).fillna(census.MISSING)
        rate = pd.Series(y).groupby(texts, observed=True).mean().sort_values(kind="stable")
        return rate.index.get_indexer(texts), {"values": np.array(list(rate.index))}
    numbers = column.to_numpy().astype(np.int32)
    values = np.unique(numbers)
    if len(values) <= MAX_VALUES:
        return np.searchsorted(values, numbers), {"values": values}
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, BINS + 1)).astype(np.int32))
    edges[-1] += 1
    bins = {"values": edges[:-1], "widths": np.diff(edges)}
    return np.searchsorted(edges, numbers, side="right") - 1, bins


def _fit_tree(codes: np.ndarray, code: np.ndarray) -> dict[str, np.ndarray]:
    """Fit a tree that predicts ``code`` from the earlier ``codes``; its nodes, entries, counts."""
    if not codes.shape[1]:
        codes = np.zeros((len(code), 1))  # the first column: the tree is a single leaf
    model = DecisionTreeClassifier(**TREE).fit(codes, code)
    tree = model.tree_
    nodes = np.column_stack(
        [tree.feature, np.floor(tree.threshold), tree.children_left, tree.children_right]
    ).astype(np.int16)
    pairs = np.column_stack([model.apply(codes), code])
    entries, counts = np.unique(pairs, axis=0, return_counts=True)
    leaf, first, n = np.unique(entries[:, 0], return_index=True, return_counts=True)
    nodes[leaf, :2] = -1, 0
    nodes[leaf, 2:] = np.column_stack([first, first + n - 1])
    return {
        "nodes": nodes,
        "entries": entries[:, 1].astype(np.int16),
        "counts": counts.astype(np.int32),
    }


def main() -> None:
    np.savez_compressed(synthetic.RECIPE, allow_pickle=False, **fit(sources.load("uci").train))
    print(f"{synthetic.RECIPE}: {synthetic.RECIPE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
