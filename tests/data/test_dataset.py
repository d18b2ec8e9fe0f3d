"""A dataset of two splits."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tabular.data.census import CENSUS
from tabular.data.dataset import Dataset, Split


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
