"""Malformed parameters of every script, up to the point where its work would start."""

import contextlib
import io
import math
import os
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import click
import hypothesis
from hypothesis import strategies as st

import check
import compare
import promote
import reproduce
import score
import sweep
import train
from tabular import checks
from tabular.data import sources, synthetic
from tabular.data.census import CENSUS
from tabular.errors import one_line
from tabular.model.constraints import PARSERS
from tabular.model.hyperparameters import DEFAULTS, HYPERPARAMETERS, Range
from tabular.sweep.optuna_search import OptunaSearch
from tabular.tracking import runs

COMMANDS = {
    "train": train.main,
    "sweep": sweep.main,
    "score": score.main,
    "promote": promote.main,
    "compare": compare.main,
    "reproduce": reproduce.main,
    "check": check.main,
}
NUMBERS = (
    "3", "03", " 3 ", "+3", "-3", "-0", "3.0", "3e0", "3.", ".3", "1e400", "-1e400", "nan", "-NaN",
    "inf", "-Infinity", "1e-400", "1e-39", "3.5e38", "0x3", "0b1", "3_0", "_3", "3__0", "3j", "1/3",
    "\u0663", "\uff13", "\u00bd", "\u00b2", "\u2212\u0033", "True", "None", "", " ", ",", ",,",
    "3,",
    "3,6", "3, 6", "3,3", "3;6", "3|6", "[3]", "..", "...", "1..3", "1 .. 3", "3..1", "1..1", "1..",
    "..3", "1...3", "1..2..3", "1..2,3", "0.1..0.3", "1e-37..1e37", "nan..nan", "0..inf",
    "1e400..2",
    "-1..1", "9" * 400, "9" * 5000, "9" * 5000 + "..1", "0." + "0" * 400 + "1", "3," * 2000 + "3",
    ",".join(map(str, range(1, 30))), "2147483647", "2147483648", "9223372036854775808", "1e308",
)  # fmt: skip
PATHS = (
    ".", "..", "../..", "/", "//", "~", "~nosuchuser", "~nosuchuser/x.csv", "/dev/null",
    "/dev/null.csv",
    "/etc/passwd", "/proc/self/mem", "/nowhere/x.csv", "a/../../x.csv", "x.csv/../x.csv", "x.csv/",
    "x" * 300, "x" * 300 + ".csv", "x/" * 3000, "loop", "loop/x.csv", "loop.csv", ".csv", "..csv",
    "rows.csv", "./rows.csv", "folder.csv", "-", "--", "---x", "CON", "C:\\x.csv", "\\\\host\\x",
    "%2e%2e/x.csv", "file:///x.csv", "a\nb.csv", "a\rb.csv", "a\tb.csv", "\x1b[31m.csv",
    "\u202e.csv",
    "auto", "uci", "UCI", "synthetic", "synthetic:", "synthetic:0", "synthetic:99", "synthetic:1e3",
    "synthetic:-100", "synthetic: 100", "synthetic:100 ", "synthetic:\u0661\u0660\u0660",
    "synthetic:1000000000", "synthetic:" + "9" * 5000, "synthetic:100;x", "synthetic:100\n", "none",
    "local",
)  # fmt: skip
SHELL = (
    "; touch canary", "$(touch canary)", "`touch canary`", "| touch canary", "&& touch canary",
    "& touch canary &", "> canary", "'; touch canary; '", '"; touch canary; "', "\ntouch canary\n",
    "${IFS}", "$HOME", "$'\\x41'", "*", "?", "[a-z]", "{a,b}", "!!", "#", "\\", "'", '"', "%s%n",
    "{data}", "{0.__class__}", "{{7*7}}", "; rm -rf .", "--data", "--help", "-P", "--max_depth=3",
)  # fmt: skip
MARKUP = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "![x](http://127.0.0.1:9/x.png)",
    "[a](javascript:alert(1))", "</title>", "&lt;", "**b**", "| a | b |", "# h", "\x1b]0;x\x07",
    "\x07",
    "\u202eabc", "\u200b", "\ufeff", "\U0001f600", "e\u0301", "\u0130", "x' OR '1'='1",
    "'); DROP TABLE runs;--",
)  # fmt: skip
ADDRESSES = (
    "runs:/", "runs:/0/model", "runs:/../model", "runs://x", "runs:/" + "a" * 32 + "/model",
    "models:/",
    "models:/x", "models:/x/1", "models:/x@champion", "models:/x/latest", "models:/x@",
    "models:/@@/1",
    "models:/x/1/2", "models:/a b/1", "m-" + "0" * 32, "models:/m-" + "0" * 32, "http://[", "http://[::1",
    "http://127.0.0.1:9/x", "https://127.0.0.1:9/x", "ftp://127.0.0.1:9/x", "sftp://127.0.0.1:9/x",
    "s3://x", "s3://x/y", "gs://x/y", "wasbs://x/y", "abfss://x/y", "hdfs://x/y", "viewfs://x/y",
    "dbfs:/x", "dbfs://a@b/x", "mlflow-artifacts:/x", "mlflow-artifacts://127.0.0.1:9/x", "file://x/y",
    "file:x", "hf://x", "x://y", "x:y", ":", "://", "tcp://127.0.0.1", "tcp://x:y", "tcp://:1", "tls://",
)  # fmt: skip
CONSTRAINTS = (
    "age:1", "age:1,fnlwgt:-1", "age:0", "sex:1", "age:1:1", "age+sex", "age+sex,race+sex",
    "age+no", '{"age": 1}', '{"age": "1"}', '{"age": 1e400}', '[["age", "sex"]]', '[["age"], []]',
    "[[[]]]",
    "'age:1'", '"age+sex"', "'", "\"'", "{" * 5000, "[" * 5000, "age:1," * 2000, "\u0430ge:1",
)  # fmt: skip
WORDS = (
    "log_loss",
    "accuracy",
    "cuda",
    "dask",
    "tpe",
    "random",
    "grid",
    "never",
    "true",
    "yes",
    "1",
)
TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30
)  # an argument of a process contains neither NUL nor surrogates
VALUES = st.one_of(
    st.sampled_from(NUMBERS),
    st.sampled_from(PATHS),
    st.sampled_from([*SHELL, *MARKUP]),
    st.sampled_from([*ADDRESSES, *WORDS]),
    TEXT,
    st.floats().map(repr),
    st.integers().map(str),
    st.builds(
        "{}{}".format, st.sampled_from([*NUMBERS, *PATHS]), st.sampled_from([*SHELL, *MARKUP])
    ),
    st.builds("{}..{}".format, st.floats(), st.floats()),
    st.lists(st.sampled_from(NUMBERS), max_size=5).map(",".join),
    st.builds(lambda text, n: text * n, TEXT, st.sampled_from([100, 5000])),
)
PLAIN = st.sampled_from(["1", "3", "1.0", "0.5", "3,6", "0.1,1", "1..3", "0.5..1", "0.3..1.0"])
LIKELY = dict.fromkeys(
    [*DEFAULTS, "seed", "folds", "trials", "threshold", "min_improvement"], PLAIN
)
LIKELY |= {
    "sampler": st.sampled_from(["random", "tpe"]),
    "register": st.sampled_from([*MARKUP, *SHELL]),
    "name": st.sampled_from([*MARKUP, *SHELL]),
    **dict.fromkeys(["model", "a", "b"], st.sampled_from(ADDRESSES)),
    "data": st.sampled_from(PATHS),
    "grow_policy": st.sampled_from(["lossguide", "lossguide,depthwise", "lossguide,", "a..b"]),
    **dict.fromkeys(PARSERS, st.sampled_from(CONSTRAINTS)),
    "scheduler": st.sampled_from(ADDRESSES),
}


@st.composite
def command_lines(draw) -> tuple[str, dict[str, str]]:
    """Draw the name of a script and values of some of its options."""
    name = draw(st.sampled_from([*COMMANDS]))
    options = [option.name for option in COMMANDS[name].params]
    given = draw(st.lists(st.sampled_from(options), min_size=1, max_size=3, unique=True))
    likely = draw(st.booleans())
    typed = {option: draw(LIKELY.get(option, VALUES) if likely else VALUES) for option in given}
    required = {
        "model": "runs:/0/model",
        "a": "runs:/0/model",
        "b": "runs:/0/model",
        "input": "rows.csv",
        "output": "out.csv",
        "run_id": "0" * 32,
    }
    typed = {key: required[key] for key in options if key in required} | typed
    return name, typed


class Accepted(BaseException):
    """The parameters were accepted, and a run would start."""


@contextlib.contextmanager
def no_work(folder: Path) -> Iterator[None]:
    """Raise ``Accepted`` where a run would start, and use the files of a folder as the dataset."""

    def start(name: str):
        raise Accepted(name)

    location = sources._find_splits(folder, "data")
    with (
        mock.patch.object(runs, "start_run", start),
        mock.patch.object(sources, "_generate", lambda *args, **options: location),
        mock.patch.object(sources, "_find_published", lambda *args: location),
        mock.patch.object(checks, "check_versions", lambda: ""),
        mock.patch.object(checks, "check_runs", lambda fix: ""),
    ):
        yield


def outcome(name: str, typed: dict[str, str]) -> tuple[str, str]:
    """The outcome of a command line (``correct``, ``error`` or ``WRONG``), and its reason."""
    command = COMMANDS[name]
    arguments = [f"--{option}={value}" for option, value in typed.items()]
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            with contextlib.suppress(Accepted):
                command.main(arguments, name, standalone_mode=False)
            _require_correct(name, command.make_context(name, arguments).params, typed)
    except click.ClickException as error:
        line = one_line(error.format_message())
        if error.exit_code not in (1, 2):
            return "WRONG", f"exit code {error.exit_code}"
        if name == "check":  # it reports each problem in a line of its own
            lines = printed.getvalue().splitlines() or [line]
            return ("error", "") if all(map(str.isprintable, lines)) else ("WRONG", str(lines))
        names_one = any(option.name in line for option in command.params)
        return ("error", line) if names_one else ("WRONG", f"names no parameter: {line}")
    except BaseException as error:
        return "WRONG", f"{type(error).__name__}: {error}"[:2000]
    return "correct", ""


def _require_correct(name: str, params: dict, typed: dict[str, str]) -> None:
    """Check that every parsed number is the number that was typed."""
    for option, text in typed.items():
        value = params[option]
        values = value if isinstance(value, tuple) else (value,)
        if isinstance(value, Range):
            texts, values = text.split(".."), (value.low, value.high)
            assert value.low < value.high
        else:
            texts = text.split(",") if isinstance(value, tuple) else [text]
        assert len(texts) == len(values)
        for given, number in zip(texts, values, strict=True):
            if isinstance(number, int | float) and not isinstance(number, bool):
                assert math.isfinite(number)
                assert number == type(number)(given), f"{option}: {number} of {given!r}"
    if name == "sweep" and params["sampler"] != "grid":
        space = {key: params[key] for key in DEFAULTS}
        space |= {key: (params[key],) for key in PARSERS}
        search = OptunaSearch(space, params["sampler"], params["metric"], params["seed"], 2)
        search.start(lambda config: None)
        (config,) = next(search.fits(2))
        for p in HYPERPARAMETERS:
            assert isinstance(config[p.name], type(p.default))
            if not isinstance(p.default, str):
                assert p.low <= config[p.name] <= (p.high or math.inf)
            values = space[p.name]
            if isinstance(values, Range):
                assert values.low <= config[p.name] <= values.high
            else:
                assert config[p.name] in values


def try_many(number: int, seed: int, folder: Path) -> Iterator[tuple[str, str, str]]:
    """Run scripts with ``number`` malformed command lines; yields script, outcome and reason."""
    synthetic.write(folder, 100)
    before = Path.cwd()
    here = folder / "a" / "b" / "c"  # so deep that the parents of paths are temporary too
    here.mkdir(parents=True)
    (here / "rows.csv").write_text(",".join(CENSUS.features) + "\n")
    (here / "folder.csv").mkdir()
    for name in ("loop", "loop.csv"):
        (here / name).symlink_to(name)
    found = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=number,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=[*hypothesis.HealthCheck],
    )
    @hypothesis.given(command_lines())
    def attempt(case):
        found.append((case[0], *outcome(*case), case[1]))

    os.chdir(here)
    try:
        with no_work(folder):
            attempt()
        left = {path.name for path in here.iterdir()} - {
            "rows.csv",
            "folder.csv",
            "loop",
            "loop.csv",
        }
        assert not left, f"left behind: {left}"
    finally:
        os.chdir(before)
    for name, how, why, typed in found:
        yield f"{name}.py", how, f"{name}.py {str(typed)[:300]}: {why}"
