"""A table is resolved from a file whose header, width or labels are not as hoped."""

import shutil
import time

import numpy as np
import pandas as pd
import pytest

from tabular.data import sources
from tabular.data.census import CENSUS
from tabular.data.requests import TableRequest
from tabular.errors import UserError
from tests.tables import churn


def test_a_first_line_that_is_no_header_is_refused(tmp_path):
    """As in scikit-learn's breast_cancer.csv: sizes and the names of the labels."""
    path = tmp_path / "cancer.csv"
    path.write_text("3,2,malignant,benign\n17.99,10.38,122.8,1001,0\n11.2,9.1,70.1,800,1\n")
    message = "line 2: expected 4 fields, got 5, and no other row is better; line 1 must name the"
    with pytest.raises(UserError, match=message):
        sources.load(str(path), TableRequest(label="benign"))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=f"or a file of rows; there is no {tmp_path}/customer.csv$"):
        sources.load(str(tmp_path / "customer.csv"), TableRequest(label="Churn"))


def test_a_first_line_of_values_is_refused(tmp_path):
    path = tmp_path / "digits.csv"
    path.write_text("0,0,12,7\n0,3,9,1\n")
    message = "has two columns named 0; line 1 must name the columns"
    with pytest.raises(UserError, match=message):
        sources.load(str(path), TableRequest(label="7"))


def test_a_row_counter_is_left_out_though_rows_without_a_label_are_missing(tmp_path):
    rows = churn(200).drop(columns="customerID")
    rows.insert(0, "rownames", np.arange(200))
    rows.loc[[3, 50, 51], "Churn"] = None
    rows.to_csv(tmp_path / "churn.csv", index=False)
    request = TableRequest(label="Churn", drop_missing_labels=True)
    dataset = sources.load(str(tmp_path / "churn.csv"), request)
    assert dataset.train.n_rows + dataset.test.n_rows == 197
    assert dataset.table.left_out["rownames"] == "a row counter"


@pytest.mark.slow
def test_a_table_of_thousands_of_columns_is_read_in_seconds(tmp_path):
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.normal(size=(100, 4000)).round(3)).add_prefix("x")
    rows.assign(y=np.arange(100) % 2).to_csv(tmp_path / "wide.csv", index=False)
    start = time.process_time()
    dataset = sources.load(str(tmp_path / "wide.csv"), TableRequest(label="y"))
    assert len(dataset.table.features) == 4000
    assert time.process_time() - start < 20


def test_columns_that_are_crossed_must_be_groups(tmp_path):
    churn(100).to_csv(tmp_path / "churn.csv", index=False)
    request = TableRequest(label="Churn")
    toml = tmp_path / "table.toml"
    toml.write_text('groups = ["contract"]\ncrossed = ["contract", "senior"]\n')
    with pytest.raises(UserError, match="crossed: 'senior' is not one of groups; add it"):
        sources.load(str(tmp_path / "churn.csv"), request)
    toml.write_text('crossed = ["contract", "senior"]\n')
    with pytest.raises(UserError, match="crossed: expected groups, found none; add groups = "):
        sources.load(str(tmp_path / "churn.csv"), request)


def test_a_parameter_that_takes_a_column_out_of_the_groups_ends_its_crossing(tmp_path):
    churn(100).to_csv(tmp_path / "churn.csv", index=False)
    (tmp_path / "table.toml").write_text(
        'groups = ["contract", "senior"]\ncrossed = ["contract", "senior"]\n'
    )
    request = TableRequest(label="Churn", groups=("contract",))
    assert sources.load(str(tmp_path / "churn.csv"), request).table.crossed == ()


@pytest.mark.parametrize("labels", [
    ["0.00", "1.00"], ["+1.0", "-1.0"], ["TRUE", "false"], ["2.50", "1.50"], [1e10, 2e10],
])  # fmt: skip
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_labels_that_were_read_once_are_read_again(tmp_path, labels, kind):
    """`promote`, `score` and a test file read with the table of the training rows."""
    path = tmp_path / f"churn.{kind}"
    frame = churn(100).assign(Churn=np.resize(labels, 100))
    frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)
    first = sources.load(str(path), TableRequest(label="Churn", positive=str(labels[1])))
    again = sources.load(str(path), table=first.table)
    assert again.test.y.tolist() == first.test.y.tolist()
    assert 0 < first.test.n_positive < first.test.n_rows


def test_one_row_of_a_label_cannot_be_split(tmp_path):
    path = tmp_path / "churn.csv"
    churn(60).assign(Churn=[1] + [0] * 59).to_csv(path, index=False)
    message = "expected at least two rows of each label, one to train on and .*, got one of 1$"
    with pytest.raises(UserError, match=message):
        sources.load(str(path), TableRequest(label="Churn"))


def test_a_hidden_file_beside_the_rows_is_no_second_table(tmp_path):
    churn(60).to_csv(tmp_path / "churn.csv", index=False)
    (tmp_path / "._churn.csv").write_bytes(b"of the Finder of macOS")
    assert sources.load(str(tmp_path), TableRequest(label="Churn")).source.endswith("churn.csv")


@pytest.mark.parametrize(("toml", "message"), [
    ("[bands]\nsex = [1]", "bands.sex: expected a numeric column, got a categorical one"),
    ('[columns]\nage = "categorical"\n[bands]\nage = [30]', "bands.age: expected a numeric column"),
    ("[bands]\nage = []", "bands.age: expected increasing numbers, got "),
])  # fmt: skip
def test_bands_of_the_built_in_table_need_numbers(synthetic_folder, tmp_path, toml, message):
    shutil.copytree(synthetic_folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "table.toml").write_text(toml)
    with pytest.raises(UserError, match=message):
        sources.load(str(tmp_path))


def test_a_built_in_band_ends_where_its_column_becomes_categorical(synthetic_folder, tmp_path):
    shutil.copytree(synthetic_folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "table.toml").write_text('[columns]\nage = "categorical"')
    assert "age" not in sources.load(str(tmp_path)).table.bands


def test_a_first_line_for_excel_is_named(tmp_path):
    path = tmp_path / "churn.csv"
    path.write_text("sep=;\n" + churn(20).to_csv(index=False, sep=";"))
    with pytest.raises(UserError, match="line 1: expected .*, got 'sep=;', which is for Excel; de"):
        sources.load(str(path), TableRequest(label="Churn"))


def test_the_built_in_label_is_a_feature_of_another_label(synthetic_folder):
    """The labels of `adult.test` end in a full stop, which those of `adult.data` lack."""
    dataset = sources.load(str(synthetic_folder), TableRequest(label="sex", positive="Female"))
    for split in (dataset.train, dataset.test):
        assert split.X["income"].cat.categories.tolist() == ["<=50K", ">50K"]


def test_a_numeric_group_of_the_built_in_table_gets_bands(synthetic_folder):
    """Each of hundreds of values would else be a group."""
    request = TableRequest(groups=("hours-per-week", "age", "sex"))
    first = sources.load(str(synthetic_folder), request).table
    assert first.bands["age"] == CENSUS.bands["age"]
    assert len(first.bands["hours-per-week"]) in (1, 2, 3)
    assert sources.load(str(synthetic_folder), table=first).table == first


def test_numbers_of_a_column_that_begins_without_values_are_no_categories(tmp_path):
    """Its kind cannot be seen in the first file; it would be left out as nearly unique text."""
    (tmp_path / "train").mkdir()
    for number, note in enumerate([None, 1.5]):
        churn(300).assign(note=note).to_csv(tmp_path / "train" / f"{number}.csv", index=False)
    churn(100).assign(note=2.5).to_csv(tmp_path / "test.csv", index=False)
    message = "column 'note': found no value in the first rows, and numbers such as '1.5' in later"
    with pytest.raises(UserError, match=message):
        sources.load(str(tmp_path), TableRequest(label="Churn"))
    (tmp_path / "table.toml").write_text('[columns]\nnote = "numeric"')
    dataset = sources.load(str(tmp_path), TableRequest(label="Churn"))
    assert "note" in dataset.table.numeric


@pytest.mark.parametrize(("note", "found"), [
    (None, "no values"), ("late", "categorical"), ("01067", "categorical"),
])  # fmt: skip
def test_a_column_that_begins_without_values_may_be_text_or_empty(tmp_path, note, found):
    (tmp_path / "train").mkdir()
    for number, value in enumerate([None, note]):
        churn(300).assign(note=value).to_csv(tmp_path / "train" / f"{number}.csv", index=False)
    churn(100).assign(note=note).to_csv(tmp_path / "test.csv", index=False)
    table = sources.load(str(tmp_path), TableRequest(label="Churn")).table
    assert (table.left_out | table.columns)["note"] == found
