"""Training on one split, in this process or on a cluster: one interface for both."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import joblib
import numpy as np
import xgboost

from tabular.data import reading
from tabular.data.dataset import Location, Split
from tabular.data.resolution import Draft
from tabular.data.table import Table
from tabular.model import boosting
from tabular.model.hyperparameters import Config
from tabular.model.served import Encoder
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

    def split_matrices(self, split: Any, indices: Any, max_bin: int) -> tuple[Any, Any]:
        """Binned rows to train on, and rows to validate on."""

    def full_matrix(self, split: Any, max_bin: int) -> Any:
        """All rows, binned."""

    def fit(
        self,
        config: Config,
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

    def encode_sample(self, booster: xgboost.Booster, split: Any, step: int) -> np.ndarray:
        """Every ``step``-th row as ``served.Encoder`` encodes it, float32, (n_rows, n_features)."""

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

    def encode_sample(self, booster: xgboost.Booster, split: Split, step: int) -> np.ndarray:
        """Every ``step``-th row, encoded."""
        return Encoder(booster)(split.X.iloc[::step])

    def metrics(self) -> dict[str, float]:
        """No metrics: the run itself records its time and memory."""
        return {}


class SharingTrainer(LocalTrainer):
    """Training in this process, beside other work that needs one core for a while.

    More threads than cores would slow a fit down, because its threads wait for each other in every
    round. The result does not depend on their number.
    """

    def __init__(self, other_work_done: Callable[[], bool]) -> None:
        self.other_work_done = other_work_done

    def fit(self, *args: Any, **kwargs: Any) -> tuple[xgboost.Booster, dict[int, float]]:
        """Fit as ``boosting.fit``, with all cores as soon as the other work is done."""
        sharing = True

        def after_round(booster: xgboost.Booster, curve: list[float]) -> bool:
            nonlocal sharing
            if sharing and self.other_work_done():
                booster.set_param("nthread", "0")  # as many as there are cores
                sharing = False
            return False

        n_jobs = max(1, joblib.cpu_count() - 1)
        return boosting.fit(*args, n_jobs=n_jobs, after_round=after_round, **kwargs)


@contextmanager
def connect_trainer(options: TrainOptions) -> Iterator[Trainer]:
    """The trainer of ``executor=local``, where there is nothing to connect to."""
    yield LocalTrainer()
