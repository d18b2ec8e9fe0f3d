"""The command lines: they agree with MLproject, and report a user's mistake in one line."""

import re
import sys

import pytest
import yaml

import check
import compare
import promote
import reproduce
import score
import sweep
import train
from tabular import option_types
from tests.helpers import PROJECT

MLPROJECT = yaml.safe_load((PROJECT / "MLproject").read_text())
COMMANDS = {
    "main": train.main,
    "sweep": sweep.main,
    "compare": compare.main,
    "reproduce": reproduce.main,
    "promote": promote.main,
    "score": score.main,
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_none_as_python_writes_it_is_the_default_of_every_text(command):
    """``mlflow.projects.run(parameters={"register": None})`` gives it as a text."""
    texts = [o for o in command.params if isinstance(o.type, option_types.Text) and not o.required]
    arguments = [word for option in texts for word in (f"--{option.name}", "None")]
    required = [word for o in command.params if o.required for word in (f"--{o.name}", "x")]
    chosen = command.make_context(command.name, arguments + required).params
    assert {option.name: chosen[option.name] for option in texts} == {
        option.name: option.default for option in texts
    }


@pytest.mark.parametrize("name", MLPROJECT["entry_points"])
def test_mlproject_and_command_line_agree(name):
    """They have the same parameters and default texts, and each value goes to the same name."""
    entry = MLPROJECT["entry_points"][name]
    declared = {
        key: str(value["default"]) if "default" in value else "required"
        for key, value in entry["parameters"].items()
    }
    options = {
        option.name: "required" if option.required else str(option.default)
        for option in COMMANDS[name].params
    }
    assert declared == options
    passed = dict(re.findall(r"--(\w+) \{(\w+)\}", entry["command"]))
    assert passed == {key: key for key in declared}


@pytest.mark.parametrize("entry", MLPROJECT["entry_points"].values(), ids=MLPROJECT["entry_points"])
def test_no_default_needs_quotes(entry):
    """MLflow would record the quoted text."""
    for value in entry["parameters"].values():
        assert re.fullmatch(r"[\w.:/,-]+", str(value.get("default", "required")))


def require_one_line(done, message):
    """The command ended with status 2 and one line on stderr, which starts with the message."""
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max_detph", "6"], "error: No such option '--max_detph'. Did you mean '--max_depth'?"),
        (
            ["--max_depth", "six"],
            "error: Invalid value for '--max_depth': 'six' is not a valid integer",
        ),
        (
            ["--max_depth", "3.5"],
            "error: Invalid value for '--max_depth': '3.5' is not a valid integer",
        ),
        (
            ["--max_depth", "-1"],
            "error: Invalid value for '--max_depth': -1 is not in the range 0<=x<=",
        ),
        (["--max_depth", "0"], "error: max_depth: 0 sets no bound and needs one by max_leaves, wh"),
        (
            ["--grow_policy", "leafwise"],
            "error: Invalid value for '--grow_policy': 'leafwise' is not one of 'depthwise', 'loss",
        ),
        (
            ["--learning_rate", "0"],
            "error: Invalid value for '--learning_rate': 0.0 is not in the ra",
        ),
        (
            ["--learning_rate", "nan"],
            "error: Invalid value for '--learning_rate': 'nan' is not a numb",
        ),
        (["--gamma", "inf"], "error: Invalid value for '--gamma': 'inf' is not a number that 32"),
        (
            ["--reg_alpha", "-1"],
            "error: Invalid value for '--reg_alpha': -1.0 is not in the range x>=",
        ),
        (
            ["--n_estimators", ""],
            "error: Invalid value for '--n_estimators': '' is not a valid integer",
        ),
        (["--seed", "-1"], "error: Invalid value for '--seed': -1 is not in the range 0<=x<="),
        (
            ["--device", "tpu"],
            "error: Invalid value for '--device': 'tpu' is not one of 'cpu', 'cuda'",
        ),
        (["--max_depth"], "error: Option '--max_depth' requires an argument."),
        (["stray"], "error: Got unexpected extra argument (stray)"),
        (
            ["--data", "/nowhere"],
            "error: data: expected a folder of adult.data and adult.test, or of train.*",
        ),
        (["--gamma", "1e39"], "error: Invalid value for '--gamma': '1e39' is not a number that 32"),
        (
            ["--learning_rate", "1e-50"],
            "error: Invalid value for '--learning_rate': '1e-50' is",
        ),
        (
            ["--data", "synthetic:200", "--monotone_constraints", "agee:1"],
            "error: monotone_constraints: the model has no column 'agee'; did you mean 'age'?",
        ),
        (["--max_depth", "3", "--max-depth", "6"], "error: max_depth is given twice."),
        (["--threshold", "1.5"], "error: threshold: expected a number from 0 to 1, accuracy, f1"),
        (
            ["--threshold", "recall"],
            "error: threshold: expected a number from 0 to 1, accuracy, f1",
        ),
        (["--data", "synthetic:9"], "error: data: expected synthetic:N with N from 100 to 9"),
        (
            ["--data", "synthetic:200", "--register", "x"],
            "error: register: a model trained on synthe",
        ),
    ],
)
def test_a_mistake_is_reported_in_one_line_without_a_run(run_script, no_store, arguments, message):
    require_one_line(run_script(train.main, *arguments), message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max_depth", ""], "error: Invalid value for '--max_depth': '' has an empty entry; exp"),
        (["--max_depth", "3,,6"], "error: Invalid value for '--max_depth': '3,,6' has an empty en"),
        (["--max_depth", "3,six"], "error: Invalid value for '--max_depth': 'six' is not a valid"),
        (["--n_estimators", "0"], "error: Invalid value for '--n_estimators': 0 is not in the ran"),
        (["--subsample", "0.5,nan"], "error: Invalid value for '--subsample': 'nan' is not a numb"),
        (["--metric", "auc"], "error: Invalid value for '--metric': 'auc' is not one of 'log_loss"),
        (["--max_detph", "6"], "error: No such option '--max_detph'. Did you mean '--max_depth'?"),
        (["--threshold", "auc"], "error: threshold: expected a number from 0 to 1, accuracy, f1,"),
        (
            ["--data", "synthetic:200", "--interaction_constraints", "age+sx"],
            "error: interaction_constraints: the model has no column 'sx'; did you mean 'sex'?",
        ),
        (["--monotone_constraints", "1..3"], "error: monotone_constraints: expected none, or nam"),
        (["--folds", "0"], "error: Invalid value for '--folds': 0 is not in the range x>=1."),
        (["--workers", "many"], "error: Invalid value for '--workers': 'many' is not a valid int"),
        (["--max_points", "26"], "error: max_points: the grid has 27 configurations, more than"),
        (
            ["--learning_rate", ",".join(f"0.{n}" for n in range(100, 999)), "--max_points=2000",
             "--gamma", ",".join(map(str, range(5000)))],
            "error: max_points: the grid has 40,455,000 configurations, more",
        ),
        (["--max_depth", "0,3"], "error: max_depth: 0 sets no bound and needs one by max_leaves, "),
        (
            ["--sampler=tpe", "--grow_policy", "depthwise..lossguide"],
            "error: Invalid value for '--grow_policy': 'depthwise..lossguide' is not one of 'depth",
        ),
        (["--max_depth", "2..9"], "error: max_depth: a grid needs a list, got the range 2..9"),
        (["--sampler=tpe", "--max_depth", "9..2"], "error: Invalid value for '--max_depth': '9.."),
        (["--sampler=tpe", "--max_depth", "2.."], "error: Invalid value for '--max_depth': '' is"),
        (["--sampler=tpe", "--gamma", "-1..2"], "error: Invalid value for '--gamma': -1.0 is not"),
        (["--sampler=tpe", "--trials", "0"], "error: Invalid value for '--trials': 0 is not in th"),
        (["--budget", "0"], "error: Invalid value for '--budget': '0' is no time; expected one li"),
        (["--budget", "1h30"], "error: Invalid value for '--budget': '1h30' is no time; expected "),
        (["--budget", "-5m"], "error: Invalid value for '--budget': '-5m' is no time; expected o"),
        (["--budget", ""], "error: Invalid value for '--budget': '' is no time; expected one like"),
        (["--sampler=bayes"], "error: Invalid value for '--sampler': 'bayes' is not one of 'grid'"),
        (["--data", "synthetic:100", "--folds", "90"], "error: data: 90 folds need at least 90 t"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_sweep_is_reported_in_one_line_without_a_run(
    run_script, no_store, arguments, message
):
    require_one_line(run_script(sweep.main, *arguments), message)


@pytest.mark.parametrize(("text", "seconds"), [
    ("none", None), ("None", None), ("90", 90), ("30s", 30), ("10m", 600), ("1h30m", 5400),
    ("2h5s", 7205), (" 1h ", 3600),
])  # fmt: skip
def test_a_time_is_read_as_seconds(text, seconds):
    assert option_types.Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize(("script", "arguments", "message"), [
    ("train", ["--max_detph", "6"], "error: No such option '--max_detph'. Did you mean"),
    ("sweep", ["--max_points", "26"], "error: max_points: the grid has 27 configurations, more"),
    ("score", ["--model", "x"], "error: Missing option '--input'"),
])  # fmt: skip
def test_a_process_reports_a_mistake_in_one_line_too(
    run_command, no_store, script, arguments, message
):
    require_one_line(run_command("python", PROJECT / f"{script}.py", *arguments), message)


@pytest.mark.parametrize("path", ["~nosuchuser", "x" * 300, "loop", "file", "folders"])
def test_a_data_path_that_cannot_be_read_is_reported_in_one_line(
    run_script, no_store, tmp_path, path
):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_text("")
    for name in ("adult.data", "adult.test"):
        (tmp_path / "folders" / name).mkdir(parents=True)
    no_files = f"error: {tmp_path}/folders/adult.data: expected files that end in "
    message = no_files if path == "folders" else "error: data: "
    require_one_line(run_script(train.main, "--data", path), message)


@pytest.mark.parametrize("option", ["input", "output"])
@pytest.mark.parametrize("path", ["~nosuchuser/x.csv", "loop/x.csv"])
def test_a_path_that_does_not_exist_is_reported_in_one_line(
    run_script, no_store, tmp_path, option, path
):
    (tmp_path / "loop").symlink_to("loop")
    paths = {"input": "/x.csv", "output": "/x.csv"} | {option: path}
    options = [f"--{name}={value}" for name, value in paths.items()]
    done = run_script(score.main, "--model", "runs:/0/model", *options)
    require_one_line(done, f"error: {option}: ")


@pytest.mark.parametrize("command", [train.main, check.main], ids=["train", "check"])
def test_typed_text_is_printed_without_control_characters(run_script, command):
    """It can neither give the terminal a command nor add a line to the error."""
    typed = "/no\x1b[2J\nerror: \u202e" + "x" * 90
    done = run_script(command, "--data", typed)
    printed = done.stderr + done.stdout
    assert all(line.isprintable() and len(line) < 2100 for line in printed.splitlines())
    assert "/no\\x1b[2J error: \\u202exxx" in printed


def test_the_help_explains_every_option(run_script):
    text = " ".join(run_script(train.main, "--help").stdout.split())
    for name, command in COMMANDS.items():
        for option in command.params:
            assert option.help, option.name
            if name == "main":
                assert " ".join(option.help.split()) in text


ENDING = """
import atexit, sys, threading, time
import click
from tabular import cli

def work():
    atexit.register(print, "exit handler")
    threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
    print("work")
    {ends}

cli.main(click.Command("work", callback=work))
"""


def test_a_profiler_that_runs_a_script_keeps_its_result(run_command):
    done = run_command(sys.executable, "-m", "cProfile", PROJECT / "train.py", "--max_depth", "no")
    assert "error: Invalid value for '--max_depth'" in done.stderr
    assert "function calls" in done.stdout


@pytest.mark.parametrize(("ends", "status", "message"), [
    ("pass", 0, ""),
    ("raise click.ClickException('it failed')", 1, "error: it failed\n"),
    ("raise click.UsageError('a mistake')", 2, "error: a mistake\n"),
    ("1 / 0", 1, "ZeroDivisionError: division by zero\n"),
])  # fmt: skip
def test_a_process_ends_with_all_output_its_threads_and_exit_handlers(
    run_command, ends, status, message
):
    done = run_command(sys.executable, "-c", ENDING.format(ends=ends), cwd=PROJECT)
    assert done.returncode == status
    assert done.stdout == "work\nthread\nexit handler\n"
    assert done.stderr.endswith(message)
