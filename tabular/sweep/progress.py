"""What a search prints while it runs, and what it prints about its end."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from tqdm import tqdm

from tabular.errors import WorkFailed
from tabular.sweep.budget import Budget
from tabular.sweep.options import SweepOptions
from tabular.sweep.optuna_search import OptunaSearch
from tabular.sweep.results import rank
from tabular.sweep.space import GridSearch
from tabular.sweep.trials import TrialResult

Search = GridSearch | OptunaSearch


@contextmanager
def show_progress(
    search: Search, results: list[TrialResult], options: SweepOptions, budget: Budget
) -> Iterator[Callable[[], None]]:
    """A progress bar in a terminal, elsewhere a line for each tenth of the work or of the budget.

    Yields:
        A function to call after each result that is appended to ``results``.
    """
    metric, limit = options.metric, f" within {options.cli_args['budget']}" * bool(options.budget)
    total = f"of {search.n_configs:,} {search.noun}s"
    start, n_ranked, before = time.monotonic(), 0, 0.0
    best: list[TrialResult] = []
    bar_format = "       {percentage:3.0f}% |{bar}| {desc}, {remaining} left"

    def advance() -> None:
        nonlocal before, n_ranked, best
        best = rank([*best, *results[n_ranked:]], metric)[:1]
        last, before = before, min(1.0, max(search.done / search.total, budget.share()))
        n_ranked = len(results)
        line = f"{n_ranked:,} {total}{limit}"
        if not best[0].error:
            line += f", best {metric} {best[0].metrics[metric]:.4f}"
        bar.set_description_str(line, refresh=False)
        bar.update(before - last)
        if bar.disable and int(10 * last) < int(10 * before):
            left = (time.monotonic() - start) * (1 / before - 1)
            click.echo(f"       {line}, {tqdm.format_interval(left)} left", err=True)

    with tqdm(desc=f"0 {total}", total=1, bar_format=bar_format, disable=None, leave=False) as bar:
        yield advance


def announce_repeated(search: Search) -> None:
    """Print a note if most trials repeat another one."""
    if 2 * search.n_repeated > search.n_configs:
        click.echo(
            f"note   {search.n_repeated:,} of {search.n_configs:,} {search.noun}s repeat another "
            "one: a range, such as learning_rate=0.02..0.3, has more values than a list"
        )


def announce_rest(search: Search, results: list[TrialResult], options: SweepOptions) -> None:
    """Print what was not tried because the budget was spent.

    Raises:
        WorkFailed: there is no result at all.
    """
    kept = ", less the time kept for repeats" if options.repeats > 1 else ""
    line = f"{options.cli_args['budget']} is spent{kept}, {search.n_open:,} {search.noun}s are not"
    if not results:
        raise WorkFailed(f"budget: {line} tried, and none is finished; allow more time")
    go_on = any(result.source == "computed" for result in results)
    advice = "the same command goes on with them" if go_on else "allow more time: no fit ended"
    click.echo(f"budget {line} tried; {advice}")
