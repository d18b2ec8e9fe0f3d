"""Judge a grid of configurations on validation rows, one child run each; make the best a model.

mlflow run . -e sweep
python sweep.py --max_depth 3,6,9 --learning_rate 0.05,0.1 --n_estimators 200,400 --folds 5
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial

import click
from tqdm import tqdm

import train
from census import WorkFailed, cli, grid, interruption

SHOWN, DRAWN = 10, 5  # points in the run's description, and curves in colour


@click.command(cls=cli.Command, help=__doc__)
@partial(cli.hyperparameter_options, lists=True)
@cli.option("metric", click.Choice([*grid.METRICS]), "log_loss", "What chooses the best point.")
@cli.option(
    "folds",
    cli.Whole(1),
    1,
    "1 holds a fifth of the training rows out, k holds out each of k folds in turn.",
)
@cli.option("max_points", cli.Whole(1), 10_000, "A larger grid is refused.")
@cli.option("max_failures", cli.Whole(0), 0, "So many points may fail; with more the sweep fails.")
@cli.option(
    "workers", cli.Whole(1, word="auto"), "auto", "Fits at a time; auto: one for each core."
)
@cli.option(
    "resume",
    None,
    "auto",
    "Whose finished points are not computed again: auto (those of any sweep in the experiment), "
    "never, or a sweep's run id.",
)
@cli.common_options
@click.pass_context
def main(ctx, metric, folds, max_points, max_failures, workers, resume, **rest) -> None:
    seed, data, device, register = (rest.pop(k) for k in ("seed", "data", "device", "register"))
    points = grid.points(rest, max_points)
    with interruption.held_off():
        from census import children, model, registry, search, tracking
        from census import data as census_data

    rows = census_data.load(data)
    model.require_device(device)
    if register != "none":
        registry.require_registrable(register, rows)
    parts = model.validation_splits(rows.train.y, seed, folds)
    children.require_resumable(resume)
    train.announce(rows)
    click.echo(
        f"grid   points: {len(points):,}, fits they share: {len(grid.shared_fits(points)):,}"
    )
    setting = children.Setting(rows, device, seed, folds)
    name = f"sweep of {len(points):,} point{'s' if len(points) > 1 else ''}"
    with tracking.start_run(train.marked(name, rows)) as run:
        typed = ctx.meta["typed"]
        tracking.log_setting(run, typed, rows, device, {children.SIZE: str(len(points))})
        outcomes, seconds = explore(run, setting, points, parts, metric, workers, resume)
        baseline = search.constant(rows.train.y, parts)
        show(run, outcomes, baseline, metric)
        failed = [outcome.error for outcome in outcomes if outcome.error]
        reason = f"{len(failed)} of {len(points)} points failed: {failed[-1]}" if failed else ""
        if len(failed) == len(points):
            raise WorkFailed(reason)
        passed = len(failed) <= max_failures
        register = register if passed else "none"
        conclude(run, setting, parts, outcomes, baseline, metric, seconds, register)
        if not passed:
            raise WorkFailed(f"{reason} (max_failures={max_failures})")


def explore(run, setting, points, parts, metric: str, workers: int | None, resume: str):
    """Judge every point that no earlier sweep has judged, each in a child run.

    Args:
        run: the parent.
        parts: as ``model.validation_splits`` gives them.

    Returns:
        All outcomes, ranked, and the seconds from the first fit to the last child's end.
    """
    from census import children, model, search

    for other in children.mend(run):
        click.echo(f"note   run {other} reads RUNNING and may be alive: left alone")
    outcomes = children.resume(run, setting, points, resume)
    known = {grid.key(outcome.point) for outcome in outcomes}
    if known:
        click.echo(f"resume {len(known):,} points are known from earlier sweeps")
    fits = grid.shared_fits(point for point in points if grid.key(point) not in known)
    if not fits:
        return search.ranked(outcomes, metric), 0.0
    run_ids, best = {}, search.ranked(outcomes, metric)

    def begin(fit) -> None:
        for point in fit:
            name = train.marked(train.shape(point), setting.rows)
            run_ids[grid.key(point)] = children.begin(run, setting, point, name)

    workers, n_jobs = search.split_of_cores(len(fits) * len(parts), workers, setting.device)
    folds = [model.matrices(setting.rows.train, part) for part in parts]
    options = {"seed": setting.seed, "device": setting.device, "n_jobs": n_jobs}
    start = time.perf_counter()
    with (
        children.none_left_running(run),
        closing(search.judged(fits, folds, workers, begin, **options)) as judged,
        progress(len(points), fits, metric) as advance,
    ):
        for outcome in judged:
            outcome.run_id = run_ids[grid.key(outcome.point)]
            children.finish(outcome)
            outcomes.append(outcome)
            best = search.ranked([*best[:1], outcome], metric)
            advance(outcome.point, best[0], len(outcomes))
    seconds = time.perf_counter() - start
    click.echo(f"search {seconds:.1f} s; fits at a time: {workers}, threads for each: {n_jobs}")
    return search.ranked(outcomes, metric), seconds


@contextmanager
def progress(n_points: int, fits, metric: str) -> Iterator[Callable]:
    """A bar in a terminal, elsewhere a line whenever a tenth of the work is done."""
    work, start, worked = grid.work(fits), time.monotonic(), 0
    total = sum(work.values())
    bar_format = "       {percentage:3.0f}% |{bar}| {desc}, {remaining} left"

    def advance(point, best, n_done: int) -> None:
        nonlocal worked
        before, worked = worked, worked + work[grid.key(point)]
        line = f"{n_done:,} of {n_points:,} points"
        if not best.error:
            line += f", best {metric} {best.metrics[metric]:.4f}"
        bar.set_description_str(line, refresh=False)
        bar.update(worked - before)
        if bar.disable and 10 * before // total < 10 * worked // total:
            left = tqdm.format_interval((time.monotonic() - start) * (total / worked - 1))
            click.echo(f"       {line}, {left} left", err=True)

    desc = f"0 of {n_points:,} points"
    with tqdm(desc=desc, total=total, bar_format=bar_format, disable=None, leave=False) as bar:
        yield advance


def show(run, outcomes, baseline: dict[str, float], metric: str) -> None:
    """Log the table of all points, and pictures of it."""
    from census import children, plots, search, tracking

    board = search.leaderboard(outcomes, baseline, metric)
    done = [outcome for outcome in outcomes if not outcome.error]
    pictures = {}
    if done:
        for outcome in done[:DRAWN]:
            if outcome.curve is None:
                outcome.curve = children.curve(outcome.run_id)
        curves = [(train.shape(outcome.point), outcome.curve) for outcome in done[:DRAWN]]
        others = [outcome.curve for outcome in done[DRAWN:] if outcome.curve is not None]
        varied = grid.varied(outcome.point for outcome in done)
        less = grid.METRICS[metric] > 0
        cells = board[board["run_id"].isin([outcome.run_id for outcome in done])]
        heat_map = plots.heat_map(cells, varied, f"validation_{metric}", less)
        pictures["plots/sweep.png"] = plots.png(heat_map)
        pictures["plots/sweep_curves.png"] = plots.png(plots.sweep_curves(curves, others))
    tracking.log_files(run, pictures, {"sweep.csv": board, "sweep.json": board})


def conclude(run, setting, parts, outcomes, baseline, metric: str, seconds, register) -> None:
    """Refit the best point on all training rows and log it as ``train.py`` would.

    Its thresholds are judged on the validation rows, by a fit without them.
    """
    from census import children, tracking

    rows, best = setting.rows, outcomes[0]
    shown = ", ".join(f"{name} {figure(best.metrics, name)}" for name in grid.METRICS)
    click.echo(f"best   {train.shape(best.point)}, run {best.run_id}")
    click.echo(f"       validation {shown}; {metric} of a constant answer {baseline[metric]:.4f}")
    fitted = train.fit(best.point, rows, setting.seed, setting.device, parts=parts)
    fitted.curves["validation_log_loss"] = best.curve
    validation = {f"validation_{k}": v for k, v in best.metrics.items() if k != "log_loss"}
    fitted.metrics |= validation | {"search_seconds": seconds}
    tracking.log_tags(run, {children.BEST: best.run_id})
    note = leaderboard(run, setting, outcomes, baseline, metric)
    scores = train.log(run, fitted, rows, best.point, register, note)
    train.report(run, rows, scores)


def leaderboard(run, setting, outcomes, baseline: dict[str, float], metric: str) -> str:
    """The best points in Markdown, each with a link to its run."""
    experiment = run.info.experiment_id
    how = f"{setting.folds} folds" if setting.folds > 1 else "a fifth held out"
    lines = [
        f"\n**The best of {len(outcomes):,} points** by validation {metric} ({how}):\n",
        f"| | {' | '.join(grid.METRICS)} | run |",
        "| --- " * (len(grid.METRICS) + 2) + "|",
    ]
    lines += [
        f"| {train.shape(outcome.point)} | "
        + " | ".join(figure(outcome.metrics, name) for name in grid.METRICS)
        + f" | [{outcome.run_id}](#/experiments/{experiment}/runs/{outcome.run_id}) |"
        for outcome in outcomes[:SHOWN]
        if not outcome.error
    ]
    constant = " | ".join(figure(baseline, name) for name in grid.METRICS)
    return "\n".join([*lines, f"| a constant answer | {constant} | |", ""])


def figure(metrics: dict[str, float], name: str) -> str:
    """A metric and, where it is a mean over folds, their standard deviation."""
    deviation = f" (sd {metrics[f'{name}_std']:.4f})" if f"{name}_std" in metrics else ""
    return f"{metrics[name]:.4f}{deviation}"


if __name__ == "__main__":
    cli.run(main)
