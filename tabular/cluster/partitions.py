"""A training set in partitions on the workers of a Dask cluster: read there, and trained on there.

No worker holds all of it, and the process that asks for it holds nothing.
"""

import pickle
from collections import Counter
from collections.abc import Iterable, Iterator
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
from distributed import Client, Future, KilledWorker, get_worker

from tabular.cluster import connection
from tabular.cluster.connection import live_workers, on_worker
from tabular.data import reading
from tabular.data.dataset import Location, Split
from tabular.data.inference import ColumnStatistics, column_statistics, merge_statistics
from tabular.data.resolution import Draft, complete
from tabular.data.rows import NO_VALUE, FileRows, combine_digests
from tabular.data.table import Table
from tabular.errors import UserError, WorkFailed
from tabular.model import boosting
from tabular.model.hyperparameters import Config
from tabular.model.trainer import Trainer
from tabular.options import TrainOptions

SAMPLE_ROWS = 10_000  # of a file, from which the bands of a numeric group column are found


@dataclass(frozen=True)
class PartitionedSplit:
    """A split as ``dataset.Split``, with futures in place of the table.

    Attributes:
        frames: futures of frames (n_samples, n_features + 1), the label last, that stay on their
            workers; names and categories are as XGBoost takes them.
    """

    frames: list[Future]
    n_rows: int
    n_positive: int
    n_categories: dict[str, int]
    group_values: dict[str, np.ndarray]  # a sample
    name: str
    digest: str
    synthetic: bool


class FileSummary(NamedTuple):
    """What must be known of all files before the first partition can be used.

    Attributes:
        labels: the number of rows by label, 0 and 1, or by its text if the labels are not known.
        categories: by column.
        group_values: a sample of the values of each numeric group column.
    """

    n_rows: int
    labels: dict[Any, int]
    digest: str
    synthetic: bool
    categories: dict[str, list[str]]
    statistics: dict[str, ColumnStatistics]
    group_values: dict[str, np.ndarray]


class PartitionedMatrix(NamedTuple):
    """Partitions, and XGBoost's view of them."""

    frames: list[Future]
    matrix: xgboost.dask.DaskDMatrix


@contextmanager
def connect_trainer(options: TrainOptions) -> Iterator[Trainer]:
    """The trainer of ``executor=dask``, once the cluster is ready."""
    with connection.connect(options.scheduler, options.device, writes=False) as client:
        try:
            yield DaskTrainer(client)
        except KilledWorker as error:
            raise WorkFailed(
                f"executor: task {error.task!r} killed its workers in every attempt, likely for "
                "lack of memory; give them more, or spread the rows over more files"
            ) from None


class DaskTrainer:
    """Training by the workers of a cluster; a ``model.trainer.Trainer``."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def read(
        self, location: Location, plan: Table | Draft
    ) -> tuple[PartitionedSplit, Split, Table]:
        """Let the workers read the training rows, each of them some, and read the test rows here.

        Where there are fewer files than workers, the files are cut into equal partitions. One file
        of the rows of both splits is read by one worker, and here.

        Raises:
            UserError: as of ``reading.read_dataset``, or a worker does not see a file.
        """
        client, path = self.client, location.train
        if location.test is None:
            _, test, table = reading.split_one_file(path, plan)
            arguments = str(path), pickle.dumps(plan)
            rows = [client.submit(on_worker(_read_train_part), *arguments, pure=False)]
            plan = table
        else:
            paths = [str(file) for file in reading.data_files(path)]
            schema = pickle.dumps(plan.schema)  # in bytes: the scheduler has no code of ours
            rows = [client.submit(on_worker(_read), p, schema, pure=False) for p in paths]
        groups = (plan.groups if isinstance(plan, Table) else plan.request.groups) or ()
        found = [client.submit(on_worker(_summarize), file, groups, pure=False) for file in rows]
        summaries = client.gather(found)
        table = plan if isinstance(plan, Table) else _complete(plan, summaries)
        train = self._partition(rows, summaries, table, path)
        if location.test is not None:
            test = reading.read_split(location.test, table)
        return train, test, table

    def _partition(
        self, rows: list[Future], summaries: list[FileSummary], table: Table, path: Path
    ) -> PartitionedSplit:
        """Cut the files into partitions, and wait until every worker has its own."""
        client, n_rows = self.client, sum(file.n_rows for file in summaries)
        labels = (table.schema.labels or {}) | {1: 1, 0: 0}
        n_positive = sum(n * labels[key] for file in summaries for key, n in file.labels.items())
        reading.require_labels(path, table, n_positive, n_rows)
        categories, pickled = _all_categories(summaries), pickle.dumps(table)
        if not (workers := [*live_workers(client)]):
            raise WorkFailed(connection.CONNECTION_LOST)
        n_cuts = -(-len(workers) // len(rows))
        places = cycle([{"workers": [worker]} for worker in workers] if n_cuts > 1 else [{}])
        frames = [
            client.submit(
                on_worker(_cut), file, pickled, categories, cut, n_cuts, pure=False, **next(places)
            )
            for file in rows
            for cut in range(n_cuts)
        ]
        frames = self._not_empty(frames)  # waits until all are there
        n_categories = {name: len(categories[name]) for name in table.categorical}
        group_values = {
            name: np.concatenate([file.group_values[name] for file in summaries])
            for name in summaries[0].group_values
        }
        counts = n_rows, n_positive, n_categories
        digest = combine_digests(summaries)
        return PartitionedSplit(frames, *counts, group_values, path.name, *digest)

    def _lengths(self, frames: list[Future]) -> list[int]:
        """The number of rows of each partition."""
        return self.client.gather([self.client.submit(len, frame) for frame in frames])

    def validation_splits(self, split: PartitionedSplit, seed: int) -> list[int]:
        """The seed, by which ``_is_validation`` draws rows.

        Raises:
            UserError: a label has too few rows.
        """
        boosting.require_rows(min(split.n_positive, split.n_rows - split.n_positive))
        return [seed]

    def split_matrices(
        self, split: PartitionedSplit, indices: int, max_bin: int
    ) -> tuple[PartitionedMatrix, PartitionedMatrix]:
        """Binned rows to train on, and rows to validate on."""
        counted = [self.client.submit(on_worker(_count_labels), frame) for frame in split.frames]
        counts = np.array(self.client.gather(counted))
        before = [tuple(row) for row in (counts.cumsum(axis=0) - counts).tolist()]
        train, validation = (
            self._not_empty(
                self.client.submit(on_worker(_take), frame, indices, earlier, side)
                for frame, earlier in zip(split.frames, before, strict=True)
            )
            for side in (False, True)
        )
        binned = self._matrix(train, xgboost.dask.DaskQuantileDMatrix, max_bin=max_bin)
        return binned, self._matrix(validation, xgboost.dask.DaskDMatrix)

    def _not_empty(self, frames: Iterable[Future]) -> list[Future]:
        """The partitions that have rows."""
        frames = [*frames]
        return [frame for frame, n in zip(frames, self._lengths(frames), strict=True) if n]

    def full_matrix(self, split: PartitionedSplit, max_bin: int) -> PartitionedMatrix:
        """All rows, binned."""
        return self._matrix(split.frames, xgboost.dask.DaskQuantileDMatrix, max_bin=max_bin)

    def _matrix(self, frames: list[Future], kind: type, **options: int) -> PartitionedMatrix:
        meta = self.client.submit(lambda frame: frame.iloc[:0], frames[0]).result()
        table = dask.dataframe.from_delayed(frames, meta=meta, verify_meta=False)
        *features, label = meta.columns
        X, y = table[features], table[label]
        matrix = kind(self.client, X, y, enable_categorical=True, **options)
        return PartitionedMatrix(frames, matrix)

    def fit(
        self,
        config: Config,
        train: PartitionedMatrix,
        *,
        eval_set: PartitionedMatrix | None = None,
        seed: int = 0,
        device: str = "cpu",
        early_stopping_rounds: int = 0,
    ) -> tuple[xgboost.Booster, dict[int, float]]:
        """As ``boosting.fit``; the bytes depend on how the rows are partitioned."""
        parameters, n_rounds = boosting.xgboost_params(config, seed, device)
        n_rows = 0 if eval_set else sum(self._lengths(train.frames))
        rounds = boosting.evaluated_rounds(n_rounds, n_rows)
        found = xgboost.dask.train(
            self.client,
            parameters,
            train.matrix,
            n_rounds,
            evals=[((eval_set or train).matrix, boosting.EVAL_NAME)],
            early_stopping_rounds=early_stopping_rounds or None,
            verbose_eval=False,
            callbacks=[boosting.evaluate_after(rounds)],
        )
        curve = found["history"][boosting.EVAL_NAME]["logloss"]
        return found["booster"], dict(zip(rounds, curve, strict=False))

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

    def encode_sample(
        self, booster: xgboost.Booster, split: PartitionedSplit, step: int
    ) -> np.ndarray:
        """Every ``step``-th row of each partition, encoded by its worker."""
        found = [self.client.submit(on_worker(_encode), frame, step) for frame in split.frames]
        return np.concatenate(self.client.gather(found))

    def metrics(self) -> dict[str, float]:
        """The most memory that any worker has held."""
        return {"worker_peak_memory_mb": connection.peak_memory_mb(self.client)}


def _read(path: str, schema: bytes) -> FileRows:
    _require_visible(path)
    return reading.read_file(Path(path), pickle.loads(schema))


def _read_train_part(path: str, plan: bytes) -> FileRows:
    """The training rows of one file of the rows of both splits."""
    _require_visible(path)
    train, _, table = reading.split_one_file(Path(path), pickle.loads(plan))
    X = train.X.copy(deep=False)
    for name in table.non_features:
        X[name] = train.groups[name]
    return FileRows(X, train.y, None, train.digest, train.synthetic)


def _require_visible(path: str) -> None:
    if not Path(path).exists():
        address = get_worker().address
        raise UserError(f"{path}: worker {address} does not see it; put it where every worker does")


def _summarize(rows: FileRows, groups: tuple[str, ...]) -> FileSummary:
    X = rows.X
    categories = {
        name: [*column.cat.categories] if column.notna().any() else []
        for name, column in X.select_dtypes("category").items()
    }
    if isinstance(rows.labels, pd.Categorical):
        labels: dict[Any, int] = rows.label_counts()
    else:
        labels = dict(enumerate(np.bincount(rows.labels, minlength=2).tolist()))
    values = {
        name: X[name].to_numpy()[:: max(1, len(X) // SAMPLE_ROWS)]
        for name in groups
        if name not in categories
    }
    statistics = column_statistics(X, rows.n_unlabelled)
    return FileSummary(len(X), labels, rows.digest, rows.synthetic, categories, statistics, values)


def _complete(draft: Draft, summaries: list[FileSummary]) -> Table:
    """The table of a draft, from the summaries of its training files."""
    counts: Counter[str] = Counter()
    for file in summaries:
        counts.update(file.labels)
    categories = _all_categories(summaries)
    n_categories = {name: len(texts) for name, texts in categories.items()}
    statistics = merge_statistics([file.statistics for file in summaries], n_categories)
    n_rows = sum(file.n_rows for file in summaries)
    return complete(draft.with_labels(counts), statistics, categories, n_rows)


def _all_categories(summaries: list[FileSummary]) -> dict[str, list[str]]:
    """The categories of all files by column; a column without any gets a placeholder."""
    merged: dict[str, Any] = {name: set() for name in summaries[0].categories}
    for file in summaries:
        for name, texts in file.categories.items():
            merged[name].update(texts)
    return {name: sorted(texts) or [NO_VALUE] for name, texts in merged.items()}


def _cut(rows: FileRows, pickled: bytes, categories: dict, cut: int, n_cuts: int) -> pd.DataFrame:
    """One of equal cuts of a file's rows, with the categories of all files."""
    table: Table = pickle.loads(pickled)
    rows.encode_labels(table.schema)
    n_rows = len(rows.labels)
    first, end = (n_rows * edge // n_cuts for edge in (cut, cut + 1))
    X = rows.X[first:end] if n_cuts == 1 else rows.X[first:end].copy()
    columns: dict[str, Any] = {
        name: X[name].cat.set_categories(categories[name]) if name in categories else X[name]
        for name in table.features
    }
    table_frame = pd.DataFrame(columns | {table.label: rows.labels[first:end]}, copy=False)
    return boosting.escape(table_frame)


def _count_labels(frame: pd.DataFrame) -> list[int]:
    """The number of rows with the label 0 and with the label 1."""
    return np.bincount(frame.iloc[:, -1], minlength=2).tolist()


def _take(frame: pd.DataFrame, seed: int, before: tuple[int, int], validates: bool) -> pd.DataFrame:
    """The rows of a partition to train on, or those to validate on."""
    return frame[_is_validation(frame.iloc[:, -1].to_numpy(), seed, before) == validates]


def _is_validation(y: np.ndarray, seed: int, before: tuple[int, int]) -> np.ndarray:
    """Which rows of a partition validate, (n_samples,), bool.

    Of each label, one of every five rows is drawn; which one does not depend on how the rows are
    cut into partitions.

    Args:
        y: 0 or 1, (n_samples,).
        before: the number of rows with the label 0, and with 1, in the partitions before this one.
    """
    drawn, size = np.zeros(len(y), bool), round(1 / boosting.VALIDATION_SHARE)
    for label in (0, 1):
        rows = np.flatnonzero(y == label)
        if len(rows):
            block, place = np.divmod(before[label] + np.arange(len(rows)), size)
            bits = np.random.PCG64([seed, label]).advance(int(block[0]))
            chosen = np.random.Generator(bits).random(int(block[-1] - block[0]) + 1) * size
            drawn[rows] = place == chosen.astype(int)[block - block[0]]
    return drawn


def _predict(frame: pd.DataFrame, booster: xgboost.Booster, n_trees: int) -> tuple:
    matrix = xgboost.DMatrix(frame.iloc[:, :-1], enable_categorical=True)
    y_true = frame.iloc[:, -1].to_numpy()
    return y_true, booster.predict(matrix, iteration_range=(0, n_trees))


def _encode(frame: pd.DataFrame, step: int) -> np.ndarray:
    """Every ``step``-th row as ``served.Encoder`` encodes it: partitions have all categories."""
    columns = [column for _, column in frame.iloc[::step, :-1].items()]
    values = [c.cat.codes.where(c.notna()) if c.dtype == "category" else c for c in columns]
    return np.column_stack([column.to_numpy(np.float32) for column in values])
