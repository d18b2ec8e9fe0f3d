"""Rows in partitions on the workers of a Dask cluster: read there, and trained on there.

No worker holds them all, and the process that asks for it holds none. ``DaskTrainer`` has the
names of ``boosting``.
"""

from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import xgboost

from tabular.cluster.connection import live_workers, on_worker
from tabular.data import census, sources
from tabular.errors import UserError
from tabular.model import boosting


@dataclass(frozen=True)
class PartitionedSplit:
    """The rows of a split, as ``sources.Split`` but for the table.

    Attributes:
        frames: futures of frames (n_samples, 15), the label last, that stay on their workers.
    """

    frames: list
    n_rows: int
    name: str
    digest: str
    synthetic: bool


class FileSummary(NamedTuple):
    """What must be known of all partitions before the first can be used."""

    n_rows: int
    n_positive: int
    digest: str
    synthetic: bool
    vocabulary: dict[str, list[str]]  # categories by column


def read_partitioned(client, path: Path, only_digest: str | None = None) -> PartitionedSplit:
    """Let the workers read a file, or those of a folder, each one of them.

    Where files are fewer than workers, they are cut.

    Raises:
        UserError: as of ``sources.read_split``, or a worker does not see a file.
    """
    paths, workers = sources.split_files(path), [*live_workers(client)]
    splits = [client.submit(on_worker(_read), p, only_digest, pure=False) for p in map(str, paths)]
    facts = client.gather(client.map(on_worker(_facts), splits, pure=False))
    n_rows = sum(part.n_rows for part in facts)
    sources.require_labels(path, sum(part.n_positive for part in facts), n_rows)
    vocabulary = {
        name: sorted({word for part in facts for word in part.vocabulary[name]} - {census.MISSING})
        for name in census.CATEGORICAL
    }
    vocabulary = {name: words or [census.MISSING] for name, words in vocabulary.items()}
    n_cuts = -(-len(workers) // len(paths))
    places = cycle(workers)
    frames = [
        client.submit(
            on_worker(_cut), split, vocabulary, cut, n_cuts, pure=False,
            **({"workers": [next(places)]} if n_cuts > 1 else {}),
        )
        for split in splits
        for cut in range(n_cuts)
    ]  # fmt: skip
    client.gather([client.submit(len, frame) for frame in frames])  # until all is there
    return PartitionedSplit(frames, n_rows, path.name, *sources.combine_digests(facts))


def _read(path: str, only_digest: str | None) -> sources.Split:
    if not Path(path).exists():
        from distributed import get_worker

        where = get_worker().address
        raise UserError(f"{path}: worker {where} does not see it; put it where every worker does")
    return sources.read_file(Path(path), only_digest)


def _facts(split: sources.Split) -> FileSummary:
    vocabulary = {name: [*split.X[name].cat.categories] for name in census.CATEGORICAL}
    return FileSummary(split.n_rows, int(split.y.sum()), split.digest, split.synthetic, vocabulary)


def _cut(split: sources.Split, vocabulary: dict, cut: int, n_cuts: int) -> pd.DataFrame:
    """One of equal cuts of a file's rows, with the categories of all files."""
    first, end = (split.n_rows * edge // n_cuts for edge in (cut, cut + 1))
    X = split.X[first:end] if n_cuts == 1 else split.X[first:end].copy()
    columns = {
        name: X[name].cat.set_categories(vocabulary[name]) if name in vocabulary else X[name]
        for name in census.FEATURES
    }
    return boosting.escape_categories(
        pd.DataFrame(columns | {census.LABEL: split.y[first:end]}, copy=False)
    )


def _held_out(frame: pd.DataFrame, seed: int, which: int) -> pd.DataFrame:
    (part,) = boosting.validation_splits(frame[census.LABEL].to_numpy(), seed)
    return frame.iloc[part[which]]


def _answer(frame: pd.DataFrame, booster: xgboost.Booster, n_trees: int) -> tuple:
    rows = xgboost.DMatrix(frame[[*census.FEATURES]], enable_categorical=True)
    y = frame[census.LABEL].to_numpy()
    return y, booster.predict(rows, iteration_range=(0, n_trees))


class Matrix(NamedTuple):
    """Partitions, and XGBoost's view of them."""

    frames: list
    matrix: object


class DaskTrainer:
    """What ``train.fit`` asks of ``model``, done by the workers."""

    def __init__(self, client):
        self.client = client

    def _matrix(self, frames: list, kind: str = "DaskQuantileDMatrix") -> Matrix:
        import dask.dataframe
        import xgboost.dask

        meta = self.client.submit(lambda frame: frame.iloc[:0], frames[0]).result()
        rows = dask.dataframe.from_delayed(frames, meta=meta, verify_meta=False)
        X, y = rows[[*census.FEATURES]], rows[census.LABEL]
        make = getattr(xgboost.dask, kind)
        return Matrix(frames, make(self.client, X, y, enable_categorical=True))

    def validation_parts(self, split: PartitionedSplit, seed: int) -> list[int]:
        """A seed, by which each partition is split as ``boosting.parts`` would split it."""
        return [seed]

    def split_matrices(self, split: PartitionedSplit, part: int) -> tuple[Matrix, Matrix]:
        """Rows to train on, binned, and to validate on."""
        train, validation = (
            [self.client.submit(on_worker(_held_out), f, part, which) for f in split.frames]
            for which in (0, 1)
        )
        return self._matrix(train), self._matrix(validation, "DaskDMatrix")

    def full_matrix(self, split: PartitionedSplit) -> Matrix:
        """All rows, binned."""
        return self._matrix(split.frames)

    def fit(
        self,
        hyperparameters: dict[str, int | float],
        train: Matrix,
        *,
        follow: Matrix | None = None,
        seed: int = 0,
        device: str = "cpu",
        early_stopping_rounds: int = 0,
    ) -> tuple[xgboost.Booster, list[float]]:
        """As ``boosting.fit``; the bytes depend on how the rows are spread."""
        import xgboost.dask

        parameters, rounds = boosting.xgboost_params(hyperparameters, seed, device)
        found = xgboost.dask.train(
            self.client,
            parameters,
            train.matrix,
            rounds,
            evals=[((follow or train).matrix, "followed")],
            early_stopping_rounds=early_stopping_rounds or None,
            verbose_eval=False,
        )
        return boosting.finalize(found["booster"], found["history"])

    def predict(
        self, booster: xgboost.Booster, rows: Matrix, n_trees: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Labels and probabilities (n_samples,) of rows, by the first trees."""
        booster = self.client.scatter(booster, hash=False)
        found = [
            self.client.submit(on_worker(_answer), frame, booster, n_trees) for frame in rows.frames
        ]
        return tuple(map(np.concatenate, zip(*self.client.gather(found), strict=True)))
