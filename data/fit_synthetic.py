"""Fit the recipe of the synthetic rows to the real ones.

CENSUS_DATA_DIR=<folder of the real files> python -m data.fit_synthetic
"""

import numpy as np
import pandas as pd
import xgboost
from sklearn.tree import DecisionTreeClassifier

from census import data, synthetic, table

LEAVES = 320
ROWS_PER_LEAF = 20
DISTINCT = 256  # a number with more distinct values than this is drawn from
BINS = 64  # quantile bins
BOOSTER = {"max_depth": 6, "learning_rate": 0.1, "min_child_weight": 3, "nthread": 1}
TREES = 200


def fit(train: data.Split) -> dict[str, np.ndarray]:
    """The recipe: per column its values, the nodes of its tree, and the counts in the leaves."""
    recipe, codes = {}, np.empty((len(train.y), 0), np.int16)
    for name in table.FEATURES:
        code, values, widths = _encode(train.X[name], train.y)
        recipe[f"{name}.values"] = values
        if widths is not None:
            recipe[f"{name}.widths"] = widths
        nodes, entries, counts = _grow(codes, code)
        recipe |= {f"{name}.nodes": nodes, f"{name}.entries": entries, f"{name}.counts": counts}
        codes = np.column_stack([codes, code]).astype(np.int16)
    matrix = xgboost.QuantileDMatrix(codes.astype(np.float32), train.y)
    booster = xgboost.train({"objective": "binary:logistic"} | BOOSTER, matrix, TREES)
    return recipe | {"booster": np.frombuffer(booster.save_raw("ubj"), np.uint8)}


def _encode(column: pd.Series, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Codes (n_samples,), what each code stands for and, for bins, how many numbers it holds."""
    if column.name in table.CATEGORICAL:  # in the order of their share of positive labels
        words = column.cat.add_categories(table.MISSING).fillna(table.MISSING)
        share = pd.Series(y).groupby(words, observed=True).mean().sort_values(kind="stable")
        return share.index.get_indexer(words), np.array(list(share.index)), None
    numbers = column.to_numpy().astype(np.int64)
    values = np.unique(numbers)
    if len(values) > DISTINCT:
        edges = np.unique(np.quantile(numbers, np.linspace(0, 1, BINS + 1)).astype(np.int64))
        edges[-1] += 1
        code = np.searchsorted(edges, numbers, side="right") - 1
        return code, edges[:-1].astype(np.int32), np.diff(edges).astype(np.int32)
    return np.searchsorted(values, numbers), values.astype(np.int32), None


def _grow(codes: np.ndarray, code: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A tree that tells ``code`` from the earlier ``codes``: its nodes, entries and counts."""
    if codes.shape[1]:
        model = DecisionTreeClassifier(
            criterion="entropy",
            max_leaf_nodes=LEAVES,
            min_samples_leaf=ROWS_PER_LEAF,
            random_state=0,
        ).fit(codes, code)
        tree, leaf = model.tree_, model.apply(codes)
        nodes = np.column_stack(
            [tree.feature, np.floor(tree.threshold), tree.children_left, tree.children_right]
        ).astype(np.int16)
    else:
        nodes, leaf = np.full((1, 4), -1, np.int16), np.zeros(len(code), np.int64)
    entries, counts = [], []
    for node in np.unique(leaf):
        found, n = np.unique(code[leaf == node], return_counts=True)
        nodes[node] = -1, 0, len(entries), len(entries) + len(found) - 1
        entries.extend(found)
        counts.extend(n)
    return nodes, np.array(entries, np.int16), np.array(counts, np.int32)


def main() -> None:
    np.savez_compressed(synthetic.RECIPE, **fit(data.load("uci").train))
    print(f"{synthetic.RECIPE}: {synthetic.RECIPE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
