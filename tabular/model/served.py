"""The model that MLflow logs and serves: raw rows in, label and probability out.

This file travels inside the logged model, without the rest of the project, so it imports only what
the model's own requirements install. Columns, categories and labels are read from the booster file
that is logged with it.
"""

import re
from collections.abc import Collection, Iterable
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import xgboost
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PythonModel, PythonModelContext

WHOLE_NUMBER = re.compile(r"^([+-]?[0-9]+)\.0+$")
SMALL_BATCH = 64  # rows; up to here, one array of objects and one thread are faster
MAX_FLOAT32 = float(np.finfo(np.float32).max)


class Encoder:
    """Encodes raw rows as the numbers that a booster was trained on.

    A category becomes its position in the booster's own list of categories. A category that is not
    in the list, a null and a missing marker become NaN, which XGBoost sends down the default branch
    of each split.
    """

    def __init__(self, booster: xgboost.Booster) -> None:
        categories = dict(booster.get_categories(export_to_arrow=True).to_arrow())
        features = list(booster.feature_names or [])
        self.names = [_unescape(name) for name in features]
        self.lookups = [  # the code of each category, for each feature; None: it is numeric
            None
            if (listed := categories.get(name)) is None
            else {_unescape(category): code for code, category in enumerate(listed.to_pylist())}
            for name in features
        ]

    def __call__(self, rows: pd.DataFrame) -> np.ndarray:
        """Encode rows.

        Args:
            rows: (n_samples, n_columns), with the booster's features among the columns, in any
                order; numbers of any dtype, categories as text or as pandas categories.

        Returns:
            float32 array (n_samples, n_features).

        Raises:
            MlflowException: a column is missing, duplicated or of the wrong kind (HTTP status 400).
        """
        if list(rows.columns) != self.names:
            if missing := [name for name in self.names if name not in rows]:
                raise _invalid(f"columns are missing: {', '.join(missing)}")
            rows = rows[self.names]
            if not rows.columns.is_unique:
                raise _invalid("columns are given twice")
        small = len(rows) <= SMALL_BATCH
        columns = rows.to_numpy(object).T if small else (rows[name] for name in self.names)
        encode_numbers = _encode_few_numbers if small else _encode_numbers
        encode_categories = _encode_texts if small else _encode_categories
        codes = np.empty((len(rows), len(self.names)), np.float32)
        for position, (column, lookup) in enumerate(zip(columns, self.lookups, strict=True)):
            try:
                codes[:, position] = (
                    encode_numbers(column) if lookup is None else encode_categories(column, lookup)
                )
            except (TypeError, ValueError, ArithmeticError) as error:
                kind = "finite numbers" if lookup is None else "text"
                name = self.names[position]
                raise _invalid(f"column {name!r}: expected {kind}, {error}") from None
        return codes


def probability_name(taken: Collection[str]) -> str:
    """The name of the column of probabilities, which differs from names that are taken."""
    name = "probability"
    while name in taken:
        name = f"predicted_{name}"
    return name


def _unescape(text: str) -> str:
    """A category, a label or a name as the data has it: a booster cannot have all characters."""
    return text.encode().decode("unicode_escape") if "\\" in text else text


def _encode_numbers(column: pd.Series) -> np.ndarray:
    if column.dtype.kind in "mMc":
        raise TypeError(f"got {column.dtype}")
    numbers = column.to_numpy(np.float64, na_value=np.nan)
    if len(excess := numbers[np.abs(numbers) > MAX_FLOAT32]):
        raise ValueError(f"got {excess[0]}")
    return numbers


def _encode_few_numbers(column: np.ndarray) -> list[float]:
    numbers = [np.nan if value is None or value is pd.NA else float(value) for value in column]
    if excess := [number for number in numbers if abs(number) > MAX_FLOAT32]:
        raise ValueError(f"got {excess[0]}")
    return numbers


def _encode_categories(column: pd.Series, lookup: dict[str, int]) -> np.ndarray | list[float]:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return np.array([*_encode_texts(column.cat.categories, lookup), np.nan])[column.cat.codes]
    return _encode_texts(column.tolist(), lookup)


def _encode_texts(texts: Iterable, lookup: dict[str, int]) -> list[float]:
    """The codes of texts; what is unknown is looked up again in its canonical spelling."""
    return [
        code if (code := lookup.get(text)) is not None else lookup.get(_canonical(text), np.nan)
        for text in texts
    ]


def _canonical(value: Any) -> Any:
    """A category as training files have it: without spaces around it, true for True, 3 for 3.0."""
    if isinstance(value, bool | np.bool_):
        return str(value).lower()
    if isinstance(value, int | float | np.number) and value == value:
        value = repr(float(value)) if isinstance(value, float | np.floating) else str(value)
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text in ("True", "TRUE", "False", "FALSE"):
        return text.lower()
    return WHOLE_NUMBER.sub(r"\1", text)


def _invalid(message: str) -> MlflowException:
    return MlflowException.invalid_parameter_value(message)


class TableModel(PythonModel):
    """Predicts label and probability of raw rows."""

    def load_context(self, context: PythonModelContext) -> None:
        path = context.artifacts["booster"]
        self.table = context.artifacts.get("table")  # of models that recorded it
        self.booster = xgboost.Booster(model_file=path)
        self.single_threaded = xgboost.Booster({"nthread": 1}, model_file=path)
        self.encode = Encoder(self.booster)
        self.label, *labels = (
            _unescape(self.booster.attr(name) or "") for name in ("label", "negative", "positive")
        )
        self.labels = np.array(labels, object)
        self.probability = probability_name([self.label])

    def predict(  # type: ignore[override]  # MLflow allows it without the context
        self, model_input: pd.DataFrame, params: dict | None = None
    ) -> pd.DataFrame:
        """Predict the label of each row, and the probability of the positive label.

        Args:
            model_input: as ``Encoder`` takes it, (n_samples, n_columns).
            params: ``threshold``: rows of at least this probability get the positive label.

        Returns:
            The label, in the label's column, and the probability, in the column that
            ``probability_name`` names, with the rows' index.

        Raises:
            MlflowException: as of ``Encoder``, or the threshold is no number from 0 to 1.
        """
        threshold = (params or {}).get("threshold", 0.5)
        if threshold is None or not 0 <= threshold <= 1:
            raise _invalid(f"threshold: expected a number from 0 to 1, got {threshold}")
        booster = self.single_threaded if len(model_input) <= SMALL_BATCH else self.booster
        probability = booster.inplace_predict(self.encode(model_input)).astype(np.float64)
        label = self.labels[(probability >= threshold).astype(np.intp)]
        predictions = {self.label: label, self.probability: probability}
        return pd.DataFrame(predictions, index=model_input.index, copy=False)


mlflow.models.set_model(TableModel())
