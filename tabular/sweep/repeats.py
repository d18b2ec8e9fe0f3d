"""The chosen configuration on other validation splits: how far its metrics depend on the split."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pandas as pd
from mlflow.entities import Run

from tabular.model.hyperparameters import DEFAULTS
from tabular.options import SEARCH_METRICS
from tabular.sweep import child_runs
from tabular.sweep.budget import Budget
from tabular.sweep.executors import MakeExecutor, run_trials
from tabular.sweep.options import SweepOptions
from tabular.sweep.space import Config, GridSearch
from tabular.sweep.trials import SweepSpec, TrialResult

N_SEEDS = 2**31
CHOSEN, BASE = "chosen", "defaults"


def repeat(
    run: Run,
    spec: SweepSpec,
    best: Config,
    options: SweepOptions,
    make_executor: MakeExecutor,
    budget: Budget,
) -> pd.DataFrame:
    """Evaluate a configuration, and the defaults, on the splits of the seeds after the sweep's.

    Each evaluation is a child run, as a sweep of that seed would make it, and is reused likewise.

    Args:
        budget: what the search has left; when it is spent, splits are missing.

    Returns:
        A row for each evaluation: ``config`` (chosen or defaults), ``seed``, the metrics, which are
        NaN after a failure, ``run_id`` and ``error``.
    """
    rows = []
    with child_runs.ensure_children_ended(run, budget):
        for number in range(1, options.repeats + 1):
            seed = (options.seed + number) % N_SEEDS
            other = replace(spec, seed=seed, tree_choices=None, repeat=number)
            for result in _evaluate(run, other, best, options.resume, make_executor, budget):
                name = CHOSEN if result.config == best else BASE
                values = [result.metrics.get(metric) for metric in SEARCH_METRICS]
                rows.append((name, seed, *values, result.run_id, result.error or ""))
    columns = ["config", "seed", *SEARCH_METRICS, "run_id", "error"]
    table = pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(SEARCH_METRICS, float))
    return table.sort_values(["config", "seed"], ignore_index=True)


def _evaluate(
    run: Run,
    spec: SweepSpec,
    best: Config,
    resume: str,
    make_executor: MakeExecutor,
    budget: Budget,
) -> Iterator[TrialResult]:
    """The results of the best configuration and of the defaults with the seed of ``spec``."""
    known: list[TrialResult] = []
    look_up = child_runs.find_finished(run, spec, resume)

    def cached(config: Config) -> TrialResult | None:
        if result := look_up(config):
            known.append(result)
        return result

    grid = GridSearch([best] if best == DEFAULTS else [best, DEFAULTS])
    n_fits = grid.start(cached)
    yield from known
    if n_fits and not budget.spent():
        with closing(make_executor(run, spec, n_fits)) as executor:
            yield from run_trials(grid, executor, budget)


def summarize(table: pd.DataFrame) -> dict[str, float]:
    """Means, sample standard deviations and standard errors over the splits.

    Args:
        table: as ``repeat`` returns it.

    Returns:
        For each metric ``repeats_<metric>`` of the chosen configuration, and
        ``repeats_<metric>_difference``, its value minus that of the defaults on the same split;
        both with ``_std`` and ``_se``. NaN where too few splits are there.
    """
    summary: dict[str, float] = {}
    for end, values in {"": values_of(table, CHOSEN), "_difference": differences(table)}.items():
        for name, column in values.items():
            key = f"repeats_{name}{end}"
            found = {"": column.mean(), "_std": column.std(), "_se": column.sem()}
            summary |= {key + statistic: value for statistic, value in found.items()}
    return summary


def values_of(table: pd.DataFrame, config: str) -> pd.DataFrame:
    """The metrics of a configuration by seed, without evaluations that failed."""
    return table[table["config"] == config].set_index("seed")[[*SEARCH_METRICS]].dropna()


def differences(table: pd.DataFrame) -> pd.DataFrame:
    """The chosen configuration's metrics minus those of the defaults, by seed."""
    return (values_of(table, CHOSEN) - values_of(table, BASE)).dropna()


def describe(table: pd.DataFrame, metric: str, n_wanted: int, folds: int) -> str:
    """What the repetitions gave, in two lines; one where there is nothing to compare with."""
    values, compared = values_of(table, CHOSEN), differences(table)
    shown = ", ".join(_spread(column, ".4f") for _, column in values.items() if len(column))
    count, reason = str(len(values)), ""
    if len(values) < n_wanted:
        errors = [error for error in table["error"] if error]
        count += f" of {n_wanted}"
        reason = f": {errors[-1] if errors else 'the budget is spent'}"
    where = "other splits" if folds == 1 else f"other divisions into {folds} folds"
    lines = [f"repeat {shown or 'no result'} on {count} {where}{reason}"]
    if len(compared):
        n_better = (SEARCH_METRICS[metric] * compared[metric] < 0).sum()
        spread = _spread(compared[metric], "+.4f")
        lines.append(
            f"       {spread} against the defaults, better on {n_better} of {len(compared)}"
        )
    return "\n".join(lines)


def _spread(values: pd.Series, form: str) -> str:
    """A name with the mean and, of several values, the standard deviation."""
    deviation = f" (sd {values.std():.4f})" if len(values) > 1 else ""
    return f"{values.name} {values.mean():{form}}{deviation}"
