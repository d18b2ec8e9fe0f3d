"""Bootstrap intervals: the metrics of a test set, computed again on resampled rows.

In every function ``y_true`` is 0 or 1, and ``probability`` is the predicted probability of label 1,
both of shape (n_samples,).

Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain

import numpy as np

from tabular import cancel
from tabular.evaluation.metrics import CONFIDENCE, classification_metrics, step_index

N_REPLICATES = 1000
MANY_ROWS = 1 << 18  # above this number of rows, counts are drawn instead of rows
HISTOGRAM_STEPS = 1 << 14  # of probability
MAX_CELLS = 1 << 16  # of a joint histogram of two models

Thresholds = tuple[float, float]  # of two models
AT_HALF = (0.5, 0.5)

_dot = partial(np.einsum, "i,i")  # `@` would start threads, which takes longer


def interval_names(metric: str) -> tuple[str, str]:
    """The names under which a run records the lower and the upper end of a metric's interval."""
    return f"interval/{metric}_low", f"interval/{metric}_high"


def confidence_intervals(
    y_true: np.ndarray, probability: np.ndarray, threshold: float = 0.5
) -> dict[str, float]:
    """The ends of each metric's percentile interval, by the names of ``interval_names``.

    A metric that is undefined on all resampled rows, as the precision of a model that predicts no
    positive row is, has no interval.
    """
    ends: dict[str, float] = {}
    many = len(y_true) > MANY_ROWS
    replicates = bootstrap_metrics(y_true, probability, binned=many, threshold=threshold)
    for name, values in replicates.items():
        if not np.isnan(values).all():
            ends |= zip(interval_names(name), percentile_interval(values), strict=True)
    return ends


def start_intervals(
    y_true: np.ndarray, probability: np.ndarray, threshold: float = 0.5
) -> Callable[[], dict[str, float]]:
    """Compute the intervals, those of many rows in a thread of its own.

    Returns:
        A function that returns the ``confidence_intervals`` as soon as they are known.
    """
    if len(y_true) <= MANY_ROWS:  # takes little time, but Python's lock
        ends = confidence_intervals(y_true, probability, threshold)
        return lambda: ends
    pool = ThreadPoolExecutor(1)
    future = pool.submit(confidence_intervals, y_true, probability, threshold)
    pool.shutdown(wait=False)
    return future.result


def paired_intervals(
    y_true: np.ndarray,
    probability_a: np.ndarray,
    probability_b: np.ndarray,
    thresholds: Thresholds = AT_HALF,
) -> dict[str, tuple[float, float]]:
    """The percentile interval of each metric of model b minus that of model a.

    Both models are evaluated on the same resampled rows, which are drawn once for all metrics.
    Above ``MANY_ROWS`` rows, resampled counts of the models' joint histogram take their place.

    Args:
        thresholds: of model a and of model b.

    Returns:
        The ends by metric, as ``classification_metrics`` names them; NaN where undefined.
    """
    probabilities = probability_a, probability_b
    many = len(y_true) > MANY_ROWS
    differences = _histogram_differences if many else _row_differences
    replicates = differences(y_true, probabilities, thresholds)
    return {name: percentile_interval(values) for name, values in replicates.items()}


def percentile_interval(replicates: np.ndarray) -> tuple[float, float]:
    """The percentile interval of replicates (n_replicates,), rounded to six digits.

    Further digits depend on the processor.
    """
    if np.isnan(replicates).all():  # such as the precision of a model that predicts no positive
        return np.nan, np.nan
    low, high = np.nanquantile(replicates, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return round(float(low), 6), round(float(high), 6)


def bootstrap_metrics(
    y_true: np.ndarray,
    probability: np.ndarray,
    n_replicates: int = N_REPLICATES,
    seed: int = 0,
    binned: bool = False,
    threshold: float = 0.5,
) -> dict[str, np.ndarray]:
    """The metrics on resampled rows, each (n_replicates,); NaN where undefined.

    The same ``seed`` and number of rows draw the same rows, so that the replicates of two models
    are paired, unless ``binned``.

    Args:
        binned: round probabilities to the middle of ``HISTOGRAM_STEPS`` equal steps, and draw
            numbers of equal rows instead of rows, which takes far less time for many rows. The
            replicates are shifted by what the rounding changes in the metric of all rows.
    """
    exact = probability
    if binned:
        probability = (step_index(probability, HISTOGRAM_STEPS) + 0.5) / HISTOGRAM_STEPS
    groups = _EqualRows(y_true, probability, threshold)
    replicates: Iterable[np.ndarray]
    replicates = _resample(groups.index, groups.n_groups, n_replicates, seed, binned)
    if binned:  # to draw takes most of the time, and does not need Python's lock
        replicates = [counts.astype(np.int32) for counts in replicates]
    found = _metrics([groups.sums(counts) for counts in replicates], len(y_true))
    if not binned:
        return found
    of_all = [
        _metrics([rows.sums(np.bincount(rows.index, minlength=rows.n_groups))], len(y_true))
        for rows in (_EqualRows(y_true, exact, threshold), groups)
    ]
    return {name: values + of_all[0][name] - of_all[1][name] for name, values in found.items()}


def _resample(
    index: np.ndarray, n_groups: int, n_replicates: int, seed: int, by_count: bool
) -> Iterator[np.ndarray]:
    """Numbers of rows of each group, (n_groups,), among as many rows drawn with replacement.

    Args:
        index: the group of each row, (n_samples,).
        by_count: draw the numbers, which have a multinomial distribution, and no rows.
    """
    rng, n = np.random.default_rng(seed), len(index)
    share = np.bincount(index, minlength=n_groups) / n
    for _ in range(n_replicates):
        cancel.check()
        if by_count:
            yield rng.multinomial(n, share)
        else:
            yield np.bincount(index[rng.integers(0, n, n, np.int32)], minlength=n_groups)


class _EqualRows:
    """Rows grouped by label and probability: the metrics depend on the sizes of the groups alone.

    Groups are in the order of label, then of falling probability.
    """

    def __init__(self, y_true: np.ndarray, probability: np.ndarray, threshold: float) -> None:
        negated, index = np.unique(-probability.astype(np.float64), return_inverse=True)
        p, eps = -negated, np.finfo(probability.dtype).eps
        self.index = index + len(p) * y_true.astype(index.dtype)  # of each row's group
        self.n_groups = 2 * len(p)
        self.loss = -np.log(np.clip(np.append(1 - p, p), eps, 1))
        self.squared_error = np.append(p, 1 - p) ** 2
        self.n_selected = np.searchsorted(negated, -threshold, side="right")

    def sums(self, counts: np.ndarray) -> tuple[float, ...]:
        """What ``_metrics`` needs to know of rows, given the size of each group, (n_groups,)."""
        counts = counts.astype(np.float64)
        negatives, positives = counts.reshape(2, -1)
        hits = np.cumsum(positives)  # with each distinct probability as the threshold
        selected = hits + np.cumsum(negatives)
        last = self.n_selected - 1
        predicted = (hits[last], selected[last]) if self.n_selected else (0, 0)
        area = _dot(negatives, hits - positives / 2)
        precision = _dot(positives, hits / np.maximum(selected, 1))
        loss, squared_error = _dot(counts, self.loss), _dot(counts, self.squared_error)
        return hits[-1], *predicted, loss, squared_error, area, precision


def _metrics(sums: Sequence[tuple[float, ...]], n: int) -> dict[str, np.ndarray]:
    """The metrics of replicates of n rows, from ``_EqualRows.sums`` of each."""
    positives, hits, selected, loss, squared_error, area, precision = np.array(sums).T
    with np.errstate(invalid="ignore"):  # 0 / 0
        return {
            "log_loss": loss / n,
            "accuracy": (n - positives - selected + 2 * hits) / n,
            "roc_auc": area / (positives * (n - positives)),
            "average_precision": precision / positives,
            "f1": 2 * hits / (positives + selected),
            "precision": hits / selected,
            "recall": hits / positives,
            "brier_score": squared_error / n,
        }


def _row_differences(
    y_true: np.ndarray,
    probabilities: tuple[np.ndarray, np.ndarray],
    thresholds: Thresholds = AT_HALF,
) -> dict[str, np.ndarray]:
    """Replicates of each metric's difference, model b minus model a, from resampled rows."""
    n = len(y_true)
    models = [_EqualRows(y_true, *of) for of in zip(probabilities, thresholds, strict=True)]
    return _differences(models, _resample(np.arange(n), n, N_REPLICATES, 0, by_count=False), n)


def _histogram_differences(
    y_true: np.ndarray,
    probabilities: tuple[np.ndarray, np.ndarray],
    thresholds: Thresholds = AT_HALF,
) -> dict[str, np.ndarray]:
    """Replicates of each metric's difference, from counts of the models' joint histogram.

    A constant corrects them for the width of the histogram's steps.
    """
    cell, models = _joint_histogram(y_true, *probabilities, thresholds)
    counts = np.bincount(cell)
    replicates = chain([counts], _resample(cell, len(counts), N_REPLICATES, 0, by_count=True))
    both = zip(probabilities, thresholds, strict=True)
    a, b = (classification_metrics(y_true, *of) for of in both)
    return {
        name: values[1:] + (b[name] - a[name] - values[0])
        for name, values in _differences(models, replicates, len(y_true)).items()
    }


def _differences(
    models: Sequence[_EqualRows], replicates: Iterable[np.ndarray], n: int
) -> dict[str, np.ndarray]:
    """Each metric of the second model minus that of the first, (n_replicates,).

    Args:
        models: whose ``index`` has the group of each cell.
        replicates: the number of rows of each cell, (n_cells,), n in all.
    """
    sums = [
        [model.sums(np.bincount(model.index, counts, model.n_groups)) for model in models]
        for counts in replicates
    ]
    a, b = (_metrics(of_model, n) for of_model in zip(*sums, strict=True))
    return {name: b[name] - a[name] for name in a}


def _joint_histogram(
    y_true: np.ndarray,
    probability_a: np.ndarray,
    probability_b: np.ndarray,
    thresholds: Thresholds = AT_HALF,
) -> tuple[np.ndarray, list[_EqualRows]]:
    """The cell of each row, by label and step of both probabilities, and each model's groups.

    The steps are the finest with which at most ``MAX_CELLS`` cells have rows.
    """
    n_steps = HISTOGRAM_STEPS
    while True:
        shape = 2, n_steps, n_steps
        a, b = step_index(probability_a, n_steps), step_index(probability_b, n_steps)
        code = np.ravel_multi_index((y_true.astype(np.int64), a, b), shape)
        cells, cell = np.unique(code, return_inverse=True)
        if len(cells) <= MAX_CELLS:
            label, *steps = np.unravel_index(cells, shape)
            middles = [(step + 0.5) / n_steps for step in steps]
            both = zip(middles, thresholds, strict=True)
            return cell, [_EqualRows(label, *of) for of in both]
        n_steps //= 2
