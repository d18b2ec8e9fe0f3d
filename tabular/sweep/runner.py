"""A sweep from its options to its record: search, rank, refit the best, log."""

import gc
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import click
import numpy as np
import pandas as pd
from mlflow.entities import Run
from tqdm import tqdm

from tabular import reporting, training
from tabular.errors import WorkFailed
from tabular.evaluation import plot_style, thresholds
from tabular.model import boosting, constraints
from tabular.model.hyperparameters import config_name
from tabular.model.trainer import SharingTrainer, Trainer
from tabular.options import SEARCH_METRICS
from tabular.sweep import child_runs, diagnosis, repeats, space
from tabular.sweep import plots as sweep_plots
from tabular.sweep.budget import Budget
from tabular.sweep.executors import MakeExecutor, run_trials
from tabular.sweep.importance import importance_table
from tabular.sweep.options import SweepOptions
from tabular.sweep.optuna_search import OptunaSearch
from tabular.sweep.results import (
    baseline_metrics,
    format_metric,
    keep_best_predictions,
    leaderboard,
    rank,
    results_table,
)
from tabular.sweep.space import GridSearch
from tabular.sweep.trials import SweepSpec, TrialResult
from tabular.tracking import orphans, runs

NAMED_CURVES = 5  # in the plot of the curves; the others are grey

Search = GridSearch | OptunaSearch


def sweep(options: SweepOptions, make_executor: MakeExecutor) -> None:
    """Do all of ``sweep.py``: a parent run with one child run for each configuration."""
    dataset = training.load_dataset(options)
    given = {name: options.space[name][0] for name in constraints.PARSERS}
    constraints.require_features(given, dataset.table)
    indices = boosting.validation_splits(dataset.train.y, options.seed, options.folds)
    child_runs.require_resumable(options.resume)
    search = make_search(options)
    reporting.announce(dataset)
    click.echo(search)
    spec = SweepSpec(dataset, options.device, options.seed, options.folds, search.tree_choices)
    with runs.start_run(dataset.qualify(run_name(search, options))) as run:
        size = {child_runs.SIZE: str(search.n_configs)}
        runs.log_setup(run, options.cli_args, dataset, options.device, size)
        gc.freeze()  # the rows and the store's packages stay: the collector need not look at them
        n_later = 2 * options.repeats if options.repeats > 1 else 0
        budget = Budget(options.budget, n_later)
        results, seconds = run_search(run, spec, search, options, make_executor, budget)
        left = budget.rest()
        baseline = baseline_metrics(dataset.train.y, indices)
        table = log_table(run, results, baseline, options.metric)
        failed = [result.error for result in results if result.error]
        reason = f"{len(failed)} of {len(results)} points failed: {failed[-1]}" if failed else ""
        if len(failed) == len(results):
            raise WorkFailed(reason)
        too_many = len(failed) > options.max_failures
        read_curves(results)
        with ThreadPoolExecutor(1) as pool:  # the main thread fits, so that a signal reaches it
            drawn = pool.submit(draw, results, table, options)
            trainer = SharingTrainer(drawn.done)
            fitted = refit_best(run, spec, results[0], baseline, options.metric, indices, trainer)
        runs.log_artifacts(run, *drawn.result())
        fitted.metrics["search_seconds"] = seconds
        fitted.threshold = thresholds.decide(options.threshold, fitted.validation)
        if options.budget:
            fitted.metrics |= {"points_tried": len(results), "points_not_tried": search.n_open}
        best = results[0]
        fitted.metrics |= repeat_best(run, spec, best, options, make_executor, left)
        fitted.findings = diagnosis.diagnose(options.space, best.config, best.curve)
        note = leaderboard(run, spec, results, baseline, options.metric)
        if search.n_open:
            note += f"\n{search.n_open:,} more were not tried: the budget was spent.\n"
        register = "none" if too_many else options.register
        test_metrics = training.evaluate_and_log(run, fitted, dataset, register, note)
        reporting.report(run, dataset, test_metrics, fitted.findings, fitted.threshold_note)
        if too_many:
            raise WorkFailed(f"{reason} (max_failures={options.max_failures})")


def run_name(search: Search, options: SweepOptions) -> str:
    """What the run of a sweep is called: by its budget if that decides how many points it tries."""
    if options.budget:
        return f"sweep of {search.noun}s for {options.cli_args['budget']}"
    return f"sweep of {search.n_configs:,} {search.noun}{'s' * (search.n_configs > 1)}"


def make_search(options: SweepOptions) -> Search:
    """The configurations to evaluate, and the order in which they are proposed."""
    if options.sampler == "grid":
        seed = options.seed if options.budget else None
        return GridSearch(space.grid_configs(options.space, options.max_points), seed)
    return OptunaSearch(
        options.space, options.sampler, options.metric, options.seed, options.trials
    )


def run_search(
    run: Run,
    spec: SweepSpec,
    search: Search,
    options: SweepOptions,
    make_executor: MakeExecutor,
    budget: Budget,
) -> tuple[list[TrialResult], float]:
    """Evaluate every configuration that no earlier sweep has evaluated, each in a child run.

    Returns:
        All results, ranked, and the seconds from the first fit to the end of the last child run.

    Raises:
        WorkFailed: the budget was spent before there was any result.
    """
    end_orphaned(run)
    look_up = child_runs.find_finished(run, spec, options.resume)
    results: list[TrialResult] = []

    def cached(config: space.Config) -> TrialResult | None:
        if result := look_up(config):
            results.append(result)
        return result

    executor = make_executor(run, spec, search.start(cached))
    start = time.perf_counter()
    with (
        child_runs.ensure_children_ended(run, budget),
        closing(executor),
        progress(search, results, options) as advance,
    ):
        for result in keep_best_predictions(run_trials(search, executor, budget), options.metric):
            results.append(result)
            advance()
    seconds = time.perf_counter() - start
    if n_cached := sum(result.source != "computed" for result in results):
        click.echo(f"resume {n_cached:,} points are known from earlier sweeps")
    click.echo(
        f"search {seconds:.1f} s; fits at a time: {executor.workers}, "
        f"threads for each: {executor.n_jobs}"
    )
    if 2 * search.n_repeated > search.n_configs:
        click.echo(
            f"note   {search.n_repeated:,} of {search.n_configs:,} {search.noun}s repeat another "
            "one: a range, such as learning_rate=0.02..0.3, has more values than a list"
        )
    if search.n_open:
        announce_rest(search, results, options)
    return rank(results, options.metric), seconds


def end_orphaned(run: Run) -> None:
    """End the runs of the experiment whose process is gone, and list the others."""
    orphaned, others = orphans.find_running(run.info.experiment_id)
    orphans.end_orphaned(orphaned)
    for other in others:
        if other.info.run_id != run.info.run_id:
            click.echo(f"note   run {other.info.run_id} reads RUNNING and may be alive: left alone")


def announce_rest(search: Search, results: list[TrialResult], options: SweepOptions) -> None:
    """Print what was not tried because the budget was spent.

    Raises:
        WorkFailed: there is no result at all.
    """
    kept = " but for what repeats need" if options.repeats > 1 else ""
    line = f"{options.cli_args['budget']} is spent{kept}, {search.n_open:,} {search.noun}s are not"
    if not results:
        raise WorkFailed(f"budget: {line} tried, and none is finished; allow more time")
    go_on = any(result.source == "computed" for result in results)
    advice = "the same command goes on with them" if go_on else "allow more time: no fit ended"
    click.echo(f"budget {line} tried; {advice}")


@contextmanager
def progress(
    search: Search, results: list[TrialResult], options: SweepOptions
) -> Iterator[Callable[[], None]]:
    """A progress bar in a terminal, elsewhere a line for each tenth of the work."""
    metric, limit = options.metric, f" within {options.cli_args['budget']}" * bool(options.budget)
    start, n_ranked = time.monotonic(), 0
    before: int | float = 0
    best: list[TrialResult] = []
    bar_format = "       {percentage:3.0f}% |{bar}| {desc}, {remaining} left"

    def advance() -> None:
        nonlocal before, n_ranked, best
        best = rank([*best, *results[n_ranked:]], metric)[:1]
        last, before, n_ranked = before, search.done, len(results)
        line = f"{n_ranked:,} of {search.n_configs:,} points{limit}"
        if not best[0].error:
            line += f", best {metric} {best[0].metrics[metric]:.4f}"
        bar.set_description_str(line, refresh=False)
        bar.update(before - last)
        if bar.disable and 10 * last // search.total < 10 * before // search.total:
            left = (time.monotonic() - start) * (search.total / before - 1)
            click.echo(f"       {line}, {tqdm.format_interval(left)} left", err=True)

    with tqdm(
        desc=f"0 of {search.n_configs:,} points",
        total=search.total,
        bar_format=bar_format,
        disable=None,
        leave=False,
    ) as bar:
        yield advance


def log_table(
    run: Run, results: list[TrialResult], baseline: dict[str, float], metric: str
) -> pd.DataFrame:
    """Log the table of all results, and return it."""
    table = results_table(results, baseline, metric)
    runs.log_artifacts(run, {}, {"sweep.csv": table, "sweep.json": table})
    return table


def read_curves(results: list[TrialResult]) -> None:
    """Read the curves that are named in the plot, where another sweep computed them."""
    for result in results[:NAMED_CURVES]:
        if result.curve is None and not result.error:
            result.curve = child_runs.curve(result.run_id)


def draw(
    results: list[TrialResult], table: pd.DataFrame, options: SweepOptions
) -> tuple[dict[str, bytes], dict[str, pd.DataFrame]]:
    """Plots, as PNG, and a table of the results, at least one of which has not failed.

    Both are by the path of the artifact; those of the hyper-parameters' importance are missing
    where there are too few results.
    """
    done = [result for result in results if not result.error]
    named = [
        (config_name(result.config), result.curve)
        for result in done[:NAMED_CURVES]
        if result.curve is not None
    ]
    others = [result.curve for result in done[NAMED_CURVES:] if result.curve is not None]
    varied = space.varied_names(result.config for result in done)
    shown = table[table["run_id"].isin([result.run_id for result in done])]
    draw_metric = sweep_plots.heat_map if options.sampler == "grid" else sweep_plots.slices
    less_is_better = SEARCH_METRICS[options.metric] > 0
    figure = draw_metric(shown, varied, f"validation_{options.metric}", less_is_better)
    images = {
        "plots/sweep.png": plot_style.png(figure),
        "plots/sweep_curves.png": plot_style.png(sweep_plots.sweep_curves(named, others)),
    }
    ranking = importance_table(results, options)
    if ranking.empty:
        return images, {}
    figure = sweep_plots.importance_bars(ranking, f"validation_{options.metric}")
    return images | {"plots/sweep_importance.png": plot_style.png(figure)}, {
        "sweep_importance.csv": ranking
    }


def refit_best(
    run: Run,
    spec: SweepSpec,
    best: TrialResult,
    baseline: dict[str, float],
    metric: str,
    indices: list[tuple[np.ndarray, np.ndarray]],
    trainer: Trainer,
) -> training.Fitted:
    """Fit the best configuration on the full training set.

    Its thresholds are computed on the validation rows, which the search has predicted by a fit
    without them; a result of an earlier sweep is fitted again for this.
    """
    shown = ", ".join(f"{name} {format_metric(best.metrics, name)}" for name in SEARCH_METRICS)
    click.echo(f"best   {config_name(best.config)}, run {best.run_id}")
    click.echo(f"       validation {shown}; baseline {metric} {baseline[metric]:.4f}")
    runs.log_tags(run, {child_runs.BEST: best.run_id})
    fitted = training.fit(
        best.config,
        spec.dataset,
        seed=spec.seed,
        device=spec.device,
        validation_indices=[] if best.validation else indices,
        trainer=trainer,
    )
    fitted.validation = best.validation or fitted.validation
    if best.curve is not None:
        fitted.curves["validation_log_loss"] = dict(enumerate(best.curve.tolist(), start=1))
    fitted.metrics |= {f"validation_{k}": v for k, v in best.metrics.items() if k != "log_loss"}
    return fitted


def repeat_best(
    run: Run,
    spec: SweepSpec,
    best: TrialResult,
    options: SweepOptions,
    make_executor: MakeExecutor,
    budget: Budget,
) -> dict[str, float]:
    """Evaluate the best configuration on other splits, if asked; returns the sweep's metrics."""
    if options.repeats == 1:
        return {}
    table = repeats.repeat(run, spec, best.config, options, make_executor, budget)
    runs.log_artifacts(run, {}, {"repeats.csv": table})
    click.echo(repeats.describe(table, options.metric, options.repeats, options.folds))
    return repeats.summarize(table)
