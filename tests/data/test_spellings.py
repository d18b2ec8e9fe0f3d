"""Copies of the census that other people made are read as the census."""

import gzip
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tabular.data import census, reading, sources
from tabular.data.census import CENSUS
from tabular.data.requests import TableRequest
from tabular.errors import UserError
from tests.tables import census_forms

NAMES = [*CENSUS.features, CENSUS.label]


@pytest.fixture(scope="module")
def frames(synthetic_folder):
    """600 training and 300 test rows by the name of the split, with a null where a value lacks."""
    splits = {}
    for file, name, n_rows in ((census.TRAIN, "train", 600), (census.TEST, "test", 300)):
        path = synthetic_folder / file
        frame = pd.read_csv(
            path, names=NAMES, skipinitialspace=True, comment="|", na_values="?", nrows=n_rows
        )
        splits[name] = frame.assign(income=frame["income"].str.rstrip("."))
    return splits


@pytest.fixture(scope="module")
def forms(frames):
    return census_forms(frames)


FORMS = census_forms(
    {name: pd.DataFrame({column: ["x"] for column in NAMES}) for name in ("train", "test")}
)


def save(folder, files):
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return sources.load(str(folder))


@pytest.fixture(scope="module")
def plain(forms, tmp_path_factory):
    return save(tmp_path_factory.mktemp("plain"), forms["plain"])


def require_same(dataset, plain):
    assert dataset.table == CENSUS
    assert dataset.origin == "directory"
    for split, expected in ((dataset.train, plain.train), (dataset.test, plain.test)):
        assert split.X.equals(expected.X)
        assert split.y.tolist() == expected.y.tolist()


def test_the_plain_form_has_the_rows_of_uci_s_files(plain, frames):
    assert plain.train.X["age"].tolist() == frames["train"]["age"].tolist()
    assert (plain.test.y == (frames["test"]["income"] == ">50K")).all()
    assert plain.train.X["workclass"].isna().sum() == frames["train"]["workclass"].isna().sum() > 0


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read_as_the_plain_one(form, forms, plain, tmp_path):
    require_same(save(tmp_path, forms[form]), plain)


@pytest.mark.parametrize("form", ["plain", "tabs"])
def test_compressed_files_are_read_as_the_plain_ones(form, forms, plain, tmp_path):
    files = {f"{name}.gz": gzip.compress(content) for name, content in forms[form].items()}
    require_same(save(tmp_path, files), plain)


def test_compressed_synthetic_rows_are_known_as_synthetic(synthetic_folder, tmp_path):
    for name in census.DIGESTS:
        content = (synthetic_folder / name).read_bytes()
        (tmp_path / f"{sources.SPLIT_NAMES[name]}.data.gz").write_bytes(gzip.compress(content))
    dataset = sources.load(str(tmp_path))
    assert dataset.origin == "synthetic"
    assert dataset.train.n_rows == 4000


def test_a_label_s_other_texts_can_be_added(frames, plain, tmp_path):
    for name, frame in frames.items():
        rich = frame["income"].replace({">50K": "rich", "<=50K": "poor"})
        frame.assign(income=rich).to_csv(tmp_path / f"{name}.csv", index=False)
    (tmp_path / "table.toml").write_text('[label_aliases]\n">50K" = ["rich"]\n"<=50K" = ["poor"]\n')
    dataset = sources.load(str(tmp_path))
    assert dataset.train.X.equals(plain.train.X)
    assert dataset.train.y.tolist() == plain.train.y.tolist()


def test_parameters_take_the_names_of_the_file(frames, tmp_path):
    for name, frame in frames.items():
        frame = frame.rename(columns=lambda column: column.replace("-", "_"))
        frame.rename(columns={"income": "class"}).to_csv(tmp_path / f"{name}.csv", index=False)
    request = TableRequest(label="class", drop=("education_num",), groups=("marital_status",))
    table = sources.load(str(tmp_path), request).table
    assert table.label == CENSUS.label
    assert table.columns == {k: v for k, v in CENSUS.columns.items() if k != "education-num"}
    assert table.groups == ("marital-status",)


def test_a_byte_order_mark_is_no_part_of_a_name(forms, plain, tmp_path):
    files = {name: b"\xef\xbb\xbf" + content for name, content in forms["plain"].items()}
    require_same(save(tmp_path, files), plain)


@pytest.mark.parametrize("categories", [True, False])
def test_parquet_with_a_boolean_label_is_read_as_the_plain_form(
    categories, frames, plain, tmp_path
):
    for name, frame in frames.items():
        kinds = dict.fromkeys(CENSUS.categorical, "category") if categories else {}
        frame.assign(income=frame["income"] == ">50K").astype(kinds).to_parquet(
            tmp_path / f"{name}.parquet", index=not categories
        )
    require_same(sources.load(str(tmp_path)), plain)


@pytest.mark.parametrize("folder", [True, False])
def test_one_file_is_split_by_the_fixed_rule(folder, frames, tmp_path):
    """The test rows are a stratified fifth, whatever the order of the rows."""
    rows = pd.concat(frames.values())
    rows.to_csv(tmp_path / "adult.csv", index=False)
    dataset = sources.load(str(tmp_path if folder else tmp_path / "adult.csv"))
    n_positive = int((rows["income"] == ">50K").sum())
    assert dataset.table == CENSUS
    assert (dataset.train.n_rows, dataset.test.n_rows) == (720, 180)
    assert dataset.test.y.sum() == round(0.2 * n_positive)
    assert dataset.train.y.sum() == n_positive - dataset.test.y.sum()
    rows.sample(frac=1, random_state=0).to_csv(tmp_path / "adult.csv", index=False)
    other = sources.load(str(tmp_path / "adult.csv"))

    def multiset(split):
        return sorted(map(str, split.X.itertuples(index=False)))

    assert multiset(other.test) == multiset(dataset.test)
    assert multiset(other.train) == multiset(dataset.train)


def test_utf_16_is_refused_with_the_command_that_converts_it(frames, tmp_path):
    for name, frame in frames.items():
        frame.to_csv(tmp_path / f"{name}.csv", index=False, encoding="utf-16")
    with pytest.raises(UserError, match=r"train\.csv: expected UTF-8 .* UTF-16, convert it: iconv"):
        sources.load(str(tmp_path))


def test_latin_1_is_refused_with_the_line_and_the_command(frames, tmp_path):
    for name, frame in frames.items():
        frame = frame.assign(occupation="Bäcker")
        frame.to_csv(tmp_path / f"{name}.csv", index=False, encoding="latin-1")
    with pytest.raises(UserError, match=r"train\.csv line 2: expected UTF-8 .* Windows-1252"):
        sources.load(str(tmp_path))


@pytest.mark.parametrize(("column", "kept"), [("income", "1"), ("income", "true")])
def test_a_label_in_two_spellings_is_one_label(column, kept, frames, plain, tmp_path):
    for name, frame in frames.items():
        changed = frame[column].where(np.arange(len(frame)) % 2 == 0, kept)
        changed = changed.where(frame[column] == ">50K", frame[column])
        frame.assign(**{column: changed}).to_csv(tmp_path / f"{name}.csv", index=False)
    require_same(sources.load(str(tmp_path)), plain)


def test_a_column_under_its_own_name_is_not_replaced_by_an_alias(frames, plain, tmp_path):
    for name, frame in frames.items():
        frame.assign(gender="another column").to_csv(tmp_path / f"{name}.csv", index=False)
    require_same(sources.load(str(tmp_path)), plain)


def test_a_word_that_stands_for_missing_can_be_kept(frames, tmp_path):
    """``missing`` in table.toml replaces the list of markers."""
    for name, frame in frames.items():
        frame.assign(workclass="None").to_csv(tmp_path / f"{name}.csv", index=False, na_rep="?")
    (tmp_path / "table.toml").write_text('missing = ["?"]')
    dataset = sources.load(str(tmp_path))
    assert dataset.table == replace(CENSUS, missing=("?",))
    assert set(dataset.train.X["workclass"]) == {"None"}


def test_one_mixed_folder_of_train_files_is_one_split(frames, plain, tmp_path):
    """Each file has a delimiter and an order of its own."""
    (tmp_path / "train").mkdir()
    frame = frames["train"]
    frame[:200].to_csv(tmp_path / "train" / "a.csv", index=False, sep=";")
    frame[200:500][[*frame][::-1]].to_csv(tmp_path / "train" / "b.tsv", index=False, sep="\t")
    frame[500:].to_parquet(tmp_path / "train" / "c.parquet")
    split = reading.read_split(tmp_path / "train", CENSUS)
    assert split.X.equals(plain.train.X)
    assert split.y.tolist() == plain.train.y.tolist()
