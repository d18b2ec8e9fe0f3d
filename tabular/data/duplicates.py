"""Rows that occur in both splits."""

import numpy as np
import pandas as pd

from tabular import cancel
from tabular.data.dataset import Split

MAX_TEST_ROWS = 1 << 17  # of more test rows, so many are drawn
CHUNK_ROWS = 1 << 20  # training rows that are hashed at a time


def equal_rows(train: Split, test: Split) -> tuple[float, float, int]:
    """How many test rows are equal to a training row in all features, and whether the labels agree.

    Rows are compared by a hash of 64 bits, in memory that does not grow with the training rows.

    Returns:
        The share of such test rows, 0 to 1; of the different ones among them that have the rarer
        label, the mean share of equal training rows that have it too (NaN if there are none), and
        their number.
    """
    X, y = test.X, test.y
    if len(X) > MAX_TEST_ROWS:
        chosen = np.random.default_rng(0).choice(len(X), MAX_TEST_ROWS, replace=False)
        X, y = X.iloc[chosen], y[chosen]
    hashes, index = np.unique(_hash_rows(X), return_inverse=True)
    n_equal, n_positive = np.zeros(len(hashes)), np.zeros(len(hashes))
    for start in range(0, train.n_rows, CHUNK_ROWS):
        cancel.check()
        rows = slice(start, start + CHUNK_ROWS)
        chunk = _hash_rows(train.X.iloc[rows])
        place = np.searchsorted(hashes, chunk).clip(max=len(hashes) - 1)
        equal = hashes[place] == chunk
        n_equal += np.bincount(place[equal], minlength=len(hashes))
        n_positive += np.bincount(place[equal], train.y[rows][equal], minlength=len(hashes))
    found = n_equal[index] > 0
    rarer = int(2 * y.sum(dtype=int) < len(y))
    members = np.unique(index[found & (y == rarer)])
    if not len(members):
        return float(found.mean()), np.nan, 0
    positive = float((n_positive[members] / n_equal[members]).mean())
    return float(found.mean()), positive if rarer else 1 - positive, len(members)


def _hash_rows(X: pd.DataFrame) -> np.ndarray:
    """A hash of the values of each row, (n_samples,), uint64."""
    return pd.util.hash_pandas_object(X, index=False).to_numpy()
