"""How good the probabilities are: numbers from labels and probabilities, nothing else."""

import numpy as np
from sklearn import metrics


def core_scores(
    y_true: np.ndarray, probability: np.ndarray, threshold: float = 0.5
) -> dict[str, float]:
    """The metrics that a search may choose by; arguments as of ``scores``."""
    return {
        "log_loss": metrics.log_loss(y_true, probability),
        "accuracy": metrics.accuracy_score(y_true, probability >= threshold),
        "roc_auc": metrics.roc_auc_score(y_true, probability),
    }


def scores(y_true: np.ndarray, probability: np.ndarray, threshold: float = 0.5) -> dict[str, float]:
    """The metrics of a split, by the field's names.

    Args:
        y_true: 0 or 1, shape (n_samples,), both present.
        probability: of label 1, shape (n_samples,).
        threshold: from this probability on, a row counts as predicted positive.
    """
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        y_true, probability >= threshold, average="binary", zero_division=0.0
    )
    return core_scores(y_true, probability, threshold) | {
        "average_precision": metrics.average_precision_score(y_true, probability),
        "f1": f1,
        "precision": precision,
        "recall": recall,
        "brier_score": metrics.brier_score_loss(y_true, probability),
    }


def standard_error(accuracy: float, n_samples: int) -> float:
    """Of an accuracy measured on ``n_samples`` independent rows (binomial)."""
    return float(np.sqrt(accuracy * (1 - accuracy) / n_samples))
