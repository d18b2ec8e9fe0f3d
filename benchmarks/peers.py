"""Alternatives to ``sweep.py``, each written as its documentation shows."""

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path

import joblib
import xgboost

from tabular.evaluation.metrics import search_metrics

DEPTHS, RATES, SIZES = (3, 6, 9), (0.05, 0.1, 0.3), (100, 200, 300)
GRID = {"max_depth": DEPTHS, "learning_rate": RATES, "n_estimators": SIZES}
CONFIGS = [*product(*GRID.values())]
MIDDLE = [(6, rate, 200) for rate in RATES]  # as much work as the average configuration
METRICS = ("log_loss", "accuracy", "roc_auc")
CORES = joblib.cpu_count()
MLPROJECT = """\
name: hyperparam
entry_points:
  train:
    parameters: {max_depth: int, learning_rate: float, n_estimators: int}
    command: "python train.py {max_depth} {learning_rate} {n_estimators}"
"""


def split():
    """The training rows and the validation rows, each as X and y."""
    from tabular.data import sources
    from tabular.model import boosting

    train = sources.load("uci").train
    indices = boosting.validation_splits(train.y, seed=0)[0]
    return [(train.X.iloc[index], train.y[index]) for index in indices]


def binned(train, validation):
    matrix = xgboost.QuantileDMatrix(*train, enable_categorical=True)
    return matrix, xgboost.QuantileDMatrix(*validation, enable_categorical=True, ref=matrix)


def settings(depth: int, rate: float, nthread: int) -> dict:
    fixed = {"objective": "binary:logistic", "tree_method": "hist", "seed": 0}
    return fixed | {"max_depth": depth, "learning_rate": rate, "nthread": nthread}


def evaluate(config, train, validation, nthread: int = CORES) -> dict[str, float]:
    """Fit one configuration; returns its validation metrics."""
    depth, rate, size = config
    booster = xgboost.train(settings(depth, rate, nthread), train, size)
    return search_metrics(validation.get_label(), booster.predict(validation))


# Each function prepares a search and returns the function that is timed.


def bare_loop():
    train, validation = binned(*split())
    return lambda: {config: evaluate(config, train, validation) for config in CONFIGS}


def shared_bare_loop(bin_validation: bool = True):
    splits = split()
    train, validation = binned(*splits)
    if not bin_validation:  # as the project's sweep does
        validation = xgboost.DMatrix(*splits[1], enable_categorical=True)
    y = validation.get_label()

    def fit(shape) -> dict:
        parameters = settings(*shape, nthread=1) | {"eval_metric": "logloss"}
        evals, curves = [(validation, "validation")], {}
        booster = xgboost.train(
            parameters, train, max(SIZES), evals=evals, evals_result=curves, verbose_eval=False
        )
        probabilities = {n: booster.predict(validation, iteration_range=(0, n)) for n in SIZES}
        return {(*shape, n): search_metrics(y, p) for n, p in probabilities.items()}

    def search() -> dict:
        longest_first = sorted(product(DEPTHS, RATES), reverse=True)
        with ThreadPoolExecutor(CORES) as pool:
            return dict(pair for found in pool.map(fit, longest_first) for pair in found.items())

    return search


def optuna_grid(n_jobs: int = 1):
    """Sources of the pattern.

    https://optuna.readthedocs.io/en/stable/reference/samplers/generated/optuna.samplers.GridSampler.html
    https://optuna-integration.readthedocs.io/en/v3.6.0/reference/generated/optuna_integration.MLflowCallback.html
    https://github.com/optuna/optuna/pull/4097 (the callback with n_jobs)
    """
    import optuna
    from optuna_integration import MLflowCallback

    train, validation = binned(*split())

    def objective(trial):
        config = [trial.suggest_categorical(name, values) for name, values in GRID.items()]
        scores = evaluate(config, train, validation, CORES // n_jobs)
        return [scores[name] for name in METRICS]

    sampler = optuna.samplers.GridSampler(GRID, seed=0)
    directions = ["minimize", "maximize", "maximize"]
    study = optuna.create_study(sampler=sampler, directions=directions)
    callback = MLflowCallback(os.environ["MLFLOW_TRACKING_URI"], metric_name=[*METRICS])
    return partial(study.optimize, objective, len(CONFIGS), n_jobs=n_jobs, callbacks=[callback])


def grid_search_cv():
    """Sources of the pattern; n_jobs=1, with all threads for each fit, is slower.

    https://mlflow.org/docs/latest/api_reference/python_api/mlflow.sklearn.html
    https://xgboost.readthedocs.io/en/release_3.2.0/python/examples/sklearn_parallel.html
    """
    import mlflow
    import numpy as np
    import pandas as pd
    from sklearn.model_selection import GridSearchCV

    (X, y), (X_validation, y_validation) = split()
    n, n_all = len(y), len(y) + len(y_validation)
    mlflow.sklearn.autolog(max_tuning_runs=None, log_models=False)
    search = GridSearchCV(
        xgboost.XGBClassifier(tree_method="hist", enable_categorical=True, seed=0, n_jobs=1),
        GRID,
        scoring={"log_loss": "neg_log_loss", "accuracy": "accuracy", "roc_auc": "roc_auc"},
        refit=False,
        cv=[(np.arange(n), np.arange(n, n_all))],
        n_jobs=-1,
    )
    rows = pd.concat([X, X_validation]), np.concatenate([y, y_validation])
    return partial(search.fit, *rows)


def ray_trial(config, train, validation) -> None:
    from ray import tune

    tune.report(evaluate([config[name] for name in GRID], *binned(train, validation), nthread=1))


def ray_tune(reuse_actors: bool = False):
    """Sources of the pattern; reporting once for each trial is the cheapest way that they show.

    https://docs.ray.io/en/latest/tune/examples/tune-mlflow.html
    https://docs.ray.io/en/latest/tune/api/trainable.html
    https://docs.ray.io/en/latest/tune/api/doc/ray.tune.with_parameters.html
    """
    import ray
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    train, validation = split()
    ray.init("local", num_cpus=CORES, include_dashboard=False)
    callback = MLflowLoggerCallback(os.environ["MLFLOW_TRACKING_URI"], experiment_name="grid")
    return tune.Tuner(
        tune.with_parameters(ray_trial, train=train, validation=validation),
        param_space={name: tune.grid_search(values) for name, values in GRID.items()},
        tune_config=tune.TuneConfig(reuse_actors=reuse_actors),
        run_config=tune.RunConfig("grid", storage_path=str(Path.cwd()), callbacks=[callback]),
    ).fit


def projects():
    """Source of the pattern; one child at a time is the default.

    https://github.com/mlflow/mlflow/blob/master/examples/hyperparam/search_random.py
    """
    import mlflow

    Path("MLproject").write_text(MLPROJECT)
    Path("train.py").write_text("from benchmarks import peers\n\npeers.project_child()\n")
    parent = mlflow.start_run()  # the children find it; it ends with the process

    def search() -> None:
        for config in MIDDLE:
            mlflow.projects.run(
                ".",
                "train",
                parameters=dict(zip(GRID, config, strict=True)),
                experiment_id=parent.info.experiment_id,
                env_manager="local",
            )

    return search


def project_child() -> None:
    import mlflow

    depth, rate, size = sys.argv[1:]
    with mlflow.start_run():
        mlflow.log_metrics(evaluate((int(depth), float(rate), int(size)), *binned(*split())))


CASES = {  # label, function, prefix of the tracked metrics (None: nothing is tracked)
    "floor": ("minimal loop with shared fits, untracked", shared_bare_loop, None),
    "unbinned": ("the same, validation rows not binned", partial(shared_bare_loop, False), None),
    "ours": ("python sweep.py", None, "validation_"),
    "bare": ("minimal loop of fits, untracked", bare_loop, None),
    "optuna-parallel": ("Optuna + MLflowCallback, n_jobs=cores", partial(optuna_grid, CORES), ""),
    "optuna": ("Optuna + MLflowCallback", optuna_grid, ""),
    "sklearn": ("GridSearchCV + autolog, n_jobs=-1", grid_search_cv, "mean_test_"),
    "ray-reuse": ("Ray Tune + MLflowLoggerCallback, reuse_actors", partial(ray_tune, True), ""),
    "ray": ("Ray Tune + MLflowLoggerCallback", ray_tune, ""),
    "projects": ("mlflow.projects.run for each child (3 runs, scaled)", projects, ""),
}


def inside(name: str) -> None:
    """Measure an alternative, in the process that was started for it."""
    _, prepare, prefix = CASES[name]
    search = prepare()
    start = time.perf_counter()
    found = search()
    seconds = time.perf_counter() - start
    pairs = [] if prefix is not None else [*found.items()]
    Path("result.json").write_text(json.dumps([seconds, pairs]))
