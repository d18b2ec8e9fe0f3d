"""Training on one split, in this process or on a cluster: one interface for both."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import xgboost

from tabular.data import reading
from tabular.data.dataset import Location, Split
from tabular.data.resolution import Draft
from tabular.data.table import Table
from tabular.model import boosting
from tabular.options import TrainOptions


class Trainer(Protocol):
    """Where the training split is held and what trains on it.

    The types of split, indices and matrices differ between trainers: each method takes what
    another method of the same trainer returned.
    """

    def read(self, location: Location, plan: Table | Draft) -> tuple[Any, Split, Table]:
        """Read both splits, and tell their table, as ``reading.read_dataset`` does."""

    def validation_splits(self, split: Any, seed: int) -> list:
        """Indices of the rows to train on and of the rows to validate on, as a list of one."""

    def split_matrices(self, split: Any, indices: Any) -> tuple[Any, Any]:
        """Binned rows to train on, and rows to validate on."""

    def full_matrix(self, split: Any) -> Any:
        """All rows, binned."""

    def fit(
        self,
        config: dict[str, int | float],
        train: Any,
        *,
        eval_set: Any = None,
        seed: int = 0,
        device: str = "cpu",
        early_stopping_rounds: int = 0,
    ) -> tuple[xgboost.Booster, dict[int, float]]:
        """Fit a booster; returns it and the log loss of ``eval_set`` by round, as there."""

    def predict(
        self, booster: xgboost.Booster, matrix: Any, n_trees: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Labels and predicted probabilities, each (n_samples,), by the first ``n_trees``."""

    def metrics(self) -> dict[str, float]:
        """Metrics of the training itself, by name."""


class LocalTrainer:
    """Training in this process."""

    read = staticmethod(reading.read_dataset)
    split_matrices = staticmethod(boosting.split_matrices)
    full_matrix = staticmethod(boosting.full_matrix)
    fit = staticmethod(boosting.fit)
    predict = staticmethod(boosting.predict)

    def validation_splits(self, split: Split, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Indices as ``boosting.validation_splits`` draws them."""
        return boosting.validation_splits(split.y, seed)

    def metrics(self) -> dict[str, float]:
        """No metrics: the run itself records its time and memory."""
        return {}


@contextmanager
def connect_trainer(options: TrainOptions) -> Iterator[Trainer]:
    """The trainer of ``executor=local``, where there is nothing to connect to."""
    yield LocalTrainer()
