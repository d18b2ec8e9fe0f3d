"""Where the files of a dataset are, and what reading them gives: two splits and their table."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tabular.data.table import Table


@dataclass(frozen=True)
class Location:
    """Where the files of a dataset are."""

    train: Path  # the file of the split, or the folder of its files
    test: Path | None  # None: the training file holds the rows of both splits
    source: str  # the folder of both, the one file, or synthetic:N for N generated training rows
    warning: str | None = None  # why auto fell back to synthetic rows


@dataclass(frozen=True)
class Split:
    """The rows of one file, or of several, or a part of the rows of one file.

    Numbers are float32, text is categorical, with sorted categories; NaN is missing.
    """

    X: pd.DataFrame  # features (n_samples, n_features), in the order of Table.features
    y: np.ndarray  # labels (n_samples,), int8: 1 where the label is Table.positive, else 0
    groups: pd.DataFrame  # the columns of Table.groups (n_samples, n_groups)
    name: str  # of the file, or of the folder of files
    digest: str  # SHA-256 of the file's bytes, hexadecimal; of files, see combine_digests
    synthetic: bool  # whether a file has the marker of synthetic rows
    delimiter: str = ","  # between two fields of a file; empty: Parquet
    positions: str = ""  # SHA-256 of which rows of a file these are, hexadecimal; empty: all of it

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return len(self.y)

    @property
    def n_positive(self) -> int:
        """The number of rows with the positive label."""
        return int(self.y.sum())

    def has_rows_of(self, other: "Split") -> bool:
        """Whether both are the same rows of equal files, with the same labels."""
        return self.positions == other.positions and np.array_equal(self.y, other.y)

    @property
    def group_values(self) -> dict[str, np.ndarray]:
        """The values of each numeric group column, (n_samples,)."""
        return {name: c.to_numpy() for name, c in self.groups.select_dtypes("number").items()}

    @property
    def n_categories(self) -> dict[str, int]:
        """The number of categories of each categorical feature."""
        categorical = self.X.select_dtypes("category")
        return {name: len(column.cat.categories) for name, column in categorical.items()}


@dataclass(frozen=True)
class Dataset:
    """The two splits, what their columns are, and where they came from."""

    table: Table
    train: Split  # for training and every choice; a PartitionedSplit if a cluster has read it
    test: Split  # for reporting
    origin: str  # uci (the digests are UCI's), synthetic (a file has the marker), or directory
    source: str  # the folder or the file, or synthetic:N for N generated training rows
    warning: str | None = None  # why data=auto fell back to synthetic rows
    table_file: Path | None = None  # the table.toml that was read

    def qualify(self, name: str) -> str:
        """A name for something made from the dataset, which shows that the rows are synthetic."""
        return f"synthetic {name}" if self.origin == "synthetic" else name

    @property
    def provenance(self) -> str:
        """Where the rows are from, for the console."""
        known = "" if self.origin == "directory" else f"{self.origin}, "
        return f"{known}from {self.source}"

    @property
    def digest(self) -> str:
        """SHA-256 over the digests of both splits, hexadecimal."""
        return hashlib.sha256(f"{self.train.digest}{self.test.digest}".encode()).hexdigest()
