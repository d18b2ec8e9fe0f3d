"""The model that MLflow logs and serves: raw rows in, label and probability out.

This file travels inside the logged model, without the rest of the project: it may import only what
the model's own requirements install. What it knows of columns, categories and labels it reads from
the booster file beside it.
"""

import mlflow
import numpy as np
import pandas as pd
import xgboost
from mlflow.exceptions import MlflowException

FEW = 64  # up to so many rows, one table of objects and one thread are faster
LARGEST = float(np.finfo(np.float32).max)


class Encoder:
    """Raw rows to the matrix a booster was trained on.

    A category is replaced by its position in the booster's own list of categories. One that the
    booster never saw, a null and a missing marker are all NaN, which XGBoost sends down each
    split's default branch.
    """

    def __init__(self, booster: xgboost.Booster):
        vocabulary = dict(booster.get_categories(export_to_arrow=True).to_arrow())
        self.names = list(booster.feature_names)
        self.lookups = [
            None if words is None else {_plain(word): i for i, word in enumerate(words.to_pylist())}
            for words in (vocabulary.get(name) for name in self.names)
        ]

    def __call__(self, rows: pd.DataFrame) -> np.ndarray:
        """Encode.

        Args:
            rows: frame (n_samples, n_columns) that has the booster's columns, by name; numbers of
                any dtype, categories as text or as pandas categories.

        Returns:
            float32 array (n_samples, n_features).

        Raises:
            MlflowException: a column is missing or holds what it should not (HTTP status 400).
        """
        if list(rows.columns) != self.names:
            if missing := [name for name in self.names if name not in rows]:
                raise _invalid(f"columns are missing: {', '.join(missing)}")
            rows = rows[self.names]
            if not rows.columns.is_unique:
                raise _invalid("columns are given twice")
        few = len(rows) <= FEW
        columns = rows.to_numpy(object).T if few else (rows[name] for name in self.names)
        encode_numbers, encode_words = (_few_numbers, _words) if few else (_numbers, _categories)
        codes = np.empty((len(rows), len(self.names)), np.float32)
        for position, (column, lookup) in enumerate(zip(columns, self.lookups, strict=True)):
            try:
                codes[:, position] = (
                    encode_numbers(column) if lookup is None else encode_words(column, lookup)
                )
            except (TypeError, ValueError, ArithmeticError) as error:
                kind = "finite numbers" if lookup is None else "text"
                name = self.names[position]
                raise _invalid(f"column {name!r}: expected {kind}, {error}") from None
        return codes


def _plain(word: str) -> str:
    """A word as people write it: the booster keeps it in ASCII."""
    return word.encode().decode("unicode_escape") if "\\" in word else word


def _numbers(column: pd.Series) -> np.ndarray:
    if column.dtype.kind in "mMc":
        raise TypeError(f"got {column.dtype}")
    numbers = column.to_numpy(np.float64, na_value=np.nan)
    if len(excess := numbers[np.abs(numbers) > LARGEST]):
        raise ValueError(f"got {excess[0]}")
    return numbers


def _few_numbers(column: np.ndarray) -> list[float]:
    numbers = [np.nan if value is None or value is pd.NA else float(value) for value in column]
    if excess := [number for number in numbers if abs(number) > LARGEST]:
        raise ValueError(f"got {excess[0]}")
    return numbers


def _categories(column: pd.Series, lookup: dict[str, int]) -> np.ndarray | list[float]:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return np.array([*_words(column.cat.categories, lookup), np.nan])[column.cat.codes]
    return _words(column.tolist(), lookup)


def _words(words, lookup: dict[str, int]) -> list[float]:
    """Codes of words; text is tried once more without the spaces around it, as in UCI's files."""
    return [
        lookup.get(word.strip() if isinstance(word, str) and word not in lookup else word, np.nan)
        for word in words
    ]


def _invalid(message: str) -> MlflowException:
    return MlflowException.invalid_parameter_value(message)


class TableModel(mlflow.pyfunc.PythonModel):
    """What the booster says of raw rows."""

    def load_context(self, context) -> None:
        path = context.artifacts["booster"]
        self.booster = xgboost.Booster(model_file=path)
        self.booster_for_few = xgboost.Booster({"nthread": 1}, model_file=path)
        self.encode = Encoder(self.booster)
        self.label = self.booster.attr("label")
        self.labels = np.array(
            [self.booster.attr("negative"), self.booster.attr("positive")], object
        )

    def predict(self, model_input: pd.DataFrame, params: dict | None = None) -> pd.DataFrame:
        """Label and probability of the positive label for each row.

        Args:
            params: ``threshold``: from this probability on, a row gets the positive label.
        """
        threshold = (params or {}).get("threshold", 0.5)
        if threshold is None or not 0 <= threshold <= 1:
            raise _invalid(f"threshold: expected a number from 0 to 1, got {threshold}")
        booster = self.booster_for_few if len(model_input) <= FEW else self.booster
        probability = booster.inplace_predict(self.encode(model_input)).astype(np.float64)
        label = self.labels[(probability >= threshold).astype(np.intp)]
        answers = {self.label: label, "probability": probability}
        return pd.DataFrame(answers, index=model_input.index, copy=False)


mlflow.models.set_model(TableModel())
