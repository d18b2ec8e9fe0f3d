"""Metrics by group against values worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from tabular.data.census import CENSUS
from tabular.data.table import CATEGORICAL, NUMERIC, Table
from tabular.evaluation import fairness

# sex, race, age, label, predicted label
ROWS = [
    ("Female", "White", 24, 1, 1),
    ("Female", "White", 25, 1, 0),
    ("Female", "Black", 34, 0, 0),
    ("Female", None, 35, 0, 1),
    ("Male", "White", 64, 1, 1),
    ("Male", "White", 65, 0, 1),
    ("Male", "Black", 90, 0, 0),
    ("Male", "Black", np.nan, 0, 1),
]


@pytest.fixture
def frames():
    table = pd.DataFrame(ROWS, columns=["sex", "race", "age", "y", "predicted"])
    X = table.astype({"sex": "category", "race": "category", "age": np.float32})
    return fairness.metric_frames(
        X[["sex", "race", "age"]],
        CENSUS,
        table["y"].to_numpy(np.int8),
        table["predicted"].to_numpy() == 1,
    )


def test_rates_are_those_worked_out_by_hand(frames):
    table = fairness.group_table(frames, CENSUS).set_index(["feature", "group"])
    rates = ["rows", "positives", *fairness.RATES]
    expected = {
        ("sex", "Female"): [4, 2, 2 / 4, 2 / 4, 1 / 2, 1 / 2],
        ("sex", "Male"): [4, 1, 2 / 4, 3 / 4, 1, 2 / 3],
        ("race", "Black"): [3, 0, 2 / 3, 1 / 3, np.nan, 1 / 3],
        ("race", "White"): [4, 3, 2 / 4, 3 / 4, 2 / 3, 1],
        ("race", "missing"): [1, 0, 0, 1, np.nan, 1],
        ("sex_race", "Male, Black"): [2, 0, 1 / 2, 1 / 2, np.nan, 1 / 2],
        ("age", "24 and under"): [1, 1, 1, 1, 1, np.nan],
        ("age", "25 to 34"): [2, 1, 1 / 2, 0, 0, 0],
        ("age", "65 and over"): [2, 0, 1 / 2, 1 / 2, np.nan, 1 / 2],
        ("age", "missing"): [1, 0, 0, 1, np.nan, 1],
    }
    for group, values in expected.items():
        assert table.loc[group, rates].tolist() == pytest.approx(values, nan_ok=True), group
    assert table.loc["sex", "rows"].sum() == table.loc["sex_race", "rows"].sum() == len(ROWS)


def test_an_interval_is_that_of_the_rows_that_the_rate_counts(frames):
    """Wilson's interval of 1 in 2 is 0.0945 to 0.9055; that of 2 in 4 is narrower."""
    female = fairness.group_table(frames, CENSUS).set_index("group").loc["Female"]
    ends = female[["true_positive_rate_low", "true_positive_rate_high"]].tolist()
    assert ends == pytest.approx([0.0945, 0.9055], abs=1e-4)
    assert female["accuracy_high"] - female["accuracy_low"] < ends[1] - ends[0]


def test_disparities_are_the_largest_rate_minus_the_smallest(frames):
    """A group without positives has no true positive rate; it does not count as 0."""
    values = fairness.disparities(frames)
    assert values["group/demographic_parity_difference_sex"] == pytest.approx(3 / 4 - 2 / 4)
    assert values["group/equalized_odds_difference_sex"] == pytest.approx(max(1 / 2, 2 / 3 - 1 / 2))
    assert values["group/demographic_parity_difference_race"] == pytest.approx(1 - 1 / 3)
    assert values["group/equalized_odds_difference_race"] == pytest.approx(1 - 1 / 3)
    assert set(values) == {
        f"group/{kind}_difference_{feature}"
        for kind in ("demographic_parity", "equalized_odds")
        for feature in ("sex", "race", "age", "sex_race")
    }


def test_groups_are_in_the_order_of_their_bands_and_numbers():
    groups = pd.DataFrame({"years": [30.0, 9.0, 2.0, np.nan], "rooms": [10.0, 9.0, 2.0, 2.0]})
    table = Table(
        name="flats",
        columns={"years": NUMERIC, "rooms": NUMERIC},
        label="sold",
        negative="no",
        positive="yes",
        groups=("years", "rooms"),
        bands={"years": (9.0, 29.0)},
    )
    y = np.array([0, 1, 0, 1])
    rows = fairness.group_table(fairness.metric_frames(groups, table, y, y), table)
    by_feature = rows.groupby("feature")["group"].agg(list)
    assert by_feature["years"] == ["below 9", "9 to below 29", "29 and over", "missing"]
    assert by_feature["rooms"] == ["2", "9", "10"]


def test_a_number_that_equals_a_bound_is_in_the_band_above_it():
    """Numbers of tables have 32 bits, in which 0.7 is less than 0.7 in 64 bits."""
    bounds = (0.4, 0.7, 1.1)
    groups = pd.DataFrame({"s": np.array([0.7, 0.4, 1.1, 0.69], np.float32)})
    table = Table(
        name="t", columns={"s": NUMERIC}, label="y", negative="n", positive="p", groups=("s",),
        bands={"s": bounds},
    )  # fmt: skip
    found = fairness.group_labels(groups, table)["s"].tolist()
    assert found == ["0.7 to below 1.1", "0.4 to below 0.7", "1.1 and over", "0.4 to below 0.7"]


def test_a_combination_of_groups_is_not_taken_for_a_column():
    groups = pd.DataFrame({"a": ["x", "y"], "b": ["x", "x"]}, dtype="category")
    table = Table(
        name="t", columns={"a": CATEGORICAL, "b": CATEGORICAL, "a_b": NUMERIC}, label="y",
        negative="n", positive="p", groups=("a", "b"), crossed=("a", "b"),
    )  # fmt: skip
    y = np.array([0, 1])
    rows = fairness.group_table(fairness.metric_frames(groups, table, y, y), table)
    assert rows.loc[rows["feature"] == "a_b_", "group"].tolist() == ["x, x", "y, x"]


def test_rows_without_a_value_are_not_those_of_a_category_called_missing():
    groups = pd.DataFrame({"a": pd.Categorical(["missing", None, "x"])})
    table = Table(
        name="t", columns={"a": CATEGORICAL}, label="y", negative="n", positive="p", groups=("a",)
    )
    found = fairness.group_labels(groups, table)["a"].tolist()
    assert found == ["missing", "missing value", "x"]
