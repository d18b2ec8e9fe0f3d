"""Rows that have been read: joined from blocks and files, and split into training and test rows."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from tabular import cancel
from tabular.data.table import TableSchema

NO_VALUE = "?"  # XGBoost needs a category even if all values are missing


@dataclass
class FileRows:
    """The rows of one file, or of several.

    Attributes:
        X: the columns of the schema, (n_samples, n_columns), as in ``dataset.Split``.
        labels: (n_samples,), int8, or categories of text if the labels were not known.
        hashes: of the rows, (n_samples,), uint64; None if nobody asked for them.
        digest: SHA-256 of the file's bytes, hexadecimal; of files, see ``combine_digests``.
        synthetic: whether a file has the marker of synthetic rows.
    """

    X: pd.DataFrame
    labels: Any
    hashes: np.ndarray | None
    digest: str
    synthetic: bool
    delimiter: str = ""  # between two fields of a text file
    n_unlabelled: int = 0  # rows without a label, which are left out

    def encode_labels(self, schema: TableSchema) -> None:
        """Replace labels that are texts by 0 and 1, with the labels that a schema knows now."""
        if isinstance(self.labels, pd.Categorical):
            known = schema.labels or {}
            codes = np.array([known[text] for text in self.labels.categories], np.int8)
            self.labels = codes[self.labels.codes]

    def split(self, is_test: np.ndarray, label: str) -> "tuple[FileRows, FileRows]":
        """The training and the test rows, each with the categories that occur in them.

        The frame is emptied column by column: no row is in memory twice.

        Args:
            is_test: bool (n_samples,).
            label: the name of the label's column, which the rule of the split depends on.
        """
        columns, kept = column_arrays(self.X), (~is_test, is_test)
        self.X, parts = pd.DataFrame(), [dict[str, Any](), dict[str, Any]()]
        for name in [*columns]:
            cancel.check()
            values = columns.pop(name)
            for part, chosen in zip(parts, kept, strict=True):
                part[name] = _with_used_categories(values[chosen])
        rows = [
            FileRows(
                pd.DataFrame(part, copy=False),
                self.labels[chosen],
                None,
                hashlib.sha256(f"{self.digest} {name} rows of {label}".encode()).hexdigest(),
                self.synthetic,
                self.delimiter,
            )
            for part, chosen, name in zip(parts, kept, ("training", "test"), strict=True)
        ]
        return rows[0], rows[1]

    def label_counts(self) -> dict[str, int]:
        """The number of rows by the text of the label, if the labels were not known."""
        counts = np.bincount(self.labels.codes, minlength=len(self.labels.categories))
        return dict(zip(self.labels.categories, counts.tolist(), strict=True))


def concatenate(files: list[FileRows]) -> FileRows:
    """The rows of several files, whose frames are emptied."""
    labels, delimiter = join([file.labels for file in files]), files[0].delimiter
    parts = [column_arrays(file.X) for file in files]
    for file in files:
        file.X = pd.DataFrame()
    X = join_columns(parts)
    n_unlabelled = sum(file.n_unlabelled for file in files)
    return FileRows(X, labels, None, *combine_digests(files), delimiter, n_unlabelled)


def combine_digests(files: Sequence[Any]) -> tuple[str, bool]:
    """Digest of a split, and whether it is synthetic, from ``digest`` and ``synthetic`` of files.

    The digest of one file is the split's; of several, it is SHA-256 over theirs.
    """
    if len(files) == 1:
        return files[0].digest, files[0].synthetic
    digests = "".join(file.digest for file in files)
    return hashlib.sha256(digests.encode()).hexdigest(), any(file.synthetic for file in files)


def select(X: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """Some of the columns, which are not copied."""
    return pd.DataFrame({name: X[name] for name in names}, index=X.index, copy=False)


def join_columns(parts: list[dict[str, Any]]) -> pd.DataFrame:
    """One frame of parts, which are emptied column by column: no row is in memory twice."""
    joined: dict[str, np.ndarray | pd.Categorical] = {}
    for name in [*parts[0]]:
        cancel.check()
        joined[name] = join([part.pop(name) for part in parts])
    return pd.DataFrame(joined, copy=False)


def join(arrays: list) -> np.ndarray | pd.Categorical:
    """Arrays of numbers, or categoricals, as one."""
    if not isinstance(arrays[0], pd.Categorical):
        return np.concatenate(arrays)
    return _with_category(union_categoricals(arrays, sort_categories=True))


def column_arrays(X: pd.DataFrame) -> dict[str, Any]:
    """The columns of a frame by name, which a frame of 2,000 columns would take long to remove."""
    return {str(name): _array(column) for name, column in X.items()}


def _array(column: pd.Series) -> np.ndarray | pd.Categorical:
    return column.array if isinstance(column.dtype, pd.CategoricalDtype) else column.to_numpy()


def _with_used_categories(column: np.ndarray | pd.Categorical) -> np.ndarray | pd.Categorical:
    """The column without categories that do not occur; pandas' own method sorts all rows."""
    if not isinstance(column, pd.Categorical):
        return column
    counts = np.bincount(column.codes.astype(np.intp) + 1, minlength=len(column.categories) + 1)
    is_used = counts[1:] > 0
    codes = np.append(np.cumsum(is_used) - 1, -1)[column.codes]
    return _with_category(pd.Categorical.from_codes(codes, column.categories[is_used]))


def _with_category(column: pd.Categorical) -> pd.Categorical:
    return column if len(column.categories) else column.add_categories(NO_VALUE)
