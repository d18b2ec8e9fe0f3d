"""Rows that occur in both splits."""

import numpy as np
import pandas as pd
import pytest

from tabular.data import duplicates
from tabular.data.dataset import Split


def split(numbers, texts, y):
    text = pd.Series(texts, dtype=pd.CategoricalDtype(sorted({t for t in texts if t})))
    X = pd.DataFrame({"n": np.array(numbers, np.float32), "t": text})
    return Split(X, np.array(y, np.int8), X[[]], "rows", "", False)


TRAIN = split([1, 1, 2, np.nan, 3], ["ü", "ü", "b", "c", None], [1, 0, 1, 1, 0])
TEST = split([1, 2, np.nan, 3, 1], ["ü", "x", "c", None, "c"], [1, 0, 1, 0, 0])


def test_rows_are_equal_by_value_whatever_the_categories_of_the_splits():
    """Equal are 1 ü (of one of two rows the label agrees), missing c, and 3 missing."""
    assert duplicates.equal_rows(TRAIN, TEST) == (3 / 5, 3 / 4, 2)


def test_chunks_of_training_rows_give_the_same(monkeypatch):
    monkeypatch.setattr(duplicates, "CHUNK_ROWS", 2)
    assert duplicates.equal_rows(TRAIN, TEST) == (3 / 5, 3 / 4, 2)


def test_of_many_test_rows_a_sample_is_compared(monkeypatch):
    monkeypatch.setattr(duplicates, "MAX_TEST_ROWS", 500)
    y = np.arange(2000) % 2
    test = split(np.arange(2000), ["a"] * 2000, y)
    train = split(np.arange(0, 4000, 4), ["a"] * 1000, y[:1000])
    share, _, _ = duplicates.equal_rows(train, test)
    assert share == pytest.approx(0.25, abs=0.08)


def test_without_an_equal_row_there_is_no_agreement():
    share, agreement, n_rows = duplicates.equal_rows(TRAIN, split([9], ["b"], [1]))
    assert (share, n_rows) == (0, 0)
    assert np.isnan(agreement)
