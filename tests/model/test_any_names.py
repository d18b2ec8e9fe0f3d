"""Columns of any name and categories of any characters are trained on and told apart."""

import numpy as np
import pandas as pd

from tabular.model import boosting, served
from tabular.model.hyperparameters import DEFAULTS


def test_a_column_may_have_the_name_of_an_argument_of_pandas():
    y = np.arange(40) % 2
    X = pd.DataFrame({"self": pd.Categorical(np.where(y, "ö", "ä")), "columns": y * 1.0})
    escaped = boosting.escape(X)
    assert [*escaped] == ["self", "columns"]
    assert [*escaped["self"].cat.categories] == ["\\xe4", "\\xf6"]
    assert [*X["self"].cat.categories] == ["ä", "ö"]
    booster, _ = boosting.fit(DEFAULTS | {"n_estimators": 1}, boosting.bin_rows(X, y))
    assert served.Encoder(booster)(X)[:2].tolist() == [[0, 0], [1, 1]]
