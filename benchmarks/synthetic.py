"""How similar the synthetic rows are to the real ones, and how fast they are generated.

CENSUS_DATA_DIR=<folder of the real files> python -m benchmarks.synthetic [--rows 10000000]
"""

import resource
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import pandas as pd

from tabular.data import census, sources, synthetic
from tabular.data.census import CENSUS
from tabular.data.dataset import Dataset, Split
from tabular.evaluation import metrics, shap
from tabular.model import boosting
from tabular.model.hyperparameters import DEFAULTS
from tabular.model.served import Encoder

QUANTILE_BINS = 20


def total_variation(real: pd.Series, other: pd.Series) -> float:
    """The total variation distance of two columns, over categories or quantile bins."""
    if real.name in CENSUS.numeric:
        edges = np.unique(np.quantile(real, np.linspace(0, 1, QUANTILE_BINS + 1)))
        real, other = (pd.Series(np.searchsorted(edges, c, "left")) for c in (real, other))
    real, other = (c.astype(object).fillna(census.MISSING) for c in (real, other))
    real, other = (c.value_counts(normalize=True) for c in (real, other))
    return float(real.sub(other, fill_value=0).abs().sum() / 2)


def train_and_score(dataset: Dataset, max_depth: int) -> tuple[float, pd.Series]:
    """Accuracy on the test rows, and the gain of each feature."""
    booster, _ = boosting.fit(
        DEFAULTS | {"max_depth": max_depth}, boosting.bin_rows(dataset.train.X, dataset.train.y)
    )
    probability = booster.inplace_predict(Encoder(booster)(dataset.test.X))
    gain = shap.importance_table(booster).set_index("feature")["gain"]
    return metrics.classification_metrics(dataset.test.y, probability)["accuracy"], gain


def rows_of(split: Split) -> set[tuple]:
    """The distinct rows of a split."""
    frame = split.X.astype(object).where(split.X.notna(), None)
    return set(zip(*(frame[name] for name in frame), split.y.tolist(), strict=True))


@click.command(help=__doc__)
@click.option("--rows", type=int, help="Also time the writing of this many training rows.")
def main(rows: int | None) -> None:
    real, made = sources.load("uci"), sources.load("synthetic")
    print("total variation from adult.data, at most 0.02:")
    for name in CENSUS.features:
        print(f"  {name:15} {total_variation(real.train.X[name], made.train.X[name]):.4f}")
    labels = abs(real.train.y.mean() - made.train.y.mean())
    print(f"  {CENSUS.label:15} {labels:.4f}")
    for depth in (3, 6):
        (a, real_gain), (b, made_gain) = (train_and_score(rows, depth) for rows in (real, made))
        correlation = real_gain.corr(made_gain.reindex(real_gain.index), method="spearman")
        print(
            f"max_depth={depth}: test accuracy {a:.4f} real, {b:.4f} synthetic, "
            f"difference {b - a:+.4f} (at most 0.015); "
            f"rank correlation of the gains {correlation:.3f} (at least 0.8)"
        )
    known = rows_of(real.train) | rows_of(real.test)
    made_rows = [*rows_of(made.train), *rows_of(made.test)]
    print(f"synthetic rows equal to a real one: {sum(row in known for row in made_rows)}")
    print(f"recipe: {synthetic.RECIPE.stat().st_size:,} bytes, at most 300 KB")
    if rows:
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            synthetic.write(Path(folder), rows)
            seconds = time.perf_counter() - start
            size = sum(path.stat().st_size for path in Path(folder).iterdir())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{rows:,} training and {rows // 2:,} test rows in {seconds:.0f} s, "
            f"{size / 1e9:.2f} GB on disk, peak memory of this whole script {peak:.0f} MB"
        )


if __name__ == "__main__":
    main()
