"""What the checks of a run cost, how often they are false alarms, and where overfitting begins.

    python -m benchmarks.diagnosis --rounds 200

False alarms: labels are drawn from the model's own probabilities, groups are permuted, and training
and test rows are split at random, so that every finding is one. Overfitting: configurations are
fitted on 80 % of the training rows; beside the share of the improvement over a constant that is
lost on the other 20 % stands what the best number of trees would have gained there.
"""

import math
import time
from dataclasses import replace

import click
import numpy as np
import pandas as pd

from tabular import training
from tabular.data import sources
from tabular.data.dataset import Dataset, Split
from tabular.evaluation import diagnosis, fairness, metrics, shap
from tabular.model import boosting
from tabular.model.hyperparameters import DEFAULTS
from tabular.model.served import Encoder


def measure_cost(dataset: Dataset) -> np.ndarray:
    """Print the seconds of all checks; returns the predictions of the test rows."""
    booster, curve = boosting.fit(DEFAULTS | {"max_depth": 6}, boosting.full_matrix(dataset.train))
    boosting.set_labels(booster, dataset.table)
    evaluation = training.evaluate(booster, dataset)
    X = dataset.test.X.head(2000)
    values = shap.shap_values(booster, Encoder(booster)(X))
    evaluation.tables["shap.csv"] = shap.shap_table([*X], values)
    seconds = []
    for _ in range(20):
        start = time.perf_counter()
        diagnosis.diagnose(
            dataset,
            evaluation.probability,
            evaluation.metrics,
            evaluation.tables,
            curve[max(curve)],
        )
        seconds.append(time.perf_counter() - start)
    print(f"all checks: {np.median(seconds):.4f} s, at most {max(seconds):.4f} s")
    start, useless = time.perf_counter(), np.random.default_rng(0).permutation
    diagnosis.check_baseline(dataset.train, dataset.test.y, useless(evaluation.probability))
    print(f"the baseline of a useless model: {time.perf_counter() - start:.4f} s")
    return evaluation.probability


def count_false_alarms(dataset: Dataset, probability: np.ndarray, rounds: int) -> None:
    """Print how often each check fires where it should not."""
    rng, test = np.random.default_rng(0), dataset.test
    for n in (300, 2000, len(probability)):
        counts = dict.fromkeys(["badly-calibrated", "group-worse", "label-shift", "duplicates"], 0)
        for _ in range(rounds):
            chosen = rng.permutation(test.n_rows)[:n]
            p = probability[chosen]
            table = metrics.reliability_table(rng.random(n) < p, p)
            counts["badly-calibrated"] += bool(diagnosis.check_calibration(table))
            groups = test.groups.iloc[rng.permutation(test.n_rows)[:n]]
            frames = fairness.metric_frames(groups, dataset.table, test.y[chosen], p >= 0.5)
            worse = diagnosis.check_groups(fairness.group_table(frames, dataset.table))
            counts["group-worse"] += bool(worse)
            some, others = (_take(test, rows) for rows in np.split(chosen, [2 * n // 3]))
            counts["label-shift"] += bool(diagnosis.check_label_shares(some, others))
            counts["duplicates"] += bool(diagnosis.check_duplicates(some, others))
        print(f"false alarms in {rounds} rounds of {n:,} rows: {counts}")


def _take(split: Split, rows: np.ndarray) -> Split:
    """Some rows of a split, without the column by which nearly all rows differ."""
    X = split.X.iloc[rows].drop(columns="fnlwgt")
    return replace(split, X=X, y=split.y[rows], groups=split.groups.iloc[rows])


def find_overfitting(dataset: Dataset) -> pd.DataFrame:
    """The share of the improvement that is lost, and the harm done by too many trees."""
    rows, train = [], dataset.train
    (indices,) = boosting.validation_splits(train.y, 0)
    matrix, validation = boosting.split_matrices(train, indices)
    share = train.y.mean()
    entropy = -share * math.log(share) - (1 - share) * math.log(1 - share)
    for depth in (3, 6, 9):
        for rate in (0.05, 0.1, 0.3):
            config = DEFAULTS | {"max_depth": depth, "learning_rate": rate, "n_estimators": 300}
            known, new = (
                [*boosting.fit(config, matrix, eval_set=rows_of)[1].values()]
                for rows_of in (None, validation)
            )
            for n in (100, 300):
                gap, gain = new[n - 1] - known[n - 1], entropy - known[n - 1]
                rows.append((depth, rate, n, gap / gain, new[n - 1] - min(new[:n])))
    names = ["max_depth", "learning_rate", "n_estimators", "lost_share", "excess_log_loss"]
    return pd.DataFrame(rows, columns=names).sort_values("lost_share", ignore_index=True)


@click.command(help=__doc__.split("\n\n")[0])
@click.option("--data", default="auto", show_default=True, help="Where the rows come from.")
@click.option("--rounds", default=200, show_default=True, help="Draws for the false alarms.")
def main(data: str, rounds: int) -> None:
    dataset = sources.load(data)
    count_false_alarms(dataset, measure_cost(dataset), rounds)
    print(find_overfitting(dataset).round(4).to_string())


if __name__ == "__main__":
    main()
