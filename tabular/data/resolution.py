"""From a file and what the user fixes to a table: the built-in one, or one that is inferred.

A file's first block shows the kinds of its columns. Which of them are left out, and what the labels
are, shows only when all training rows have been read.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from tabular.data import inference, labels, readers, values
from tabular.data.census import CENSUS
from tabular.data.requests import TableRequest, rename
from tabular.data.rows import NO_VALUE
from tabular.data.table import NUMERIC, Table, TableSchema, label_codes
from tabular.errors import UserError


@dataclass(frozen=True)
class Draft:
    """What is known of a table before all of its rows have been read.

    Attributes:
        named: the first file, for errors.
        name: of the table.
        request: what the user fixes.
        schema: what is to be read; the labels are None until ``with_labels``.
        guess: the kinds of the columns, and those that are left out.
        labels: the negative and the positive label, and other texts for each; None: not known yet.
    """

    named: str
    name: str
    request: TableRequest
    schema: TableSchema
    guess: inference.Guess
    labels: tuple[str, str, dict[str, tuple[str, ...]]] | None = None

    def with_labels(self, counts: dict[str, int]) -> "Draft":
        """The draft with the labels that occur.

        Args:
            counts: the number of rows by the text of the label.

        Raises:
            UserError: there are not two labels, or it is not clear which one is positive.
        """
        found = labels.resolve_labels(counts, self.request, self.named, self.schema.label)
        schema = replace(self.schema, labels=label_codes(*found))
        return replace(self, labels=found, schema=schema)


def propose(path: Path, name: str, request: TableRequest) -> Table | Draft:
    """What is known of a table from the beginning of its first training file.

    Args:
        name: of the table, unless the user has fixed it.

    Raises:
        UserError: the file cannot be read, the request does not fit it, or it does not say which
            column is the label.
    """
    named = str(path)
    with readers.open_rows(path, named) as source:
        names = source.schema.names
        renames = CENSUS.schema.renames(names)
        known = rename(request, renames)
        if is_census({renames.get(name, name) for name in names}, known):
            return adapt(CENSUS, known, named)
        first = next(source.blocks, None)
        if first is None:
            raise UserError(f"{named}: expected rows, found none")
        chunk = source.parse(*first)
    rows = chunk.rows
    if chunk.bad and not len(rows):
        line, reason, _ = chunk.bad[0]
        raise UserError(
            f"{named} line {line:,}: {reason}, and no other row is better; line 1 must name the "
            "columns"
        )
    if renames := TableSchema({}, "", None, aliases=request.aliases).renames(rows.column_names):
        rows = rows.rename_columns([renames.get(name, name) for name in rows.column_names])
        request = rename(request, renames)
    label = labels.choose_label(rows, request, named)
    guess = inference.guess_columns(rows, chunk.lines, replace(request, label=label), named)
    schema = TableSchema(
        guess.columns | guess.non_features,
        label,
        None,
        request.missing_markers,
        request.aliases,
        request.drop_missing_labels,
    )
    return Draft(named, request.name or name, request, schema, guess)


def is_census(names: set[str], request: TableRequest) -> bool:
    """Whether a file is of the built-in table: it has the columns, and the user means the label.

    If the user names no label, most of the columns are enough, so that an error names the others.

    Args:
        names: the table's own names for the columns of the file, as far as it has them.
    """
    n_missing = len({*CENSUS.features} - names)
    if request.label is None:
        return n_missing < len(CENSUS.features) / 2
    return not n_missing and request.label == CENSUS.label


def adapt(table: Table, request: TableRequest, named: str) -> Table:
    """A known table with what the user fixes.

    Raises:
        UserError: the request names a column or a label that the table does not have.
    """
    names = (*table.features, table.label)
    inference.require_known(request, names, named)
    kinds = table.columns | request.columns
    left_out = dict.fromkeys(request.drop, inference.DROPPED)
    features = {name: kind for name, kind in kinds.items() if name not in left_out}
    if not features:
        raise UserError(f"drop: expected to keep a column of {named}, got all of them")
    inference.require_numeric_bands(request, kinds)
    groups = table.groups if request.groups is None else request.groups
    crossed = table.crossed if request.crossed is None else request.crossed
    negative, positive = table.negative, table.positive
    label_aliases = {
        label: table.label_aliases.get(label, ()) + request.label_aliases.get(label, ())
        for label in (negative, positive)
    }
    if (wanted := request.positive) is not None:
        if labels.is_spelling(wanted, negative, label_aliases[negative]):
            negative, positive = positive, negative
        elif not labels.is_spelling(wanted, positive, label_aliases[positive]):
            raise UserError(f"positive: expected {negative} or {positive}, got {wanted!r}")
    return replace(
        table,
        label_aliases=label_aliases,
        aliases=table.aliases | request.aliases,
        name=request.name or table.name,
        columns=features,
        negative=negative,
        positive=positive,
        groups=groups,
        bands={
            name: bounds
            for name, bounds in (table.bands | request.bands).items()
            if kinds[name] == NUMERIC
        },
        crossed=_crossed(crossed, groups),
        non_features={name: kinds[name] for name in groups if name not in features},
        floors=table.floors | request.floors,
        missing=table.missing if request.missing is None else request.missing,
        drop_missing_labels=request.drop_missing_labels,
        left_out=left_out,
    )


def with_bands(table: Table, group_values: dict[str, np.ndarray]) -> Table:
    """The table with bands of the numeric group columns, unless each value is a group of its own.

    Args:
        group_values: training values of each numeric group column, all of them or a sample.
    """
    found = {
        name: bounds
        for name, values in group_values.items()
        if name not in table.bands and (bounds := inference.quantile_bands(values))
    }
    return replace(table, bands=table.bands | found)


def _crossed(crossed: tuple[str, ...], groups: tuple[str, ...]) -> tuple[str, ...]:
    """The columns to cross; none where a parameter has taken one of them out of the groups."""
    return crossed if {*crossed} <= {*groups} else ()


def _refuse_numbers(named: str, name: str, texts: list[str]) -> None:
    """Raise ``UserError`` if a column without a value in the first rows has numbers later."""
    found = pa.array(texts, pa.string())
    if len(found) and (values.are_numbers(found) & ~values.matches(found, values.CODE)).all():
        raise UserError(
            f"{named}, column {name!r}: found no value in the first rows, and numbers such as "
            f'{texts[0]!r} in later ones; set its kind to "numeric" under [columns] in table.toml'
        )


def complete(
    draft: Draft,
    statistics: dict[str, inference.ColumnStatistics],
    categories: Mapping[str, Iterable[str]],
    n_rows: int,
) -> Table:
    """The table of a draft whose labels are known, once its training rows have been read.

    Args:
        statistics: of the columns of the schema, by name.
        categories: of its categorical columns, by name.
        n_rows: the number of training rows.
    """
    request, guess = draft.request, draft.guess
    if draft.labels is None:
        raise ValueError("the labels are not known")
    for name in guess.undecided:
        _refuse_numbers(draft.named, name, [t for t in categories[name] if t != NO_VALUE])
    negative, positive, label_aliases = draft.labels
    useless = inference.uninformative(statistics, n_rows)
    useless = {name: reason for name, reason in useless.items() if name not in request.columns}
    features = {name: kind for name, kind in guess.columns.items() if name not in useless}
    if not features:
        shown = "; ".join(f"{name}: {why}" for name, why in [*useless.items()][:10])
        raise UserError(f"{draft.named}: expected columns to train on, found none ({shown})")
    groups = request.groups or ()
    kinds = guess.columns | guess.non_features
    return Table(
        name=draft.name,
        columns=features,
        label=draft.schema.label,
        negative=negative,
        positive=positive,
        label_aliases=label_aliases,
        aliases=request.aliases,
        groups=groups,
        bands={name: request.bands[name] for name in groups if name in request.bands},
        crossed=_crossed(request.crossed or (), groups),
        non_features={name: kinds[name] for name in groups if name not in features},
        floors=request.floors,
        missing=draft.schema.missing,
        drop_missing_labels=request.drop_missing_labels,
        left_out=guess.left_out | dict.fromkeys(guess.non_features, inference.DROPPED) | useless,
    )
