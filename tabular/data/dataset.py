"""What reading gives: a split, and the dataset of a training and a test split."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Split:
    """The rows of one file, or of several.

    Attributes:
        X: features (n_samples, n_features) in the order of ``census.FEATURES``. Numeric columns are
            float32, categorical ones have the dtype ``category`` with sorted texts as categories;
            a missing value is NaN.
        y: labels (n_samples,), int8: 1 where the label is ``census.POSITIVE``, else 0.
        name: the name of the file, or of the folder of files.
        digest: SHA-256 of the file's bytes, hexadecimal; of several files, as
            ``sources.combine_digests`` computes it.
        synthetic: whether a file has the marker of synthetic rows.
    """

    X: pd.DataFrame
    y: np.ndarray
    name: str
    digest: str
    synthetic: bool

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return len(self.y)


@dataclass(frozen=True)
class Dataset:
    """The two splits, and where they came from.

    Attributes:
        train: the split for training and for every choice. What a cluster reads is a
            ``PartitionedSplit`` in its place.
        test: the split for reporting.
        origin: ``uci`` if the digests are those that UCI publishes, ``synthetic`` if a file has the
            marker of synthetic rows, else ``directory``.
        source: the folder, or ``synthetic:N`` for N generated training rows.
        warning: why ``data=auto`` fell back to synthetic rows; None if it did not.
    """

    train: Split
    test: Split
    origin: str
    source: str
    warning: str | None = None

    def qualify(self, name: str) -> str:
        """A name for something made from the dataset, which shows that the rows are synthetic."""
        return f"synthetic {name}" if self.origin == "synthetic" else name

    @property
    def digest(self) -> str:
        """SHA-256 over the digests of both splits, hexadecimal."""
        return hashlib.sha256(f"{self.train.digest}{self.test.digest}".encode()).hexdigest()
