"""SHAP values of scored rows, as columns that are written beside the predictions."""

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa

from tabular.evaluation import shap
from tabular.tracking.registry import Predictor

BLOCK_ROWS = 1000  # explained at a time: the SHAP values of all features are held for so many rows


class Explainer:
    """Finds the features that add the most to the prediction for each row, in log odds.

    Attributes:
        schema: of the added columns: for each rank from 1 on ``feature``, ``value`` and
            ``contribution``, then ``base`` (the mean prediction) and, unless all features are
            shown, ``rest`` (the sum of the other contributions). The names have a prefix.
    """

    def __init__(self, predictor: Predictor, n_largest: int | None, taken: Collection[str]) -> None:
        """Explain nothing yet.

        Args:
            n_largest: the number of features to show for each row; None: all of them.
            taken: names of the other columns; the prefix differs from the beginning of each.
        """
        self.encode, self.booster = predictor.encode, predictor.booster
        self.features = pa.array(self.encode.names, pa.string())
        n_features = len(self.features)
        self.n_shown = min(n_largest or n_features, n_features)
        prefix = "shap_"
        while any(name.startswith(prefix) for name in taken):
            prefix += "shap_"
        fields = [
            (f"{prefix}{name}_{rank}", kind)
            for rank in range(1, self.n_shown + 1)
            for name, kind in (
                ("feature", pa.string()),
                ("value", pa.string()),
                ("contribution", pa.float32()),
            )
        ]
        sums = ["base"] if self.n_shown == n_features else ["base", "rest"]
        self.schema = pa.schema([*fields, *((prefix + name, pa.float32()) for name in sums)])
        self._pool = ThreadPoolExecutor(joblib.cpu_count())

    def columns(self, X: pd.DataFrame) -> list[pa.ChunkedArray]:
        """The columns of ``schema`` for features, (n_samples, n_features), by all cores.

        Several threads may call it at a time.

        Raises:
            Cancelled: a signal asked the process to end.
        """
        blocks = [X.iloc[i : i + BLOCK_ROWS] for i in range(0, len(X), BLOCK_ROWS)]
        tables = [*self._pool.map(self._explain, blocks)] or [self.schema.empty_table()]
        return pa.concat_tables(tables).combine_chunks().columns

    def _explain(self, X: pd.DataFrame) -> pa.Table:
        values = shap.shap_values(self.booster, self.encode(X))
        values, base = values[:, :-1], values[:, -1]
        order = np.argsort(-np.abs(values), axis=1, kind="stable")[:, : self.n_shown]
        texts = pa.concat_arrays([_to_text(X[name]) for name in self.encode.names])
        columns: list[pa.Array] = []
        for positions in order.T:
            contributions = np.take_along_axis(values, positions[:, None], axis=1)[:, 0]
            places = positions * len(X) + np.arange(len(X))
            columns += [self.features.take(pa.array(positions)), texts.take(pa.array(places))]
            columns.append(pa.array(contributions))
        np.put_along_axis(values, order, 0, axis=1)
        rest = values.sum(axis=1, dtype=float).astype(np.float32)
        columns += [pa.array(base), pa.array(rest)]
        return pa.Table.from_arrays(columns[: len(self.schema)], schema=self.schema)


def _to_text(column: pd.Series) -> pa.Array:
    """The values of a column as text, null where they are missing: 39 for 39.0."""
    return pa.Array.from_pandas(column).cast(pa.string())
