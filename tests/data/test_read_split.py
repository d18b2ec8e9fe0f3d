"""Reading a split: the format of UCI's files, and the rows that are refused."""

import signal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabular import cancel
from tabular.data import census, reading, sources
from tabular.data.census import CENSUS
from tabular.data.table import MISSING
from tabular.errors import UserError
from tabular.model import boosting, hyperparameters, served

ROW = (
    "39, State-gov, 77516, Bachelors, 13, Never-married, Adm-clerical, Not-in-family, White, Male, "
    "2174, 0, 40, United-States, <=50K"
)
RICH = (
    "52, Self-emp-inc, 287927, HS-grad, 9, Married-civ-spouse, ?, Wife, White, Female, "
    "15024, 0, ?, ?, >50K"
)


def write(folder, *lines, name=census.TRAIN, end="\n"):
    path = folder / name
    path.write_bytes(end.join([*lines, ""]).encode("utf-8", "surrogateescape"))
    return path


def test_the_format_of_uci_is_read(tmp_path):
    """Comment, leading spaces, missing marker, full stop after the label, blank last line."""
    split = reading.read_split(
        write(tmp_path, "|1x3 Cross validator", f"{ROW}.", f"{RICH}.", ""), CENSUS
    )
    assert split.y.tolist() == [0, 1]
    assert split.X["age"].tolist() == [39, 52]
    assert split.X["workclass"].tolist() == ["State-gov", "Self-emp-inc"]
    assert split.X["hours-per-week"].isna().tolist() == [False, True]
    assert split.X["occupation"].isna().tolist() == [False, True]
    assert list(split.X["native-country"].cat.categories) == ["United-States"]
    assert list(split.X) == list(CENSUS.features)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(", ", ","),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("K\n", "K.\n"),
        lambda text: text.replace("K\n", "K \n"),
        lambda text: text.rstrip("\n"),
        lambda text: text.replace("\n", "\n\n"),
        lambda text: text.replace("\n", "\n \t\n"),
        lambda text: text.replace("\n", "\n| a comment\n"),
        lambda text: text.replace("\n", f"\n|{ROW}\n"),
        lambda text: text.replace(" White,", "\tWhite\u00a0 ,"),
        lambda text: text.replace(" ?, Wife,", "\t? , Wife,"),
        lambda text: text.replace(" 40,", "  40 ,"),
        lambda text: f"\ufeff{text}",
        lambda text: f"\ufeff\n| a comment\n{text}",
    ],
)
def test_spaces_line_ends_and_full_stops_do_not_matter(tmp_path, change):
    plain = write(tmp_path, ROW, RICH, ROW)
    other = tmp_path / "other.data"
    other.write_bytes(change(plain.read_text()).encode())
    a, b = reading.read_split(plain, CENSUS), reading.read_split(other, CENSUS)
    assert a.X.equals(b.X)
    assert a.y.tolist() == b.y.tolist()


def test_booleans_in_a_numeric_column_are_refused(tmp_path):
    """They are not read as 1 and 0."""
    path = write(tmp_path, ROW.replace("39", "True"), RICH.replace("52", "False", 1))
    with pytest.raises(UserError, match=r"line \d+: age: expected a finite number, got 'True'"):
        reading.read_split(path, CENSUS)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("39", "thirty", "line 3: age: expected a finite number, got 'thirty'"),
        ("39", "", "line 3: age: expected a finite number, got ''"),
        ("39", "none", "line 3: age: expected a finite number, got 'none'"),
        ("39", "inf", "line 3: age: expected a finite number, got 'inf'"),
        ("39", "1e999", "line 3: age: expected a finite number, got '1e999'"),
        ("39", "0x10", "line 3: age: expected a finite number, got '0x10'"),
        ("39", "1e39", "line 3: age: expected a finite number, got '1e39'"),
        ("39", "9" * 60 + "x", f"line 3: age: expected a finite number, got '{'9' * 50}'"),
        ("State-gov", "", "line 3: workclass: expected a value, got ''; if it is a missing"),
        (" White,", "", "line 3: expected 15 fields, got 14"),
        (" White,", " White, White,", "line 3: expected 15 fields, got 16"),
        ("<=50K", ">5OK", "line 3: income: expected the label <=50K or >50K, got '>5OK'"),
        ("<=50K", "", "line 3: income: expected the label <=50K or >50K, got ''"),
        ("<=50K", "<=50K..", "line 3: income: expected the label <=50K or >50K, got '<=50K..'"),
        ("Male", "\udcff", "line 3: expected UTF-8 text"),
    ],
)
def test_a_malformed_row_is_an_error_that_names_file_and_line(tmp_path, old, new, message):
    path = tmp_path / census.TRAIN
    text = "\n".join(["| comment", RICH, ROW.replace(old, new, 1), ROW])
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError) as caught:
        reading.read_split(path, CENSUS)
    assert str(caught.value).startswith(f"{path} {message}")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "expected rows, found none"),
        (["|only a comment"], "expected rows, found none"),
        ([ROW, ROW], "expected rows of both labels, <=50K and >50K, got only <=50K"),
        (["<html><body>Please log in</body></html>"], "looks like an HTML page; download it again"),
    ],
)
def test_a_file_without_rows_of_both_labels_is_refused(tmp_path, lines, message):
    path = write(tmp_path, *lines) if lines else tmp_path / "x.data"
    path.touch()
    with pytest.raises(UserError, match=message):
        reading.read_split(path, CENSUS)


def test_a_model_is_trained_although_a_column_has_no_values(tmp_path):
    """A user's own data may lack them."""
    for name in census.DIGESTS:
        write(tmp_path, *[RICH, ROW.replace("Adm-clerical", "?")] * 20, name=name)
    dataset = sources.load(str(tmp_path))
    assert dataset.train.X["occupation"].isna().all()
    booster, _ = boosting.fit(
        hyperparameters.DEFAULTS, boosting.bin_rows(dataset.train.X, dataset.train.y)
    )
    codes = served.Encoder(booster)(dataset.test.X)
    assert np.isnan(codes[:, list(CENSUS.features).index("occupation")]).all()
    assert booster.inplace_predict(codes).std() > 0.1


def test_reading_can_be_cancelled(synthetic_folder, monkeypatch):
    monkeypatch.setattr(cancel, "_received", signal.SIGTERM)
    with pytest.raises(cancel.Cancelled):
        reading.read_file(synthetic_folder / census.TRAIN, CENSUS.schema)


TEXT = st.one_of(
    st.just(census.MISSING),
    st.text(
        st.characters(categories=["L", "N"], include_characters="-&"), min_size=1, max_size=9
    ).filter(lambda text: text.lower() not in ("true", "false")),  # which have one spelling
)
NUMBER = st.one_of(st.just(census.MISSING), st.integers(-999, 10**7).map(str))
FIELDS = st.tuples(*(NUMBER if name in CENSUS.numeric else TEXT for name in CENSUS.features))
SPACES = st.sampled_from(["", " ", "  ", "\t"])
LABELS = st.sampled_from([CENSUS.negative, CENSUS.positive, f"{CENSUS.positive}."])


@settings(max_examples=100)
@given(st.lists(FIELDS, min_size=1, max_size=5), st.data())
def test_any_rows_in_the_format_of_uci_are_read_unchanged(tmp_path_factory, rows, chosen):
    rows = [*rows, rows[0], rows[0]]
    lines, labels = [], [CENSUS.negative, CENSUS.positive]
    for fields in rows:
        label = labels.pop() if labels else chosen.draw(LABELS)
        separator = "," + chosen.draw(SPACES)
        lines.append(separator.join([*fields, label]) + chosen.draw(SPACES))
        lines += chosen.draw(st.sampled_from([[], [""], ["| a comment"], ["  "]]))
    end = chosen.draw(st.sampled_from(["\n", "\r\n"]))
    path = write(tmp_path_factory.mktemp("any"), *lines, end=end)
    split = reading.read_split(path, CENSUS)
    for values, fields in zip(split.X.itertuples(index=False), rows, strict=True):
        for name, value, field in zip(CENSUS.features, values, fields, strict=True):
            if field in MISSING:
                assert value != value, name  # NaN
            else:
                assert value == (np.float32(field) if name in CENSUS.numeric else field), name


@settings(max_examples=200)
@given(
    st.lists(st.one_of(st.text(max_size=30), st.sampled_from([ROW, RICH, ROW + "."])), max_size=6)
)
def test_any_text_is_read_or_refused_with_the_name_of_the_file(tmp_path_factory, lines):
    path = write(tmp_path_factory.mktemp("any"), *lines)
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    try:
        split = reading.read_split(path, CENSUS)
        assert len(split.X) == len(split.y) > 1
    except UserError as error:
        assert error.format_message().startswith(str(path))
