"""Train one model on one configuration: one tracked run, with plots and a model that serves.

mlflow run . -P max_depth=6
python train.py --max_depth 6
"""

import time
from dataclasses import dataclass
from functools import partial

import click

from tabular import cancel, cli
from tabular.data import census
from tabular.model.hyperparameters import config_name


@click.command(cls=cli.Command, help=__doc__)
@cli.hyperparameter_options
@cli.option(
    "early_stopping_rounds",
    cli.Int(0),
    0,
    "Find the number of trees on a validation split: stop after so many rounds without a better "
    "log loss. 0 trains all of them.",
)
@cli.common_options
@click.pass_context
def main(
    ctx, early_stopping_rounds, seed, data, device, register, executor, scheduler, **config
) -> None:
    with cancel.uninterrupted():
        from tabular.cluster import connection, partitions
        from tabular.model import boosting
        from tabular.tracking import runs

    client = ctx.with_resource(connection.connect(executor, scheduler, device, writes=False))
    trainer = partitions.DaskTrainer(client) if client else boosting
    rows = prepare(data, device, register, client)
    parts = trainer.validation_parts(rows.train, seed) if early_stopping_rounds else []
    announce(rows)
    with runs.start_run(rows.marked(config_name(config))) as run:
        runs.log_setup(run, ctx.meta["typed"], rows, device)
        fitted = fit(config, rows, seed, device, early_stopping_rounds, parts, trainer)
        if client:
            fitted.metrics["worker_peak_memory_mb"] = connection.peak_memory_mb(client)
        scores = log(run, fitted, rows, config, register)
    report(run, rows, scores)


def prepare(data: str, device: str, register: str, client=None):
    """The rows to work on, once everything else that a run needs is known to be there.

    Args:
        client: of a Dask cluster, where the training rows are to be, and the device; None: here.
    """
    with cancel.uninterrupted():
        from tabular.cluster import partitions
        from tabular.data import sources
        from tabular.model import boosting
        from tabular.tracking import registry, store

    store.require_reachable()
    rows = sources.load(data, partial(partitions.read_partitioned, client) if client else None)
    if not client:
        boosting.require_device(device)
    if register != "none":
        registry.require_registrable(register, rows)
    return rows


def announce(rows) -> None:
    """Say what the rows are before any work."""
    sizes = f"{rows.train.n_rows:,} training and {rows.test.n_rows:,} test rows"
    if rows.origin == "synthetic":
        reason = f" because {rows.warning}" if rows.warning else ""
        click.echo(f"WARNING: SYNTHETIC ROWS, no real people{reason}", err=True)
    click.echo(f"data   {sizes}, {rows.origin}, from {rows.source}")


@dataclass
class Fitted:
    """A booster fitted on all training rows, and what was seen on the way.

    Attributes:
        metrics: numbers by name.
        curves: log loss by round, by the metric's name.
        held_out: labels of validation rows and the probabilities that a model without them gave
            them, each (n_samples,); None where none were held out.
    """

    booster: object
    metrics: dict[str, float]
    curves: dict[str, list[float]]
    held_out: tuple | None = None


def fit(
    config, rows, seed: int, device: str, early_stopping_rounds: int = 0, parts=(), trainer=None
) -> Fitted:
    """Fit on all training rows, after a fit without the validation rows of each part.

    Args:
        parts: as ``boosting.validation_splits`` gives them; with early stopping the first and only
            one finds the number of trees.
        trainer: a ``partitions.DaskTrainer``; None: ``model``.
    """
    import numpy as np

    from tabular.model import boosting

    trainer = trainer or boosting
    start, metrics, curves, held_out = time.perf_counter(), {}, {}, []
    for part in parts:
        train, validation = trainer.split_matrices(rows.train, part)
        trial, curve = trainer.fit(
            config,
            train,
            follow=validation,
            seed=seed,
            device=device,
            early_stopping_rounds=early_stopping_rounds,
        )
        n_trees = trial.num_boosted_rounds()
        if early_stopping_rounds:
            n_trees = metrics["best_n_estimators"] = trial.best_iteration + 1
            curves["validation_log_loss"] = curve
            config = config | {"n_estimators": n_trees}
        held_out.append(trainer.predict(trial, validation, n_trees))
    everything = trainer.full_matrix(rows.train)
    booster, curves["train_log_loss"] = trainer.fit(config, everything, seed=seed, device=device)
    metrics["fit_seconds"] = time.perf_counter() - start
    held_out = tuple(map(np.concatenate, zip(*held_out, strict=True))) if held_out else None
    return Fitted(booster, metrics, curves, held_out)


def judge(booster, rows):
    """Meet the test rows.

    Returns:
        The probabilities, shape (n_samples,), the test metrics by name, and tables by file.
    """
    from tabular.evaluation import fairness, metrics, shap
    from tabular.model import served

    y = rows.test.y
    probability = booster.inplace_predict(served.Encoder(booster)(rows.test.X))
    people = fairness.metric_frames(rows.test.X, y, probability >= 0.5)
    tables = {
        "importance.csv": shap.importance_table(booster),
        "groups.csv": fairness.group_table(people),
        "calibration.csv": metrics.reliability_table(y, probability),
    }
    scores = metrics.classification_metrics(y, probability) | metrics.confidence_intervals(
        y, probability
    )
    scores["expected_calibration_error"] = metrics.calibration_error(tables["calibration.csv"])
    return probability, scores | fairness.disparities(people), tables


def log(run, fitted: Fitted, rows, config, register: str = "none", note: str = "") -> dict:
    """Meet the test rows, once, and log model, plots and numbers.

    Args:
        note: Markdown that goes below the run's description.

    Returns:
        The test metrics by name.
    """
    from concurrent.futures import ThreadPoolExecutor

    import joblib

    from tabular.evaluation import metrics, plots, shap
    from tabular.model import served
    from tabular.tracking import registry, runs

    booster, test = fitted.booster, rows.test
    explained = test.X.iloc[shap.sample_rows(booster, len(test.y))]
    codes, n_jobs = served.Encoder(booster)(explained), max(1, joblib.cpu_count() - 1)
    with ThreadPoolExecutor(1) as pool:  # SHAP values take long and leave Python's lock free
        pending = pool.submit(shap.shap_values, booster, codes, n_jobs)
        probability, scores, tables = judge(booster, rows)
        description, where = describe(run, rows, scores), rows.marked(test.name)
        cut_on, cut_rows = "validation", fitted.held_out
        if not cut_rows:
            cut_on, cut_rows = "test, descriptive: not to choose by", (test.y, probability)
        tables["thresholds.csv"] = metrics.threshold_table(*cut_rows).assign(rows=cut_on)
        figures = plots.figures(test.y, probability, tables, fitted.curves, where)
        pictures = {path: plots.png(figure) for path, figure in figures.items()}
        params = {name: str(value) for name, value in config.items()}
        info = runs.log_model(booster, runs.to_client_frame(test.X.head(5)), params)
        values = pending.result()
    tables["shap.csv"] = shap.shap_table(booster.feature_names, values)
    figure = plots.shap(explained, values, tables["shap.csv"], where)
    pictures["plots/shap.png"] = plots.png(figure)
    runs.log_artifacts(run, pictures, tables)
    metrics = fitted.metrics | {"peak_memory_mb": runs.peak_memory_mb()}
    runs.log_results(run, info.model_id, scores, rows, metrics, fitted.curves)
    digest = runs.model_digest(booster)
    runs.log_tags(run, {"model.digest": digest, runs.DESCRIPTION: description + note})
    if register != "none":  # last: a version stands for a run that is complete
        registry.register(info.model_uri, register, description)
    return scores


def headline(rows, scores: dict[str, float]) -> str:
    """The test metrics a reader asks for first, with their intervals."""
    shown = [
        f"{name} {scores[name]:.4f} [{scores[f'{name}_low']:.4f}, {scores[f'{name}_high']:.4f}]"
        for name in ("accuracy", "roc_auc", "log_loss")
    ]
    return f"{', '.join(shown)} on {rows.test.n_rows:,} rows of {rows.marked(rows.test.name)}"


def describe(run, rows, scores: dict[str, float]) -> str:
    """The run in Markdown, in the few lines that MLflow's page shows unfolded."""
    from tabular.tracking import runs

    warning = "**Synthetic rows: no real people, no conclusions.** "
    return (
        f"{warning if rows.origin == 'synthetic' else ''}"
        f"XGBoost says whether {census.LABEL} is {census.POSITIVE}, "
        f"trained on {rows.train.n_rows:,} rows ({rows.origin}): **{headline(rows, scores)}** "
        "(in brackets 95 % bootstrap intervals).\n\n"
        f"Serve it: `{runs.serve_command(run)}`\n"
    )


def report(run, rows, scores: dict[str, float]) -> None:
    """Print what the run found, and where to go from here."""
    from tabular.tracking import runs

    click.echo(f"test   {headline(rows, scores)}")
    click.echo(f"run    {run.info.run_id}")
    click.echo(f"look   {runs.ui_command()}")
    click.echo(f"serve  {runs.serve_command(run)}")
    if rows.origin == "synthetic":
        click.echo("WARNING: these figures are of SYNTHETIC ROWS, not of real ones", err=True)


if __name__ == "__main__":
    cli.run(main)
