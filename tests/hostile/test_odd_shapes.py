"""Tables that are very wide, small, unbalanced or of codes give a useful model or a clear error."""

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tabular import reporting, training
from tabular.data import sources
from tabular.data.requests import TableRequest
from tabular.errors import UserError
from tabular.model import boosting
from tabular.model.hyperparameters import DEFAULTS
from tests.hostile import table_service

CONFIG = DEFAULTS | {"n_estimators": 20, "learning_rate": 0.3}


def load(frame: pd.DataFrame, folder: Path, **fixed) -> sources.Dataset:
    frame.to_csv(folder / "rows.csv", index=False)
    return sources.load(str(folder / "rows.csv"), TableRequest(label="y", **fixed))


def roc_auc(dataset: sources.Dataset) -> float:
    """Train, draw every plot, and return the area under the ROC curve on the test rows."""
    fitted = training.fit(CONFIG, dataset, seed=0, device="cpu")
    evaluation = training.evaluate(fitted.booster, dataset)
    table_service.draw(fitted, evaluation, dataset)
    return evaluation.metrics["roc_auc"]


def numbers(n_rows: int, n_columns: int = 2) -> pd.DataFrame:
    """Normal variates of which the first ones decide the label, with noise."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, n_columns)).round(3)
    y = X[:, :3].sum(axis=1) + rng.normal(size=n_rows) > 0
    frame = pd.DataFrame(X, columns=[f"x{i}" for i in range(n_columns)])
    return frame.assign(y=y.astype(int))


@pytest.mark.slow
def test_2000_columns_of_500_rows_are_read_in_seconds_and_trained_on(tmp_path):
    start = time.perf_counter()
    dataset = load(numbers(500, 2000), tmp_path)
    assert time.perf_counter() - start < 25  # 2 s; in time quadratic in the columns 50 s
    assert len(dataset.table.numeric) == 2000
    assert roc_auc(dataset) > 0.7


def test_200_rows_are_trained_on(tmp_path):
    assert roc_auc(load(numbers(200), tmp_path)) > 0.65


@pytest.mark.slow
def test_a_category_of_20000_words_is_read_and_does_no_harm(tmp_path):
    """With a few rows for each word, XGBoost learns nothing of it that holds for other rows."""
    rng = np.random.default_rng(0)
    effect, words = rng.normal(size=20_000), np.resize(np.arange(20_000), 100_000)
    x = rng.normal(size=100_000).round(3)
    y = effect[words] + x + rng.normal(size=100_000) > 0.8
    columns = {"word": [f"w{i}" for i in words], "x": x, "y": y.astype(int)}
    dataset = load(pd.DataFrame(columns), tmp_path)
    assert dataset.train.X["word"].nunique() > 19_900
    assert roc_auc(dataset) > 0.7


def test_long_codes_are_numbers_with_a_note_and_better_as_categories(tmp_path, capsys):
    rng = np.random.default_rng(0)
    codes, which = rng.integers(10**9, 10**10, 100), rng.integers(0, 100, 5000)
    y = rng.normal(size=100)[which] * 2 + rng.normal(size=5000) > 0
    columns = {"account": codes[which], "amount": rng.normal(size=5000).round(3)}
    frame = pd.DataFrame(columns | {"y": y.astype(int)})
    as_numbers = load(frame, tmp_path)
    reporting.announce_table(as_numbers)
    note = "note   account: of these numbers seven digits are used; if they are codes, set their"
    assert note in capsys.readouterr().out
    as_codes = load(frame, tmp_path, columns={"account": "categorical"})
    reporting.announce_table(as_codes)
    printed = capsys.readouterr().out
    assert "note   account" not in printed
    assert "categorical: account (100 values)\n" in printed
    assert as_codes.train.X["account"].nunique() == 100
    assert roc_auc(as_codes) > roc_auc(as_numbers)


def test_three_positives_of_10000_rows_give_a_note_and_no_validation_split(tmp_path, capsys):
    frame = numbers(10_000).assign(y=[1] * 3 + [0] * 9997)
    dataset = load(frame, tmp_path)
    reporting.announce_table(dataset)
    assert "note   only 2 of 8,000 training rows have the rarer label" in capsys.readouterr().out
    assert 0 <= roc_auc(dataset) <= 1
    with pytest.raises(UserError, match="at least 5 training rows of each label, got 2"):
        boosting.validation_splits(dataset.train.y, 0)


def test_a_single_column_of_use_is_trained_on(tmp_path):
    frame = numbers(500, 1).assign(id=range(500), country="DE")
    dataset = load(frame, tmp_path)
    assert dataset.table.features == ("x0",)
    assert dataset.table.left_out == {"id": "a row counter", "country": "one value"}
    assert roc_auc(dataset) > 0.6


def test_a_test_file_without_one_of_the_labels_is_refused(tmp_path):
    numbers(100).to_csv(tmp_path / "train.csv", index=False)
    numbers(50).assign(y=0).to_csv(tmp_path / "test.csv", index=False)
    message = r"test.csv: expected rows of both labels, 0 and 1, got only 0$"
    with pytest.raises(UserError, match=message):
        sources.load(str(tmp_path), TableRequest(label="y"))
