"""The results of a sweep: the baseline, the order, the table."""

from types import SimpleNamespace

import numpy as np
import pytest

from tabular.model.hyperparameters import DEFAULTS
from tabular.sweep import results
from tabular.sweep.trials import TrialResult

BASELINE = {"log_loss": 0.5, "accuracy": 0.7, "roc_auc": 0.5}


def result(depth, loss, error=None):
    metrics = {} if error else {"log_loss": loss, "accuracy": 1 - loss, "roc_auc": 0.5}
    return TrialResult(DEFAULTS | {"max_depth": depth}, metrics, error=error, run_id="r")


def test_the_baseline_predicts_the_share_of_the_training_rows():
    """By hand: 3 of 4 training rows are positive, and one of the two held out."""
    y = np.array([1, 1, 1, 0, 1, 0])
    found = results.baseline_metrics(y, [(np.arange(4), np.array([4, 5]))])
    assert found["accuracy"] == 0.5
    assert found["roc_auc"] == 0.5
    assert found["log_loss"] == pytest.approx(-(np.log(0.75) + np.log(0.25)) / 2)


def test_the_table_is_sorted_and_has_the_baseline_in_its_place():
    found = [result(2, 0.7), result(3, 0.0, "broken"), result(4, 0.3), result(5, 0.3)]
    table = results.results_table(results.rank(found, "log_loss"), BASELINE, "log_loss")
    assert table["max_depth"].tolist()[:2] == [4, 5]
    assert table["validation_log_loss"].tolist()[:4] == [0.3, 0.3, 0.5, 0.7]
    assert table["source"].tolist() == ["computed", "computed", "constant", "computed", "computed"]
    assert table["error"].tolist() == ["", "", "", "", "broken"]


def test_a_table_without_results_has_the_baseline():
    table = results.results_table([result(3, 0.0, "broken")], BASELINE, "accuracy")
    assert table["validation_accuracy"].tolist()[0] == 0.7


def test_only_the_best_result_so_far_keeps_its_predictions():
    stream = [result(1, 0.5), result(2, 0.0, "broken"), result(3, 0.4), result(4, 0.6)]
    for one in stream:
        one.validation = np.array([0, 1]), np.array([0.2, 0.7])
    passed_on = [*results.keep_best_predictions(stream, "log_loss")]
    assert passed_on == stream
    assert [one.config["max_depth"] for one in stream if one.validation and not one.error] == [3]


def test_the_description_has_the_parameters_of_the_best_result():
    best = result(6, 0.3)
    best.config |= {"interaction_constraints": "[['a`b']]"}
    run, spec = SimpleNamespace(info=SimpleNamespace(experiment_id="0")), SimpleNamespace(folds=1)
    note = results.leaderboard(run, spec, [best], BASELINE, "log_loss")
    assert note.endswith("\nParameters of the best: `-P max_depth=6`\n")
