"""Tables with generated columns, kinds, names and labels."""

import csv
import datetime
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from tabular.data.requests import TableRequest
from tabular.data.table import CATEGORICAL, NUMERIC
from tabular.data.text import DELIMITERS
from tests.hostile.files import CELLS

NAMES = (
    "a", "age", "größe ²", "Überweisung", "年齢", "\U0001f600", "e\u0301", "\u202ename",
    "mean [0] <cm>", "[", "]", "<", "<b>x</b>", "a.b", "a/b", "../a", ".", "..", "/", "a\\b",
    "\\x5b", "\\", "a,b", "a;b", "a|b", "tab\there", "'", '"', 'say "no"', "$a$", "$\\frac{$",
    "{x}", "{0}", "%s", "%", "#", "=1+1", "a:b", "?", "*", "&", "~", "`c`", "\x1b[31m", "\x00",
    "a\x00b", "_", "__", "__class__", "self", "y_true", "y_pred", "index", "level_0", "columns",
    "data", "dtype", "None", "nan", "NA", "True", "0", "1.0", "-1", "class", "lambda",
    "probability", "predicted_probability", "label", "true_label", "true_target", "prediction",
    "group", "feature", "rows", "positives", "accuracy", "gain", "weight", "sample_weight",
    "threshold", "sex_race", "sex", "race", "income", "missing", "line", "reason", "row", "f0",
    "x" * 300, "a long name! " * 400 + "a",
)  # fmt: skip
BROKEN_NAMES = (
    "", " ", "a\nb", "a\r\nb", "\r", " spaces ", "\u00a0a", "\ufeffa", "Unnamed: 0", "a",
)  # fmt: skip
TEXT = (
    "a", "b", "[a]", "<b>", "$x$", "=1+1", "é", "e\u0301", "\u2126", "\U0001f600", "{0}", "%s", "'",
    "\\", "\\x41", "a\\", "\x00", "a\x00b", "\x1b[31m", "\u202e", "x" * 3000, "yes", "0x10",
    "1_000", "-", "--", "1,5x", "12%", "1.5.5", "\u0663", "\uff13", "none", "missing", "unknown",
    "a b", '"', 'a"b', '""',
)  # fmt: skip
LABELS = {  # negative and positive labels that need no positive=...
    "0/1": (0, 1),
    "booleans": (False, True),
    "floats": (0.0, 1.0),
    "yes/no": ("no", "yes"),
    "Yes/No": ("No", "Yes"),
    "TRUE": ("FALSE", "TRUE"),
}
EXTENSIONS = ".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet"


@dataclass(frozen=True)
class Column:
    """A column as it is to be written.

    Attributes:
        kind: how the values were drawn, a key of ``KINDS`` or of ``BROKEN_KINDS``.
        values: Python values (n_samples,); None is missing.
        fixed: the kind that table.toml gives it; None: it is to be inferred.
    """

    name: str
    kind: str
    values: list
    fixed: str | None = None


@dataclass(frozen=True)
class Form:
    """How a table is written.

    Attributes:
        delimiter, quoting, line_end: of text.
        in_dictionaries: text of Parquet is written as dictionaries.
        has_table_file: what the user fixes stands in table.toml, not in parameters.
    """

    extension: str
    delimiter: str = ","
    quoting: int = csv.QUOTE_MINIMAL
    line_end: str = "\n"
    in_dictionaries: bool = False
    has_table_file: bool = False


@dataclass(frozen=True)
class Table:
    """A generated table and how it is to be written.

    Attributes:
        columns: the features, in the file's order; the label stands at ``position``.
        codes: 0 or 1 for each label, (n_samples,); None where it is missing.
        n_test: the last rows, which are a test file; 0: everything is in one file.
        positive: what the user has to name; None: nothing.
        sound: nothing in it can be refused.
    """

    columns: list[Column]
    label: Column
    codes: list[int | None]
    position: int
    n_test: int
    form: Form
    positive: str | None
    groups: list[str]
    sound: bool

    @property
    def n_rows(self) -> int:
        return len(self.codes)

    def ordered(self) -> list[Column]:
        """All columns in the file's order."""
        columns = [*self.columns]
        columns.insert(self.position, self.label)
        return columns

    def take(self, order: list[int]) -> "Table":
        """The rows in another order, or some of them."""
        columns = [replace(c, values=[c.values[i] for i in order]) for c in self.columns]
        label = replace(self.label, values=[self.label.values[i] for i in order])
        return replace(self, columns=columns, label=label, codes=[self.codes[i] for i in order])

    def request(self) -> TableRequest:
        """What the user fixes."""
        kinds = {column.name: column.fixed for column in self.columns if column.fixed}
        return TableRequest(
            label=self.label.name,
            positive=self.positive,
            groups=tuple(self.groups) or None,
            columns=kinds,
        )


# Each of the following draws the values of a column, (n_samples,).


def _words(rng: random.Random, n: int) -> list:
    words = rng.sample(TEXT, rng.randint(2, 5))
    return [rng.choice(words) for _ in range(n)]


def _integers(rng: random.Random, n: int) -> list:
    return [rng.randrange(10) for _ in range(n)]


def _huge(rng: random.Random, n: int) -> list:
    sizes = (1e-30, 1e-5, 1.0, 1e10, 1e15, 3.4e38)
    return [rng.uniform(-1, 1) * rng.choice(sizes) for _ in range(n)]


def _numbers_as_words(rng: random.Random, n: int) -> list:
    return [rng.choice(["3.0", "3", "-0.50", "7.00"] if i % 3 else ["a", "b"]) for i in range(n)]


Draw = Callable[[random.Random, int], list]
KINDS: dict[str, Draw] = {
    "integers": _integers,
    "ages": lambda rng, n: [rng.randint(-5, 90) for _ in range(n)],
    "floats": lambda rng, n: [round(rng.gauss(0, 10), rng.randint(0, 5)) for _ in range(n)],
    "large integers": lambda rng, n: [rng.choice([2**53 + 1, 2**62, -7, 2**31]) for _ in range(n)],
    "huge": _huge,
    "booleans": lambda rng, n: [rng.random() < 0.4 for _ in range(n)],
    "words": _words,
    "codes": lambda rng, n: ["01067", *(f"{rng.randrange(30):05d}" for _ in range(n - 1))],
    "spellings of true": lambda rng, n: [rng.choice(["true", "TRUE", "False"]) for _ in range(n)],
    "numbers as words": _numbers_as_words,
    "dates": lambda rng, n: [
        datetime.date(2020, 1, 1) + datetime.timedelta(rng.randrange(900)) for _ in range(n)
    ],
    "ids": lambda rng, n: [f"{i}-{rng.randrange(10**6)}" for i in range(n)],
    "counter": lambda rng, n: [*range(n)],
    "constant": lambda rng, n: [rng.choice([7, "DE", 0.5, True])] * n,
    "no values": lambda rng, n: [None] * n,
}
BROKEN_KINDS: dict[str, Draw] = {
    "lists": lambda rng, n: [[1, 2]] * n,
    "any cells": lambda rng, n: [rng.choice(CELLS) for _ in range(n)],
    "one odd cell": lambda rng, n: [rng.choice(CELLS), *(str(i % 7) for i in range(n - 1))],
    "decimal commas": lambda rng, n: [f"{rng.randrange(9)},{rng.randrange(10)}" for _ in range(n)],
    "infinite": lambda rng, n: [rng.choice([1.5, float("inf"), 1e39]) for _ in range(n)],
    "lines": lambda rng, n: [rng.choice(["a\nb", "c", "d\r\n", "\n"]) for _ in range(n)],
}
GROUPED = "integers", "words", "booleans", "huge", "large integers"  # may be group columns
WHOLE = "counter", "constant", "ids", "lists", "codes"  # without missing values


def draw(rng: random.Random, sound: bool = False, n_rows: int | None = None) -> Table:
    """Draw a table.

    Args:
        sound: nothing in it can be refused.
        n_rows: None draws the number.
    """
    values = random.Random(rng.randrange(1 << 32))  # one draw of hypothesis for all values
    n = n_rows or rng.choice([10, 24, 60, 130])
    name, *names = _draw_names(rng, sound)
    label, codes, positive = _draw_label(rng, values, n, sound)
    columns = [_draw_column(rng, values, name, n, sound) for name in names]
    if sound:  # one column that is of use in any case
        columns[0] = Column(names[0], "integers", [1, 2, 3, 4, *_integers(values, n - 4)])
    groups = [c.name for c in columns if c.kind in GROUPED and (rng.random() < 0.4)]
    form = _draw_form(rng, [name, *names], sound)
    position, n_test = rng.randrange(len(columns) + 1), rng.choice([0, 0, n // 3])
    target = Column(name, "label", label)
    return Table(columns, target, codes, position, n_test, form, positive, groups, sound)


def _draw_names(rng: random.Random, sound: bool) -> list[str]:
    """The names of the label and of 1 to 12 other columns."""
    names = rng.sample(NAMES, rng.randint(2, 13))
    if not sound and rng.random() < 0.3:
        names[rng.randrange(len(names))] = rng.choice(BROKEN_NAMES)
    return names


def _draw_label(
    rng: random.Random, values: random.Random, n: int, sound: bool
) -> tuple[list, list[int | None], str | None]:
    """The labels, what they mean, and what has to be named as the positive one."""
    share = rng.choice([0.5, 0.5, 0.2, 0.02])
    codes: list[int | None] = [int(values.random() < share) for _ in range(n)]
    codes[:2], codes[-2:] = [0, 1], [1, 0]  # both labels are in each file
    if rng.random() < 0.6:
        labels, positive = rng.choice([*LABELS.values()]), None
    else:
        labels = tuple(rng.sample(TEXT, 2))
        positive = labels[1]
    label: list[Any] = [labels[code] for code in codes]
    broken = None if sound else rng.choice([None] * 6 + ["three", "one", "missing", "unnamed"])
    if broken == "three":
        label[n // 2] = "third"
    elif broken == "one":
        label = [labels[0]] * n
    elif broken == "missing":
        label[n // 2] = codes[n // 2] = None
    elif broken == "unnamed":
        positive = None
    return label, codes, positive


def _draw_column(
    rng: random.Random, values: random.Random, name: str, n: int, sound: bool
) -> Column:
    kind = rng.choice([*(KINDS if sound or rng.random() < 0.9 else BROKEN_KINDS)])
    column = Column(name, kind, (KINDS | BROKEN_KINDS)[kind](values, n))
    if kind not in WHOLE and rng.random() < 0.3:
        column.values[2:] = [None if values.random() < 0.2 else v for v in column.values[2:]]
    if kind in ("integers", "floats", "huge", "large integers") and rng.random() < 0.2:
        return replace(column, fixed=CATEGORICAL)
    if not sound and rng.random() < 0.05:
        return replace(column, fixed=rng.choice([NUMERIC, CATEGORICAL]))
    return column


def _draw_form(rng: random.Random, names: list[str], sound: bool) -> Form:
    """A format; in a sound one it is clear which character separates the names."""
    extension = rng.choice(EXTENSIONS)
    quoting = rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
    if sound and {*"".join(names)} & {*DELIMITERS}:
        quoting = csv.QUOTE_ALL
    delimiter = "\t" if extension.startswith(".tsv") else rng.choice([*DELIMITERS])
    line_end = rng.choice(["\n", "\r\n"])
    return Form(extension, delimiter, quoting, line_end, rng.random() < 0.3, rng.random() < 0.5)
