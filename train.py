"""Train one model on one configuration: one tracked run, with plots and a model that serves.

mlflow run . -P max_depth=6
python train.py --max_depth 6
"""

import time

import click

from census import cli, hyperparameters, interruption, table


@click.command(cls=cli.Command, help=__doc__)
@cli.hyperparameter_options
@cli.option(
    "early_stopping_rounds",
    cli.Whole(0),
    0,
    "Find the number of trees on a validation split: stop after so many rounds without a better "
    "log loss. 0 trains all of them.",
)
@cli.common_options
@click.pass_context
def main(ctx, early_stopping_rounds, seed, data, device, register, **config) -> None:
    with interruption.held_off():
        from census import data as census_data
        from census import model, tracking

    rows = census_data.load(data)
    model.require_device(device)
    if register != "none":
        tracking.require_registrable(register, rows)
    parts = model.validation_splits(rows.train.y, seed) if early_stopping_rounds else []
    announce(rows)
    with tracking.start_run(marked(shape(config), rows)) as run:
        tracking.log_setting(run, ctx.meta["typed"], rows, device)
        booster, found, curves = fit(config, rows, seed, device, early_stopping_rounds, parts)
        scores = log(run, booster, rows, config, found, curves, register)
    report(run, rows, scores)


def announce(rows) -> None:
    """Say what the rows are before any work."""
    sizes = f"{len(rows.train.y):,} training and {len(rows.test.y):,} test rows"
    if rows.origin == "synthetic":
        reason = f" because {rows.warning}" if rows.warning else ""
        click.echo(f"WARNING: SYNTHETIC ROWS, no real people{reason}", err=True)
    click.echo(f"data   {sizes}, {rows.origin}, from {rows.source}")


def marked(name: str, rows) -> str:
    """A name of something made from rows, which says so where they are synthetic."""
    return f"synthetic {name}" if rows.origin == "synthetic" else name


def shape(config: dict[str, int | float]) -> str:
    """A configuration in few words: the shape of the trees, and what is not default."""
    words = {"max_depth": "depth", "learning_rate": "rate", "n_estimators": "trees"}
    for name, default in hyperparameters.DEFAULTS.items():
        if config[name] != default:
            words.setdefault(name, name)
    return " ".join(f"{word}={config[name]}" for name, word in words.items())


def fit(config, rows, seed: int, device: str, early_stopping_rounds: int = 0, parts=()):
    """Fit on all training rows; with early stopping, first find the number of trees.

    Args:
        parts: as ``model.validation_splits`` gives them; the first is for early stopping.

    Returns:
        The booster, metrics of the fitting, and log-loss curves by metric name.
    """
    from census import model

    start, found, curves = time.perf_counter(), {}, {}
    if parts:
        train, validation = model.matrices(rows.train, parts[0])
        trial, followed = model.fit(
            config,
            train,
            follow={"validation": validation},
            seed=seed,
            device=device,
            early_stopping_rounds=early_stopping_rounds,
        )
        found["best_n_estimators"] = trial.best_iteration + 1
        curves["validation_log_loss"] = followed["validation"]
        config = config | {"n_estimators": trial.best_iteration + 1}
    everything = model.matrix(rows.train.X, rows.train.y)
    booster, followed = model.fit(config, everything, seed=seed, device=device)
    curves["train_log_loss"] = followed["train"]
    return booster, found | {"fit_seconds": time.perf_counter() - start}, curves


def log(
    run, booster, rows, config, found, curves, register: str = "none", note: str = ""
) -> dict[str, float]:
    """Meet the test rows, once, and log model, plots and numbers.

    Args:
        found, curves: as ``fit`` returns them.
        note: Markdown that goes below the run's description.

    Returns:
        The test metrics by name.
    """
    from census import evaluation, model, plots, served, tracking

    encode = served.Encoder(booster)
    probability = booster.inplace_predict(encode(rows.test.X))
    scores = evaluation.scores(rows.test.y, probability)
    importance, description = model.importance(booster), describe(run, rows, scores)
    where = marked(rows.test.name, rows)
    figures = plots.figures(rows.test.y, probability, importance, curves, where)
    examples = tracking.raw_rows(rows.test.X.head(5))
    params = {name: str(value) for name, value in config.items()}
    info = tracking.log_model(booster, examples, params)
    tracking.log_files(run, figures, {"importance.csv": importance})
    found = found | {"peak_memory_mb": tracking.peak_memory_mb()}
    tracking.log_results(run, info.model_id, scores, rows, found, curves)
    digest = tracking.model_digest(booster)
    tracking.log_tags(run, {"model.digest": digest, tracking.DESCRIPTION: description + note})
    if register != "none":  # last: a version stands for a run that is complete
        tracking.register_model(info.model_uri, register, description)
    return scores


def headline(rows, scores: dict[str, float]) -> str:
    """The test metrics a reader asks for first, the accuracy with its standard error."""
    from census import evaluation

    error = evaluation.standard_error(scores["accuracy"], len(rows.test.y))
    where = f"{len(rows.test.y):,} rows of {marked(rows.test.name, rows)}"
    return (
        f"accuracy {scores['accuracy']:.4f} ± {error:.4f}, roc_auc {scores['roc_auc']:.4f}, "
        f"log_loss {scores['log_loss']:.4f} on {where}"
    )


def describe(run, rows, scores: dict[str, float]) -> str:
    """The run in Markdown, in the few lines that MLflow's page shows unfolded."""
    from census import tracking

    warning = "**Synthetic rows: no real people, no conclusions.** "
    return (
        f"{warning if rows.origin == 'synthetic' else ''}"
        f"XGBoost says whether a person's income is {table.POSITIVE}, "
        f"trained on {len(rows.train.y):,} rows ({rows.origin}): **{headline(rows, scores)}**.\n\n"
        f"Serve it: `{tracking.serve_command(run)}`\n"
    )


def report(run, rows, scores: dict[str, float]) -> None:
    """Print what the run found, and where to go from here."""
    from census import tracking

    click.echo(f"test   {headline(rows, scores)}")
    click.echo(f"run    {run.info.run_id}")
    click.echo(f"look   {tracking.where_to_look()}")
    click.echo(f"serve  {tracking.serve_command(run)}")
    if rows.origin == "synthetic":
        click.echo("WARNING: these figures are of SYNTHETIC ROWS, not of the census", err=True)


if __name__ == "__main__":
    cli.run(main)
