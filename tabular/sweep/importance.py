"""Which hyper-parameters decide whether a configuration is among the best: PED-ANOVA.

Watanabe, Bansal, Hutter: PED-ANOVA, Efficiently Quantifying Hyperparameter Importance in Arbitrary
Subspaces, IJCAI 2023. Each hyper-parameter's density among the best configurations is compared with
its density among all. The numbers are those of Optuna's ``PedAnovaImportanceEvaluator``, whose
import would take longer than everything else here by far.
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import ndtr

from tabular.model.hyperparameters import HYPERPARAMETERS, Hyperparameter, Range
from tabular.options import SEARCH_METRICS
from tabular.sweep.options import SweepOptions
from tabular.sweep.space import SearchSpace
from tabular.sweep.trials import TrialResult

MIN_TRIALS = 20  # of fewer, the ranking is mostly chance
TOP_SHARE, TOP_LEAST = 0.1, 5  # the best configurations: a tenth of all, and at least five
N_STEPS = 50  # of a range


def importance_table(results: list[TrialResult], options: SweepOptions) -> pd.DataFrame:
    """The importance of each hyper-parameter that was searched, the largest first.

    Returns:
        Columns ``hyperparameter`` and ``importance``, whose sum is 1; no rows where fewer than
        ``MIN_TRIALS`` results or two hyper-parameters are there.
    """
    done = [result for result in results if not result.error]
    searched = options.space
    if options.sampler != "grid":  # its number of trees is found, and not drawn
        searched = searched | {"n_estimators": (0,)}
    found: dict[str, float] = {}
    if len(done) >= MIN_TRIALS:
        sign = SEARCH_METRICS[options.metric]
        loss = [sign * result.metrics[options.metric] for result in done]
        found = importance(pd.DataFrame([result.config for result in done]), loss, searched)
    rows = [*found.items()] if len(found) > 1 else []
    return pd.DataFrame(rows, columns=["hyperparameter", "importance"])


def describe_importance(ranking: pd.DataFrame, results: list[TrialResult], more: bool) -> str:
    """The importance of the hyper-parameters in one line, or why it is not computed.

    Args:
        ranking: as ``importance_table`` returns it.
        results: of which ``ranking`` was computed.
        more: there are configurations without a result.
    """
    if len(ranking):
        pairs = zip(ranking["hyperparameter"], ranking["importance"], strict=True)
        shown = ", ".join(f"{name} {share:.0%}" for name, share in pairs)
        return f"importance of the hyper-parameters: {shown} (plots/sweep_importance.png)"
    n_done = len([result for result in results if not result.error])
    if n_done >= MIN_TRIALS:
        return ""
    advice = "; run the same command again" if more else ""
    return (
        f"importance of the hyper-parameters: needs {MIN_TRIALS} results, there are "
        f"{n_done}{advice}"
    )


def importance(trials: pd.DataFrame, loss: Sequence[float], space: SearchSpace) -> dict[str, float]:
    """The importance of each hyper-parameter that was searched, the largest first; the sum is 1.

    Args:
        trials: a row for each configuration, with a column for each hyper-parameter.
        loss: what is to be small, one value for each row.
        space: the lists and ranges that the configurations are from; of one value: not searched.

    Returns:
        Nothing where no configuration is better than another.
    """
    n_top = max(math.ceil(TOP_SHARE * len(trials)), TOP_LEAST)
    top = np.asarray(loss) <= np.partition(loss, n_top - 1)[n_top - 1]
    found = {
        p.name: _divergence(cells, n_cells, isinstance(space[p.name], Range), top)
        for p in HYPERPARAMETERS
        if isinstance(values := space[p.name], Range) or len({*values}) > 1
        for cells, n_cells in [_cells(trials[p.name], values, p)]
    }
    total = sum(found.values())
    ranked = sorted(found, key=found.__getitem__, reverse=True)
    return {name: found[name] / total for name in ranked} if total else {}


def _cells(values: pd.Series, of: Range | tuple, p: Hyperparameter) -> tuple[np.ndarray, int]:
    """The number of the cell that each value lies in, and the number of cells.

    A list has a cell for each value; a range is cut on the scale that it is drawn on.
    """
    if not isinstance(of, Range):
        choices = [*dict.fromkeys(of)]
        return values.map(choices.index).to_numpy(), len(choices)
    low, high, n_cells, log = of.low, of.high, N_STEPS, p.log and of.low > 0
    if isinstance(p.default, int):
        size = high - low + 1
        n_cells = min(N_STEPS, math.ceil(math.log2(size)) + 1 if log else int(size))
    if log:
        values, low, high = np.log(values), math.log(low), math.log(high)
    cells = np.ceil((values - low) / ((high - low) / (n_cells - 1)) - 0.5).astype(int)
    return np.clip(cells.to_numpy(), 0, n_cells - 1), n_cells


def _divergence(cells: np.ndarray, n_cells: int, ordered: bool, top: np.ndarray) -> float:
    """Pearson's divergence of the density of the best from that of all."""
    density = _ordered_density if ordered else _unordered_density
    best, every = (
        density(np.bincount(chosen, minlength=n_cells)) + 1e-12 for chosen in (cells[top], cells)
    )
    return float(every @ (best / every - 1) ** 2)


def _unordered_density(counts: np.ndarray) -> np.ndarray:
    """The density of a list's values, (n_cells,), smoothed by a prior that weighs one trial."""
    observed = np.flatnonzero(counts)
    prior = 1 / (len(observed) + 1)
    kernels = (np.eye(len(counts))[observed] + prior) / (1 + prior * len(counts))
    total = counts[observed] @ kernels + 1 / len(counts)
    return total / (counts.sum() + 1)


def _ordered_density(counts: np.ndarray) -> np.ndarray:
    """The density on a range's cells, (n_cells,), by kernels as wide as Scott's rule says."""
    observed, n_cells = np.flatnonzero(counts), len(counts)
    weights = counts[observed]
    total, cumulated = weights.sum(), np.cumsum(weights)
    mean = observed @ weights / total
    deviation = np.sqrt((observed - mean) ** 2 @ weights / max(1, total - 1))
    first = np.searchsorted(cumulated, total // 4, side="left")
    third = np.searchsorted(cumulated, total * 3 // 4, side="right")
    spread = observed[min(len(observed) - 1, third)] - observed[first]
    width = max(1.059 * min(spread / 1.34, deviation) * total**-0.2, 0.5 / 1.64)
    centers = np.append(observed, (n_cells - 1) / 2)
    widths = np.append(np.full(len(observed), width), n_cells)  # the last one is the prior
    edges = ndtr((np.arange(n_cells + 1)[:, None] - 0.5 - centers) / widths)
    kernels = np.diff(edges, axis=0) / (edges[-1] - edges[0])
    return kernels @ np.append(weights, 1) / (total + 1)
