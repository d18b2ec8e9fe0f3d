"""The label of a table: its column, and which of its two labels is the positive one."""

import pyarrow as pa

from tabular.data import values
from tabular.data.readers import is_text
from tabular.data.requests import TableRequest, shorten, suggest
from tabular.errors import UserError

AUTOMATIC = {("0", "1"), ("false", "true"), ("no", "yes")}  # negative, positive; in any case


def choose_label(sample: pa.Table, request: TableRequest, named: str) -> str:
    """The name of the label's column, which the user has to name.

    Args:
        sample: rows of the file, (n_samples, n_columns), for guesses in the error.
        named: the file's name in errors.

    Raises:
        UserError: no label is named, or the file does not have the column.
    """
    names = sample.column_names
    if request.label is not None and request.label in names:
        return request.label
    if request.label is not None:
        raise UserError(
            f"label: {named} has no column {request.label!r}{suggest(request.label, names)}"
        )
    usual = [name for name in names if name.casefold() in values.LABEL_NAMES]
    binary = [name for name in names if name not in usual and _is_binary(sample[name], request)]
    guesses = [*usual, *binary]
    likely = f"; likely ones: {shorten(guesses)}" if guesses else ""
    example = [*guesses, *names[-1:], "NAME"][0]
    raise UserError(
        f"label: {named}: auto is only for a table that names its label; name the column to "
        f"predict, such as label={example}{likely}; all columns: {shorten(names)}"
    )


def _is_binary(column: pa.ChunkedArray, request: TableRequest) -> bool:
    """Whether a column has exactly two distinct values."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if is_text(column.type):
        column = values.strip_missing(column, request.missing_markers)
    try:
        return len(column.drop_null().unique()) == 2
    except pa.ArrowNotImplementedError:  # of lists and other nested values
        return False


def resolve_labels(
    counts: dict[str, int], request: TableRequest, named: str, label: str
) -> tuple[str, str, dict[str, tuple[str, ...]]]:
    """Tell the two labels apart, and collect the other texts that stand for them.

    ``1.0`` is the label ``1``, and ``true``, ``True`` and ``TRUE`` are one label, whose name is the
    spelling that most rows have. The user's ``label_aliases`` join other texts.

    Args:
        counts: the number of rows by the label's text, without missing ones.
        named: the file's name in errors.
        label: the name of the label's column.

    Returns:
        The negative label, the positive label, and the other texts by label.

    Raises:
        UserError: there are not two labels, or it is not known which one is positive.
    """
    totals, aliases = _join_spellings(counts, request)
    if len(totals) != 2:
        got = f"{len(totals):,}: {_list_counts(totals)}" if totals else "none"
        raise UserError(
            f"label: {named}, column {label!r}: expected two labels, got {got}; "
            "name another column, or join spellings of a label by label_aliases in a file "
            "table.toml beside the data"
        )
    positive = _choose_positive(totals, aliases, request, f"positive: {named}, column {label!r}")
    (negative,) = totals.keys() - {positive}
    return negative, positive, aliases


def _join_spellings(
    counts: dict[str, int], request: TableRequest
) -> tuple[dict[str, int], dict[str, tuple[str, ...]]]:
    """The number of rows by label, and the other texts by label."""
    owners = {
        spelling: name
        for name, texts in request.label_aliases.items()
        for text in (name, *texts)
        for spelling in values.spellings(text)
    }
    found: dict[str, dict[str, int]] = {}  # for each label the number of rows by text
    for text, count in counts.items():
        found.setdefault(owners.get(text, values.spellings(text)[0]), {})[text] = count
    totals, aliases = {}, {}
    for name, texts in found.items():
        if name in values.BOOLEANS and name not in request.label_aliases:
            name = max(texts, key=lambda text: (texts[text], text))
        known = (name, *request.label_aliases.get(name, ()))
        others = dict.fromkeys(other for text in known for other in values.spellings(text))
        totals[name] = sum(texts.values())
        aliases[name] = tuple(other for other in others if other != name)
    return totals, aliases


def _choose_positive(
    totals: dict[str, int], aliases: dict[str, tuple[str, ...]], request: TableRequest, where: str
) -> str:
    if request.positive is not None:
        for name in totals:
            if is_spelling(request.positive, name, aliases[name]):
                return name
        raise UserError(
            f"{where}: expected {_list_counts(totals, ' or ')}, got {request.positive!r}"
        )
    first, second = sorted(totals, key=str.casefold)
    if (first.casefold(), second.casefold()) in AUTOMATIC:
        return second
    rarer = min(totals, key=lambda name: (totals[name], name))
    raise UserError(
        f"{where}: auto cannot tell which label is the positive one, "
        f"{_list_counts(totals, ' or ')}; name it, such as positive={rarer}"
    )


def is_spelling(text: str, label: str, aliases: tuple[str, ...]) -> bool:
    """Whether a text stands for a label, as ``1.00`` does for ``1``."""
    return not {text, *values.spellings(text)}.isdisjoint((label, *aliases))


def _list_counts(totals: dict[str, int], separator: str = ", ") -> str:
    """The labels with their number of rows, the most frequent first."""
    ordered = sorted(totals.items(), key=lambda item: (-item[1], item[0]))
    shown = separator.join(f"{name[:50]} ({count:,})" for name, count in ordered[:10])
    more = f" and {len(ordered) - 10:,} more" if len(ordered) > 10 else ""
    return shown + more
