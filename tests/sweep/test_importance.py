"""Importance of hyper-parameters: Optuna's numbers, the right direction, no ranking by chance."""

import warnings
from types import SimpleNamespace

import mlflow
import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

import sweep
from tabular.model.hyperparameters import DEFAULTS, Range
from tabular.sweep import importance
from tabular.sweep.trials import TrialResult
from tests.helpers import artifacts, sweeps

SINGLE = {name: (default,) for name, default in DEFAULTS.items()}
SPACE = SINGLE | {
    "learning_rate": Range(0.01, 0.3), "max_depth": Range(2, 10), "gamma": Range(0, 5),
    "subsample": (0.5, 0.8, 1.0), "reg_lambda": (1.0, 2.0),
}  # fmt: skip
DISTRIBUTIONS = {
    "learning_rate": FloatDistribution(0.01, 0.3, log=True), "max_depth": IntDistribution(2, 10),
    "gamma": FloatDistribution(0, 5), "subsample": CategoricalDistribution((0.5, 0.8, 1.0)),
    "reg_lambda": CategoricalDistribution((1.0, 2.0)),
}  # fmt: skip


def draw(n, seed=0):
    """Random configurations and their losses, which depend on two hyper-parameters and chance."""
    rng = np.random.default_rng(seed)
    trials = pd.DataFrame({
        "learning_rate": 0.01 * 30 ** rng.random(n), "max_depth": rng.integers(2, 11, n),
        "gamma": 5 * rng.random(n), "subsample": rng.choice([0.5, 0.8, 1.0], n),
        "reg_lambda": rng.choice([1.0, 2.0], n),
    })  # fmt: skip
    loss = np.log(trials["learning_rate"] / 0.1) ** 2 + 0.1 * (trials["max_depth"] - 6) ** 2
    return trials, loss + rng.normal(0, 0.2, n)


def ranking(n, metric="log_loss", sampler="tpe", failed=0, space=SPACE):
    """The table of a search whose metric is the loss, or falls with it."""
    sign = -1 if metric == "roc_auc" else 1
    results = [
        TrialResult(DEFAULTS | row, {metric: sign * loss})
        for row, loss in zip(draw(n)[0].to_dict("records"), draw(n)[1], strict=True)
    ]
    results += [TrialResult(DEFAULTS, error="MemoryError")] * failed
    options = SimpleNamespace(space=space, sampler=sampler, metric=metric)
    return importance.importance_table(results, options)


@pytest.mark.parametrize("n", [20, 57, 300, 3000])
def test_the_numbers_are_those_of_optuna(n):
    trials, loss = draw(n)
    study, n_top = optuna.create_study(), max(-(-n // 10), 5)
    for row, value in zip(trials.to_dict("records"), loss, strict=True):
        study.add_trial(
            optuna.trial.create_trial(params=row, distributions=DISTRIBUTIONS, value=float(value))
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        evaluator = PedAnovaImportanceEvaluator(target_quantile=(n_top - 0.5) / n)
    expected = get_param_importances(study, evaluator=evaluator)
    found = importance.importance(trials, loss, SPACE)
    assert [*found] == [*expected]
    assert found == pytest.approx(expected, abs=1e-12)


def test_what_decides_comes_first_and_the_sum_is_one():
    table = ranking(300)
    assert set(table["hyperparameter"][:2]) == {"learning_rate", "max_depth"}
    assert len(table) == 5
    assert table["importance"].sum() == pytest.approx(1)


def test_the_direction_of_the_metric_is_heeded():
    assert ranking(100, "roc_auc").equals(ranking(100))


@pytest.mark.parametrize(("n", "failed", "n_rows"), [(19, 0, 0), (19, 5, 0), (20, 0, 5)])
def test_few_results_are_not_ranked(n, failed, n_rows):
    """Those that failed do not count."""
    assert len(ranking(n, failed=failed)) == n_rows


def test_one_hyperparameter_is_not_ranked():
    """A sampler finds the number of trees and does not draw it."""
    space = SINGLE | {"gamma": Range(0, 5), "n_estimators": (10, 20)}
    assert ranking(30, space=space).empty


def test_results_that_are_all_alike_are_not_ranked():
    trials, _ = draw(30)
    assert importance.importance(trials, np.zeros(30), SPACE) == {}


def test_a_sweep_records_table_and_plot(run_script, synthetic_folder):
    grid = ["--max_depth", "1,2", "--learning_rate", "0.1,0.3", "--n_estimators", "1,2,3,4,5"]
    done = run_script(sweep.main, *grid, "--data", synthetic_folder)
    assert done.returncode == 0, done.stderr
    (run,) = sweeps()
    assert {"sweep_importance.csv", "plots/sweep_importance.png"} < artifacts(run)
    path = f"runs:/{run.info.run_id}/sweep_importance.csv"
    table = pd.read_csv(mlflow.artifacts.download_artifacts(path))
    assert set(table["hyperparameter"]) == {"max_depth", "learning_rate", "n_estimators"}
    assert table["importance"].is_monotonic_decreasing


def test_the_importance_is_described_with_its_plot():
    table = pd.DataFrame({"hyperparameter": ["max_depth", "gamma"], "importance": [0.7, 0.3]})
    line = importance.describe_importance(table, [], more=False)
    assert line.endswith("max_depth 70%, gamma 30% (plots/sweep_importance.png)")


def test_too_few_results_for_an_importance_are_described():
    results = [TrialResult(DEFAULTS, {"log_loss": 0.3})] * 19
    line = importance.describe_importance(ranking(19), results, more=True)
    assert line.endswith("needs 20 results, there are 19; run the same command again")
    assert importance.describe_importance(ranking(19), results, more=False).endswith("are 19")
