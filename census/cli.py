"""What the command lines share: options, plain errors, exit codes, signals."""

import math
import os
import signal
import sys
from collections.abc import Callable

import click

from census import Interrupted, UserError
from census.hyperparameters import HYPERPARAMETERS


class Command(click.Command):
    """A command that takes ``--max_depth`` for ``--max-depth`` and remembers what was typed.

    MLflow passes parameters under their names in MLproject, with underscores; and a parameter of a
    run can be written only once, so ours must be the text that ``mlflow run`` recorded.
    """

    def __init__(self, *args, help: str, **kwargs):
        settings = {
            "token_normalize_func": lambda name: name.replace("_", "-"),
            "max_content_width": 100,
        }
        help = help.replace("\n\n", "\n\n\b\n")  # \b: the examples keep their lines
        super().__init__(*args, help=help, context_settings=settings, **kwargs)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        typed, *_ = self.make_parser(ctx).parse_args(list(args))
        ctx.meta["typed"] = {
            option.name: str(typed.get(option.name, option.default))
            for option in self.params
            if option.name != "help"
        }
        return super().parse_args(ctx, args)


class Whole(click.IntRange):
    """A whole number within bounds."""

    name = "integer"


class Real(click.FloatRange):
    """A finite number within bounds."""

    name = "number"

    def convert(self, value, param, ctx) -> float:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


def option(name: str, kind: click.ParamType | None, default, meaning: str) -> Callable:
    """An option whose help says what it means and what its default is."""
    return click.option(
        f"--{name.replace('_', '-')}", type=kind, default=default, show_default=True, help=meaning
    )


def hyperparameter_options(command: Callable) -> Callable:
    """Add one option for each hyper-parameter."""
    for p in reversed(HYPERPARAMETERS):
        whole = isinstance(p.default, int)
        kind = Whole(int(p.low), p.high) if whole else Real(p.low, p.high, min_open=p.low_excluded)
        command = option(p.name, kind, p.default, f"{p.meaning[0].upper()}{p.meaning[1:]}.")(
            command
        )
    return command


def common_options(command: Callable) -> Callable:
    """Add the options that everything which trains has."""
    for add in (
        option("register", None, "none", "Registered model that gets a new version; none: none."),
        option("device", click.Choice(["cpu", "cuda"]), "cpu", "What trains the trees."),
        option("data", None, "auto", "auto, uci, synthetic, synthetic:N (rows) or a folder."),
        option("seed", Whole(0, 2**31 - 1), 0, "Of sampling and of the validation split."),
    ):
        command = add(command)
    return command


def run(command: click.Command) -> None:
    """Run a command line to its end and exit.

    Status 0: done; 1: the work failed; 2: the user's slip, told in a line; 128 + n: signal n.
    Under ``mlflow run`` the run exists already: what ended it is written on it.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        sys.exit(command.main(standalone_mode=False))
    except UserError as error:
        _end("error", str(error), 2)
    except click.ClickException as error:
        _end("error", error.format_message(), 2)
    except Interrupted as error:
        _end("ended_by", error.args[0].name, 128 + error.args[0])


def _interrupt(number: int, frame) -> None:
    for other in (signal.SIGINT, signal.SIGTERM):  # a second one must not break the tidying up
        signal.signal(other, signal.SIG_IGN)
    raise Interrupted(signal.Signals(number))


def _end(tag: str, line: str, status: int) -> None:
    print(f"{tag.replace('_', ' ')}: {line}", file=sys.stderr)
    if run_id := os.environ.get("MLFLOW_RUN_ID"):
        from census import tracking

        tracking.explain(run_id, tag, line)
    sys.exit(status)
