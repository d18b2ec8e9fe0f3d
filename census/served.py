"""The model that MLflow logs and serves: raw census rows in, label and probability out.

This file travels inside the logged model, without the rest of the project: it may import only what
the model's own requirements install. What it knows of columns, categories and labels it reads from
the booster file beside it.
"""

import mlflow
import numpy as np
import pandas as pd
import xgboost
from mlflow.exceptions import MlflowException


class Encoder:
    """Raw rows to the matrix a booster was trained on.

    A category is replaced by its position in the booster's own list of categories. One that the
    booster never saw, a null and a missing marker are all NaN, which XGBoost sends down each
    split's default branch.
    """

    def __init__(self, booster: xgboost.Booster):
        vocabulary = dict(booster.get_categories(export_to_arrow=True).to_arrow())
        self.columns = [
            (name, words and {word: code for code, word in enumerate(words.to_pylist())})
            for name, words in ((name, vocabulary.get(name)) for name in booster.feature_names)
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
        codes = np.empty((len(rows), len(self.columns)), np.float32)
        for position, (name, lookup) in enumerate(self.columns):
            try:
                column = rows[name]
                codes[:, position] = _categories(column, lookup) if lookup else _numbers(column)
            except KeyError:
                raise _invalid(f"column {name!r} is missing") from None
            except (TypeError, ValueError) as error:
                kind = "text" if lookup else "finite numbers"
                raise _invalid(f"column {name!r}: expected {kind}, {error}") from None
        return codes


def _numbers(column: pd.Series) -> np.ndarray:
    numbers = column.to_numpy(np.float64, na_value=np.nan)
    if np.abs(numbers).max(initial=0) > np.finfo(np.float32).max:
        raise ValueError(f"got {numbers[np.abs(numbers).argmax()]}")
    return numbers


def _categories(column: pd.Series, lookup: dict[str, int]) -> np.ndarray | list[float]:
    if isinstance(column.dtype, pd.CategoricalDtype):
        known = [_code(word, lookup) for word in column.cat.categories]
        return np.array([*known, np.nan])[column.cat.codes]
    return [_code(word, lookup) for word in column.tolist()]


def _code(word: object, lookup: dict[str, int]) -> float:
    code = lookup.get(word)
    if code is None and isinstance(word, str):
        code = lookup.get(word.strip())  # the UCI files put a space after each comma
    return np.nan if code is None else code


def _invalid(message: str) -> MlflowException:
    return MlflowException.invalid_parameter_value(message)


class CensusIncome(mlflow.pyfunc.PythonModel):
    """Whether a person's income was above 50,000 dollars in 1994."""

    def load_context(self, context) -> None:
        self.booster = xgboost.Booster(model_file=context.artifacts["booster"])
        self.encode = Encoder(self.booster)
        self.label = self.booster.attr("label")
        self.names = np.array(
            [self.booster.attr("negative"), self.booster.attr("positive")], object
        )

    def predict(self, model_input: pd.DataFrame, params: dict | None = None) -> pd.DataFrame:
        """Label and probability of the positive label for each row.

        Args:
            params: ``threshold``: from this probability on, a row gets the positive label.
        """
        threshold = (params or {}).get("threshold", 0.5)
        if not 0 <= threshold <= 1:
            raise _invalid(f"threshold: expected a number from 0 to 1, got {threshold}")
        probability = self.booster.inplace_predict(self.encode(model_input)).astype(np.float64)
        label = self.names[(probability >= threshold).astype(np.intp)]
        return pd.DataFrame({self.label: label, "probability": probability}, copy=False)


mlflow.models.set_model(CensusIncome())
