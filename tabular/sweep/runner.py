"""A sweep from its options to its record: search, rank, refit the best, log."""

import gc
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import click
import numpy as np
import pandas as pd
from mlflow.entities import Run

from tabular import reporting, training
from tabular.errors import WorkFailed
from tabular.evaluation import plot_style, thresholds
from tabular.model import boosting, constraints
from tabular.model.hyperparameters import config_name
from tabular.model.trainer import SharingTrainer, Trainer
from tabular.options import SEARCH_METRICS
from tabular.sweep import child_runs, diagnosis, progress, repeats, space
from tabular.sweep import plots as sweep_plots
from tabular.sweep.budget import Budget
from tabular.sweep.executors import MakeExecutor, run_trials
from tabular.sweep.importance import describe_importance, importance_table
from tabular.sweep.options import SweepOptions
from tabular.sweep.optuna_search import OptunaSearch
from tabular.sweep.progress import Search
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
        ranking = importance_table(results, options)
        if importance := describe_importance(ranking, results, search.n_open > 0):
            click.echo(f"note   {importance}")
        n_failed, reason = count_failures(results)
        too_many = n_failed > options.max_failures
        read_curves(results)
        with ThreadPoolExecutor(1) as pool:  # the main thread fits, so that a signal reaches it
            drawn = pool.submit(draw, results, table, ranking, options)
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
        note += remarks(importance, search.n_open)
        register = "none" if too_many else options.register
        test_metrics = training.evaluate_and_log(run, fitted, dataset, register, note)
        reporting.report(run, dataset, test_metrics, fitted.findings, fitted.threshold_note)
        if too_many:
            raise WorkFailed(f"{reason} (max_failures={options.max_failures})")


def run_name(search: Search, options: SweepOptions) -> str:
    """What the run of a sweep is called: by its budget if it has one."""
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
        progress.show_progress(search, results, options, budget) as advance,
    ):
        for result in keep_best_predictions(run_trials(search, executor, budget), options.metric):
            results.append(result)
            advance()
    seconds = time.perf_counter() - start
    if n_cached := sum(result.source != "computed" for result in results):
        click.echo(f"resume {n_cached:,} results are known from earlier sweeps")
    click.echo(
        f"search {seconds:.1f} s; fits at a time: {executor.workers}, "
        f"threads for each: {executor.n_jobs}"
    )
    progress.announce_repeated(search)
    if search.n_open:
        progress.announce_rest(search, results, options)
    return rank(results, options.metric), seconds


def end_orphaned(run: Run) -> None:
    """End the runs of the experiment whose process is gone, and list the others."""
    orphaned, others = orphans.find_running(run.info.experiment_id)
    orphans.end_orphaned(orphaned)
    for other in others:
        if other.info.run_id != run.info.run_id:
            click.echo(f"note   run {other.info.run_id} reads RUNNING and may be alive: left alone")


def log_table(
    run: Run, results: list[TrialResult], baseline: dict[str, float], metric: str
) -> pd.DataFrame:
    """Log the table of all results, and return it."""
    table = results_table(results, baseline, metric)
    runs.log_artifacts(run, {}, {"sweep.csv": table, "sweep.json": table})
    return table


def count_failures(results: list[TrialResult]) -> tuple[int, str]:
    """How many configurations failed, and an error message that says so and has the last error.

    Raises:
        WorkFailed: all of them failed.
    """
    failed = [result.error for result in results if result.error]
    n_failed = f"{len(failed)} of {len(results)} configurations failed: "
    reason = n_failed + "".join(failed[-1:])
    if len(failed) == len(results):
        raise WorkFailed(reason)
    return len(failed), reason


def remarks(importance: str, n_open: int) -> str:
    """What follows the leaderboard in the description of the run, as Markdown."""
    text = f"\n{importance.capitalize()}.\n" if importance else ""
    if n_open:
        text += f"\n{n_open:,} more were not tried: the budget was spent.\n"
    return text


def read_curves(results: list[TrialResult]) -> None:
    """Read the curves that are named in the plot, where another sweep computed them."""
    for result in results[:NAMED_CURVES]:
        if result.curve is None and not result.error:
            result.curve = child_runs.curve(result.run_id)


def draw(
    results: list[TrialResult],
    table: pd.DataFrame,
    ranking: pd.DataFrame,
    options: SweepOptions,
) -> tuple[dict[str, bytes], dict[str, pd.DataFrame]]:
    """Plots, as PNG, and tables of the results, at least one of which has not failed.

    Both are by the path of the artifact; those of the hyper-parameters' importance are missing
    where ``ranking`` is empty.
    """
    done = [result for result in results if not result.error]
    varied = space.varied_names(result.config for result in done)
    named = [
        (config_name(result.config, varied), result.curve)
        for result in done[:NAMED_CURVES]
        if result.curve is not None
    ]
    others = [result.curve for result in done[NAMED_CURVES:] if result.curve is not None]
    shown = table[table["run_id"].isin([result.run_id for result in done])]
    draw_metric = sweep_plots.heat_map if options.sampler == "grid" else sweep_plots.slices
    less_is_better = SEARCH_METRICS[options.metric] > 0
    figure = draw_metric(shown, varied, f"validation_{options.metric}", less_is_better)
    images = {
        "plots/sweep.png": plot_style.png(figure),
        "plots/sweep_curves.png": plot_style.png(sweep_plots.sweep_curves(named, others)),
    }
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
    click.echo(f"best   {config_name(best.config)}, child run {best.run_id}")
    click.echo(f"       validation {shown}; baseline {metric} {baseline[metric]:.4f}")
    click.echo(f"fit    the best configuration on all {spec.dataset.train.n_rows:,} training rows")
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
