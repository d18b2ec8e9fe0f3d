"""The results of a sweep: ranked, beside the baseline, as a table and in Markdown."""

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
from mlflow.entities import Run

from tabular.evaluation.metrics import search_metrics
from tabular.model import constraints
from tabular.model.hyperparameters import DEFAULTS, config_name, decisive_values
from tabular.options import SEARCH_METRICS
from tabular.sweep import space
from tabular.sweep.trials import SweepSpec, TrialResult, average_metrics

MARKDOWN_ROWS = 10  # results in the run's description


def rank(results: list[TrialResult], metric: str) -> list[TrialResult]:
    """The best first, those that failed last."""
    done = [r for r in results if not r.error]
    done.sort(key=lambda r: space.rank_key(r.config, r.metrics[metric], metric))
    return done + [r for r in results if r.error]


def keep_best_predictions(results: Iterable[TrialResult], metric: str) -> Iterator[TrialResult]:
    """Pass results on; only the best so far keeps its predictions of the validation rows.

    Those of thousands of results would fill the memory.
    """
    best: list[TrialResult] = []
    for result in results:
        if not result.error:
            first, *others = rank([*best, result], metric)
            best = [first]
            for other in others:
                other.validation = None
        yield result


def baseline_metrics(
    y: np.ndarray, indices: list[tuple[np.ndarray, np.ndarray]]
) -> dict[str, float]:
    """Validation metrics of a prediction that ignores every column, as a ``DummyClassifier``'s.

    It is the share of label 1 among the training rows.

    Args:
        y: 0 or 1, (n_samples,).
        indices: as ``boosting.validation_splits`` returns them.
    """
    scores = [
        search_metrics(y[held_out], np.full(len(held_out), y[train].mean()))
        for train, held_out in indices
    ]
    return average_metrics(scores)


def results_table(
    results: list[TrialResult], baseline: dict[str, float], metric: str
) -> pd.DataFrame:
    """One row for each result and one for the baseline, sorted by the metric.

    The hyper-parameters that differ come first; optional ones that have their default in all of
    them have no column.
    """
    decisive = {name for result in results for name in decisive_values(result.config)}
    rows = [
        {"source": r.source, **r.config, **r.metrics, "run_id": r.run_id, "error": r.error or ""}
        for r in results
    ]
    rows.append({"source": "constant", **baseline, "run_id": "", "error": ""})
    varied = space.varied_names(result.config for result in results)
    constant = [name for name in results[0].config if name in decisive and name not in varied]
    names = [*varied, *constant, *baseline]
    table = pd.DataFrame(rows)[["source", *names, "run_id", "error"]]
    ascending = SEARCH_METRICS[metric] > 0
    table = table.sort_values(metric, ascending=ascending, kind="stable", ignore_index=True)
    integers = [name for name in decisive if isinstance(results[0].config[name], int)]
    table = table.astype(dict.fromkeys(integers, "Int64"))  # the baseline has none
    return table.rename(columns={name: f"validation_{name}" for name in baseline})


def leaderboard(
    run: Run, spec: SweepSpec, results: list[TrialResult], baseline: dict[str, float], metric: str
) -> str:
    """The best results in Markdown, each with a link to its run."""
    experiment = run.info.experiment_id
    how = f"{spec.folds} folds" if spec.folds > 1 else "a fifth held out"
    lines = [
        f"\n**The best of {len(results):,} configurations** by validation {metric} ({how}):\n",
        f"| | {' | '.join(SEARCH_METRICS)} | run |",
        "| --- " * (len(SEARCH_METRICS) + 2) + "|",
    ]
    lines += [
        f"| {config_name(result.config)} | "
        + " | ".join(format_metric(result.metrics, name) for name in SEARCH_METRICS)
        + f" | [{result.run_id}](#/experiments/{experiment}/runs/{result.run_id}) |"
        for result in results[:MARKDOWN_ROWS]
        if not result.error
    ]
    values = " | ".join(format_metric(baseline, name) for name in SEARCH_METRICS)
    own = {k: v for k, v in results[0].config.items() if k not in constraints.PARSERS}
    given = " ".join(f"-P {name}={value}" for name, value in own.items() if value != DEFAULTS[name])
    lines += [f"| baseline: a constant prediction | {values} | |", ""]
    return "\n".join([*lines, f"Parameters of the best: `{given}`\n" if given else ""])


def format_metric(metrics: dict[str, float], name: str) -> str:
    """A metric and, where it is a mean over folds, its standard deviation."""
    deviation = f" (sd {metrics[f'{name}_std']:.4f})" if f"{name}_std" in metrics else ""
    return f"{metrics[name]:.4f}{deviation}"
