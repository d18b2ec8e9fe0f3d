"""What a candidate must fulfil to become champion, by itself and against the champion."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tabular.data import sources
from tabular.data.dataset import Dataset
from tabular.data.table import Table
from tabular.errors import one_line
from tabular.evaluation import diagnosis, paired
from tabular.evaluation.bootstrap import AT_HALF, Thresholds
from tabular.evaluation.metrics import is_positive, search_metrics
from tabular.options import SEARCH_METRICS
from tabular.tracking import logged_model, registry, runs
from tabular.tracking.registry import LoggedModel

MAX_BREAKS = 20  # of a signature, that are listed


@dataclass(frozen=True)
class Requirements:
    """What is required of a candidate beside the champion.

    Attributes:
        metric: what must improve, one of ``SEARCH_METRICS``.
        min_improvement: what the 95 % interval of the improvement must lie above.
        max_group_drop: how much accuracy any group may lose.
    """

    metric: str
    min_improvement: float
    max_group_drop: float


def check_candidate(
    candidate: LoggedModel,
    champion: LoggedModel | None,
    dataset: Dataset,
    required: Requirements,
) -> pd.DataFrame:
    """Check the candidate by itself, and against the champion where there is one.

    Returns:
        One row for each check, with the columns ``check``, ``figure``, ``bound`` and ``passed``.
    """
    origin, table = dataset.origin, dataset.table
    promised = logged_model.signature(table)
    breaks = []
    if champion and champion.run:
        promised, before = champion.signature, runs.recorded_table(champion.run)
        if before.positive != table.positive:
            breaks = [f"positive was {one_line(before.positive)}, is {one_line(table.positive)}"]
    breaks += registry.incompatibilities(candidate.signature, promised)
    figure = "own files" if origin == "directory" else origin
    checks = [("real_rows", figure, "not synthetic", origin != "synthetic")]
    for which, model in (("candidate", candidate), ("champion", champion)):
        if model:
            digest = model.tags["data.digest"]
            same = digest == dataset.digest
            figure = f"trained on data {digest[:8]}"
            checks.append((f"{which}_data", figure, f"the data is {dataset.digest[:8]}", same))
    checks.append(("signature", _list_breaks(breaks), "compatible", not breaks))
    if not breaks:
        test = dataset.test
        new = registry.predict(candidate, test)
        checks += check_floors(dataset, new, candidate.threshold)
        if champion:
            checks += _compare(candidate, champion, dataset, before, new, required)
    return pd.DataFrame(checks, columns=["check", "figure", "bound", "passed"])


def _list_breaks(breaks: list[str]) -> str:
    more = f"; and {len(breaks) - MAX_BREAKS:,} more" if len(breaks) > MAX_BREAKS else ""
    return "; ".join(breaks[:MAX_BREAKS]) + more or "compatible"


def _compare(
    candidate: LoggedModel,
    champion: LoggedModel,
    dataset: Dataset,
    before: Table,
    new: np.ndarray,
    required: Requirements,
) -> list[tuple]:
    """The checks of a candidate against the champion, on rows as the table of each reads them.

    Args:
        dataset: of the candidate.
        before: the table of the champion.
        new: probabilities of the candidate, (n_samples,).
    """
    table, y_true, of_champion = dataset.table, dataset.test.y, dataset
    has_all_groups = {*before.groups} <= {*table.groups}
    if before.reading_digest != table.reading_digest or not has_all_groups:
        of_champion = sources.reload(candidate.tags, before)
    if not of_champion.test.has_rows_of(dataset.test):
        figure = "other rows or labels, because its table reads the files differently"
        return [("champion_labels", figure, "those of the candidate", False)]
    old = registry.predict(champion, of_champion.test)
    thresholds, max_drop = (champion.threshold, candidate.threshold), required.max_group_drop
    checks = [check_improvement(y_true, old, new, thresholds, required)]
    if table.groups:
        checks.append(check_groups(dataset, old, new, max_drop, thresholds))
    if not has_all_groups:
        _, *drop = check_groups(of_champion, old, new, max_drop, thresholds)
        checks.append(("champion_group_drop", *drop))
    if champion.threshold != candidate.threshold:
        checks.append(report_thresholds(old, new, thresholds))
    return checks


def check_floors(dataset: Dataset, probability: np.ndarray, threshold: float) -> list[tuple]:
    """Whether each metric that has a floor reaches it.

    Of a table without floors, the log loss must be lower than that of a constant prediction, the
    share of positives among the training rows, by more than chance: the 95 % interval of the
    difference lies above 0.
    """
    y_true, floors = dataset.test.y, dataset.table.floors
    values, checks = search_metrics(y_true, probability, threshold), []
    if not floors:
        share = dataset.train.y.mean()
        gain, low, high = diagnosis.baseline_gain(y_true, probability, share)
        figure = f"log_loss {gain:+.4f} [{low:+.4f}, {high:+.4f}] better than a constant"
        checks.append(("baseline", figure, "interval above 0", low > 0))
    for name, floor in floors.items():
        sign = SEARCH_METRICS[name]
        bound = f"at {'most' if sign > 0 else 'least'} {floor}"
        checks.append((name, f"{values[name]:.4f}", bound, sign * values[name] <= sign * floor))
    return checks


def check_improvement(
    y_true: np.ndarray,
    old: np.ndarray,
    new: np.ndarray,
    thresholds: Thresholds,
    required: Requirements,
) -> tuple:
    """Whether the interval of the improvement lies above the bound, by a paired bootstrap."""
    metric = required.metric
    if SEARCH_METRICS[metric] > 0:  # the difference is the improvement
        old, new, thresholds = new, old, thresholds[::-1]
    differences = paired.metric_differences(y_true, old, new, thresholds)
    row = differences.set_index("metric").loc[metric]
    interval = f"[{row['low']:+.4f}, {row['high']:+.4f}]"
    figure = f"{metric} improves by {row['difference']:+.4f} {interval}"
    bound = f"interval above {required.min_improvement}"
    return "improvement", figure, bound, row["low"] > required.min_improvement


def check_groups(
    dataset: Dataset,
    old: np.ndarray,
    new: np.ndarray,
    max_drop: float,
    thresholds: Thresholds = AT_HALF,
) -> tuple:
    """Whether no group loses more accuracy than allowed."""
    test = dataset.test
    groups = paired.group_differences(
        test.groups, dataset.table, test.y, new, old, thresholds[::-1]
    )
    drop, rows = groups["accuracy_difference"], groups["rows"]  # of the old model minus the new one
    wrong = (drop * rows).round().astype(int)
    drop = drop.where(wrong != 1, 0.0)  # ignored: one row is a large share of a small group
    worst = drop.idxmax()
    feature, group = (one_line(groups[column][worst])[:60] for column in ("feature", "group"))
    where = f"{feature} {group}: {wrong[worst]:+,} of {rows[worst]:,} rows wrong"
    return (
        "group_drop",
        f"accuracy drops by {drop[worst]:+.4f} ({where})",
        f"at most {max_drop}",
        drop[worst] <= max_drop,
    )


def report_thresholds(old: np.ndarray, new: np.ndarray, thresholds: Thresholds) -> tuple:
    """What changes for a client that sends no threshold; this refuses nothing."""
    before, after = (
        f"{threshold} ({is_positive(probability, threshold).mean():.1%} of the rows positive)"
        for probability, threshold in zip((old, new), thresholds, strict=True)
    )
    return "threshold", f"was {before}, is {after}", "reported only", True
