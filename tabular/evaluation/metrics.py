"""How good the probabilities are: numbers from labels and probabilities, nothing else.

In every function ``y_true`` is 0 or 1, shape (n_samples,), and ``probability`` is that of label 1,
shape (n_samples,).
"""

from functools import partial

import numpy as np
import pandas as pd
from sklearn import metrics

N_REPLICATES = 1000  # of a bootstrap
CONFIDENCE = 0.95  # of every interval
MANY_ROWS = 1 << 18  # above this number of rows a bootstrap draws counts from a histogram
HISTOGRAM_STEPS = 1 << 14
BINS = 10  # of predicted probability
THRESHOLDS = np.arange(1, 20) / 20


def search_metrics(
    y_true: np.ndarray,
    probability: np.ndarray,
    threshold: float = 0.5,
    sample_weight: np.ndarray | None = None,
) -> dict[str, float]:
    """The metrics that a search may choose by; arguments as of ``classification_metrics``."""
    counted = {"sample_weight": sample_weight}
    return {
        "log_loss": metrics.log_loss(y_true, probability, **counted),
        "accuracy": metrics.accuracy_score(y_true, probability >= threshold, **counted),
        "roc_auc": metrics.roc_auc_score(y_true, probability, **counted),
    }


def classification_metrics(
    y_true: np.ndarray,
    probability: np.ndarray,
    threshold: float = 0.5,
    sample_weight: np.ndarray | None = None,
) -> dict[str, float]:
    """The metrics of a split, by the field's names; both labels must be present.

    Args:
        threshold: from this probability on, a row counts as predicted positive.
        sample_weight: so many rows each one stands for, (n_samples,); None: one.
    """
    counted = {"sample_weight": sample_weight}
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        y_true, probability >= threshold, average="binary", zero_division=0.0, **counted
    )
    return search_metrics(y_true, probability, threshold, sample_weight) | {
        "average_precision": metrics.average_precision_score(y_true, probability, **counted),
        "f1": f1,
        "precision": precision,
        "recall": recall,
        "brier_score": metrics.brier_score_loss(y_true, probability, **counted),
    }


def _step(probability: np.ndarray, n_steps: int) -> np.ndarray:
    """Which of equal steps from 0 to 1 each probability lies in; 1 belongs to the last."""
    return (probability * n_steps).astype(np.int64).clip(max=n_steps - 1)


def update_histogram(counts: np.ndarray, y_true: np.ndarray, probability: np.ndarray) -> None:
    """Count rows in: ``counts`` are by label and step of probability, (2, n_steps)."""
    np.add.at(counts, (y_true.astype(np.int64), _step(probability, counts.shape[1])), 1)


def histogram_samples(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Label, probability (the middle of its step) and count of each kind of row that there is."""
    y_true, step = np.nonzero(counts)
    return y_true, (step + 0.5) / counts.shape[1], counts[y_true, step]


def bootstrap(
    y_true: np.ndarray,
    probability: np.ndarray,
    n_replicates: int = N_REPLICATES,
    seed: int = 0,
    binned: bool = False,
) -> dict[str, np.ndarray]:
    """The metrics over resampled rows, each (n_replicates,); NaN where undefined.

    The same ``seed`` and number of rows draw the same rows: the replicates of two models can be
    paired.

    Args:
        binned: keep probabilities to the middle of ``HISTOGRAM_STEPS`` and draw how many rows
            of each kind there are, not the rows: the same, but for pairs, in far less time where
            rows are many.
    """
    if binned:
        probability = (_step(probability, HISTOGRAM_STEPS) + 0.5) / HISTOGRAM_STEPS
    # rows of equal label and probability are alike: a draw of rows is a count of each kind
    distinct, kind = np.unique(-probability.astype(np.float64), return_inverse=True)
    n, n_kinds, p = len(y_true), len(distinct), -distinct
    kind += n_kinds * y_true.astype(kind.dtype)
    eps = np.finfo(probability.dtype).eps
    loss = -np.log(np.clip(np.append(1 - p, p), eps, 1))
    squares = np.append(p, 1 - p) ** 2
    dot = partial(np.einsum, "i,i")  # `@` would wake threads for so little
    n_selected = np.searchsorted(distinct, -0.5, side="right")  # kinds from 0.5 on
    rng, draws = np.random.default_rng(seed), np.empty((n_replicates, 7))
    share = np.bincount(kind, minlength=2 * n_kinds) / n
    for draw in draws:
        if binned:
            counts = rng.multinomial(n, share)
        else:
            drawn = rng.integers(0, n, n, np.int32)
            counts = np.bincount(kind[drawn], minlength=2 * n_kinds)
        counts = counts.astype(np.float64)
        negatives, positives = counts.reshape(2, n_kinds)
        hits = np.cumsum(positives)  # at the threshold of each distinct probability
        selected = hits + np.cumsum(negatives)
        at_half = [hits[n_selected - 1], selected[n_selected - 1]] if n_selected else [0, 0]
        area = dot(negatives, hits - positives / 2)
        average = dot(positives, hits / np.maximum(selected, 1))
        draw[:] = hits[-1], *at_half, dot(counts, loss), dot(counts, squares), area, average
    positives, hits, selected, loss, brier, area, average = draws.T
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "log_loss": loss / n,
            "accuracy": (n - positives - selected + 2 * hits) / n,
            "roc_auc": area / (positives * (n - positives)),
            "average_precision": average / positives,
            "f1": 2 * hits / (positives + selected),
            "precision": hits / selected,
            "recall": hits / positives,
            "brier_score": brier / n,
        }


def percentile_interval(replicates: np.ndarray) -> tuple[float, float]:
    """The percentile interval of a bootstrap."""
    low, high = np.nanquantile(replicates, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return round(float(low), 6), round(float(high), 6)  # no digit that depends on the processor


def confidence_intervals(y_true: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    """For each metric the ends of its interval, ``<metric>_low`` and ``_high``."""
    found = {}
    replicates = bootstrap(y_true, probability, binned=len(y_true) > MANY_ROWS)
    for name, values in replicates.items():
        found[f"{name}_low"], found[f"{name}_high"] = percentile_interval(values)
    return found


def wilson_interval(share, n) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the interval of a share observed among ``n``; honest for small ``n`` too.

    Source: Wilson, Probable inference, the law of succession, and statistical inference, 1927.
    """
    z2 = 1.959964**2 / n
    middle, half = share + z2 / 2, np.sqrt(z2 * (share * (1 - share) + z2 / 4))
    return (middle - half) / (1 + z2), (middle + half) / (1 + z2)


def reliability_table(y_true: np.ndarray, probability: np.ndarray) -> pd.DataFrame:
    """One line a bin of predicted probability that has rows.

    Columns ``bin`` (its middle), ``rows``, ``predicted`` (mean probability), ``observed`` (share
    of positives), and the ends of its interval, ``observed_low`` and ``observed_high``.
    """
    bins = _step(probability, BINS)
    rows = pd.DataFrame({"bin": (bins + 0.5) / BINS, "predicted": probability, "observed": y_true})
    groups = rows.groupby("bin")
    frame = groups.mean().astype(float)
    frame.insert(0, "rows", groups.size())
    frame["observed_low"], frame["observed_high"] = wilson_interval(
        frame["observed"], frame["rows"]
    )
    return frame.reset_index()


def calibration_error(bins: pd.DataFrame) -> float:
    """How far predicted and observed lie apart in ``reliability_table``, a mean over the rows."""
    distance = (bins["predicted"] - bins["observed"]).abs()
    return float(np.average(distance, weights=bins["rows"]))


def threshold_table(y_true: np.ndarray, probability: np.ndarray) -> pd.DataFrame:
    """What each threshold would give: precision, recall, selection rate, accuracy.

    Precision is NaN where a threshold selects nobody.
    """
    predicted = probability >= THRESHOLDS[:, None]
    selected, hits = predicted.sum(axis=1), predicted @ y_true.astype(int)
    with np.errstate(invalid="ignore"):
        return pd.DataFrame(
            {
                "threshold": THRESHOLDS,
                "precision": hits / selected,
                "recall": hits / y_true.sum(dtype=int),
                "selection_rate": selected / len(y_true),
                "accuracy": (predicted == y_true).mean(axis=1),
            }
        )
