"""Paired comparisons of two models: differences, intervals and verdicts, in all and by group."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tabular.data.census import CENSUS
from tabular.evaluation import bootstrap, fairness, paired
from tabular.evaluation.metrics import classification_metrics


def draw(n, rng, noise_a=0.0, noise_b=0.0, lift=0.0):
    """Labels, and the probabilities of two models; ``lift`` makes those of b too high."""
    log_odds = rng.normal(-1, 1.5, n)
    y = (rng.random(n) < 1 / (1 + np.exp(-log_odds))).astype(np.int8)
    a, b = (log_odds + rng.normal(0, noise, n) for noise in (noise_a, noise_b))
    return y, *(1 / (1 + np.exp(-log_odds)) for log_odds in (a, b + lift))


def people(n, rng):
    return pd.DataFrame({
        "sex": pd.Categorical(rng.choice(["Female", "Male"], n)),
        "race": pd.Categorical(rng.choice(["rare", "White"], n, p=[0.02, 0.98])),
        "age": rng.integers(17, 90, n).astype(np.float32),
    })  # fmt: skip


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("thresholds", [(0.5, 0.5), (0.3, 0.6)])
def test_a_difference_is_that_of_model_b_minus_that_of_model_a(rng, thresholds):
    y, a, b = draw(500, rng, 0.3, 1.5)
    table = paired.metric_differences(y, a, b, thresholds).set_index("metric")
    of_a, of_b = (classification_metrics(y, *of) for of in zip((a, b), thresholds, strict=True))
    assert (table["a"].to_dict(), table["b"].to_dict()) == (of_a, of_b)
    assert table["difference"].to_dict() == {name: of_b[name] - of_a[name] for name in of_a}
    ends = table[["low", "high"]].apply(tuple, axis=1).to_dict()
    assert ends == bootstrap.paired_intervals(y, a, b, thresholds)
    assert (table["low"] <= table["high"]).all()


def test_less_is_better_for_losses_and_more_for_all_else(rng):
    y, a, b = draw(5000, rng, 2.0, 0.0)
    table = paired.metric_differences(y, a, b).set_index("metric")
    losses = table.loc[["log_loss", "brier_score"]]
    assert (losses["high"] < 0).all()
    assert (losses["b_is"] == paired.BETTER).all()
    assert table.loc["roc_auc", "low"] > 0
    assert table.loc["roc_auc", "b_is"] == paired.BETTER
    reverse = paired.metric_differences(y, b, a).set_index("metric")
    assert (reverse.loc[["log_loss", "brier_score", "roc_auc"], "b_is"] == paired.WORSE).all()


def test_equal_models_are_not_told_apart_by_any_metric_or_group(rng):
    y, a, _ = draw(2000, rng)
    table = paired.metric_differences(y, a, a)
    assert (table[["difference", "low", "high"]] == 0).all(axis=None)
    assert {*table["b_is"]} == {paired.SAME}
    groups = paired.group_differences(people(2000, rng), CENSUS, y, a, a)
    assert {*groups["accuracy_b_is"]} == {paired.SAME}
    for rate in paired.GROUP_RATES:
        assert (groups[f"{rate}_difference"] == 0).all()
        assert (groups[f"{rate}_difference_low"] < 0).all()
        assert (groups[f"{rate}_difference_high"] > 0).all()


def test_a_metric_that_no_resampled_row_defines_has_no_verdict():
    y, low = np.array([0, 1] * 50, np.int8), np.full(100, 0.2)
    table = paired.metric_differences(y, low, low).set_index("metric")
    assert table.loc["precision", "b_is"] == "undefined"
    assert table.loc["log_loss", "b_is"] == paired.SAME


def test_rates_by_group_are_those_of_each_model_in_the_same_order(rng):
    y, *probabilities = draw(1000, rng, 0.3, 0.6)
    groups = people(1000, rng).sample(frac=1, random_state=0)  # its index is in another order
    found = paired.group_differences(groups, CENSUS, y, *probabilities, (0.4, 0.6))
    for model, probability, threshold in zip("ab", probabilities, (0.4, 0.6), strict=True):
        frames = fairness.metric_frames(groups, CENSUS, y, probability >= threshold)
        expected = fairness.group_table(frames, CENSUS)
        assert found["group"].tolist() == expected["group"].tolist()
        assert [*map(str, found["rows"])] == [*map(str, expected["rows"])]
        for rate in paired.GROUP_RATES:
            assert found[f"{rate}_{model}"].tolist() == pytest.approx(expected[rate].tolist())


@pytest.mark.parametrize(
    ("n", "verdicts"), [(3, ("not told apart",) * 2), (30, ("better", "worse"))]
)
def test_only_many_rows_of_a_group_tell_models_apart(n, verdicts):
    """Rows on which one model is right and the other is wrong."""
    y, groups = np.ones(n), pd.DataFrame({"sex": ["Male"] * n})
    models, table = (np.full(n, 0.4), np.full(n, 0.6)), replace(CENSUS, crossed=())
    for (a, b), difference, verdict in zip((models, models[::-1]), (1, -1), verdicts, strict=True):
        found = paired.group_differences(groups, table, y, a, b)
        assert found["accuracy_difference"].tolist() == [difference]
        low, high = found["accuracy_difference_low"][0], found["accuracy_difference_high"][0]
        assert (low < 0 < high) == (n == 3)
        assert found["accuracy_b_is"].tolist() == [verdict]


def test_an_interval_of_a_difference_of_shares_is_that_worked_out_by_hand():
    """It ends at -1 and 1."""
    gained, lost, n = (pd.Series(counts) for counts in ([5, 1, 0], [1, 0, 1], [8, 1, 1]))
    low, high = paired.paired_share_interval(gained, lost, n)
    # 6/10 and 2/10: 0.4 with the variance (0.8 - 0.16) / 10; 2/3 and 1/3: 1/3 with (1 - 1/9) / 3
    half = stats.norm.ppf(0.975) * np.sqrt([0.064, 8 / 27])
    assert low.tolist() == pytest.approx([0.4 - half[0], 1 / 3 - half[1], -1])
    assert high.tolist() == pytest.approx([0.4 + half[0], 1, half[1] - 1 / 3])


@pytest.mark.parametrize("n", [5, 20, 80])
@pytest.mark.parametrize("shares", [(0.01, 0.01), (0.05, 0.02), (0.2, 0.1), (0.3, 0.3)])
def test_intervals_of_a_difference_of_shares_cover_it_however_few_the_rows(n, shares):
    """Exact: the probabilities of all numbers of rows that are gained and lost are added up."""
    gained, lost = (counts.ravel() for counts in np.indices((n + 1, n + 1)))
    possible = gained + lost <= n
    gained, lost = gained[possible], lost[possible]
    low, high = paired.paired_share_interval(pd.Series(gained), pd.Series(lost), n)
    covered = (low <= shares[0] - shares[1]) & (shares[0] - shares[1] <= high)
    outcomes = np.stack([gained, lost, n - gained - lost], axis=1)
    probability = stats.multinomial.pmf(outcomes, n, [*shares, 1 - sum(shares)])
    assert probability[covered].sum() >= 0.94


@pytest.mark.slow
def test_paired_intervals_cover_the_true_differences_in_95_percent_of_samples(monkeypatch, rng):
    """300 samples of 400 rows are drawn; the tolerance is three standard errors."""
    monkeypatch.setattr(bootstrap, "N_REPLICATES", 300)
    models = {"noise_a": 0.3, "noise_b": 0.8, "lift": 0.1}
    y, a, b = draw(400_000, rng, **models)
    of_a, of_b = classification_metrics(y, a), classification_metrics(y, b)
    covered = dict.fromkeys(of_a, 0)
    for _ in range(300):
        for name, (low, high) in bootstrap.paired_intervals(*draw(400, rng, **models)).items():
            covered[name] += low <= of_b[name] - of_a[name] <= high
    tolerance = 3 * np.sqrt(0.95 * 0.05 / 300)
    assert {name: n / 300 for name, n in covered.items()} == pytest.approx(
        dict.fromkeys(of_a, 0.95), abs=tolerance
    )
