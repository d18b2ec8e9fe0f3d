"""Types of the options of a command line: each converts a text to a value, or refuses it."""

import re
from collections.abc import Callable
from typing import Any

import click

from tabular.model.hyperparameters import Range


class Int(click.IntRange):
    """An integer within bounds, or a word in its place, which gives None."""

    name = "integer"

    def __init__(self, low: int, high: int | None = None, word: str | None = None) -> None:
        super().__init__(low, high)
        self.word = word

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        return None if value == self.word else super().convert(value, param, ctx)


class Float(click.FloatRange):
    """A finite number within bounds that 32 bits can hold, as XGBoost keeps it, or a word."""

    name = "number"

    def __init__(self, *bounds: Any, word: str | None = None, **options: Any) -> None:
        super().__init__(*bounds, **options)
        self.word = word

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if value == self.word:
            return None
        number = super().convert(value, param, ctx)
        if number and not 1.2e-38 < abs(number) < 3.4e38:  # nan fails too
            self.fail(f"{value!r} is not a number that 32 bits can hold.", param, ctx)
        return number

    def _describe_range(self) -> str:
        bounded = self.min is not None or self.max is not None
        return super()._describe_range() if bounded else ""


class Duration(click.ParamType):
    """A time like 90, 30s, 10m or 1h30m, which gives seconds; ``none`` gives None."""

    name = "time"

    def convert(self, value: Any, param: Any, ctx: Any) -> float | None:
        if value in ("none", "None", None):
            return None
        units = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?|(\d+)", value.strip(), re.ASCII)
        hours, minutes, *seconds = (int(n or 0) for n in units.groups()) if units else (0,) * 4
        if not (total := 3600 * hours + 60 * minutes + sum(seconds)):
            self.fail(f"{value!r} is no time; expected one like 30s, 10m or 1h30m.", param, ctx)
        return float(total)


class CommaList(click.ParamType):
    """Values of one type, separated by commas, or a range like 0.01..0.3."""

    def __init__(self, kind: click.ParamType) -> None:
        self.kind, self.name = kind, f"{kind.name}s"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple | Range:
        if not isinstance(value, str):
            return value
        entries = value.split(",")
        if not all(entry.strip() for entry in entries):
            self.fail(f"{value!r} has an empty entry; expected {self.name} like 3,6,9.", param, ctx)
        ends = value.split("..")
        if len(ends) == 2 and not isinstance(self.kind, click.Choice):
            span = Range(*(self.kind.convert(end.strip(), param, ctx) for end in ends))
            if span.low >= span.high:
                self.fail(f"{value!r} is empty; expected a range like 2..10.", param, ctx)
            return span
        return tuple(self.kind.convert(entry.strip(), param, ctx) for entry in entries)


class Text(click.ParamType):
    """Any text; None, as Python writes it, is the default.

    ``mlflow.projects.run(parameters={"register": None})`` hands it over as a text.
    """

    name = "text"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        return param.default if value == "None" and not param.required else value


class Constraint(Text):
    """A text that ``parse`` takes; one that constrains nothing is the default."""

    def __init__(self, parse: Callable[[str], Any]) -> None:
        self.parse = parse

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        text = super().convert(value, param, ctx)
        return text if self.parse(text) else param.default
