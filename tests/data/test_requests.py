"""What the user fixes of a table, by parameters and by table.toml."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabular.data import requests
from tabular.data.requests import TableRequest
from tabular.data.table import MISSING
from tabular.errors import UserError

FULL = """
label = "Churn"
positive = "Yes"
groups = ["senior", "tenure"]
drop = ["customerID"]
name = "churn"
crossed = ["senior", "tenure"]
missing = ["", "unknown", -999]
drop_missing_labels = true

[columns]
"zip code" = "categorical"
tenure = "numeric"

[bands]
tenure = [12, 24.5]

[floors]
accuracy = 0.8

[aliases]
tenure = ["months", "Tenure"]

[label_aliases]
Yes = ["Y", 1, true]

[digests]
"churn.csv" = "ABDIGEST"
""".replace("ABDIGEST", "AB" * 32)


def read(folder, text):
    (folder / "table.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return requests.read_table_file(folder)


def refusal(folder, text):
    with pytest.raises(UserError) as error:
        read(folder, text)
    path, message = folder / "table.toml", error.value.format_message()
    assert message.startswith(str(path))
    assert "\n" not in message
    return message.removeprefix(str(path)).removeprefix(": ")


def test_every_key_of_the_file_is_read(tmp_path):
    assert read(tmp_path, FULL) == TableRequest(
        label="Churn",
        positive="Yes",
        groups=("senior", "tenure"),
        drop=("customerID",),
        name="churn",
        columns={"zip code": "categorical", "tenure": "numeric"},
        bands={"tenure": (12.0, 24.5)},
        crossed=("senior", "tenure"),
        floors={"accuracy": 0.8},
        missing=("", "unknown", "-999"),
        aliases={"tenure": ("months", "Tenure")},
        label_aliases={"Yes": ("Y", "1", "true")},
        drop_missing_labels=True,
        digests={"churn.csv": "ab" * 32},
        path=tmp_path / "table.toml",
    )


def test_a_folder_without_the_file_asks_for_nothing(tmp_path):
    assert requests.read_table_file(tmp_path) == TableRequest()


def test_an_empty_file_asks_for_nothing_but_has_a_path(tmp_path):
    assert read(tmp_path, "") == TableRequest(path=tmp_path / "table.toml")


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path):
    assert read(tmp_path, b'\xef\xbb\xbflabel = "y"\r\ndrop = ["a"]\r\n').drop == ("a",)


@pytest.mark.parametrize(("value", "text"), [("1", "1"), ("true", "true"), ('"yes "', "yes")])
def test_a_positive_label_may_be_written_as_a_number_or_a_truth_value(tmp_path, value, text):
    assert read(tmp_path, f"positive = {value}").positive == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lable = 'y'", "lable: there is no such key; did you mean 'label'?"),
        ("zzz = 1", "zzz: there is no such key; expected one of: label, positive, groups,"),
        ("label = 1", "label: expected a text, got '1'"),
        ("label = ' '", "label: expected a text, got ' '"),
        ("positive = 1.5", "positive: expected a text, got '1.5'"),
        ("name = []", "name: expected a text, got '[]'"),
        ("groups = 'sex'", "groups: expected a list of names of columns, got 'sex'"),
        ("drop = ['']", "drop: expected a text, got ''"),
        ("drop = [1]", "drop: expected a text, got '1'"),
        ("missing = [[]]", "missing: expected a text, got '[]'"),
        ("drop_missing_labels = 'yes'", "drop_missing_labels: expected true or false, got 'yes'"),
        ("columns = ['a']", "columns: expected kinds by column, under [columns], got \"['a']\""),
        ("[columns]\na = 'text'", 'columns.a: expected "numeric" or "categorical", got \'text\''),
        ("[columns]\na = []", 'columns.a: expected "numeric" or "categorical", got \'[]\''),
        ("[bands]\na = [2, 1]", "bands.a: expected increasing numbers, got '[2, 1]'"),
        ("[bands]\na = [1, 1]", "bands.a: expected increasing numbers, got '[1, 1]'"),
        ("[bands]\na = [1, nan]", "bands.a: expected a number, got 'nan'"),
        ("[bands]\na = [true]", "bands.a: expected a number, got 'True'"),
        ("[bands]\na = [1%s]" % ("0" * 400), "bands.a: expected a number, got '1000"),
        ("[bands]\na = 1", "bands.a: expected a list of numbers, got '1'"),
        ("[floors]\nauc = 1", "floors.auc: there is no such metric; did you mean 'roc_auc'?"),
        ("[floors]\naccuracy = '1'", "floors.accuracy: expected a number, got '1'"),
        ("[aliases]\na = 'b'", "aliases.a: expected a list of texts, got 'b'"),
        ("[aliases]\na = ['c']\nb = ['c']", "aliases: 'c' stands for both 'a' and 'b'; keep one"),
        ("[label_aliases]\na = ['b']\nb = []", "label_aliases: 'b' stands for both 'b' and 'a'"),
        ("[digests]\na = 'ab'", "digests.a: expected a SHA-256 of 64 hexadecimal digits, got 'ab'"),
        ("label = 'a'\nlabel = 'b'", " is not TOML: Cannot overwrite a value (at"),
        ("label = 'a'\ndrop", " is not TOML: Expected '=' after a key"),
        ("a = " + "[" * 5000, " is not TOML: "),
        (b"label = 'a'\ndrop = ['\xff']", " line 2: expected UTF-8 text, got the byte 0xff; save"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_mistake_in_the_file_is_named_with_its_key(tmp_path, text, expected):
    assert refusal(tmp_path, text).startswith(expected)


def test_a_file_that_cannot_be_opened_is_refused(tmp_path):
    (tmp_path / "table.toml").mkdir()
    with pytest.raises(UserError, match="table.toml: "):
        requests.read_table_file(tmp_path)


@given(st.one_of(st.text(), st.sampled_from(FULL.splitlines()).map(lambda s: s[::2])))
def test_any_text_is_read_or_refused_with_the_files_name(tmp_path_factory, text):
    try:
        read(tmp_path_factory.mktemp("any"), text.encode("utf-8", "surrogatepass"))
    except UserError as error:
        assert "table.toml" in error.format_message()


def test_auto_fixes_nothing():
    assert requests.from_options("auto", "auto", "auto", "auto") == TableRequest()


def test_the_command_lines_lists_are_divided_at_commas():
    request = requests.from_options(" Churn ", "Yes", "sex, age band,sex", " id ")
    assert (request.label, request.positive) == ("Churn", "Yes")
    assert (request.groups, request.drop) == (("sex", "age band"), ("id",))


def test_no_groups_are_asked_for_by_none():
    assert requests.from_options("auto", "auto", "none", "auto").groups == ()


@pytest.mark.parametrize("option", ["label", "positive", "groups", "drop"])
def test_an_empty_name_is_refused(option):
    options = dict.fromkeys(["label", "positive", "groups", "drop"], "auto")
    for text in ("", " ", *(("a,,b", "a,") if option in ("groups", "drop") else ())):
        with pytest.raises(UserError, match=f"^{option}: expected .* got an empty"):
            requests.from_options(**options | {option: text})


def test_parameters_win_over_the_file_and_both_drop():
    options = TableRequest(positive="No", groups=(), drop=("a", "b"))
    file = TableRequest(label="Churn", positive="Yes", groups=("sex",), drop=("b", "c"), name="n")
    assert requests.merge(options, file) == TableRequest(
        label="Churn", positive="No", groups=(), drop=("a", "b", "c"), name="n"
    )


def test_the_files_positive_label_is_that_of_its_own_label_only():
    file = TableRequest(label="Churn", positive="Yes", label_aliases={"Yes": ("Y",)})
    assert requests.merge(TableRequest(label="Fraud"), file) == TableRequest(label="Fraud")
    assert requests.merge(TableRequest(label="Churn"), file) == file


def test_without_a_list_of_the_user_the_usual_texts_are_missing():
    assert TableRequest().missing_markers == MISSING
    assert TableRequest(missing=("-",)).missing_markers == ("-",)
