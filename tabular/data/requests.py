"""What the user fixes of a table: the command line's parameters and ``table.toml`` beside the data.

What nobody fixes is inferred from the rows (``inference``). Parameters win over the file.
"""

import difflib
import math
import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from tabular.data import signatures
from tabular.data.table import CATEGORICAL, MISSING, NUMERIC, SEARCH_METRICS
from tabular.errors import UserError

FILE = "table.toml"
AUTO, NONE = "auto", "none"  # values of parameters: to be inferred; no columns
KINDS = NUMERIC, CATEGORICAL
SHOWN = 20  # names in an error


@dataclass(frozen=True, kw_only=True)
class TableRequest:
    """What is fixed of a table; every attribute that is None or empty is to be inferred.

    Attributes:
        label: the name of the label's column.
        positive: the label that counts as positive.
        groups: columns by which metrics are broken down; (): none.
        drop: columns that are not features.
        name: of the dataset of a run, and of the registered model.
        columns: kinds by name, NUMERIC or CATEGORICAL. A column that has its kind here is kept
            even if inference would leave it out.
        bands: for numeric group columns, the increasing lower bounds of the bands of their values.
        crossed: group columns whose combinations metrics are broken down by, too.
        floors: limits of test metrics that a champion must meet, by metric.
        missing: all texts that stand for a missing value.
        aliases: other names of columns in files, by the column's own name.
        label_aliases: other texts that stand for a label in files, by label.
        drop_missing_labels: rows without a label are left out; False: they are an error.
        digests: SHA-256 of files, hexadecimal, by the file's name.
        path: of the ``table.toml`` that was read.
    """

    label: str | None = None
    positive: str | None = None
    groups: tuple[str, ...] | None = None
    drop: tuple[str, ...] = ()
    name: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    bands: dict[str, tuple[float, ...]] = field(default_factory=dict)
    crossed: tuple[str, ...] | None = None
    floors: dict[str, float] = field(default_factory=dict)
    missing: tuple[str, ...] | None = None
    aliases: dict[str, tuple[str, ...]] = field(default_factory=dict)
    label_aliases: dict[str, tuple[str, ...]] = field(default_factory=dict)
    drop_missing_labels: bool = False
    digests: dict[str, str] = field(default_factory=dict)
    path: Path | None = None

    @property
    def missing_markers(self) -> tuple[str, ...]:
        """The texts that stand for a missing value: the user's own, or those of every table."""
        return MISSING if self.missing is None else self.missing


def from_options(label: str, positive: str, groups: str, drop: str) -> TableRequest:
    """The request of the command line's texts.

    Args:
        label, positive: a name, or ``auto``.
        groups, drop: names between commas, ``auto``, or for groups ``none``. A name that has a
            comma in it can only be given in ``table.toml``.

    Raises:
        UserError: a text is empty, or an entry of a list is.
    """
    return TableRequest(
        label=_parse_name("label", label),
        positive=_parse_name("positive", positive),
        groups=() if groups.strip() == NONE else _parse_list("groups", groups),
        drop=_parse_list("drop", drop) or (),
    )


def _parse_name(option: str, text: str) -> str | None:
    if not (name := text.strip()):
        raise UserError(f"{option}: expected a name or {AUTO}, got an empty text")
    return None if name == AUTO else name


def _parse_list(option: str, text: str) -> tuple[str, ...] | None:
    names = [name.strip() for name in text.split(",")]
    if names == [AUTO]:
        return None
    if "" in names:
        raise UserError(
            f"{option}: expected the names of columns between commas, got an empty one in {text!r}"
        )
    return tuple(dict.fromkeys(names))


def merge(options: TableRequest, file: TableRequest) -> TableRequest:
    """Both requests as one: what ``options`` fixes wins, and all columns of ``drop`` are dropped.

    Where ``options`` names another label than the file does, the file's ``positive`` and
    ``label_aliases`` do not apply: they are of its own label.
    """
    if options.label and file.label and options.label != file.label:
        file = replace(file, positive=None, label_aliases={})
    fixed = {entry.name: getattr(options, entry.name) for entry in fields(TableRequest)}
    fixed = {key: value for key, value in fixed.items() if value != getattr(TableRequest(), key)}
    fixed["drop"] = tuple(dict.fromkeys((*options.drop, *file.drop)))
    return replace(file, **fixed)


def rename(request: TableRequest, names: dict[str, str]) -> TableRequest:
    """The request with a table's own names for columns.

    Args:
        names: the table's own name by the name that a file has for the column.
    """

    def own(columns: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(names.get(name, name) for name in columns)

    return replace(
        request,
        label=None if request.label is None else names.get(request.label, request.label),
        groups=None if request.groups is None else own(request.groups),
        crossed=None if request.crossed is None else own(request.crossed),
        drop=own(request.drop),
        columns={names.get(name, name): kind for name, kind in request.columns.items()},
        bands={names.get(name, name): bounds for name, bounds in request.bands.items()},
    )


def read_table_file(folder: Path) -> TableRequest:
    """The request of the folder's ``table.toml``; an empty one if there is no such file.

    Raises:
        UserError: the file cannot be read or is not TOML, a key is unknown, or a value is wrong.
    """
    path = folder / FILE
    try:
        signatures.require_content(path)
        text = path.read_bytes().decode("utf-8-sig")
        entries = tomllib.loads(text)
    except FileNotFoundError:
        return TableRequest()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path} line {line}: expected UTF-8 text, got the byte 0x{error.object[error.start]:x}"
            "; save the file as UTF-8"
        ) from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not TOML: {error}") from None
    values = {}
    for key, value in entries.items():
        where = f"{path}: {key}"
        if key not in PARSERS:
            raise UserError(f"{where}: there is no such key{suggest(key, [*PARSERS])}")
        values[key] = PARSERS[key](where, value)
    for name in values.get("crossed", ()):
        if name not in values.get("groups", (name,)):
            raise UserError(f"{path}: crossed: {name!r} is not one of groups; add it to groups")
    return TableRequest(**values, path=path)


def suggest(name: str, known: Sequence[str]) -> str:
    """What an error says after a name that is not known: the closest one, and all that are."""
    by_folded = {other.casefold(): other for other in known}
    close = difflib.get_close_matches(name.casefold(), by_folded, 1)
    hint = f"did you mean {by_folded[close[0]]!r}? Expected" if close else "expected"
    return f"; {hint} one of: {shorten(known)}"


def shorten(names: Sequence[str]) -> str:
    """The first names of a list that may be long."""
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


# Each of the following converts a value of table.toml, or raises UserError.
# `where` is the file's path and the key.


def _wrong(where: str, expected: str, value: object) -> UserError:
    return UserError(f"{where}: expected {expected}, got {str(value)[:80]!r}")


def _string(where: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _wrong(where, "a text", value)
    return value.strip()


def _field(where: str, value: object) -> str:
    """The text of a field in a file of rows, which may be written as a number or true in TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int):
        raise _wrong(where, "a text", value)
    return str(value).strip()


def _boolean(where: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _wrong(where, "true or false", value)
    return value


def _number(where: str, value: object) -> float:
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            number = float(value)
            if math.isfinite(number):
                return number
    except OverflowError:
        pass
    raise _wrong(where, "a number", value)


def _kind(where: str, value: object) -> str:
    if value not in KINDS:
        raise _wrong(where, " or ".join(f'"{kind}"' for kind in KINDS), value)
    return str(value)


def _digest(where: str, value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-fA-F]{64}", value):
        raise _wrong(where, "a SHA-256 of 64 hexadecimal digits", value)
    return value.lower()


def _bounds(where: str, value: object) -> tuple[float, ...]:
    bounds = _list(_number, "numbers")(where, value)
    if not bounds or any(low >= high for low, high in zip(bounds, bounds[1:], strict=False)):
        raise _wrong(where, "increasing numbers", value)
    return bounds


def _floors(where: str, value: object) -> dict[str, float]:
    floors = _by_name(_number, "limits by metric")(where, value)
    for metric in floors:
        if metric not in SEARCH_METRICS:
            hint = suggest(metric, [*SEARCH_METRICS])
            raise UserError(f"{where}.{metric}: there is no such metric{hint}")
    return floors


def _spellings(where: str, value: object) -> dict[str, tuple[str, ...]]:
    spellings = _by_name(_list(_field, "texts"), "a list of texts for each name")(where, value)
    owners: dict[str, str] = {name: name for name in spellings}
    for name, texts in spellings.items():
        for text in texts:
            if owners.setdefault(text, name) != name:
                raise UserError(
                    f"{where}: {text!r} stands for both {owners[text]!r} and {name!r}; keep one"
                )
    return spellings


def _list(parse: Callable[[str, object], Any], items: str) -> Callable[[str, object], tuple]:
    def parse_list(where: str, value: object) -> tuple:
        if not isinstance(value, list):
            raise _wrong(where, f"a list of {items}", value)
        return tuple(parse(where, entry) for entry in value)

    return parse_list


def _by_name(parse: Callable[[str, object], Any], items: str) -> Callable[[str, object], dict]:
    def parse_table(where: str, value: object) -> dict:
        if not isinstance(value, dict):
            key = where.rpartition(" ")[2]
            raise _wrong(where, f"{items}, under [{key}]", value)
        return {name: parse(f"{where}.{name}", entry) for name, entry in value.items()}

    return parse_table


_names = _list(_string, "names of columns")
PARSERS: dict[str, Callable[[str, object], Any]] = {  # by key of table.toml
    "label": _string,
    "positive": _field,
    "groups": _names,
    "drop": _names,
    "name": _string,
    "columns": _by_name(_kind, "kinds by column"),
    "bands": _by_name(_bounds, "lower bounds by column"),
    "crossed": _names,
    "floors": _floors,
    "missing": _list(_field, "texts"),
    "aliases": _spellings,
    "label_aliases": _spellings,
    "drop_missing_labels": _boolean,
    "digests": _by_name(_digest, "digests by file"),
}
