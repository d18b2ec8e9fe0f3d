"""Drift: rows are counted by cell, and differences that chance explains are not reported."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tabular.evaluation import drift
from tabular.evaluation.drift import Counter, Profile
from tabular.model.served import Categories

TEXTS = ["rot", "grün", "年", "selten"]


def some_rows(n_rows: int, seed: int = 0) -> pd.DataFrame:
    """A number, a number with few values, and text; one in ten values is missing."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "größe": rng.normal(size=n_rows),
            "step": rng.integers(0, 3, n_rows) * 0.1,
            "farbe": pd.Categorical(rng.choice(TEXTS, n_rows, p=[0.5, 0.3, 0.19, 0.01]), TEXTS),
        }
    )
    return frame.where(rng.random(frame.shape) > 0.1)


def make_profile(X: pd.DataFrame) -> Profile:
    known = Categories((text, code) for code, text in enumerate(TEXTS))
    encode = SimpleNamespace(names=[*X], lookups=[None, None, known])
    farbe = X["farbe"].cat.codes.replace(-1, np.nan)
    codes = X.assign(farbe=farbe).to_numpy(np.float32)
    return Profile.make(drift.profile_columns(codes, encode), np.linspace(0, 1, 1000), 0.5)


def make_counter(train: pd.DataFrame, *blocks: pd.DataFrame) -> Counter:
    counter = Counter(make_profile(train), {"farbe": TEXTS})
    for X in blocks:
        counter.add(counter.count(X, np.linspace(0, 1, len(X))))
    return counter


def verdicts(train: pd.DataFrame, scored: pd.DataFrame) -> dict[str, str]:
    table = drift.drift_table(make_counter(train, scored))
    return dict(zip(table["column"], table["drift"], strict=True))


def test_the_training_rows_are_counted_as_they_were_in_the_profile():
    """Numbers are compared in 32 bits, in which the bounds were found: 0.7 is none of them."""
    X = some_rows(2000).assign(step=lambda frame: frame["step"] + 0.7)
    counter = make_counter(X, X[:700], X[700:])
    for column, counts in zip(counter.profile.columns, counter.counts, strict=False):
        if column.kind != drift.PREDICTION:
            assert column.counts == counts.tolist()
        assert len(column.labels) == len(counts)
        assert counts.sum() == 2000
        assert counts[-1] == (X[column.name].isna().sum() if column.name in X else 0)


def test_bins_have_about_as_many_rows_each():
    counts = make_profile(some_rows(2000)).columns[0].counts
    assert len(counts) == drift.MAX_BINS + 1
    assert np.ptp(counts[:-1]) <= 2


def test_a_profile_is_read_as_it_was_written(tmp_path):
    profile = make_profile(some_rows(500))
    (tmp_path / "profile.json").write_text(profile.to_json(), encoding="utf-8")
    assert Profile.from_json(tmp_path / "profile.json") == profile


def test_the_share_of_predictions_is_exact_at_the_threshold_of_the_model():
    """With few distinct predictions it is far from that of any hundredth."""
    predictions = np.repeat(np.float32([0.5685, 0.6204]), [300, 700])
    for threshold, rate in ((0.565, 1.0), (0.6203, 0.7), (0.6205, 0.0), (0.62, 0.7)):
        profile = Profile.make([], predictions, threshold)
        assert profile.selection_rate_at(threshold) == rate
    older = Profile([], profile.mean_probability, profile.selection_rates)
    assert older.selection_rate_at(0.62) == 0.7


def test_columns_without_values_have_a_profile():
    train = some_rows(50).assign(größe=np.nan)
    train["farbe"] = pd.Categorical([None] * 50, TEXTS)
    assert verdicts(train, train)["größe"] == "none"
    assert verdicts(train, some_rows(500))["größe"] == "large"


def test_frequent_categories_have_cells_and_others_share_one(monkeypatch):
    monkeypatch.setattr(drift, "MAX_CATEGORIES", 2)
    X = some_rows(1000)
    counter = make_counter(X, X, X.assign(farbe=pd.Categorical(["neu"] * 1000)))
    column, counts = counter.profile.columns[2], counter.counts[2]
    assert column.values == ["rot", "grün"]
    n_others = X["farbe"].isin(TEXTS[2:]).sum()
    assert counts[2:].tolist() == [n_others, 1000, X["farbe"].isna().sum()]


def test_other_rows_of_the_same_distribution_have_no_drift():
    found = verdicts(some_rows(5000), some_rows(3000, seed=1))
    assert found == {"größe": "none", "step": "none", "farbe": "none", "probability": "none"}


@pytest.mark.parametrize(
    ("column", "changed"),
    [
        ("größe", lambda X: X["größe"] + 0.5),
        ("step", lambda X: X["step"] * 2),
        ("größe", lambda X: X["größe"].where(np.arange(len(X)) % 4 > 0)),
        ("farbe", lambda X: X["farbe"].where(X["farbe"] != "rot", "grün")),
        ("farbe", lambda X: X["farbe"].cat.rename_categories({"年": "neu"})),
    ],
    ids=["shifted", "scaled", "missing", "another share", "unseen"],
)
def test_a_changed_column_has_drift_and_no_other(column, changed):
    scored = some_rows(1000, seed=1)
    scored[column] = changed(scored)
    found = verdicts(some_rows(5000), scored)
    assert found.pop(column) in ("moderate", "large")
    assert {*found.values()} == {"none"}


def test_a_significant_difference_with_a_small_index_is_slight():
    moved = some_rows(20_000, seed=1).assign(größe=lambda X: X["größe"] + 0.1)
    assert verdicts(some_rows(20_000), moved)["größe"] == "slight"


@pytest.mark.parametrize("n_rows", [0, 1, 5])
def test_very_few_rows_have_no_drift(n_rows):
    scored = some_rows(n_rows, seed=1).assign(größe=9.0)
    assert {*verdicts(some_rows(1000), scored).values()} <= {"none"}


@pytest.mark.parametrize("n_rows", [100, 1000])
def test_false_alarms_are_as_rare_as_stated(n_rows):
    """In 300 sets of rows; of each set, any significant column is an alarm."""
    counter = make_counter(some_rows(5000))
    columns = [c for c in counter.profile.columns if c.kind != drift.PREDICTION]
    rng, alarms = np.random.default_rng(0), 0
    for _ in range(300):
        p_values = []
        for column in columns:
            shares = np.array(column.counts) / 5000
            drawn = replace(column, counts=rng.multinomial(5000, shares).tolist())
            p_values.append(drift._compare(drawn, rng.multinomial(n_rows, shares))["p_value"])
        alarms += min(p_values) * len(columns) < drift.ALPHA
    assert alarms / 300 < drift.ALPHA + 3 * np.sqrt(drift.ALPHA / 300)


def test_the_table_says_which_share_has_changed_most():
    train, scored = some_rows(5000), some_rows(1000, seed=1)
    scored["farbe"] = pd.Categorical(["grün"] * 900 + ["neu"] * 60 + [None] * 40)
    table = drift.drift_table(make_counter(train, scored))
    row = table.iloc[0]
    assert (row["column"], row["cell"], row["cell_scored"]) == ("farbe", "grün", 0.9)
    assert row["cell_train"] == (train["farbe"] == "grün").mean()
    assert (row["missing_scored"], row["unseen_scored"]) == (0.04, 0.06)
    assert row["missing_train"] == train["farbe"].isna().mean()
    assert table["column"].iloc[-1] == "probability"
    assert table["psi"][:-1].is_monotonic_decreasing


def test_other_predictions_have_drift():
    counter = make_counter(X := some_rows(1000))
    counter.add(counter.count(X, np.linspace(0, 0.5, len(X))))
    row = drift.drift_table(counter).iloc[-1]
    assert (row["kind"], row["drift"]) == (drift.PREDICTION, "large")


@pytest.mark.parametrize(
    ("n_rows", "n_features", "step"),
    [
        (1, 1, 1),
        (32_561, 14, 1),
        (100_001, 14, 2),
        (10**7, 14, 100),
        (5000, 2000, 2),
        (9, 10**7, 9),
    ],
)
def test_a_profile_is_computed_from_a_bounded_number_of_values(n_rows, n_features, step):
    assert drift.sample_step(n_rows, n_features) == step
