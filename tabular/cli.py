"""What the command lines share: their options, error messages and exit statuses."""

import ast
import atexit
import gc
import inspect
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from tabular import cancel, environment
from tabular.data.requests import TableRequest, from_options
from tabular.errors import StoreUnusable, UserError, WorkFailed, one_line
from tabular.model import constraints
from tabular.model.hyperparameters import DEFAULTS, HYPERPARAMETERS, require_bounded_trees
from tabular.option_types import CommaList, Constraint, Float, Int, Text
from tabular.options import parse_threshold

Options = TypeVar("Options")


class Command(click.Command):
    """A command that takes ``--max-depth`` for ``--max_depth`` and keeps what was typed.

    A parameter of a run can be written only once, so the text that is logged must be the text that
    ``mlflow run`` recorded, and no option may be given twice under two spellings.
    """

    def __init__(self, *args: Any, help: str | None, **kwargs: Any) -> None:
        settings = {
            "token_normalize_func": lambda name: name.replace("-", "_"),
            "max_content_width": 100,
        }
        help = help or _docstring(kwargs["callback"])
        help = help.replace("\n\n", "\n\n\b\n")  # \b: the examples keep their lines
        # `mlflow run -P help=1` would end FINISHED without having done anything
        kwargs["add_help_option"] = "MLFLOW_RUN_ID" not in os.environ
        kwargs |= {"help": help, "context_settings": settings}
        super().__init__(*args, **kwargs)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            typed, _, given = self.make_parser(ctx).parse_args(list(args))
        except click.NoSuchOption as error:
            closest = [*(error.possibilities or ())][:1]
            raise click.NoSuchOption(error.option_name, possibilities=closest, ctx=ctx) from None
        for option in self.params:
            if given.count(option) > 1:
                raise click.UsageError(f"{option.name} is given twice.")
        ctx.meta["cli_args"] = {p.name: str(typed.get(p.name, p.default)) for p in self.params}
        return super().parse_args(ctx, args)


def _docstring(function: Callable) -> str:
    """The docstring of the file of a function, which Python leaves out with PYTHONOPTIMIZE=2."""
    path = inspect.unwrap(function).__code__.co_filename
    return ast.get_docstring(ast.parse(Path(path).read_text("utf-8"))) or ""


def option(name: str, kind: click.ParamType | None, default: Any, meaning: str) -> Callable:
    """An option whose help shows meaning and default; without a default it is required.

    Args:
        kind: None: any text.
    """
    kind = kind or Text()
    given = {"required": True} if default is None else {"default": default, "show_default": True}
    return click.option(f"--{name}", type=kind, help=meaning, **given)


def hyperparameter_options(command: Callable, lists: bool = False) -> Callable:
    """Add one option for each hyper-parameter: for a value, or for a list or a range."""
    for p in reversed(HYPERPARAMETERS):
        kind: click.ParamType = Int(p.low, p.high)
        if p.name in constraints.PARSERS:
            kind = Constraint(constraints.PARSERS[p.name])
        elif p.choices:
            kind = click.Choice(p.choices)
        elif isinstance(p.default, float):
            kind = Float(p.low, p.high, min_open=p.low_excluded)
        default: Any = p.default
        if lists and p.name not in constraints.PARSERS:
            kind, default = CommaList(kind), ",".join(map(str, p.grid or [p.default]))
        meaning = p.meaning[0].upper() + p.meaning[1:] + "."
        command = option(p.name, kind, default, meaning)(command)
    return command


def data_options(command: Callable) -> Callable:
    """Add the options that name the data and fix what its columns are."""
    for name, meaning in (
        ("drop", "Columns that the model does not use, separated by commas; auto drops none."),
        (
            "groups",
            "Columns by which metrics are broken down, separated by commas; none: no column; auto: "
            "the table's own.",
        ),
        (
            "positive",
            "Label whose probability is predicted; auto finds it among 0/1, false/true and no/yes.",
        ),
        ("label", "Column to predict; auto takes that of the census, or of table.toml."),
        ("data", "auto, uci, synthetic, synthetic:N (rows), a file or a folder."),
    ):
        command = option(name, None, "auto", meaning)(command)
    return command


def run_options(command: Callable) -> Callable:
    """Add the options of ``tabular.options.RunOptions``."""
    for name, kind, default, meaning in (
        (
            "scheduler",
            None,
            "local",
            "Address of a Dask scheduler; local starts a cluster on this machine.",
        ),
        ("executor", click.Choice(["local", "dask"]), "local", "Where the work is done."),
        (
            "register",
            None,
            "none",
            "Registered model that gets a new version; none registers nothing.",
        ),
        ("device", click.Choice(["cpu", "cuda"]), "cpu", "Device that trains the trees."),
        (
            "threshold",
            None,
            "0.5",
            "Probability from which on a row gets the positive label: a number; or what accuracy, "
            "f1 or balanced_accuracy, or a bound such as recall=0.8 or precision=0.8, chooses on "
            "validation rows.",
        ),
    ):
        command = option(name, kind, default, meaning)(command)
    command = data_options(command)
    meaning = "Seed of sampling and of the validation split."
    return option("seed", Int(0, 2**31 - 1), 0, meaning)(command)


def build(
    kind: Callable[..., Options], ctx: click.Context, options: dict[str, Any], into: str
) -> Options:
    """The options of a command as one value.

    Args:
        into: the attribute of ``kind`` that takes the hyper-parameters, by name.

    Raises:
        UserError: options do not fit together.
    """
    options = dict(options)
    options["request"] = table_request(options)
    options["threshold"] = parse_threshold(options["threshold"])
    chosen = {name: options.pop(name) for name in DEFAULTS}
    require_bounded_trees(chosen)
    if into == "space":  # all configurations of it have the same constraints
        chosen |= {name: (chosen[name],) for name in constraints.PARSERS}
    options[into] = chosen
    return kind(**options, cli_args=ctx.meta["cli_args"])


def table_request(options: dict[str, Any]) -> TableRequest:
    """What the options of ``data_options`` but ``data``, which are removed, fix of a table."""
    return from_options(*(options.pop(name) for name in ("label", "positive", "groups", "drop")))


@contextmanager
def importing() -> Iterator[None]:
    """Import the work, after the options have been parsed.

    The garbage collector, which would find nothing, does not run meanwhile, and never looks at the
    imported objects again.

    Raises:
        WorkFailed: a package is missing or broken, or refuses a variable of the environment.
    """
    gc.disable()
    try:
        yield
        gc.freeze()
    except Exception as error:
        reason = f"{type(error).__name__}: {one_line(error)}"
        quoted = {name: f"'{value}'".casefold() for name, value in os.environ.items() if value}
        names = [name for name, value in quoted.items() if value in reason.casefold()]
        likely = f" ({', '.join(names)}?)" if names else ""
        raise WorkFailed(
            f"the packages cannot be imported{likely}: {reason}; correct this, or: uv pip "
            "install -r requirements.txt"
        ) from None
    finally:
        gc.enable()


def main(command: click.Command) -> NoReturn:
    """Run a command line as the whole work of this process, as ``run`` does, and end the process.

    The interpreter is not taken apart, which would take a second. What it does before that is done:
    threads end, exit handlers run, and the streams are flushed. Where a debugger or a profiler runs
    the script, or ``python -i``, the process goes on as usual.
    """
    if sys._getframe(1).f_back or sys.flags.inspect:
        run(command)
        sys.exit()
    status: Any = 0
    try:
        run(command)
    except SystemExit as end:
        status = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except Exception:
        status = status or 1
    os._exit(status)


def run(command: click.Command) -> None:
    """Run a command line to its end and exit.

    The exit status is 0 if it is done, 1 if the work failed, 2 after a user's mistake, which is
    reported in one line, and 128 + n after signal n. Under ``mlflow run`` the run exists already,
    and the reason is written on it.
    """
    cancel.install()
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # of one small file
    try:
        environment.prepare()
        command.main(standalone_mode=False)
    except BaseException as error:
        cancel.stop_timer()
        if number := cancel.received():
            _report_end("ended_by", number.name)
            sys.exit(128 + number)
        if isinstance(error, click.ClickException):
            writable = not isinstance(error, StoreUnusable)
            _report_end("error", error.format_message(), on_run=writable)
            sys.exit(error.exit_code)
        from tabular.tracking import server, store

        if store.is_permission_denied(error):
            uri = store.redact(store.tracking_uri())
            _report_end("error", f"MLFLOW_TRACKING_URI: {uri} {server.explain_http_status(403)}")
            sys.exit(UserError.exit_code)
        _report_end("error", f"{type(error).__name__}: {error}")
        raise
    finally:
        cancel.ignore_signals()


def _report_end(tag: str, text: str, on_run: bool = True) -> None:
    """Print why the process ends, and write it on a run that MLflow made and none has opened."""
    line = one_line(text)
    print(f"{tag.replace('_', ' ')}: {line}", file=sys.stderr)
    if on_run and (run_id := os.environ.get("MLFLOW_RUN_ID")):
        # by a second signal, or MLflow is what cannot be imported
        with cancel.uninterrupted(), suppress(cancel.Cancelled, Exception):
            from tabular.tracking import runs

            runs.record_failure(run_id, tag, line)
