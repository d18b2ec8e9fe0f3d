"""Command line and MLproject: one contract in two places, and errors in plain lines."""

import re

import pytest
import yaml

import train
from tests.conftest import PROJECT

MLPROJECT = yaml.safe_load((PROJECT / "MLproject").read_text())
COMMANDS = {"main": train.main}


@pytest.mark.parametrize("name", MLPROJECT["entry_points"])
def test_mlproject_and_command_line_agree(name):
    """Same parameters, same defaults as text, and each one passed on under its own name."""
    entry = MLPROJECT["entry_points"][name]
    declared = {key: str(value["default"]) for key, value in entry["parameters"].items()}
    options = {option.name: str(option.default) for option in COMMANDS[name].params}
    assert declared == options
    passed = dict(re.findall(r"--(\w+) \{(\w+)\}", entry["command"]))
    assert passed == {key: key for key in declared}


@pytest.mark.parametrize("entry", MLPROJECT["entry_points"].values(), ids=MLPROJECT["entry_points"])
def test_no_default_needs_quotes(entry):
    """MLflow records the shell-quoted text."""
    for value in entry["parameters"].values():
        assert re.fullmatch(r"[\w.:/,-]+", str(value["default"]))


def test_the_python_version_is_exact_and_a_string():
    """With virtualenv a prefix makes pyenv build the newest one; an unquoted 3.11 is a float."""
    environment = yaml.safe_load((PROJECT / "python_env.yaml").read_text())
    assert re.fullmatch(r"3\.11\.\d+", environment["python"])
    assert environment["dependencies"] == ["-r requirements.txt"]


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_everything_is_pinned_with_hashes_and_names_no_host(name):
    text = (PROJECT / name).read_text()
    requirements = re.findall(r"^[a-z].*?(?=^[a-z]|\Z)", text, re.M | re.S)
    assert len(requirements) > 50
    for requirement in requirements:
        assert re.match(r"[\w.-]+(\[[\w,]+\])?==\S+", requirement)
        assert "--hash=sha256:" in requirement
    assert not re.search(r"https?://|file:|--(extra-)?index-url|--find-links", text)


def test_both_requirement_files_pin_the_same_versions():
    runs, develops = (
        set(re.findall(r"^\S+==\S+", (PROJECT / name).read_text(), re.M))
        for name in ("requirements.txt", "requirements-dev.txt")
    )
    assert runs < develops


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max_detph", "6"], "error: No such option '--max-detph'. Did you mean '--max-depth'?"),
        (
            ["--max_depth", "six"],
            "error: Invalid value for '--max-depth': 'six' is not a valid integer",
        ),
        (
            ["--max_depth", "3.5"],
            "error: Invalid value for '--max-depth': '3.5' is not a valid integer",
        ),
        (
            ["--max_depth", "0"],
            "error: Invalid value for '--max-depth': 0 is not in the range 1<=x<=",
        ),
        (
            ["--learning_rate", "0"],
            "error: Invalid value for '--learning-rate': 0.0 is not in the ra",
        ),
        (
            ["--learning_rate", "nan"],
            "error: Invalid value for '--learning-rate': 'nan' is not a fini",
        ),
        (["--gamma", "inf"], "error: Invalid value for '--gamma': 'inf' is not a finite number"),
        (
            ["--reg_alpha", "-1"],
            "error: Invalid value for '--reg-alpha': -1.0 is not in the range x>=",
        ),
        (
            ["--n_estimators", ""],
            "error: Invalid value for '--n-estimators': '' is not a valid integer",
        ),
        (["--seed", "-1"], "error: Invalid value for '--seed': -1 is not in the range 0<=x<="),
        (
            ["--device", "tpu"],
            "error: Invalid value for '--device': 'tpu' is not one of 'cpu', 'cuda'",
        ),
        (["--max_depth"], "error: Option '--max-depth' requires an argument."),
        (["stray"], "error: Got unexpected extra argument (stray)"),
        (
            ["--data", "/nowhere"],
            "error: data: expected the files adult.data and adult.test in /nowh",
        ),
        (["--data", "synthetic:9"], "error: data: expected at least 100 synthetic rows, got 9"),
        (
            ["--data", "synthetic:200", "--register", "x"],
            "error: register: a model trained on synthe",
        ),
    ],
)
def test_a_slip_is_one_line_status_2_and_no_run(run_command, tmp_path, arguments, message):
    done = run_command("python", PROJECT / "train.py", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "mlflow.db").exists()


def test_help_says_what_every_number_means(run_command):
    text = run_command("python", PROJECT / "train.py", "--help").stdout
    assert "splits from a tree's root to a leaf".capitalize() in " ".join(text.split())
    for option in train.main.params:
        assert option.help, option.name
