"""A dataset of two splits."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tabular.data import sources
from tabular.data.census import CENSUS
from tabular.data.dataset import Dataset, Split
from tabular.data.requests import TableRequest
from tests.tables import churn


@pytest.fixture
def made():
    X = pd.DataFrame({"x": [1.0, 2.0]})
    split = Split(X, np.array([0, 1], np.int8), X[[]], "a", "00", False)
    return Dataset(CENSUS, split, replace(split, name="b", digest="11"), "directory", "/folder")


def test_names_show_that_rows_are_synthetic(made):
    assert made.qualify("model") == "model"
    assert replace(made, origin="synthetic").qualify("model") == "synthetic model"


def test_the_digest_depends_on_both_splits(made):
    others = [replace(made, train=made.test), replace(made, test=made.train)]
    assert len({made.digest, *(other.digest for other in others)}) == 3
    assert made.train.n_rows == 2


def test_parts_of_one_file_are_told_apart_by_their_rows_and_not_by_their_labels(tmp_path):
    """The rule of the split depends on the names of columns, which aliases change."""
    frame = churn(300).drop(columns="customerID").sort_values("Churn")
    path = tmp_path / "churn.csv"
    frame.to_csv(path, index=False)
    request = TableRequest(label="Churn")
    first, same = (sources.load(str(path), request).test for _ in range(2))
    other = sources.load(str(path), replace(request, aliases={"area": ("country",)})).test
    assert same.has_rows_of(first)
    assert np.array_equal(other.y, first.y)
    assert other.digest == first.digest
    assert not other.has_rows_of(first)
