"""What anybody would expect of a trained model, whatever its figures say."""

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
PUPIL = {
    "age": 18, "workclass": "Private", "fnlwgt": 180_000, "education": "11th", "education-num": 7,
    "marital-status": "Never-married", "occupation": "Other-service",
    "relationship": "Own-child", "race": "White", "sex": "Female", "capital-gain": 0,
    "capital-loss": 0, "hours-per-week": 15, "native-country": "United-States",
}  # fmt: skip
MANAGER = PUPIL | {
    "age": 48, "education": "Masters", "education-num": 14, "marital-status": "Married-civ-spouse",
    "occupation": "Exec-managerial", "relationship": "Wife", "hours-per-week": 50,
}  # fmt: skip


@pytest.fixture(scope="module")
def answer(rows, tmp_path_factory):
    """The served model, trained as `main` trains it: raw rows in, probabilities out."""
    booster, _ = boosting.fit(
        DEFAULTS | {"max_depth": 6}, boosting.bin_rows(rows.train.X, rows.train.y)
    )
    path = tmp_path_factory.mktemp("model") / "booster.ubj"
    booster.save_model(path)
    servable = served.TableModel()
    servable.load_context(SimpleNamespace(artifacts={"booster": str(path)}))
    return lambda frame: servable.predict(frame)["probability"].to_numpy()


def test_the_order_of_rows_and_columns_does_not_matter(answer, rows):
    frame = logged_model.to_client_frame(rows.test.X)
    shuffled = np.random.default_rng(0).permutation(len(frame))
    assert (answer(frame.iloc[shuffled]) == answer(frame)[shuffled]).all()
    assert (answer(frame[frame.columns[::-1]]) == answer(frame)).all()
    alone = [answer(frame.iloc[[number]])[0] for number in range(20)]
    assert alone == answer(frame).tolist()[:20]


def test_more_education_does_not_lower_the_probability_on_average(answer, rows):
    """The same people, all of them given one degree after the other."""
    frame = logged_model.to_client_frame(rows.test.X)
    means = [
        answer(frame.assign(**{"education": degree, "education-num": float(number)})).mean()
        for degree, number in DEGREES
    ]
    assert means == sorted(means)
    assert means[-1] > means[0] + 0.1


def test_obvious_people_get_the_obvious_answer(answer):
    """A pupil with a part-time job, a manager, and one with a large capital gain as well."""
    pupil, manager, rich = answer(
        pd.DataFrame([PUPIL, MANAGER, MANAGER | {"capital-gain": 20_000}])
    )
    assert pupil < 0.02
    assert manager > 0.6
    assert rich > 0.9


@pytest.mark.parametrize("column", ["fnlwgt", "race", "native-country"])
def test_what_should_hardly_matter_hardly_does(answer, rows, column):
    """Values dealt out anew among the people: few probabilities move by more than a tenth."""
    frame = logged_model.to_client_frame(rows.test.X)
    dealt = np.random.default_rng(0).permutation(frame[column].to_numpy())
    moved = np.abs(answer(frame.assign(**{column: dealt})) - answer(frame))
    assert (moved > 0.1).mean() < 0.1
