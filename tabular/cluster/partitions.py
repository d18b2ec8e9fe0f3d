"""A training set in partitions on the workers of a Dask cluster: read there, and trained on there.

No worker holds all of it, and the process that asks for it holds nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import dask.dataframe
import numpy as np
import pandas as pd
import xgboost
import xgboost.dask
from distributed import Client, Future, get_worker

from tabular.cluster import connection
from tabular.cluster.connection import live_workers, on_worker
from tabular.data import census, sources
from tabular.data.dataset import Split
from tabular.errors import UserError, WorkFailed
from tabular.model import boosting
from tabular.model.trainer import Trainer
from tabular.options import TrainOptions


@dataclass(frozen=True)
class PartitionedSplit:
    """A split as ``dataset.Split``, with futures in place of the table.

    Attributes:
        frames: futures of frames (n_samples, n_features + 1), the label last, that stay on their
            workers.
    """

    frames: list[Future]
    n_rows: int
    name: str
    digest: str
    synthetic: bool


class FileSummary(NamedTuple):
    """What must be known of all files before the first partition can be used.

    ``categories`` are by column.
    """

    n_rows: int
    n_positive: int
    digest: str
    synthetic: bool
    categories: dict[str, list[str]]


class PartitionedMatrix(NamedTuple):
    """Partitions, and XGBoost's view of them."""

    frames: list[Future]
    matrix: xgboost.dask.DaskDMatrix


@contextmanager
def connect_trainer(options: TrainOptions) -> Iterator[Trainer]:
    """The trainer of ``executor=dask``, once the cluster is ready."""
    with connection.connect(options.scheduler, options.device, writes=False) as client:
        yield DaskTrainer(client)


class DaskTrainer:
    """Training by the workers of a cluster; a ``model.trainer.Trainer``."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def read_train(self, path: Path) -> PartitionedSplit:
        """Let the workers read a file or the files of a folder, each of them some.

        Where there are fewer files than workers, the files are cut into equal partitions.

        Raises:
            UserError: as of ``sources.read_split``, or a worker does not see a file.
        """
        client, paths = self.client, sources.split_files(path)
        splits = [client.submit(on_worker(_read), str(p), pure=False) for p in paths]
        summaries = client.gather(client.map(on_worker(_summarize), splits, pure=False))
        n_rows = sum(file.n_rows for file in summaries)
        sources.require_labels(path, sum(file.n_positive for file in summaries), n_rows)
        categories = _all_categories(summaries)
        if not (workers := [*live_workers(client)]):
            raise WorkFailed(connection.CONNECTION_LOST)
        n_cuts = -(-len(workers) // len(paths))
        places = cycle([{"workers": [worker]} for worker in workers] if n_cuts > 1 else [{}])
        frames = [
            client.submit(
                on_worker(_cut), split, categories, cut, n_cuts, pure=False, **next(places)
            )
            for split in splits
            for cut in range(n_cuts)
        ]
        client.gather([client.submit(len, frame) for frame in frames])  # until all are there
        return PartitionedSplit(frames, n_rows, path.name, *sources.combine_digests(summaries))

    def validation_splits(self, split: PartitionedSplit, seed: int) -> list[int]:
        """The seed, by which each partition is split as ``boosting.validation_splits`` does."""
        return [seed]

    def split_matrices(
        self, split: PartitionedSplit, indices: int
    ) -> tuple[PartitionedMatrix, PartitionedMatrix]:
        """Binned rows to train on, and rows to validate on."""
        train, validation = (
            [self.client.submit(on_worker(_take), frame, indices, side) for frame in split.frames]
            for side in (0, 1)
        )
        binned = self._matrix(train, xgboost.dask.DaskQuantileDMatrix)
        return binned, self._matrix(validation, xgboost.dask.DaskDMatrix)

    def full_matrix(self, split: PartitionedSplit) -> PartitionedMatrix:
        """All rows, binned."""
        return self._matrix(split.frames, xgboost.dask.DaskQuantileDMatrix)

    def _matrix(self, frames: list[Future], kind: type) -> PartitionedMatrix:
        meta = self.client.submit(lambda frame: frame.iloc[:0], frames[0]).result()
        table = dask.dataframe.from_delayed(frames, meta=meta, verify_meta=False)
        X, y = table[[*census.FEATURES]], table[census.LABEL]
        return PartitionedMatrix(frames, kind(self.client, X, y, enable_categorical=True))

    def fit(
        self,
        config: dict[str, int | float],
        train: PartitionedMatrix,
        *,
        eval_set: PartitionedMatrix | None = None,
        seed: int = 0,
        device: str = "cpu",
        early_stopping_rounds: int = 0,
    ) -> tuple[xgboost.Booster, list[float]]:
        """As ``boosting.fit``; the bytes depend on how the rows are partitioned."""
        parameters, rounds = boosting.xgboost_params(config, seed, device)
        found = xgboost.dask.train(
            self.client,
            parameters,
            train.matrix,
            rounds,
            evals=[((eval_set or train).matrix, boosting.EVAL_NAME)],
            early_stopping_rounds=early_stopping_rounds or None,
            verbose_eval=False,
        )
        return boosting.finalize(found["booster"], found["history"])

    def predict(
        self, booster: xgboost.Booster, matrix: PartitionedMatrix, n_trees: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Labels and predicted probabilities, each (n_samples,), by the first ``n_trees``."""
        booster = self.client.scatter(booster, hash=False)
        found = [
            self.client.submit(on_worker(_predict), frame, booster, n_trees)
            for frame in matrix.frames
        ]
        y_true, probability = zip(*self.client.gather(found), strict=True)
        return np.concatenate(y_true), np.concatenate(probability)

    def metrics(self) -> dict[str, float]:
        """The most memory that any worker has held."""
        return {"worker_peak_memory_mb": connection.peak_memory_mb(self.client)}


def _read(path: str) -> Split:
    if not Path(path).exists():
        address = get_worker().address
        raise UserError(f"{path}: worker {address} does not see it; put it where every worker does")
    return sources.read_file(Path(path))


def _summarize(split: Split) -> FileSummary:
    categories = {name: [*split.X[name].cat.categories] for name in census.CATEGORICAL}
    return FileSummary(split.n_rows, int(split.y.sum()), split.digest, split.synthetic, categories)


def _all_categories(summaries: list[FileSummary]) -> dict[str, list[str]]:
    """The categories of all files by column; a column without any gets the missing marker."""
    merged: dict[str, Any] = {name: set() for name in census.CATEGORICAL}
    for file in summaries:
        for name, words in file.categories.items():
            merged[name].update(words)
    missing = census.MISSING
    return {name: sorted(words - {missing}) or [missing] for name, words in merged.items()}


def _cut(split: Split, categories: dict, cut: int, n_cuts: int) -> pd.DataFrame:
    """One of equal cuts of a file's rows, with the categories of all files."""
    first, end = (split.n_rows * edge // n_cuts for edge in (cut, cut + 1))
    X = split.X[first:end] if n_cuts == 1 else split.X[first:end].copy()
    columns: dict[str, Any] = {
        name: X[name].cat.set_categories(categories[name]) if name in categories else X[name]
        for name in census.FEATURES
    }
    table = pd.DataFrame(columns | {census.LABEL: split.y[first:end]}, copy=False)
    return boosting.escape_categories(table)


def _take(frame: pd.DataFrame, seed: int, side: int) -> pd.DataFrame:
    """The rows of a partition to train on (side 0) or to validate on (side 1)."""
    (indices,) = boosting.validation_splits(frame[census.LABEL].to_numpy(), seed)
    return frame.iloc[indices[side]]


def _predict(frame: pd.DataFrame, booster: xgboost.Booster, n_trees: int) -> tuple:
    matrix = xgboost.DMatrix(frame[[*census.FEATURES]], enable_categorical=True)
    y_true = frame[census.LABEL].to_numpy()
    return y_true, booster.predict(matrix, iteration_range=(0, n_trees))
