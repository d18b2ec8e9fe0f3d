"""Groups of any table: numbers that differ are groups that differ, and no name is used twice."""

from dataclasses import replace

import numpy as np
import pandas as pd

from tabular.data.census import CENSUS
from tabular.evaluation import fairness


def group_names(numbers, bands=()):
    table = replace(CENSUS, bands={"a": bands} if bands else {}, crossed=())
    groups = pd.DataFrame({"a": np.array(numbers, np.float32)})
    return fairness.group_labels(groups, table)["a"].tolist()


def test_large_numbers_are_groups_of_their_own():
    numbers = [1_600_000, 1_600_001, 0.1, 1e30, -3]
    assert group_names(numbers) == ["1600000", "1600001", "0.1", "1e+30", "-3"]


def test_bands_of_large_numbers_have_different_names():
    found = group_names([1_600_000, 1_600_002, 1_600_004], (1_600_001.0, 1_600_003.5))
    assert found == ["below 1600001", "1600001 to below 1600003.5", "1600003.5 and over"]


def test_a_combination_of_columns_does_not_replace_a_column_of_the_same_name():
    groups = pd.DataFrame(
        {name: pd.Categorical(["x", "y"]) for name in ("sex", "race", "sex_race")}
    )
    table = replace(CENSUS, groups=tuple(groups), bands={}, crossed=("sex", "race"))
    found = fairness.group_labels(groups, table)
    assert found["sex_race"].tolist() == ["x", "y"]
    assert found["sex_race_"].tolist() == ["x, x", "y, y"]


def test_groups_of_numbers_are_in_the_order_of_the_numbers():
    numbers = np.array([-9, -1, 5, 60, np.nan] * 4, np.float32)
    groups = pd.DataFrame({"a": numbers, "b": numbers})
    table = replace(
        CENSUS, columns={"a": "numeric", "b": "numeric"}, groups=("b", "a"), crossed=(),
        bands={"a": (-5.5, 0.0, 10.0)},
    )  # fmt: skip
    y = np.arange(20) % 2
    found = fairness.group_table(fairness.metric_frames(groups[["b", "a"]], table, y, y), table)
    assert found["group"].tolist() == [
        *("-9", "-1", "5", "60", "missing"),
        *("below -5.5", "-5.5 to below 0", "0 to below 10", "10 and over", "missing"),
    ]
