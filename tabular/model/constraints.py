"""Monotone and interaction constraints of the trees, by the names of columns."""

import json
import shlex
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NoReturn

from tabular.data.requests import shorten, suggest
from tabular.data.table import NUMERIC, Table
from tabular.errors import UserError

NONE = "none"
MAX_CHARACTERS = 5000  # MLflow stores parameters of up to 6,000
MONOTONE, INTERACTION = "monotone_constraints", "interaction_constraints"


def parse_monotone(text: str) -> dict[str, int]:
    """The columns in which the probability rises or falls.

    Args:
        text: ``none``, ``age:1,hours-per-week:-1``, or the same as JSON: ``{"age": 1}``.

    Returns:
        1 (never falls) or -1 (never rises), by the name of the column.

    Raises:
        UserError: the text is malformed.
    """
    expected = 'names of columns with 1 or -1, like age:1,hours-per-week:-1 or {"age": 1}'
    text = _bounded(MONOTONE, text)
    if text == NONE:
        return {}
    if text.startswith("{"):
        pairs = _parse_json(MONOTONE, text, expected)
    else:
        pairs = [_split_sign(entry) for entry in text.split(",")]
    signs = {name: {"1": 1, "+1": 1, "-1": -1}.get(str(sign)) for name, sign in pairs}
    if not signs or "" in signs or None in signs.values() or len(signs) < len(pairs):
        _refuse(MONOTONE, text, expected)
    return {name: sign for name, sign in signs.items() if sign}


def _split_sign(entry: str) -> tuple[str, str]:
    name, _, sign = entry.rpartition(":")
    return name.strip(), sign.strip()


def parse_interaction(text: str) -> list[list[str]]:
    """The groups of columns that may be combined.

    Args:
        text: ``none``, ``age+education-num,hours-per-week+sex``, or the same as JSON:
            ``[["age", "education-num"], ["hours-per-week", "sex"]]``.

    Returns:
        The names of the columns of each group.

    Raises:
        UserError: the text is malformed.
    """
    expected = 'groups of columns, like age+sex,race+sex or [["age", "sex"], ["race", "sex"]]'
    text = _bounded(INTERACTION, text)
    if text == NONE:
        return []
    if text.startswith("["):
        groups = _parse_json(INTERACTION, text, expected)
    else:
        groups = [[name.strip() for name in group.split("+")] for group in text.split(",")]
    for group in groups or [None]:
        valid = isinstance(group, list) and group and all(isinstance(name, str) for name in group)
        if not valid or "" in group:
            _refuse(INTERACTION, text, expected)
    return groups


PARSERS: dict[str, Callable[[str], Any]] = {
    MONOTONE: parse_monotone,
    INTERACTION: parse_interaction,
}


def unquote(text: str) -> str:
    """A parameter's text without the quotes of a shell, with which ``mlflow run`` records it."""
    text = text.strip()
    if text[:1] in ("'", '"') and text[-1:] == text[:1]:
        with suppress(ValueError):
            text = " ".join(shlex.split(text))
    return text


def _bounded(option: str, text: str) -> str:
    """The text without quotes.

    Raises:
        UserError: it is too long.
    """
    if len(text) > MAX_CHARACTERS:
        raise UserError(
            f"{option}: expected at most {MAX_CHARACTERS:,} characters, got {len(text):,}"
        )
    return unquote(text)


def _parse_json(option: str, text: str, expected: str) -> Any:
    """A JSON value; an object as a list of pairs, so that a repeated name is seen."""
    try:
        return json.loads(text, object_pairs_hook=list)
    except (ValueError, RecursionError):
        _refuse(option, text, expected)


def _refuse(option: str, text: str, expected: str) -> NoReturn:
    raise UserError(f"{option}: expected none, or {expected}, got {text[:200]!r}")


def require_features(texts: Mapping[str, str], table: Table) -> None:
    """Check that constraints are of columns that the model has, and that can have them.

    Args:
        texts: by the name of the option; other hyper-parameters may stand beside them.

    Raises:
        UserError: a column is unknown, or a categorical one has a monotone constraint.
    """
    monotone, groups = parse_monotone(texts[MONOTONE]), parse_interaction(texts[INTERACTION])
    grouped = {name: INTERACTION for group in groups for name in group}
    for name, option in [*grouped.items(), *dict.fromkeys(monotone, MONOTONE).items()]:
        if name not in table.columns:
            hint = suggest(name, table.features)
            raise UserError(f"{option}: the model has no column {name!r}{hint}")
    if text := [name for name in monotone if table.columns[name] != NUMERIC]:
        raise UserError(
            f"{MONOTONE}: {text[0]!r} is categorical, and categories have no order in which the "
            f"probability could rise; the numeric columns are: {shorten(table.numeric)}"
        )
