"""Metrics and their tables against values worked out by hand."""

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from tabular.evaluation import metrics
from tabular.options import SEARCH_METRICS

Y = np.array([0, 0, 1, 1, 1])
P = np.array([0.1, 0.6, 0.5, 0.8, 0.2])


def test_metrics_are_those_worked_out_by_hand():
    """At threshold 0.5 the predictions are 0 1 1 1 0, so TN 1, FP 1, TP 2, FN 1."""
    values = metrics.classification_metrics(Y, P)
    # pairs (positive, negative) in the right order: .5>.1, .8>.1, .2>.1, .8>.6: 4 of 6
    # precision at each positive, by falling probability .8 .6 .5 .2 .1: 1/1, 2/3, 3/4
    assert values == pytest.approx(
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
def test_a_row_at_the_threshold_is_predicted_positive(threshold, accuracy):
    assert metrics.classification_metrics(Y, P, threshold)["accuracy"] == pytest.approx(accuracy)


@given(
    n_rows=st.integers(2, 3000),
    decimals=st.sampled_from([1, 2, 9]),
    dtype=st.sampled_from([np.float32, np.float64]),
    fewest=st.sampled_from([None, 0, 1]),
    seed=st.integers(0, 2**32 - 1),
)
def test_metrics_equal_those_of_scikit_learn_to_the_bit(n_rows, decimals, dtype, fewest, seed):
    """Without weights, and with weights from ``fewest`` to 5."""
    rng = np.random.default_rng(seed)
    y_true = (rng.random(n_rows) < rng.random()).astype(np.float32)
    y_true[:2] = 0, 1
    probability = rng.normal(0.3 * y_true + 0.3, 0.3).clip(0, 1).round(decimals).astype(dtype)
    weight = None if fewest is None else rng.integers(fewest, 6, n_rows)
    if weight is not None:
        weight[:2] = 1
    found = metrics.classification_metrics(y_true, probability, 0.5, weight)
    predicted, options = probability >= 0.5, {"sample_weight": weight}
    precision, recall, f1, _ = sklearn.metrics.precision_recall_fscore_support(
        y_true, predicted, average="binary", zero_division=0.0, **options
    )
    searched = {
        "log_loss": sklearn.metrics.log_loss(y_true, probability, **options),
        "accuracy": sklearn.metrics.accuracy_score(y_true, predicted, **options),
        "roc_auc": sklearn.metrics.roc_auc_score(y_true, probability, **options),
    }
    assert metrics.search_metrics(y_true, probability, 0.5, weight) == searched
    brier_score = sklearn.metrics.brier_score_loss(y_true, probability, **options)
    expected = searched | {"precision": precision, "recall": recall, "f1": f1}
    expected |= {"brier_score": brier_score}
    assert {name: found[name] for name in expected} == expected
    average_precision = sklearn.metrics.average_precision_score(y_true, probability, **options)
    assert found["average_precision"] == pytest.approx(average_precision)


@given(
    rows=st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=1, max_size=30),
)
def test_curves_are_those_of_scikit_learn(rows):
    """Rows with a tied, a lowest and a highest probability included."""
    labels, steps = zip((False, 3), (True, 4), *rows, strict=True)
    y_true, probability = np.array(labels), np.array(steps) / 8
    counts = metrics.ranking_counts(y_true, probability)
    x, y, _ = sklearn.metrics.roc_curve(y_true, probability)
    assert [values.tolist() for values in metrics.roc_curve(*counts)] == [x.tolist(), y.tolist()]
    precision, recall, _ = sklearn.metrics.precision_recall_curve(y_true, probability)
    found = metrics.precision_recall_curve(*counts)
    assert [values.tolist() for values in found] == [recall.tolist(), precision.tolist()]


@pytest.mark.parametrize(("y_true", "probability", "message"), [
    (Y, np.full(5, np.nan), "NaN"),
    (Y, P + 0.5, "greater than 1"),
    (Y, P - 0.2, "less than 0|lower than 0|negative"),
    (np.zeros(5, int), P, "only one label"),
    (np.ones(5, int), P, "only one label"),
])  # fmt: skip
def test_what_is_no_probability_and_a_single_label_are_errors(y_true, probability, message):
    with pytest.raises(ValueError, match=message):
        metrics.search_metrics(y_true, probability)


def test_a_row_of_probability_a_half_is_predicted_positive_by_default():
    expected = metrics.classification_metrics(Y, P, 0.5)
    assert metrics.classification_metrics(Y, P) == expected
    assert metrics.search_metrics(Y, P).items() <= expected.items()
    assert expected["accuracy"] != metrics.classification_metrics(Y, P, 0.51)["accuracy"]


def test_precision_is_zero_without_a_warning_if_no_row_is_predicted_positive():
    assert metrics.classification_metrics(Y, P, 0.95)["precision"] == 0


def test_a_weight_counts_a_row_as_often():
    weight = np.array([1, 2, 3, 1, 2])
    repeated = metrics.classification_metrics(np.repeat(Y, weight), np.repeat(P, weight), 0.3)
    weighted = metrics.classification_metrics(Y, P, 0.3, weight)
    assert weighted == pytest.approx(repeated)


def test_search_metrics_are_those_that_a_search_can_choose_by():
    assert set(metrics.search_metrics(Y, P)) == set(SEARCH_METRICS)


def test_a_histogram_counts_rows_by_label_and_step_of_probability():
    """Probability 1 belongs to the last step."""
    counts = np.zeros((2, 4), int)
    metrics.update_histogram(counts, np.array([0, 1, 1]), np.array([0.25, 0.9, 1.0]))
    metrics.update_histogram(counts, np.array([0, 0, 1]), np.array([0.3, 0.49, 0.0]))
    assert counts.tolist() == [[0, 3, 0, 0], [1, 0, 0, 2]]
    y_true, probability, weight = metrics.histogram_samples(counts)
    assert (y_true.tolist(), probability.tolist()) == ([0, 1, 1], [0.375, 0.125, 0.875])
    assert weight.tolist() == [3, 1, 2]


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (5, 5), (1, 3), (870, 1000)])
def test_wilson_interval_is_that_of_scipy(hits, n):
    expected = scipy.stats.binomtest(hits, n).proportion_ci(method="wilson")
    assert metrics.wilson_interval(hits / n, n) == pytest.approx(
        [expected.low, expected.high], abs=1e-6
    )


def test_reliability_table_has_count_and_shares_of_each_bin_with_rows():
    """Probability 1 belongs to the last bin."""
    p = np.array([0.05, 0.05, 0.95, 1.0, 0.99], np.float32)
    table = metrics.reliability_table(np.array([0, 1, 1, 1, 1], np.int8), p)
    columns = ["bin", "rows", "predicted", "observed", "observed_low", "observed_high"]
    assert [*table] == columns
    assert table["bin"].tolist() == pytest.approx([0.05, 0.95])
    assert table["rows"].tolist() == [2, 3]
    assert table["observed"].tolist() == [0.5, 1.0]
    ends = [metrics.wilson_interval(*of) for of in ((0.5, 2), (1.0, 3))]
    assert np.allclose(table[["observed_low", "observed_high"]], ends)
    # |0.05 - 0.5| for two rows and |0.98 - 1| for three
    assert metrics.calibration_error(table) == pytest.approx((2 * 0.45 + 3 * 0.02) / 5)


def test_reliability_is_right_for_more_positives_than_their_8_bits_can_count():
    y = np.array([0, 1, 1, 1] * 100, np.int8)
    p = np.array([0.05, 0.05, 0.95, 1.0] * 100, np.float32)
    table = metrics.reliability_table(y, p)
    assert np.allclose(table[["predicted", "observed"]], [[0.05, 0.5], [0.975, 1.0]])


def test_threshold_table_has_the_metrics_at_each_twentieth():
    """Rows at a threshold are selected; precision is undefined where no row is."""
    probability = np.array([0.1, 0.6, 0.5, 0.8, 0.2, 0.95, 0.0])
    y_true = np.array([0, 0, 1, 1, 1, 0, 0])
    table = metrics.threshold_table(y_true, probability)
    assert table["threshold"].tolist() == pytest.approx(np.linspace(0.05, 0.95, 19))
    for row in table.itertuples():
        expected = metrics.classification_metrics(y_true, probability, row.threshold)
        selected = probability >= row.threshold
        assert row.selection_rate == selected.mean()
        found = {"accuracy": row.accuracy, "precision": row.precision, "recall": row.recall}
        assert found == pytest.approx({name: expected[name] for name in found})
    none = metrics.threshold_table(Y, P).iloc[-1]
    assert np.isnan(none["precision"])
    assert none[["recall", "selection_rate", "accuracy"]].tolist() == [0, 0, 2 / 5]
