"""The model that MLflow logs and serves: raw rows in, label and probability out.

This file travels inside the logged model, without the rest of the project, so it imports only what
the model's own requirements install. Columns, categories and labels are read from the booster file
that is logged with it.
"""

import ctypes
import gc
import json
import os
import re
from collections.abc import Collection, Iterable
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import xgboost
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PythonModel, PythonModelContext
from xgboost import core

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,9})?")
PLAIN_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
WHOLE_NUMBER = re.compile(r"^([+-]?[0-9]+)\.0+$")
SMALL_BATCH = 256  # rows; up to here, each text by itself and one thread are faster
MAX_FLOAT32 = float(np.finfo(np.float32).max)
RETURNS = "returns"  # key of the model's configuration: return this column alone, as a series
SERVER = "__pyfunc_model_path__"  # the process of MLflow's server has this variable
ALL_TREES = (  # what XGBoost's C function computes: the probability, by all trees
    b'{"type": 0, "training": false, "iteration_begin": 0, "iteration_end": 0, "missing": NaN,'
    b' "strict_shape": false, "cache_id": 0}'
)


class Categories(dict[Any, float]):
    """The code of each category, by its text; of any other value the code of what it stands for.

    A value stands for a category if its canonical spelling is the category, or if both are numbers
    of the same value, and no other category has it: 1067 or "1067" for "01067". NaN otherwise.
    """

    def __missing__(self, value: Any) -> float:
        text = _canonical(value)
        if text is None:
            return np.nan
        code = self.get(text)
        if code is None and self._by_value and NUMBER.fullmatch(text):
            code = self._by_value.get(Decimal(text))
        return np.nan if code is None else code

    @cached_property
    def _by_value(self) -> dict[Decimal, float]:
        codes: dict[Decimal, float] = {}
        for text, code in self.items():
            if PLAIN_NUMBER.fullmatch(text):
                number = Decimal(text)
                codes[number] = np.nan if number in codes else code
        return codes

    def encode(self, values: Iterable) -> list[float]:
        """The codes of values; raises ``TypeError`` for one that is unhashable, such as a list."""
        return [*map(self.__getitem__, values)]


class Encoder:
    """Encodes raw rows as the numbers that a booster was trained on.

    A category becomes its position in the booster's own list of categories. A category that is not
    in the list, a null and a missing marker become NaN, which XGBoost sends down the default branch
    of each split.

    Args:
        missing: texts that stand for a missing value. A number among them is missing in a numeric
            column, however it is written.
    """

    def __init__(self, booster: xgboost.Booster, missing: Iterable[str] = ()) -> None:
        categories = dict(booster.get_categories(export_to_arrow=True).to_arrow())
        features = list(booster.feature_names or [])
        self.names = [_unescape(name) for name in features]
        self.lookups = [  # of each feature; None: it is numeric
            None
            if (listed := categories.get(name)) is None
            else Categories((_unescape(text), code) for code, text in enumerate(listed.to_pylist()))
            for name in features
        ]
        self.missing = {*missing}
        self.missing_numbers = [float(text) for text in self.missing if NUMBER.fullmatch(text)]

    def __call__(self, rows: pd.DataFrame) -> np.ndarray:
        """Encode rows.

        Args:
            rows: (n_samples, n_columns), with the booster's features among the columns, in any
                order. Columns may have any dtype: categories may be text, numbers, booleans or
                pandas categories; numbers may not be text, except for missing markers and beside
                these.

        Returns:
            float32 array (n_samples, n_features).

        Raises:
            MlflowException: a column is missing, duplicated or of the wrong kind (HTTP status 400).
        """
        if list(rows.columns) != self.names:
            if not len(rows) and not len(rows.columns):  # a list of no rows
                return np.empty((0, len(self.names)), np.float32)
            if missing := [name for name in self.names if name not in rows]:
                hint = _explain_separator([*rows.columns])
                raise _invalid(f"columns are missing: {', '.join(missing)}{hint}")
            rows = rows[self.names]
            if not rows.columns.is_unique:
                raise _invalid("columns are given twice")
        columns = rows._iter_column_arrays()  # ten times as fast as making Series
        codes = np.empty((len(rows), len(self.names)), np.float32)
        for position, (column, lookup) in enumerate(zip(columns, self.lookups, strict=True)):
            try:
                codes[:, position] = self._encode_column(column, lookup)
            except (TypeError, ValueError, ArithmeticError) as error:
                kind = "finite numbers" if lookup is None else "text"
                name = self.names[position]
                raise _invalid(f"column {name!r}: expected {kind}, {error}") from None
        return codes

    # Each of the following raises TypeError, ValueError or ArithmeticError for an invalid value

    def _encode_few(self, values: Iterable, lookup: Categories | None) -> list[float]:
        """The codes of single values."""
        if lookup is not None:
            return lookup.encode(values)
        values = [*values]
        # pandas reads a column of CSV with a marker as text, its numbers too
        is_marked = any(isinstance(v, str) and v.strip() in self.missing for v in values)
        numbers = [v if type(v) is float else self._parse_number(v, is_marked) for v in values]
        if excess := [number for number in numbers if abs(number) > MAX_FLOAT32]:
            raise ValueError(f"got {excess[0]}")
        if self.missing_numbers:
            return [np.nan if number in self.missing_numbers else number for number in numbers]
        return numbers

    def _encode_column(self, column: Any, lookup: Categories | None) -> Any:
        """The codes of a column, an array of NumPy or pandas, (n_samples,)."""
        if isinstance(column, pd.Categorical):
            categories = self._encode_column(column.categories.array, lookup)
            return np.array([*categories, np.nan])[column.codes]
        if len(column) <= SMALL_BATCH and isinstance(column, pd.arrays.ArrowStringArray):
            return self._encode_few(column.__arrow_array__().to_pylist(), lookup)
        is_word = lookup is not None and isinstance(column.dtype, pd.StringDtype)
        if column.dtype.kind not in "biuf" and not is_word:
            return self._encode_few(column.tolist(), lookup)
        if lookup is not None:
            codes, distinct = pd.factorize(column)
            return np.array([*lookup.encode(np.asarray(distinct)), np.nan])[codes]
        if isinstance(column, np.ndarray):
            numbers = column.astype(np.float64, copy=False)
        else:
            numbers = column.to_numpy(np.float64, na_value=np.nan)
        if len(excess := numbers[np.abs(numbers) > MAX_FLOAT32]):
            raise ValueError(f"got {excess[0]}")
        if self.missing_numbers:
            return np.where(np.isin(numbers, self.missing_numbers), np.nan, numbers)
        return numbers

    def _parse_number(self, value: Any, is_marked: bool) -> float:
        """A single value as a number; NaN if it is missing.

        Text is a number only if the column ``is_marked``, that is, has markers of missing values.
        """
        if value is None or value is pd.NA or value is pd.NaT:
            return np.nan
        if isinstance(value, str | bytes):
            if value.strip() in self.missing:
                return np.nan
            if is_marked and isinstance(value, str) and NUMBER.fullmatch(value.strip()):
                return float(value)
            raise ValueError(f"got the text {value[:50]!r}")
        try:
            if isinstance(value, np.complexfloating):  # float() would drop the imaginary part
                raise TypeError
            return float(value)
        except TypeError:
            raise TypeError(f"got {str(value)[:50]!r}") from None


def probability_name(taken: Collection[str]) -> str:
    """The name of the column of probabilities, which differs from names that are taken."""
    name = "probability"
    while name in taken:
        name = f"predicted_{name}"
    return name


def _unescape(text: str) -> str:
    """A category, a label or a name as the data has it: a booster cannot have all characters."""
    return text.encode().decode("unicode_escape") if "\\" in text else text


def _canonical(value: Any) -> str | None:
    """A category as training files have it: without spaces around it, true for True, 3 for 3.0.

    None if the value is neither text nor a number nor a boolean: NaN is no number.
    """
    if isinstance(value, str):
        text = value.strip()
    elif isinstance(value, bool | np.bool_):
        return str(value).lower()
    elif isinstance(value, int | float | Decimal | np.number):
        text = str(np.float32(value) if isinstance(value, np.float16) else value)
        if text.lower().endswith("nan"):
            return None
    else:
        return None
    if text in ("True", "TRUE", "False", "FALSE"):
        return text.lower()
    return WHOLE_NUMBER.sub(r"\1", text)


def _predict(booster: xgboost.Booster, codes: np.ndarray) -> np.ndarray:
    """``booster.inplace_predict(codes)`` as float64, (n_samples,).

    It calls the same C function. What ``inplace_predict`` does around it in Python takes longer
    than the prediction of one row.
    """
    if not len(codes):
        return np.empty(0)
    values, shape = ctypes.POINTER(ctypes.c_float)(), ctypes.POINTER(ctypes.c_uint64)()
    dimensions = ctypes.c_uint64()
    array = json.dumps(codes.__array_interface__).encode()
    outputs = [ctypes.byref(output) for output in (shape, dimensions, values)]
    core._check_call(
        core._LIB.XGBoosterPredictFromDense(booster.handle, array, ALL_TREES, None, *outputs)
    )
    copied = ctypes.string_at(values, len(codes) * np.dtype(np.float32).itemsize)
    return np.frombuffer(copied, np.float32).astype(np.float64)


def _invalid(message: str) -> MlflowException:
    return MlflowException.invalid_parameter_value(message)


def _explain_separator(names: list) -> str:
    """A hint where the names of all columns have been read as that of one."""
    found = [mark for mark in ";\t|" if len(names) == 1 and mark in str(names[0])]
    return f"; separate the columns by commas, not by {found[0]!r}" if found else ""


def _to_frame(rows: Any) -> pd.DataFrame:
    """Rows as MLflow hands them over: a frame, columns by name, or a list of rows by name.

    Over REST the values of ``inputs`` and ``instances`` are arrays, single ones with 0 dimensions.
    """
    if isinstance(rows, pd.DataFrame):
        return rows
    if isinstance(rows, dict) and all(np.ndim(value) == 0 for value in rows.values()):
        rows = [rows]  # one row
    try:
        frame = pd.DataFrame(rows)
    except (TypeError, ValueError) as error:
        raise _invalid(f"expected a data frame, got {type(rows).__name__}: {error}") from None
    return frame.map(_unpack) if np.dtype(object) in [*frame.dtypes] else frame


def _unpack(value: Any) -> Any:
    return value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value


class TableModel(PythonModel):
    """Predicts label and probability of raw rows."""

    def load_context(self, context: PythonModelContext) -> None:
        path = context.artifacts["booster"]
        self.table = context.artifacts.get("table")  # of models that recorded it
        self.profile = context.artifacts.get("profile")  # likewise
        self.booster = xgboost.Booster(model_file=path)
        self.single_threaded = xgboost.Booster({"nthread": 1}, model_file=path)
        record = json.loads(Path(self.table).read_text("utf-8")) if self.table else {}
        self.encode = Encoder(self.booster, record.get("missing", ()))
        self.label, *labels = (
            _unescape(self.booster.attr(name) or "") for name in ("label", "negative", "positive")
        )
        self.labels = np.array(labels, object)
        self.probability = probability_name([self.label])
        self.returns = (context.model_config or {}).get(RETURNS)
        if self.returns not in (None, self.label, self.probability):
            columns = f"{self.label!r} or {self.probability!r}"
            raise _invalid(f"{RETURNS}: expected the column {columns}, got {self.returns!r}")
        self.in_server = SERVER in os.environ
        if self.in_server:  # what is loaded until now stays, so no collection looks at it again
            gc.collect()
            gc.freeze()

    def predict(  # type: ignore[override]  # MLflow allows it without the context
        self, model_input: pd.DataFrame, params: dict | None = None
    ) -> pd.DataFrame | pd.Series | list[dict[str, Any]]:
        """Predict the label of each row, and the probability of the positive label.

        Args:
            model_input: as ``Encoder`` takes it, (n_samples, n_columns); or columns by name, or a
                list of rows by name.
            params: ``threshold``: rows of at least this probability get the positive label.

        Returns:
            The label, in the label's column, and the probability, in the column that
            ``probability_name`` names, with the rows' index; if the model was loaded with
            ``model_config={"returns": column}``, that column alone. In MLflow's server a list of
            rows by name, from which the same JSON is written sooner.

        Raises:
            MlflowException: as of ``Encoder``; or the input is no table, or the threshold is no
                number from 0 to 1.
        """
        threshold = (params or {}).get("threshold", 0.5)
        if threshold is None or not 0 <= threshold <= 1:
            raise _invalid(f"threshold: expected a number from 0 to 1, got {threshold}")
        rows = _to_frame(model_input)
        booster = self.single_threaded if len(rows) <= SMALL_BATCH else self.booster
        probability = _predict(booster, self.encode(rows))
        label = self.labels[(probability >= threshold).astype(np.intp)]
        if self.in_server and self.returns is None:
            answers = zip(label.tolist(), probability.tolist(), strict=True)
            return [{self.label: a, self.probability: p} for a, p in answers]
        predictions = {self.label: label, self.probability: probability}
        frame = pd.DataFrame(predictions, index=rows.index, copy=False)
        return frame if self.returns is None else frame[self.returns]


mlflow.models.set_model(TableModel())
