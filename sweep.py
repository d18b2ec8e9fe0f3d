"""Judge configurations on validation rows, one child run each; make the best one a model.

mlflow run . -e sweep
python sweep.py --max_depth 3,6,9 --learning_rate 0.05,0.1 --n_estimators 200,400 --folds 5
python sweep.py --sampler tpe --trials 30 --max_depth 2..10 --learning_rate 0.01..0.3
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from textwrap import shorten

import click
from tqdm import tqdm

import train
from tabular import cancel, cli
from tabular.errors import WorkFailed
from tabular.model.hyperparameters import config_name
from tabular.sweep import space

SHOWN, DRAWN = 10, 5  # points in the run's description, and curves in colour


@click.command(cls=cli.Command, help=__doc__)
@partial(cli.hyperparameter_options, lists=True)
@cli.option("metric", click.Choice([*space.METRICS]), "log_loss", "What chooses the best point.")
@cli.option(
    "folds",
    cli.Int(1),
    1,
    "1 holds a fifth of the training rows out, k holds out each of k folds in turn.",
)
@cli.option(
    "sampler",
    click.Choice(["grid", "random", "tpe"]),
    "grid",
    "grid: every combination; random, tpe: trials drawn by Optuna, from ranges like 0.01..0.3 too.",
)
@cli.option("trials", cli.Int(1), 50, "So many are drawn, where the sampler is not grid.")
@cli.option("max_points", cli.Int(1), 10_000, "A larger grid is refused.")
@cli.option("max_failures", cli.Int(0), 0, "So many points may fail; with more the sweep fails.")
@cli.option("workers", cli.Int(1, word="auto"), "auto", "Fits at a time; auto: one for each core.")
@cli.option(
    "resume",
    None,
    "auto",
    "Whose finished points are not computed again: auto (those of any sweep in the experiment), "
    "never, or a sweep's run id.",
)
@cli.common_options
@click.pass_context
def main(
    ctx,
    metric,
    folds,
    sampler,
    trials,
    max_points,
    max_failures,
    workers,
    resume,
    seed,
    data,
    device,
    register,
    executor,
    scheduler,
    **rest,
) -> None:
    plan = space.Grid(space.grid_configs(rest, max_points)) if sampler == "grid" else None
    with cancel.uninterrupted():
        from tabular.cluster import connection
        from tabular.model import boosting
        from tabular.sweep import child_runs, trials
        from tabular.tracking import runs

    client = ctx.with_resource(connection.connect(executor, scheduler, device, workers))
    rows = train.prepare(data, device, register)
    parts = boosting.validation_splits(rows.train.y, seed, folds)
    child_runs.require_resumable(resume)
    if not plan:
        with cancel.uninterrupted():
            from tabular.sweep import sampling
        plan = sampling.OptunaSearch(rest, sampler, metric, seed, trials)
    train.announce(rows)
    click.echo(plan)
    setting = child_runs.SweepSpec(rows, device, seed, folds, plan.trees)
    name = f"sweep of {plan.n_points:,} {'point' if sampler == 'grid' else f'{sampler} trial'}"
    name = rows.marked(name + "s" * (plan.n_points > 1))
    with runs.start_run(name) as run:
        typed = ctx.meta["typed"]
        runs.log_setup(run, typed, rows, device, {child_runs.SIZE: str(plan.n_points)})
        outcomes, seconds = explore(run, setting, plan, metric, workers, resume, client)
        baseline = trials.baseline_metrics(rows.train.y, parts)
        show(run, outcomes, baseline, metric, sampler != "grid")
        failed = [outcome.error for outcome in outcomes if outcome.error]
        reason = f"{len(failed)} of {len(outcomes)} points failed: {failed[-1]}" if failed else ""
        if len(failed) == len(outcomes):
            raise WorkFailed(reason)
        passed = len(failed) <= max_failures
        register = register if passed else "none"
        conclude(run, setting, parts, outcomes, baseline, metric, seconds, register)
        if not passed:
            raise WorkFailed(f"{reason} (max_failures={max_failures})")


def explore(run, setting, plan, metric: str, workers: int | None, resume: str, client):
    """Judge every point that no earlier sweep has judged, each in a child run.

    Args:
        run: the parent.
        plan: what to judge: a ``space.Grid`` or ``sampling.OptunaSearch``.
        client: of a Dask cluster, which does the work; None: this process does.

    Returns:
        All outcomes, ranked, and the seconds from the first fit to the last child's end.
    """
    from tabular.cluster import connection
    from tabular.sweep import child_runs, dask_executor, trials

    for other in child_runs.end_orphaned_runs(run):
        click.echo(f"note   run {other} reads RUNNING and may be alive: left alone")
    look_up, outcomes = child_runs.find_finished(run, setting, resume), []

    def known(point):
        if outcome := look_up(point):
            outcomes.append(outcome)
        return outcome

    def begin(fit) -> list[str]:
        return [child_runs.begin(run, setting, point) for point in fit]

    start, n_fits = time.perf_counter(), plan.start(known)
    n_tasks = max(1, n_fits * (1 if client else setting.folds))
    cores = connection.capacity(client, setting.device) if client else None
    workers, n_jobs = trials.allocate_cores(n_tasks, workers, setting.device, cores)
    ahead = 2 * workers if setting.trees or client else n_fits
    fits = plan.fits(ahead)
    if client:
        judged = dask_executor.judged(client, run, setting, fits, ahead, n_jobs)
    else:
        folds = setting.matrices()
        judged = child_runs.judged(setting, fits, folds, workers, n_jobs, begin, ahead)
    with (
        child_runs.ensure_children_ended(run),
        closing(judged),
        progress(plan, outcomes, metric) as advance,
    ):
        for outcome in judged:
            outcomes.append(outcome)
            plan.tell(outcome)
            advance()
    seconds = time.perf_counter() - start
    if n_known := sum(outcome.source != "computed" for outcome in outcomes):
        click.echo(f"resume {n_known:,} points are known from earlier sweeps")
    click.echo(f"search {seconds:.1f} s; fits at a time: {workers}, threads for each: {n_jobs}")
    return trials.rank(outcomes, metric), seconds


@contextmanager
def progress(plan, outcomes: list, metric: str) -> Iterator[Callable]:
    """A bar in a terminal, elsewhere a line whenever a tenth of the work is done."""
    from tabular.sweep import trials

    start, worked, heard, best = time.monotonic(), 0, 0, []
    bar_format = "       {percentage:3.0f}% |{bar}| {desc}, {remaining} left"

    def advance() -> None:
        nonlocal worked, heard, best
        best = trials.rank([*best, *outcomes[heard:]], metric)[:1]
        before, worked, heard = worked, plan.done, len(outcomes)
        line = f"{heard:,} of {plan.n_points:,} points"
        if not best[0].error:
            line += f", best {metric} {best[0].metrics[metric]:.4f}"
        bar.set_description_str(line, refresh=False)
        bar.update(worked - before)
        if bar.disable and 10 * before // plan.total < 10 * worked // plan.total:
            left = tqdm.format_interval((time.monotonic() - start) * (plan.total / worked - 1))
            click.echo(f"       {line}, {left} left", err=True)

    desc = f"0 of {plan.n_points:,} points"
    with tqdm(desc=desc, total=plan.total, bar_format=bar_format, disable=None, leave=False) as bar:
        yield advance


def show(run, outcomes, baseline: dict[str, float], metric: str, trials: bool) -> None:
    """Log the table of all points, and pictures of it."""
    from tabular.evaluation import plots
    from tabular.sweep import child_runs, trials
    from tabular.tracking import runs

    board = trials.results_table(outcomes, baseline, metric)
    done = [outcome for outcome in outcomes if not outcome.error]
    pictures = {}
    if done:
        for outcome in done[:DRAWN]:
            if outcome.curve is None:
                outcome.curve = child_runs.curve(outcome.run_id)
        labels = [shorten(config_name(outcome.point), 50, placeholder=" ...") for outcome in done]
        curves = [*zip(labels, (outcome.curve for outcome in done[:DRAWN]), strict=False)]
        others = [outcome.curve for outcome in done[DRAWN:] if outcome.curve is not None]
        varied = space.varied_names(outcome.point for outcome in done)
        less = space.METRICS[metric] > 0
        cells = board[board["run_id"].isin([outcome.run_id for outcome in done])]
        draw = plots.slices if trials else plots.heat_map
        pictures["plots/sweep.png"] = plots.png(draw(cells, varied, f"validation_{metric}", less))
        pictures["plots/sweep_curves.png"] = plots.png(plots.sweep_curves(curves, others))
    runs.log_artifacts(run, pictures, {"sweep.csv": board, "sweep.json": board})


def conclude(run, setting, parts, outcomes, baseline, metric: str, seconds, register) -> None:
    """Refit the best point on all training rows and log it as ``train.py`` would.

    Its thresholds are judged on the validation rows, by a fit without them.
    """
    from tabular.sweep import child_runs
    from tabular.tracking import runs

    rows, best = setting.rows, outcomes[0]
    shown = ", ".join(f"{name} {figure(best.metrics, name)}" for name in space.METRICS)
    click.echo(f"best   {config_name(best.point)}, run {best.run_id}")
    click.echo(f"       validation {shown}; {metric} of a constant answer {baseline[metric]:.4f}")
    fitted = train.fit(best.point, rows, setting.seed, setting.device, parts=parts)
    fitted.curves["validation_log_loss"] = best.curve
    validation = {f"validation_{k}": v for k, v in best.metrics.items() if k != "log_loss"}
    fitted.metrics |= validation | {"search_seconds": seconds}
    runs.log_tags(run, {child_runs.BEST: best.run_id})
    note = leaderboard(run, setting, outcomes, baseline, metric)
    scores = train.log(run, fitted, rows, best.point, register, note)
    train.report(run, rows, scores)


def leaderboard(run, setting, outcomes, baseline: dict[str, float], metric: str) -> str:
    """The best points in Markdown, each with a link to its run."""
    experiment = run.info.experiment_id
    how = f"{setting.folds} folds" if setting.folds > 1 else "a fifth held out"
    lines = [
        f"\n**The best of {len(outcomes):,} points** by validation {metric} ({how}):\n",
        f"| | {' | '.join(space.METRICS)} | run |",
        "| --- " * (len(space.METRICS) + 2) + "|",
    ]
    lines += [
        f"| {config_name(outcome.point)} | "
        + " | ".join(figure(outcome.metrics, name) for name in space.METRICS)
        + f" | [{outcome.run_id}](#/experiments/{experiment}/runs/{outcome.run_id}) |"
        for outcome in outcomes[:SHOWN]
        if not outcome.error
    ]
    constant = " | ".join(figure(baseline, name) for name in space.METRICS)
    return "\n".join([*lines, f"| a constant answer | {constant} | |", ""])


def figure(metrics: dict[str, float], name: str) -> str:
    """A metric and, where it is a mean over folds, their standard deviation."""
    deviation = f" (sd {metrics[f'{name}_std']:.4f})" if f"{name}_std" in metrics else ""
    return f"{metrics[name]:.4f}{deviation}"


if __name__ == "__main__":
    cli.run(main)
