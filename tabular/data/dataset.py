"""What reading gives: a split, and the dataset of a training and a test split."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Split:
    """The rows of one file, or of several.

    The features are float32 or, in categorical columns, sorted categories of text; NaN is missing.
    """

    X: pd.DataFrame  # features (n_samples, n_features), in the order of census.FEATURES
    y: np.ndarray  # labels (n_samples,), int8: 1 where the label is census.POSITIVE, else 0
    name: str  # of the file, or of the folder of files
    digest: str  # SHA-256 of the file's bytes, hexadecimal; of files, see combine_digests
    synthetic: bool  # whether a file has the marker of synthetic rows

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return len(self.y)


@dataclass(frozen=True)
class Dataset:
    """The two splits, and where they came from."""

    train: Split  # for training and every choice; a PartitionedSplit if a cluster has read it
    test: Split  # for reporting
    origin: str  # uci (the digests are UCI's), synthetic (a file has the marker), or directory
    source: str  # the folder, or synthetic:N for N generated training rows
    warning: str | None = None  # why data=auto fell back to synthetic rows

    def qualify(self, name: str) -> str:
        """A name for something made from the dataset, which shows that the rows are synthetic."""
        return f"synthetic {name}" if self.origin == "synthetic" else name

    @property
    def digest(self) -> str:
        """SHA-256 over the digests of both splits, hexadecimal."""
        return hashlib.sha256(f"{self.train.digest}{self.test.digest}".encode()).hexdigest()
