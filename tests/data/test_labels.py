"""The label of a table: which column it is, and which of its two labels is positive."""

import pyarrow as pa
import pytest

from tabular.data import labels
from tabular.data.requests import TableRequest
from tabular.errors import UserError

FILE = "data: churn.csv"


def refusal(call, *args, **kwargs):
    with pytest.raises(UserError) as error:
        call(*args, **kwargs)
    message = error.value.format_message()
    assert "\n" not in message
    return message


def resolve(counts, **fixed):
    return labels.resolve_labels(counts, TableRequest(**fixed), FILE, "Churn")


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ("1 0", ("0", "1", {"1": ("1.0",), "0": ("0.0",)})),
        ("1.0 0.0", ("0", "1", {"1": ("1.0",), "0": ("0.0",)})),
        ("0 1 1.0", ("0", "1", {"0": ("0.0",), "1": ("1.0",)})),
        ("True False", ("False", "True", {"True": ("true", "TRUE"), "False": ("false", "FALSE")})),
        ("NO yes", ("NO", "yes", {"NO": (), "yes": ()})),
    ],
)
def test_the_positive_label_of_usual_labels_is_known(texts, expected):
    assert resolve(dict.fromkeys(texts.split(), 5)) == expected


def test_a_truth_value_is_called_as_it_is_written_most_often():
    counts = {"true": 1, "True": 5, "FALSE": 2}
    assert resolve(counts)[:2] == ("FALSE", "True")


@pytest.mark.parametrize(
    ("counts", "positive", "expected"),
    [
        ({"A": 1, "B": 2}, "A", ("B", "A")),
        ({"0": 1, "1": 2}, "0", ("1", "0")),
        ({"-1": 1, "1": 2}, "1.0", ("-1", "1")),
        ({"1": 1, "0": 2}, "0.00", ("1", "0")),
        ({"True": 1, "False": 2}, "true", ("False", "True")),
    ],
)
def test_the_user_names_the_positive_label_in_any_spelling(counts, positive, expected):
    assert resolve(counts, positive=positive)[:2] == expected


def test_the_users_spellings_of_a_label_are_joined():
    counts = {"Yes": 1, "Y": 2, "1.0": 3, "No": 4}
    negative, positive, aliases = resolve(counts, label_aliases={"Yes": ("Y", "1")})
    assert (negative, positive) == ("No", "Yes")
    assert aliases == {"Yes": ("Y", "1", "1.0"), "No": ()}


def test_a_positive_label_that_nobody_knows_is_asked_for_with_counts():
    assert refusal(resolve, {"B": 988, "A": 1012}) == (
        f"positive: {FILE}, column 'Churn': auto cannot tell which label is the positive one, "
        "A (1,012) or B (988); name it, such as positive=B"
    )


def test_a_positive_label_that_is_not_there_is_refused_with_the_labels():
    assert refusal(resolve, {"B": 988, "A": 1012}, positive="C") == (
        f"positive: {FILE}, column 'Churn': expected A (1,012) or B (988), got 'C'"
    )


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ({}, "got none;"),
        ({"yes": 7}, "got 1: yes (7);"),
        ({"high": 650, "low": 700, "middle": 650}, "got 3: low (700), high (650), middle (650);"),
        ({str(i): 1 for i in range(1000)}, " and 990 more;"),
    ],
    ids=["none", "one", "three", "many"],
)
def test_other_than_two_labels_are_refused_with_their_counts(counts, found):
    message = refusal(resolve, counts)
    assert message.startswith(f"label: {FILE}, column 'Churn': expected two labels, got ")
    assert found in message


def choose(columns, label=None):
    sample = pa.table(columns)
    return labels.choose_label(sample, TableRequest(label=label), "rows.csv")


def test_the_label_that_the_user_names_is_taken():
    assert choose({"a": ["x"], "Churn": ["y"]}, label="Churn") == "Churn"


def test_a_label_that_is_no_column_is_refused_with_a_suggestion():
    assert refusal(choose, {"a": ["x"], "Churn": ["y"]}, label="churn") == (
        "label: rows.csv has no column 'churn'; did you mean 'Churn'? Expected one of: a, Churn"
    )


def test_without_a_label_columns_are_guessed_by_name_and_by_two_values():
    columns = {
        "flag": [True, False, None],
        "sex": ["f", "m", "NA"],
        "many": ["a", "b", "c"],
        "lists": [[1], [2], [3]],
        "kind": pa.array(["a", "b", "a"]).dictionary_encode(),
        "Target": ["a", "b", "c"],
    }
    assert refusal(choose, columns) == (
        "label: rows.csv: auto is only for a table that names its label; name the column to "
        "predict, such as label=Target; likely ones: Target, flag, sex, kind; "
        "all columns: flag, sex, many, lists, kind, Target"
    )


def test_without_any_guess_the_last_column_is_the_example():
    assert "such as label=b; all columns: a, b" in refusal(choose, {"a": [1], "b": [2]})
