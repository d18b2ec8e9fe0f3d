"""Each check of a model and its data finds what it is for, and is silent where all is well."""

import numpy as np
import pandas as pd
import pytest

from tabular.data.census import CENSUS
from tabular.data.dataset import Dataset, Split
from tabular.evaluation import diagnosis, metrics

RNG = np.random.default_rng(0)
P = RNG.beta(1, 3, 4000).astype(np.float32)  # the true probabilities of the test rows
Y = (RNG.random(4000) < P).astype(np.int8)
LOSS = metrics.search_metrics(Y, P)["log_loss"]


def split(y, X=None):
    X = pd.DataFrame({"x": np.random.default_rng(len(y)).random(len(y))}) if X is None else X
    return Split(X, np.asarray(y, np.int8), pd.DataFrame(index=X.index), "rows", "", False)


def labels(n_rows, n_positive):
    return np.arange(n_rows) < n_positive


def shares(**values):
    """The two tables of importance, in which features have these shares."""
    names, numbers = [*values], [*values.values()]
    importance = pd.DataFrame({"feature": names, "gain": numbers, "weight": 1.0})
    return importance, pd.DataFrame({"feature": names, "mean_abs_shap": numbers})


def groups(*rows):
    columns = ["feature", "group", "rows", "positives", "accuracy"]
    return pd.DataFrame(rows, columns=columns)


TRAIN = split(labels(8000, round(8000 * float(P.mean()))))
METRICS = metrics.search_metrics(Y, P)
TABLES = {
    "calibration.csv": metrics.reliability_table(Y, P),
    "groups.csv": groups(("sex", "F", 2000, 300, 0.9), ("sex", "M", 2000, 800, 0.8)),
} | dict(zip(("importance.csv", "shap.csv"), shares(a=0.6, b=0.4), strict=True))


def test_a_healthy_model_has_no_findings():
    dataset = Dataset(CENSUS, TRAIN, split(Y), "directory", "")
    assert diagnosis.diagnose(dataset, P, METRICS, TABLES, LOSS - 0.005) == []
    assert diagnosis.summarize([])[0] == "none"


def test_findings_become_a_comma_list_of_codes_and_a_table():
    dataset = Dataset(CENSUS, TRAIN, split(Y), "directory", "")
    tables = TABLES | dict(zip(("importance.csv", "shap.csv"), shares(a=0.99, b=0.01), strict=True))
    codes, table = diagnosis.summarize(diagnosis.diagnose(dataset, P, METRICS, tables, LOSS / 2))
    assert codes == "overfit,single-feature"
    assert [*table] == ["code", "finding", "advice"]
    assert (table.map(len) > 0).all(axis=None)


def test_validation_rows_take_the_place_of_test_rows_in_the_check_for_overfitting():
    dataset = Dataset(CENSUS, TRAIN, split(Y), "directory", "")
    worse = np.where(np.arange(4000) % 5 == 0, 0.5, P).astype(np.float32)
    (found,) = diagnosis.diagnose(dataset, P, METRICS, TABLES, LOSS - 0.02, (Y, worse))
    assert found.code == "overfit"
    assert "on validation rows" in found.finding


@pytest.mark.parametrize("probability", [np.float32(P.mean()), P[::-1]])
def test_predictions_that_say_nothing_are_no_better_than_the_baseline(probability):
    probability = np.broadcast_to(probability, P.shape).copy()
    found = diagnosis.check_baseline(TRAIN, Y, probability)
    assert found
    assert found.code == "no-better-than-baseline"


def test_a_small_gain_is_judged_by_the_interval_of_promote():
    """On 60 rows these gains are within six standard errors, and the interval is above 0."""
    gain, low, high = diagnosis.baseline_gain(Y[:60], P[:60], float(P.mean()))
    assert 0 < low < gain < high
    assert diagnosis.check_baseline(TRAIN, Y[:60], P[:60]) is None


@pytest.mark.parametrize(("n_rows", "train_log_loss", "fires"), [
    (4000, LOSS - 0.02, False),  # a fifth of the improvement
    (4000, LOSS - 0.2, True),
    (40, LOSS - 0.1, False),  # within its interval
    (4000, 0.9, False),  # worse than a constant on the training rows
])  # fmt: skip
def test_overfitting_is_a_large_share_of_the_improvement_and_beyond_chance(
    n_rows, train_log_loss, fires
):
    found = diagnosis.check_overfit(TRAIN, train_log_loss, Y[:n_rows], P[:n_rows], "test")
    assert bool(found) == fires


def test_a_result_that_is_too_good_is_found():
    assert diagnosis.check_perfect(1.0)
    assert diagnosis.check_perfect(METRICS["roc_auc"]) is None


@pytest.mark.parametrize(("importance", "fires"), [
    ({"leak": 0.95, "x": 0.05}, True),
    ({"leak": 0.85, "x": 0.15}, False),
    ({"only": 1.0}, False),
    ({"unused": 0.0, "x": 0.0}, False),
])  # fmt: skip
def test_a_single_feature_of_several_that_decides_nearly_all_is_found(importance, fires):
    assert bool(diagnosis.check_features(*shares(**importance))) == fires


def test_a_feature_is_found_by_its_shap_values_alone_too():
    found = diagnosis.check_features(shares(a=0.5, b=0.5)[0], shares(a=0.04, b=0.96)[1])
    assert found
    assert found.finding.startswith("b has 96.0% of the mean absolute SHAP value")


@pytest.mark.parametrize(("n_rows", "shift", "fires"), [
    (4000, 0.05, True),
    (4000, 0.01, False),  # of no consequence
    (100, 0.05, False),  # within what chance explains
])  # fmt: skip
def test_bad_calibration_is_beyond_chance_and_of_consequence(n_rows, shift, fires):
    shifted = np.minimum(P + np.float32(shift), 1)
    table = metrics.reliability_table(Y[:n_rows], shifted[:n_rows])
    assert bool(diagnosis.check_calibration(table)) == fires


@pytest.mark.parametrize(("probability", "error"), [
    (P + 0.05, "too high"),
    (P - 0.05, "too low"),
    (1.5 * P - 0.5 * P.mean(), "too close to 0 and 1"),
    ((P + P.mean()) / 2, "too far from 0 and 1"),
])  # fmt: skip
def test_how_probabilities_are_wrong_is_said(probability, error):
    found = diagnosis.check_calibration(metrics.reliability_table(Y, probability.clip(0, 1)))
    assert found
    assert f"probabilities are {error}" in found.finding


@pytest.mark.parametrize(("other", "fires"), [
    (("sex", "M", 1000, 300, 0.70), True),  # as many errors as the more frequent label alone
    (("sex", "M", 1000, 500, 0.75), False),  # more errors, but of more difficult labels
    (("sex", "M", 10, 3, 0.70), False),  # too few rows to tell
    (("sex", "M", 1000, 0, 0.90), False),  # of a single label
    (("age", "old", 1000, 300, 0.70), False),  # the only group of its feature
])  # fmt: skip
def test_a_group_is_worse_than_the_others_relative_to_its_labels(other, fires):
    found = diagnosis.check_groups(groups(("sex", "F", 1000, 300, 0.85), other))
    assert bool(found) == fires
    assert not found or "sex M" in found.finding


@pytest.mark.parametrize(("n_rows", "n_positive", "fires"), [
    (1000, 250, False),
    (1000, 350, True),
    (20, 9, False),  # within what chance explains
    (2_000_000, 502_000, False),  # of no consequence
])  # fmt: skip
def test_other_shares_of_labels_in_the_test_rows_are_found(n_rows, n_positive, fires):
    train = split(labels(1_000_000, 250_000), pd.DataFrame(index=range(1_000_000)))
    test = split(labels(n_rows, n_positive), pd.DataFrame(index=range(n_rows)))
    assert bool(diagnosis.check_label_shares(train, test)) == fires


def test_copies_of_training_rows_among_the_test_rows_are_found():
    train, own, n = split(np.arange(2000) % 3 == 0), split(np.arange(1000) % 3 == 0), 100
    X = pd.concat([own.X, train.X[:n]], ignore_index=True)
    found = diagnosis.check_duplicates(train, split(np.append(own.y, train.y[:n]), X))
    assert diagnosis.check_duplicates(train, own) is None
    assert found
    assert found.finding.startswith("9.1% of the test rows are equal to training rows")


@pytest.mark.parametrize(("n_values", "noise"), [(500, 0.3), (10, 0.0)])
def test_rows_of_few_values_that_are_equal_by_coincidence_are_no_copies(n_values, noise):
    rng = np.random.default_rng(0)
    X = [pd.DataFrame({"x": rng.integers(0, n_values, n)}) for n in (2000, 1000)]
    noisy = [(rows["x"] % 3 == 0) ^ (rng.random(len(rows)) < noise) for rows in X]
    train, test = map(split, noisy, X)
    assert diagnosis.check_duplicates(train, test) is None


def test_a_training_set_on_a_cluster_is_not_searched_for_copies():
    assert diagnosis.check_duplicates(object(), split(Y)) is None


FALLING, FLAT = np.linspace(0.6, 0.3, 100), np.append(np.linspace(0.6, 0.3, 50), [0.3] * 50)


@pytest.mark.parametrize(("curve", "max_trees", "fires"), [
    (FALLING, 100, True),
    (FALLING, 300, False),  # ended before for another reason, as a smaller number of a grid
    (FLAT - np.arange(100) * 1e-6, 100, False),  # falls by nothing of consequence
    (np.append(FALLING, FALLING[::-1]), 200, False),
    ([0.5], 1, False),
])  # fmt: skip
def test_more_trees_would_help_where_the_validation_loss_still_falls(curve, max_trees, fires):
    assert bool(diagnosis.check_trees([*curve], max_trees)) == fires
