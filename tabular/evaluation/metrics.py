"""Metrics of predicted probabilities, and tables of them.

In every function ``y_true`` is 0 or 1, and ``probability`` is the predicted probability of label 1,
both of shape (n_samples,).
"""

import numpy as np
import pandas as pd
from sklearn import metrics

CONFIDENCE = 0.95  # of every interval
BINS = 10  # of predicted probability, in a reliability table
THRESHOLDS = np.arange(1, 20) / 20

Counts = tuple[np.ndarray, np.ndarray]  # as ``ranking_counts`` returns them


def is_positive(probability: np.ndarray, threshold: float) -> np.ndarray:
    """Which rows are predicted positive, (n_samples,): compared as 64 bits, as a client's are."""
    return probability >= np.float64(threshold)


def search_metrics(
    y_true: np.ndarray,
    probability: np.ndarray,
    threshold: float = 0.5,
    sample_weight: np.ndarray | None = None,
) -> dict[str, float]:
    """The metrics in ``options.SEARCH_METRICS``; arguments as of ``classification_metrics``.

    They are computed here and equal scikit-learn's to the bit: its checks of the arguments take
    twenty times as long as the sums, and a sweep calls this for each configuration.
    What is no probability, or a single label, is left to scikit-learn, which raises or warns, and
    so are rows that stand for none.
    """
    ranking = _ranking(y_true, probability, sample_weight)
    return _search_metrics(y_true, probability, threshold, sample_weight, ranking)


def _ranking(
    y_true: np.ndarray, probability: np.ndarray, sample_weight: np.ndarray | None
) -> Counts | None:
    """The counts of a ranking; None where scikit-learn has to compute the metrics."""
    both_labels = 0 < np.count_nonzero(y_true) < len(y_true)
    positive_weights = sample_weight is None or sample_weight.min() > 0
    if both_labels and positive_weights and 0 <= probability.min() <= probability.max() <= 1:
        return ranking_counts(y_true, probability, sample_weight)
    return None


def _search_metrics(
    y_true: np.ndarray,
    probability: np.ndarray,
    threshold: float,
    sample_weight: np.ndarray | None,
    ranking: Counts | None,
) -> dict[str, float]:
    weights = {"sample_weight": sample_weight}
    if not ranking:
        return {
            "log_loss": metrics.log_loss(y_true, probability, **weights),
            "accuracy": metrics.accuracy_score(
                y_true, is_positive(probability, threshold), **weights
            ),
            "roc_auc": metrics.roc_auc_score(y_true, probability, **weights),
        }
    correct = is_positive(probability, threshold) == (y_true == 1)
    losses = row_log_losses(y_true, probability)
    return {
        "log_loss": float(np.average(losses, weights=sample_weight)),
        "accuracy": float(np.average(correct, weights=sample_weight)),
        "roc_auc": roc_auc(*ranking),
    }


def constant_metrics(probability: float, share: float) -> dict[str, float]:
    """The metrics, as far as they are defined, of one probability that is predicted for every row.

    Args:
        probability: above 0 and below 1.
        share: of the rows that have label 1.
    """
    return {
        "accuracy": share if probability >= 0.5 else 1 - share,
        "roc_auc": 0.5,
        "log_loss": float(-share * np.log(probability) - (1 - share) * np.log1p(-probability)),
        "average_precision": share,
        "brier_score": share * (1 - probability) ** 2 + (1 - share) * probability**2,
    }


def row_log_losses(y_true: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """-log of the probability of each row's label, (n_samples,), in the dtype of ``probability``.

    Their mean is the log loss.
    """
    of_label = np.where(y_true == 1, probability, 1 - probability)
    smallest = np.finfo(probability.dtype).eps
    return -np.log(of_label.clip(smallest, 1 - smallest))


def ranking_counts(
    y_true: np.ndarray, probability: np.ndarray, sample_weight: np.ndarray | None = None
) -> Counts:
    """The numbers of positive and of negative rows of at least each distinct probability.

    Returns:
        Both numbers, by falling probability, each (n_distinct,), float64.
    """
    order = np.argsort(-probability)
    ordered = probability[order]
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)  # of equal probabilities
    weight = np.ones(len(order)) if sample_weight is None else sample_weight[order].astype(float)
    hits = np.cumsum((y_true == 1)[order] * weight)[ends]
    return hits, np.cumsum(weight)[ends] - hits


def roc_curve(hits: np.ndarray, false_alarms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates from (0, 0) to (1, 1); arguments as of ``roc_auc``."""
    corner = np.ones(len(hits), bool)  # a point on a straight line adds no area, but rounding
    corner[1:-1] = (np.diff(false_alarms, 2) != 0) | (np.diff(hits, 2) != 0)
    x, y = (np.append(0.0, values[corner]) / values[-1] for values in (false_alarms, hits))
    return x, y


def precision_recall_curve(
    hits: np.ndarray, false_alarms: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Recall from 1 to 0, and precision; arguments as of ``roc_auc``."""
    recall, precision = (hits / hits[-1])[::-1], (hits / (hits + false_alarms))[::-1]
    return np.append(recall, 0.0), np.append(precision, 1.0)


def roc_auc(hits: np.ndarray, false_alarms: np.ndarray) -> float:
    """The area under the ROC curve.

    Args:
        hits, false_alarms: as ``ranking_counts`` returns them, with both labels.
    """
    x, y = roc_curve(hits, false_alarms)
    return float(np.trapezoid(y, x))


def average_precision(hits: np.ndarray, false_alarms: np.ndarray) -> float:
    """The mean precision over the positive rows; arguments as of ``roc_auc``."""
    recall, precision = precision_recall_curve(hits, false_alarms)
    return float(max(0.0, -np.sum(np.diff(recall) * precision[:-1])))


def classification_metrics(
    y_true: np.ndarray,
    probability: np.ndarray,
    threshold: float = 0.5,
    sample_weight: np.ndarray | None = None,
) -> dict[str, float]:
    """All metrics of predictions, by scikit-learn's names; both labels must be present.

    Args:
        threshold: rows of at least this probability are predicted positive.
        sample_weight: the number of rows that each row stands for, (n_samples,); None: one each.
    """
    weights = {"sample_weight": sample_weight}
    ranking = _ranking(y_true, probability, sample_weight)
    searched = _search_metrics(y_true, probability, threshold, sample_weight, ranking)
    counts = np.ones(len(y_true), int) if sample_weight is None else sample_weight
    predicted = is_positive(probability, threshold)
    n_positive, n_predicted = int(counts[y_true == 1].sum()), int(counts[predicted].sum())
    hits = int(counts[predicted & (y_true == 1)].sum())
    return searched | {
        "average_precision": average_precision(*ranking)
        if ranking
        else metrics.average_precision_score(y_true, probability, **weights),
        "f1": 2 * hits / max(n_positive + n_predicted, 1),
        "precision": hits / max(n_predicted, 1),
        "recall": hits / max(n_positive, 1),
        "brier_score": metrics.brier_score_loss(y_true, probability, **weights),
    }


def step_index(probability: np.ndarray, n_steps: int) -> np.ndarray:
    """Which of equal steps from 0 to 1 each probability lies in; 1 belongs to the last step."""
    return (probability * n_steps).astype(np.int64).clip(max=n_steps - 1)


def update_histogram(counts: np.ndarray, y_true: np.ndarray, probability: np.ndarray) -> None:
    """Add rows to a histogram by label and step of probability, (2, n_steps), in place."""
    n_steps = counts.shape[1]
    cells = y_true.astype(np.int64) * n_steps + step_index(probability, n_steps)
    np.add.at(counts.reshape(-1), cells, 1)  # much faster with one index than with two


def histogram_samples(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Label, probability (the middle of its step) and number of rows of each cell with rows."""
    y_true, step = np.nonzero(counts)
    return y_true, (step + 0.5) / counts.shape[1], counts[y_true, step]


def wilson_interval(
    share: np.ndarray | pd.Series, n: np.ndarray | pd.Series
) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the interval of a share of ``n`` rows; it holds for small ``n``, too.

    Source: Wilson, Probable inference, the law of succession, and statistical inference, 1927.
    """
    z2 = 1.959964**2 / n
    middle, half = share + z2 / 2, np.sqrt(z2 * (share * (1 - share) + z2 / 4))
    return (middle - half) / (1 + z2), (middle + half) / (1 + z2)


def reliability_table(y_true: np.ndarray, probability: np.ndarray) -> pd.DataFrame:
    """Predicted probability against observed frequency, by bin of predicted probability.

    Returns:
        One row for each bin that has rows: ``bin`` (its middle), ``rows`` (their number),
        ``predicted`` (mean probability), ``observed`` (share of positives), and the ends of its
        interval, ``observed_low`` and ``observed_high``.
    """
    bins = (step_index(probability, BINS) + 0.5) / BINS
    groups = pd.DataFrame({"predicted": probability, "observed": y_true}).groupby(bins)
    table = groups.mean().astype(float)
    table.insert(0, "rows", groups.size())
    ends = wilson_interval(table["observed"], table["rows"])
    table["observed_low"], table["observed_high"] = ends
    return table.rename_axis("bin").reset_index()


def calibration_error(reliability: pd.DataFrame) -> float:
    """The expected calibration error: the mean distance over the rows of a reliability table.

    Args:
        reliability: as ``reliability_table`` returns it.
    """
    distance = (reliability["predicted"] - reliability["observed"]).abs()
    return float(np.average(distance, weights=reliability["rows"]))


def threshold_table(y_true: np.ndarray, probability: np.ndarray) -> pd.DataFrame:
    """Precision, recall, selection rate and accuracy at each of ``THRESHOLDS``.

    Precision is NaN where no row is selected.
    """
    n_steps = len(THRESHOLDS) + 1
    step = np.searchsorted(THRESHOLDS, probability, side="right")  # thresholds not above it
    cells = np.bincount(step + n_steps * (y_true == 1), minlength=2 * n_steps)
    from_step = cells.reshape(2, n_steps)[:, ::-1].cumsum(axis=1)[:, ::-1]  # rows of each label
    (n_negative, n_positive), (false_alarms, hits) = from_step[:, 0], from_step[:, 1:]
    selected = false_alarms + hits
    with np.errstate(invalid="ignore"):
        return pd.DataFrame(
            {
                "threshold": THRESHOLDS,
                "precision": hits / selected,
                "recall": hits / n_positive,
                "selection_rate": selected / len(y_true),
                "accuracy": (hits + n_negative - false_alarms) / len(y_true),
            }
        )
