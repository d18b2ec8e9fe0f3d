"""What a table is: its columns with their kinds, its label, and how its rows are reported.

The built-in table is ``census.CENSUS``. Every other one is inferred from a file (``inference``), as
far as the user's ``table.toml`` and parameters (``requests``) do not fix it. The table that a run
used is recorded on the run and in the model as ``table.json``.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Any

NUMERIC, CATEGORICAL = "numeric", "categorical"  # the kinds of columns that a model can use
# Texts that stand for a missing value: those of pandas.read_csv, UCI's, and that of databases
MISSING = (
    "",
    "?",
    "\\N",
    *("#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
    *("<NA>", "N/A", "NA", "NAN", "NULL", "NaN", "None", "n/a", "nan", "null"),
)
# What floors limit, and what a sweep or a promotion may choose by: 1 where less is better, else -1
SEARCH_METRICS = {"log_loss": 1, "accuracy": -1, "roc_auc": -1}
RECORD = "table.json"  # the artifact of a run and of a model


@dataclass(frozen=True)
class TableSchema:
    """What is read of a file of rows.

    Attributes:
        columns: the kind of each column, NUMERIC or CATEGORICAL, by name.
        label: the name of the label's column.
        labels: 0 or 1 for each text that stands for a label; None: the labels are not known yet.
        missing: texts that stand for a missing value.
        aliases: other names of columns, by the table's own name. A name that is listed here is
            also found in another case.
        drop_missing_labels: rows without a label are left out; False: they are an error.
    """

    columns: dict[str, str]
    label: str
    labels: dict[str, int] | None
    missing: tuple[str, ...] = MISSING
    aliases: dict[str, tuple[str, ...]] = field(default_factory=dict)
    drop_missing_labels: bool = False

    def renames(self, names: Iterable[str]) -> dict[str, str]:
        """The table's own name for each column of a file that has another name for it.

        Args:
            names: of the file's columns. A column that is there under its own name is not renamed.
        """
        by_folded: dict[str, str] = {}
        for name in names:
            by_folded.setdefault(name.casefold(), name)
        present, found = {*names}, {}
        for own, others in self.aliases.items():
            spellings = [by_folded.get(other.casefold()) for other in (own, *others)]
            if own not in present and (spelling := next(filter(None, spellings), None)):
                found[spelling] = own
        return found


def label_codes(
    negative: str, positive: str, aliases: dict[str, tuple[str, ...]]
) -> dict[str, int]:
    """0 or 1 for each text that stands for a label; ``aliases`` are other texts, by label."""
    return {
        text: code
        for code, label in enumerate((negative, positive))
        for text in (label, *aliases.get(label, ()))
    }


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table with two labels.

    Attributes:
        name: of the dataset of a run, and of the registered model.
        columns: the kind of each feature, NUMERIC or CATEGORICAL, in the order of the model.
        label: the name of the label's column.
        negative, positive: the labels; a model predicts the probability of ``positive``.
        label_aliases: other texts that stand for a label in files, by label.
        aliases: other names of columns in files, by the column's own name.
        groups: columns by which metrics are broken down.
        bands: for a numeric group column, the lower bounds of the bands of its values.
        crossed: group columns whose combinations metrics are broken down by, too.
        non_features: the kinds of group columns that are not features.
        floors: limits of test metrics that a champion must meet, by metric; none: it must be
            better than a constant prediction.
        missing: texts that stand for a missing value in files of rows.
        drop_missing_labels: rows without a label are left out; False: they are an error.
        left_out: why a column of the file is no feature, by its name.
    """

    name: str
    columns: dict[str, str]
    label: str
    negative: str
    positive: str
    label_aliases: dict[str, tuple[str, ...]] = field(default_factory=dict)
    aliases: dict[str, tuple[str, ...]] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    bands: dict[str, tuple[float, ...]] = field(default_factory=dict)
    crossed: tuple[str, ...] = ()
    non_features: dict[str, str] = field(default_factory=dict)
    floors: dict[str, float] = field(default_factory=dict)
    missing: tuple[str, ...] = MISSING
    drop_missing_labels: bool = False
    left_out: dict[str, str] = field(default_factory=dict)

    @cached_property
    def features(self) -> tuple[str, ...]:
        """The names of the features, in the order of the model."""
        return tuple(self.columns)

    @cached_property
    def numeric(self) -> tuple[str, ...]:
        """The names of the numeric features."""
        return tuple(name for name, kind in self.columns.items() if kind == NUMERIC)

    @cached_property
    def categorical(self) -> tuple[str, ...]:
        """The names of the categorical features."""
        return tuple(name for name, kind in self.columns.items() if kind == CATEGORICAL)

    @cached_property
    def schema(self) -> TableSchema:
        """What is read of a file of the table."""
        labels = label_codes(self.negative, self.positive, self.label_aliases)
        columns = self.columns | self.non_features
        return TableSchema(
            columns, self.label, labels, self.missing, self.aliases, self.drop_missing_labels
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what decides a model's result, hexadecimal."""
        decisive = {"columns": [*self.columns.items()], "label": self.label}
        decisive |= {"labels": [self.negative, self.positive], "missing": sorted(self.missing)}
        return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()

    @cached_property
    def reading_digest(self) -> str:
        """SHA-256 of what decides a model's result from the same files, hexadecimal.

        Runs recorded ``digest``, which lacks what other names of columns and labels stand for.
        """
        decisive = [self.digest, self.aliases, self.label_aliases, self.drop_missing_labels]
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> str:
        """The table as the text of a JSON file, with the keys of ``table.toml``."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Table":
        """The table that ``to_json`` has written."""
        known = {entry.name for entry in fields(cls)}
        values = {key: value for key, value in json.loads(text).items() if key in known}
        return cls(**{key: _with_tuples(value) for key, value in values.items()})


def _with_tuples(value: Any) -> Any:
    """A JSON value with tuples in place of lists."""
    if isinstance(value, dict):
        return {key: _with_tuples(entry) for key, entry in value.items()}
    return tuple(value) if isinstance(value, list) else value
