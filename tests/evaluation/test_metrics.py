"""Metrics against values worked out by hand."""

import numpy as np
import pytest
import scipy.stats

from tabular.evaluation import metrics

Y = np.array([0, 0, 1, 1, 1])
P = np.array([0.1, 0.6, 0.5, 0.8, 0.2])


def test_scores_are_those_worked_out_by_hand():
    """At 0.5: predicted 0 1 1 1 0, so TN 1, FP 1, TP 2, FN 1."""
    found = metrics.classification_metrics(Y, P)
    # pairs (positive, negative) in the right order: .5>.1, .8>.1, .2>.1, .8>.6: 4 of 6
    # precision at each positive, by falling probability .8 .6 .5 .2 .1: 1/1, 2/3, 3/4
    assert found == pytest.approx(
        {
            "accuracy": 3 / 5,
            "roc_auc": 4 / 6,
            "log_loss": -np.log([0.9, 0.4, 0.5, 0.8, 0.2]).mean(),
            "average_precision": (1 + 2 / 3 + 3 / 4) / 3,
            "f1": 2 / 3,
            "precision": 2 / 3,
            "recall": 2 / 3,
            "brier_score": (0.01 + 0.36 + 0.25 + 0.04 + 0.64) / 5,
        }
    )


@pytest.mark.parametrize(("threshold", "accuracy"), [(0.0, 3 / 5), (0.2, 4 / 5), (0.9, 2 / 5)])
def test_a_row_at_the_threshold_counts_as_positive(threshold, accuracy):
    assert metrics.classification_metrics(Y, P, threshold)["accuracy"] == pytest.approx(accuracy)


def test_nobody_predicted_positive_is_a_zero_not_a_warning():
    assert metrics.classification_metrics(Y, P, 0.95)["precision"] == 0


def test_a_bootstrap_recounts_the_metrics_of_the_rows_it_draws():
    """The same draw, taken from the rows themselves, ties included, and scored by scikit-learn."""
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, 300).astype(np.int8)
    p = (np.round(rng.random(300) * 0.5 + 0.25 * y, 2)).astype(np.float32)
    found = metrics.bootstrap(y, p, n_replicates=4, seed=7)
    draws = np.random.default_rng(7)
    for number in range(4):
        rows = draws.integers(0, 300, 300, np.int32)
        expected = metrics.classification_metrics(y[rows], p[rows])
        assert {k: v[number] for k, v in found.items()} == pytest.approx(expected, rel=1e-6)


def test_a_bootstrap_of_few_rows_leaves_out_what_is_undefined():
    """Draws without a positive row have no recall; nobody selected in any: no precision at all."""
    found = metrics.bootstrap(np.array([0, 0, 0, 1]), np.array([0.1, 0.2, 0.3, 0.4]))
    assert np.isnan(found["recall"]).any()
    assert np.isfinite(metrics.percentile_interval(found["recall"])).all()
    assert np.isfinite(metrics.percentile_interval(found["log_loss"])).all()


def test_counting_many_rows_gives_the_interval_of_drawing_them():
    rng = np.random.default_rng(2)
    p = rng.beta(0.6, 1.6, 50_000)
    y = (rng.random(len(p)) < p).astype(np.int8)
    drawn, counted = (metrics.bootstrap(y, p, binned=binned) for binned in (False, True))
    truth = metrics.classification_metrics(y, p)
    for name, values in counted.items():
        deviation = drawn[name].std()
        assert values.mean() == pytest.approx(truth[name], abs=deviation / 5), name
        assert values.std() == pytest.approx(deviation, rel=0.15), name


@pytest.mark.parametrize("metric", ["accuracy", "log_loss", "roc_auc", "precision"])
def test_an_interval_covers_the_truth_as_often_as_it_says(metric):
    """300 samples of 400 rows from a population of 400,000: 95 %, within three standard errors."""
    rng = np.random.default_rng(0)

    def draw(n):
        truth = rng.beta(0.6, 1.6, n)
        y = (rng.random(n) < truth).astype(np.int8)
        return y, np.clip(truth + rng.normal(0, 0.1, n), 0.01, 0.99)

    truth = metrics.classification_metrics(*draw(400_000))[metric]
    covered = 0
    for number in range(300):
        replicates = metrics.bootstrap(*draw(400), n_replicates=300, seed=number)[metric]
        low, high = metrics.percentile_interval(replicates)
        covered += low <= truth <= high
    assert abs(covered / 300 - 0.95) < 3 * np.sqrt(0.95 * 0.05 / 300)


def test_two_models_are_compared_on_the_same_draws():
    """The interval of a paired difference is far narrower than that of each model."""
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 2000)
    p = np.clip(0.5 + 0.3 * (y - 0.5) + rng.normal(0, 0.2, 2000), 0.01, 0.99)
    one, other = (metrics.bootstrap(y, q)["log_loss"] for q in (p, p * 0.99))
    assert (one - other).std() < 0.2 * one.std()
    assert metrics.percentile_interval(one - metrics.bootstrap(y, p)["log_loss"]) == (0, 0)


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (5, 5), (1, 3), (870, 1000)])
def test_an_interval_of_a_share_is_wilsons(hits, n):
    """As scipy computes it."""
    expected = scipy.stats.binomtest(hits, n).proportion_ci(method="wilson")
    assert metrics.wilson_interval(hits / n, n) == pytest.approx(
        [expected.low, expected.high], abs=1e-6
    )


def test_reliability_counts_and_shares_are_those_of_its_bins():
    """1.0 belongs to the last bin; bins without rows are left out."""
    p = np.array([0.05, 0.05, 0.95, 1.0], np.float32)
    found = metrics.reliability_table(np.array([0, 1, 1, 1], np.int8), p)
    assert found["bin"].tolist() == pytest.approx([0.05, 0.95])
    assert found["rows"].tolist() == [2, 2]
    assert found["observed"].tolist() == [0.5, 1.0]
    # |0.05 - 0.5| and |0.975 - 1|, both for half of the rows
    assert metrics.calibration_error(found) == pytest.approx((0.45 + 0.025) / 2)


def test_thresholds_give_what_was_worked_out_by_hand():
    found = metrics.threshold_table(Y, P).set_index("threshold")
    # from 0.5 on: 0.6 (wrong), 0.5, 0.8; from 0.9 on: nobody
    assert found.loc[0.5].tolist() == pytest.approx([2 / 3, 2 / 3, 3 / 5, 3 / 5])
    assert np.isnan(found.loc[0.9, "precision"])
    assert found.loc[0.9, ["recall", "selection_rate", "accuracy"]].tolist() == [0, 0, 2 / 5]
