"""Properties that a trained model must have, whatever its metrics are."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tabular.model import boosting, served
from tabular.model.hyperparameters import DEFAULTS
from tabular.tracking import logged_model

DEGREES = [
    ("7th-8th", 4), ("HS-grad", 9), ("Some-college", 10), ("Bachelors", 13), ("Doctorate", 16),
]  # fmt: skip
STUDENT = {
    "age": 18, "workclass": "Private", "fnlwgt": 180_000, "education": "11th", "education-num": 7,
    "marital-status": "Never-married", "occupation": "Other-service",
    "relationship": "Own-child", "race": "White", "sex": "Female", "capital-gain": 0,
    "capital-loss": 0, "hours-per-week": 15, "native-country": "United-States",
}  # fmt: skip
MANAGER = STUDENT | {
    "age": 48, "education": "Masters", "education-num": 14, "marital-status": "Married-civ-spouse",
    "occupation": "Exec-managerial", "relationship": "Wife", "hours-per-week": 50,
}  # fmt: skip


@pytest.fixture(scope="module")
def predict(dataset, tmp_path_factory):
    """The served model, trained as `main` trains it: takes raw rows, returns probabilities."""
    booster, _ = boosting.fit(
        DEFAULTS | {"max_depth": 6}, boosting.bin_rows(dataset.train.X, dataset.train.y)
    )
    path = tmp_path_factory.mktemp("model") / "booster.ubj"
    booster.save_model(path)
    servable = served.TableModel()
    servable.load_context(SimpleNamespace(artifacts={"booster": str(path)}, model_config=None))
    return lambda frame: servable.predict(frame)["probability"].to_numpy()


def test_the_order_of_rows_and_columns_does_not_matter(predict, dataset):
    frame = logged_model.to_client_frame(dataset.test.X)
    shuffled = np.random.default_rng(0).permutation(len(frame))
    assert (predict(frame.iloc[shuffled]) == predict(frame)[shuffled]).all()
    assert (predict(frame[frame.columns[::-1]]) == predict(frame)).all()
    alone = [predict(frame.iloc[[number]])[0] for number in range(20)]
    assert alone == predict(frame).tolist()[:20]


def test_more_education_does_not_lower_the_probability_on_average(predict, dataset):
    """Every row of the test set is given one degree after the other."""
    frame = logged_model.to_client_frame(dataset.test.X)
    means = [
        predict(frame.assign(**{"education": degree, "education-num": float(number)})).mean()
        for degree, number in DEGREES
    ]
    assert means == sorted(means)
    assert means[-1] > means[0] + 0.1


def test_clear_cases_are_predicted_clearly(predict):
    """A student with a part-time job, a manager, and a manager with a large capital gain."""
    student, manager, rich = predict(
        pd.DataFrame([STUDENT, MANAGER, MANAGER | {"capital-gain": 20_000}])
    )
    assert student < 0.02
    assert manager > 0.6
    assert rich > 0.9


@pytest.mark.parametrize("column", ["fnlwgt", "race", "native-country"])
def test_columns_of_little_relevance_change_few_probabilities(predict, dataset, column):
    """After a column is permuted, few probabilities differ by more than a tenth."""
    frame = logged_model.to_client_frame(dataset.test.X)
    permuted = np.random.default_rng(0).permutation(frame[column].to_numpy())
    moved = np.abs(predict(frame.assign(**{column: permuted})) - predict(frame))
    assert (moved > 0.1).mean() < 0.1
