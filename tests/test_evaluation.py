"""Metrics against values worked out by hand."""

import numpy as np
import pytest

from census import evaluation

Y = np.array([0, 0, 1, 1, 1])
P = np.array([0.1, 0.6, 0.5, 0.8, 0.2])


def test_scores_are_those_worked_out_by_hand():
    """At 0.5: predicted 0 1 1 1 0, so TN 1, FP 1, TP 2, FN 1."""
    found = evaluation.scores(Y, P)
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
    assert evaluation.scores(Y, P, threshold)["accuracy"] == pytest.approx(accuracy)


def test_nobody_predicted_positive_is_a_zero_not_a_warning():
    assert evaluation.scores(Y, P, 0.95)["precision"] == 0


def test_standard_error_is_the_binomial_one():
    """sqrt(0.87 * 0.13 / 16281)."""
    assert evaluation.standard_error(0.87, 16_281) == pytest.approx(0.002636, abs=1e-6)
