"""The sweep's TPE compared with Optuna and its MLflow callback: same space, rows, seed and time.

For each seed the sweep runs its trials, and Optuna gets the time that this took: with one trial at
a time and all threads, as its documentation shows, and with as many trials at a time as cores.
Both minimise the log loss on the same fifth of `adult.data`. Every case runs in a fresh process on
a fresh SQLite store; imports, loading and binning are not counted.

    uv pip install -r requirements-dev.txt -r benchmarks/requirements.txt
    CENSUS_DATA_DIR=<folder of the real files> python -m benchmarks.samplers
"""

import os
import platform
import sys
import tempfile
from pathlib import Path

import click

from benchmarks.peers import CORES, binned
from benchmarks.sweep import PROJECT, run

SPACE = {  # that of docs/sweep.md: low, high, logarithmic
    "max_depth": (3, 10, False),
    "learning_rate": (0.02, 0.2, True),
    "n_estimators": (50, 2000, False),
    "subsample": (0.5, 1.0, False),
    "colsample_bytree": (0.2, 1.0, False),
    "min_child_weight": (0.1, 30.0, True),
    "reg_lambda": (0.001, 30.0, True),
}


def optuna_tpe(seconds: str, seed: str, n_jobs: str) -> None:
    """Source of the pattern: documentation of TPESampler and MLflowCallback.

    https://optuna.readthedocs.io/en/stable/reference/samplers/generated/optuna.samplers.TPESampler.html
    https://optuna-integration.readthedocs.io/en/stable/reference/generated/optuna_integration.MLflowCallback.html
    """
    import optuna
    import xgboost
    from optuna_integration import MLflowCallback
    from sklearn.metrics import log_loss

    from tabular.data import sources
    from tabular.model import boosting

    split = sources.load("uci").train
    indices = boosting.validation_splits(split.y, seed=int(seed))[0]
    train, validation = binned(*((split.X.iloc[index], split.y[index]) for index in indices))

    def objective(trial) -> float:
        parameters = {"objective": "binary:logistic", "tree_method": "hist", "seed": int(seed)}
        for name, (low, high, log) in SPACE.items():
            suggest = trial.suggest_int if isinstance(low, int) else trial.suggest_float
            parameters[name] = suggest(name, low, high, log=log)
        rounds = parameters.pop("n_estimators")
        parameters["nthread"] = CORES // int(n_jobs)
        booster = xgboost.train(parameters, train, rounds)
        return log_loss(validation.get_label(), booster.predict(validation))

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=int(seed)))
    callback = MLflowCallback(os.environ["MLFLOW_TRACKING_URI"], metric_name="log_loss")
    study.optimize(objective, timeout=float(seconds), n_jobs=int(n_jobs), callbacks=[callback])


def finished(folder: Path, metric: str) -> tuple[int, float, float]:
    """The number of trials in the store, their lowest log loss, and the seconds of the sweep."""
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments, "attributes.status = 'FINISHED'", max_results=10_000)
    of_sweep = [run for run in runs if "search_seconds" in run.data.metrics]
    losses = [run.data.metrics[metric] for run in runs if run not in of_sweep]
    return len(losses), min(losses), sum(run.data.metrics["search_seconds"] for run in of_sweep)


@click.command(help=__doc__)
@click.option("--trials", default=80, show_default=True)
@click.option("--seeds", default=3, show_default=True)
def main(trials: int, seeds: int) -> None:
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        del os.environ[name]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["CENSUS_DATA_DIR"] = str(Path(os.environ["CENSUS_DATA_DIR"]).resolve())
    os.environ |= {"PYTHONPATH": str(PROJECT), "MLFLOW_DISABLE_TELEMETRY": "true"}
    print(f"{CORES} cores, {platform.machine()}; finished trials, and lowest validation log loss")
    space = [f"--{name}={low}..{high}" for name, (low, high, _) in SPACE.items()]
    for seed in range(seeds):
        options = ["--data=uci", "--sampler=tpe", f"--trials={trials}", f"--seed={seed}", *space]
        with tempfile.TemporaryDirectory() as name:
            run([sys.executable, str(PROJECT / "sweep.py"), *options], Path(name))
            ours, loss, seconds = finished(Path(name), "validation_log_loss")
        print(f"seed {seed}, {seconds:.0f} s")
        print(f"  {'python sweep.py --sampler tpe':42}{ours:5}   {loss:.4f}", flush=True)
        for n_jobs in (1, CORES):
            code = "import sys; from benchmarks import samplers; samplers.optuna_tpe(*sys.argv[1:])"
            with tempfile.TemporaryDirectory() as name:
                touch = "import mlflow; mlflow.MlflowClient().search_experiments()"
                os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{name}/mlflow.db"
                run([sys.executable, "-c", touch], Path(name))
                command = [sys.executable, "-c", code, str(seconds), str(seed), str(n_jobs)]
                run(command, Path(name))
                count, loss, _ = finished(Path(name), "log_loss")
            del os.environ["MLFLOW_TRACKING_URI"]
            label = f"Optuna + MLflowCallback, n_jobs={n_jobs}"
            print(
                f"  {label:42}{count:5}   {loss:.4f}   sweep.py: {ours / count:.2f} times as many"
            )


if __name__ == "__main__":
    main()
