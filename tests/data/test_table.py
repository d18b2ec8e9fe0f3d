"""What a table is: its kinds of columns, its digest, its record, and the other names of columns."""

import json
from dataclasses import FrozenInstanceError, replace

import pytest

from tabular.data.census import CENSUS
from tabular.data.table import Table, TableSchema

TABLE = Table(
    name="größe",
    columns={"n": "numeric", "c": "categorical", "m": "numeric"},
    label="y",
    negative="no",
    positive="yes",
    label_aliases={"yes": ("1", "true")},
    aliases={"n": ("count",)},
    groups=("g", "n"),
    bands={"n": (0.0, 10.0)},
    crossed=("g",),
    non_features={"g": "categorical"},
    floors={"accuracy": 0.5},
    missing=("?", ""),
    drop_missing_labels=True,
    left_out={"id": "it differs in every row"},
)


def test_features_are_in_the_order_of_the_model_and_listed_by_kind():
    assert TABLE.features == ("n", "c", "m")
    assert (TABLE.numeric, TABLE.categorical) == (("n", "m"), ("c",))


def test_what_is_read_of_a_file_includes_the_columns_of_groups():
    kinds = {"n": "numeric", "c": "categorical", "m": "numeric", "g": "categorical"}
    labels = {"no": 0, "yes": 1, "1": 1, "true": 1}
    expected = TableSchema(kinds, "y", labels, ("?", ""), {"n": ("count",)}, True)
    assert TABLE.schema == expected


@pytest.mark.parametrize("table", [TABLE, CENSUS], ids=lambda table: table.name)
def test_a_record_is_readable_json_and_gives_the_same_table(table):
    text = table.to_json()
    assert Table.from_json(text) == table
    assert text.splitlines()[1] == f' "name": "{table.name}",'
    assert text.endswith("\n}\n")


def test_a_record_of_a_later_version_is_read_as_far_as_it_is_known():
    record = json.loads(TABLE.to_json()) | {"of a later version": 1}
    assert Table.from_json(json.dumps(record)) == TABLE


def test_a_record_that_says_no_more_than_columns_and_labels_has_the_defaults_of_the_rest():
    """As one of an earlier version; then a row without a label is an error."""
    needed = {"name": "t", "columns": {"n": "numeric"}, "label": "y"}
    needed |= {"negative": "0", "positive": "1"}
    table = Table.from_json(json.dumps(needed))
    assert table == Table(**needed)
    assert table.schema == TableSchema({"n": "numeric"}, "y", {"0": 0, "1": 1})
    assert {name for name, value in vars(table).items() if not value} == {
        *("label_aliases", "aliases", "groups", "bands", "crossed", "non_features", "floors"),
        *("left_out", "drop_missing_labels"),
    }


@pytest.mark.parametrize("made", [TABLE, TABLE.schema], ids=["table", "schema"])
def test_what_was_made_cannot_be_changed(made):
    """The digest and the lists of features are worked out once."""
    with pytest.raises(FrozenInstanceError):
        made.label = "n"


def test_the_digest_never_changes():
    """Runs and models recorded it."""
    assert TABLE.digest == "796f578c479f0328011e42cf448a0305c08072b3ba41e2bd859f14384ea6c253"


@pytest.mark.parametrize(("change", "decides"), [
    ({"columns": {"c": "categorical", "n": "numeric", "m": "numeric"}}, True),
    ({"columns": {"n": "categorical", "c": "categorical", "m": "numeric"}}, True),
    ({"label": "z"}, True),
    ({"negative": "yes", "positive": "no"}, True),
    ({"missing": ("?",)}, True),
    ({"missing": ("", "?")}, False),
    ({"name": "another", "floors": {}, "groups": (), "aliases": {}}, False),
])  # fmt: skip
def test_the_digest_depends_on_what_decides_a_result(change, decides):
    assert (replace(TABLE, **change).digest != TABLE.digest) == decides


@pytest.mark.parametrize(("names", "expected"), [
    (["n", "count"], {}),
    (["Count"], {"Count": "n"}),
    (["N"], {"N": "n"}),
    (["count", "N"], {"N": "n"}),
    (["COUNT", "count"], {"COUNT": "n"}),
    (["C", "x"], {}),
])  # fmt: skip
def test_a_column_under_another_name_or_case_is_renamed_unless_its_own_name_is_there(
    names, expected
):
    """Only a name that has others is found in another case."""
    assert TABLE.schema.renames(names) == expected
