"""Checks of a trained model and of its data: each gives one finding or none.

A check reports; nothing is chosen by it. docs/diagnosis.md says of each bound why it is there and
how often the check is a false alarm.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from tabular.data import duplicates
from tabular.data.dataset import Dataset, Split
from tabular.errors import one_line
from tabular.evaluation import bootstrap
from tabular.evaluation.metrics import row_log_losses, search_metrics, wilson_interval

Z95, Z = 1.96, 3.29  # standard errors: of intervals, and of tests with a level of 0.1 %
CERTAIN = 6  # standard errors from which on no bootstrap is needed to tell a mean from 0
MAX_LOST = 0.3  # of the improvement on training rows: up to here, more trees have not done harm
MAX_FEATURE_SHARE = 0.9  # of all importance
PERFECT = 0.999  # from this roc_auc on, a result is too good to be taken without a look
MIN_CALIBRATION_ERROR = 0.02  # below, a deviation is real on many rows, but of no consequence
MIN_GROUP_RATIO = 1.5
MIN_LABEL_SHIFT = 0.1  # of the share of the rarer label
MIN_DUPLICATES = 0.01  # of the test rows
MIN_AGREEMENT = 0.8  # of the labels of rows with equal features, where they are copies
LAST_ROUNDS = 0.05  # of the largest number of trees
MIN_FALL = 0.001  # of the log loss, over the last tenth of the rounds


class Finding(NamedTuple):
    """What a check found.

    Attributes:
        code: names the check, by which runs can be filtered.
        finding: one sentence with the figures.
        advice: what to do.
    """

    code: str
    finding: str
    advice: str


def diagnose(
    dataset: Dataset,
    probability: np.ndarray,
    metrics: Mapping[str, float],
    tables: Mapping[str, pd.DataFrame],
    train_log_loss: float,
    validation: tuple[np.ndarray, np.ndarray] | None = None,
) -> list[Finding]:
    """What the checks of a model and of its data found.

    Args:
        probability: predicted for the test rows, (n_samples,).
        metrics: of this prediction, by name.
        tables: importance, calibration, SHAP values and, where there are some, groups, by the name
            of the file.
        train_log_loss: of the model on its training rows.
        validation: labels of rows that a model of the same configuration has not seen, and what it
            predicted for them, each (n_samples,); None: overfitting is judged on the test rows.
    """
    train, test = dataset.train, dataset.test
    kind, new = ("validation", validation) if validation else ("test", (test.y, probability))
    found = [
        check_baseline(train, test.y, probability),
        check_overfit(train, train_log_loss, *new, kind),
        check_perfect(metrics["roc_auc"]),
        check_features(tables["importance.csv"], tables["shap.csv"]),
        check_calibration(tables["calibration.csv"]),
        check_groups(tables["groups.csv"]) if "groups.csv" in tables else None,
        check_label_shares(train, test),
        check_duplicates(train, test),
    ]
    return [finding for finding in found if finding]


def summarize(findings: Iterable[Finding]) -> tuple[str, pd.DataFrame]:
    """The codes in a comma list, ``none`` if there are none, and all findings as a table."""
    table = pd.DataFrame([*findings], columns=Finding._fields)
    return ",".join(table["code"]) or "none", table


def baseline_gain(
    y_true: np.ndarray, probability: np.ndarray, share: float
) -> tuple[float, float, float]:
    """How much lower the log loss is than that of a constant prediction, with its interval.

    Args:
        y_true, probability: labels, 0 or 1, and predicted probabilities, each (n_samples,).
        share: the constant: the share of positives among the training rows.

    Returns:
        The gain, and the ends of the 95 % interval of a paired bootstrap.
    """
    constant = np.full(len(y_true), share, np.float32)
    baseline, log_loss = (search_metrics(y_true, p)["log_loss"] for p in (constant, probability))
    low, high = bootstrap.paired_intervals(y_true, probability, constant)["log_loss"]
    return baseline - log_loss, low, high


def check_baseline(train: Split, y_true: np.ndarray, probability: np.ndarray) -> Finding | None:
    """The log loss on test rows is not lower than a constant's, by a paired interval."""
    share = train.n_positive / train.n_rows
    constant = np.full(len(y_true), share, np.float32)
    gains = row_log_losses(y_true, constant) - row_log_losses(y_true, probability)
    if gains.mean() > CERTAIN * gains.std() / math.sqrt(len(gains)) > 0:
        return None
    gain, low, high = baseline_gain(y_true, probability, share)
    if low > 0:
        return None
    return Finding(
        "no-better-than-baseline",
        f"the log loss on test rows is lower by {gain:.4f} [{low:.4f}, {high:.4f}] than that of "
        f"the constant prediction {share:.4f}, the share of positives in training, and the "
        "interval is not above 0",
        "do not use this model: it needs columns that say more, more rows, smaller trees, or fewer "
        "names and codes among its columns (drop)",
    )


def check_overfit(
    train: Split, train_log_loss: float, y_true: np.ndarray, probability: np.ndarray, kind: str
) -> Finding | None:
    """Much of the improvement over a constant on training rows does not hold on other rows."""
    losses, share = row_log_losses(y_true, probability), train.n_positive / train.n_rows
    loss, n_rows = float(losses.mean()), len(losses)
    gap = loss - train_log_loss
    # a training row's loss varies at most as much as another row's
    error = float(losses.std()) * math.sqrt(1 / n_rows + 1 / train.n_rows)
    entropy = -share * math.log(share) - (1 - share) * math.log(1 - share)
    gain = entropy - train_log_loss
    if gap <= Z * error or gap <= MAX_LOST * gain or gain <= 0:
        return None
    low, high = gap - Z95 * error, gap + Z95 * error
    return Finding(
        "overfit",
        f"the log loss is {train_log_loss:.4f} on training rows and {loss:.4f} on {kind} rows, "
        f"higher by {gap:.4f} [{low:.4f}, {high:.4f}]: {gap / gain:.0%} of the improvement over a "
        "constant prediction is lost on new rows",
        "lower max_depth or n_estimators, raise min_child_weight, set early_stopping_rounds, or "
        "leave out names and codes with drop",
    )


def check_perfect(roc_auc: float) -> Finding | None:
    """The result on test rows is too good to be true."""
    if not roc_auc >= PERFECT:  # NaN is not, either
        return None
    return Finding(
        "nearly-perfect",
        f"roc_auc on test rows is {roc_auc:.4f}: a column may tell the label itself, or be known "
        "only after it",
        "see importance.png, and leave such a column out with drop",
    )


def check_features(importance: pd.DataFrame, shap: pd.DataFrame) -> Finding | None:
    """A single feature of several has nearly all importance.

    Args:
        importance, shap: as ``shap.importance_table`` and ``shap.shap_table`` return them.
    """
    total_gain = (importance["gain"] * importance["weight"]).set_axis(importance["feature"])
    mean_shap = shap["mean_abs_shap"].set_axis(shap["feature"])
    kinds = {"total gain": total_gain, "mean absolute SHAP value": mean_shap}
    for kind, values in kinds.items():
        largest, total = values.max(), values.sum()
        if len(values) > 1 and largest > MAX_FEATURE_SHARE * total:
            return Finding(
                "single-feature",
                f"{one_line(values.idxmax())} has {largest / total:.1%} of the {kind} of all "
                f"{len(values):,} features",
                "if it is known only after the label, or tells it, leave it out with drop",
            )
    return None


def check_calibration(reliability: pd.DataFrame) -> Finding | None:
    """The calibration error on test rows is above what calibrated probabilities would show.

    Args:
        reliability: as ``metrics.reliability_table`` returns it.
    """
    predicted, share = reliability["predicted"], reliability["rows"] / reliability["rows"].sum()
    found = float(share @ (predicted - reliability["observed"]).abs())
    noise = share * np.sqrt(predicted * (1 - predicted) / reliability["rows"])
    # |N(0, s)| has the mean s * sqrt(2 / pi) and the variance s^2 * (1 - 2 / pi)
    bound = math.sqrt(2 / math.pi) * noise.sum() + Z * math.sqrt((1 - 2 / math.pi) * noise @ noise)
    if found <= max(bound, MIN_CALIBRATION_ERROR):
        return None
    error, advice = _describe_calibration(reliability, found)
    return Finding(
        "badly-calibrated",
        f"the expected calibration error on test rows is {found:.4f}, chance explains at most "
        f"{bound:.4f}, and probabilities are {error}",
        f"see plots/calibration.png before you use probabilities; {advice}",
    )


def _describe_calibration(reliability: pd.DataFrame, error: float) -> tuple[str, str]:
    """What is wrong with the probabilities, and what may help."""
    rows = reliability["rows"]
    predicted, observed = (
        reliability[name] - np.average(reliability[name], weights=rows)
        for name in ("predicted", "observed")
    )
    bias = np.average(reliability["predicted"] - reliability["observed"], weights=rows)
    if abs(bias) > error / 2:
        return f"too {'high' if bias > 0 else 'low'}", "keep scale_pos_weight=1"
    if rows @ (predicted * observed) < rows @ predicted**2:  # the slope is below 1
        return "too close to 0 and 1", "try fewer or smaller trees"
    return "too far from 0 and 1", "try more trees or a larger learning_rate"


def check_groups(groups: pd.DataFrame) -> Finding | None:
    """In some group errors are more frequent than elsewhere, beyond what its labels explain.

    Errors are counted relative to those of a constant answer, the group's more frequent label: a
    group of nearly one label has few errors with any model.

    Args:
        groups: as ``fairness.group_table`` returns it.
    """
    constant = np.minimum(groups["positives"], groups["rows"] - groups["positives"])
    errors = (1 - groups["accuracy"]) * groups["rows"]
    totals = pd.DataFrame({"rows": groups["rows"], "errors": errors, "constant": constant})
    rest = totals.groupby(groups["feature"]).transform("sum") - totals
    usable = (constant > 0) & (rest["constant"] > 0)
    relative, of_rest = errors / constant.where(usable), rest["errors"] / rest["constant"]
    low, _ = wilson_interval(errors / groups["rows"], groups["rows"])
    _, high = wilson_interval(constant / groups["rows"], groups["rows"])
    _, rest_high = wilson_interval(rest["errors"] / rest["rows"], rest["rows"].where(usable))
    rest_low, _ = wilson_interval(rest["constant"] / rest["rows"], rest["rows"].where(usable))
    apart = low / high > rest_high / rest_low  # the frequency of the labels varies by chance, too
    ratio = (relative / of_rest).where(usable & apart & (relative > MIN_GROUP_RATIO * of_rest))
    if ratio.isna().all():
        return None
    worst = ratio.idxmax()
    name = f"{groups['feature'][worst]} {groups['group'][worst]}"
    others = int(ratio.notna().sum()) - 1
    more = f" (and {others:,} more group{'s' * (others > 1)})" if others else ""
    return Finding(
        "group-worse",
        f"in the group {one_line(name)}{more} the model makes {relative[worst]:.0%} of the errors "
        f"that the more frequent label alone would make, in the other groups {of_rest[worst]:.0%}",
        "see groups.csv: the group may need more rows, or columns that say more about it",
    )


def check_label_shares(train: Split, test: Split) -> Finding | None:
    """The shares of positives in training and test rows differ by more than chance."""
    n_rows = train.n_rows + test.n_rows
    share = (train.n_positive + test.n_positive) / n_rows
    of_train, of_test = (split.n_positive / split.n_rows for split in (train, test))
    error = math.sqrt(share * (1 - share) * (1 / train.n_rows + 1 / test.n_rows))
    shift = abs(of_test - of_train)
    if shift <= Z * error or shift <= MIN_LABEL_SHIFT * min(share, 1 - share):
        return None
    return Finding(
        "label-shift",
        f"{of_train:.2%} of the training rows and {of_test:.2%} of the test rows are positive, a "
        f"difference of {shift / error:.1f} standard errors",
        "find out whether both come from the same population; if not, expect wrong probabilities",
    )


def check_duplicates(train: Split, test: Split) -> Finding | None:
    """Many test rows are copies of training rows: equal in all features, and in the label.

    Rows of few different values are equal by coincidence, but their labels differ at times.
    """
    if not isinstance(train, Split):
        return None  # the workers of a cluster hold the training rows
    share, agreement, n_different = duplicates.equal_rows(train, test)
    low, _ = wilson_interval(np.array(agreement), np.array(n_different or np.nan))
    if share <= MIN_DUPLICATES or not low > MIN_AGREEMENT:
        return None
    return Finding(
        "duplicates",
        f"{share:.1%} of the test rows are equal to training rows in all features, and for "
        f"{agreement:.1%} of those with the rarer label the label is equal too",
        "remove the copies from one of both sets: they make the results on test rows too good",
    )


def check_trees(curve: Sequence[float], max_trees: int) -> Finding | None:
    """The validation log loss is still falling at the largest number of trees that was allowed.

    Args:
        curve: validation log loss after each round.
    """
    best = int(np.argmin(curve)) + 1
    recent = max(1, max_trees // 10)
    before = curve[max(0, best - 1 - recent)]
    fall = before - curve[best - 1]
    if best <= (1 - LAST_ROUNDS) * max_trees or fall <= MIN_FALL * before:
        return None
    return Finding(
        "more-trees",
        f"the validation log loss is lowest after {best:,} of at most {max_trees:,} trees, and the "
        f"last {recent:,} lowered it by {fall:.4f}",
        f"raise n_estimators above {max_trees}",
    )
