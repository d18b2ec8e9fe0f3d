"""Hostile input ends as a plain error or a right answer; `python -m tests.hostile` tries more."""

import html
import subprocess
from collections import Counter

import mlflow
import numpy as np
import pandas as pd
import pytest

import promote
from tabular.data import census, sources
from tabular.errors import one_line
from tabular.tracking import runs
from tests.helpers import PROJECT
from tests.hostile import bodies, broken, parameters, referee

MARKUP = [
    "<script>alert(1)</script>",
    "<img src=http://127.0.0.1/x onerror=alert(1)>",
    "![x](http://127.0.0.1/x.png)",
    "[a](javascript:alert(1))",
    "[a]: http://127.0.0.1 | **b** | `c`",
]


def check(cases) -> Counter:
    found = [*cases]
    assert not [why for _, outcome, why in found if outcome == "WRONG"]
    return Counter(outcome for _, outcome, _ in found)


def test_a_broken_file_is_an_error_that_names_it_or_rows_that_are_right(tmp_path):
    counts = check(broken.tried(250, 1, tmp_path))
    assert counts["error"] > 50
    assert counts["right"] > 10


@pytest.mark.parametrize("form", [".data", ".csv", ".parquet"])
def test_a_whole_file_is_right(tmp_path, form):
    """Else an error for every file would pass."""
    forms = broken.good(tmp_path / "forms")
    (tmp_path / census.TRAIN).write_bytes(forms[".data"])
    path = tmp_path / (census.TEST if form == ".data" else f"test{form}")
    path.write_bytes(forms[form])
    assert referee.outcome(path, tmp_path) == ("right", "")


def test_the_judge_of_files_sees_wrong_rows(tmp_path, monkeypatch):
    """A reader that loses a row, changes a value or raises something else is found out."""
    forms = broken.good(tmp_path / "forms")
    (tmp_path / census.TEST).write_bytes(forms[".data"])
    path = tmp_path / census.TRAIN
    path.write_bytes(forms[".data"])
    interpret = referee.columns.interpret

    def older(piece, labelled=False):
        piece, X, y = interpret(piece, labelled)
        return piece, X.assign(age=X["age"] + 1), y

    def shorter(piece, labelled=False):
        piece, X, y = interpret(piece, labelled)
        return piece._replace(rows=piece.rows[1:], lines=piece.lines[1:]), X[1:], y[1:]

    def raising(piece, labelled=False):
        raise KeyError("age")

    for reader in (older, shorter, raising):
        monkeypatch.setattr(referee.columns, "interpret", reader)
        assert referee.outcome(path, tmp_path)[0] == "WRONG"


def test_a_broken_parameter_is_an_error_that_names_it_or_the_number_it_says(tmp_path):
    counts = check(parameters.tried(300, 1, tmp_path))
    assert counts["error"] > 100
    assert counts["right"] > 3


def test_a_broken_request_is_refused_with_a_reason_or_answered_right(tmp_path):
    counts = check(bodies.tried(250, 1, tmp_path))
    assert counts["error"] > 100
    assert counts["right"] > 20


@pytest.fixture
def canary(tmp_path):
    """Nothing that was typed may be run by a shell."""
    (tmp_path / "work").mkdir()
    yield f"touch {tmp_path}/canary"
    assert not [*tmp_path.rglob("canary*")]


SHELL = ["; {}", "$({})", "`{}`", "' ; {} ; '", '" ; {} ; "', "\n{}\n", "x && {} #", "| {}"]


@pytest.mark.parametrize("script", ["train", "sweep", "score"])
def test_a_script_runs_nothing_that_was_typed(run_command, no_store, canary, script):
    typed = "".join(SHELL).replace("{}", canary)
    options = {"data": typed}
    if script == "score":
        options = {"model": typed, "input": f"{typed}.csv", "output": "out.csv"}
    options = [f"--{name}={value}" for name, value in options.items()]
    done = run_command("python", PROJECT / f"{script}.py", *options)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ["-P", "data={0} {1} {2} {3} {markup}"],
        ["-P", "data=synthetic:500", "-P", "register={1}", "-P", "scheduler={4} {5} {markup}"],
        ["-e", "sweep", "-P", "data=synthetic:500", "-P", "resume={6} {7} {1} {2} {markup}"],
    ],
    ids=["data", "register", "resume"],
)
def test_mlflow_run_runs_nothing_that_was_typed(run_command, project, canary, options):
    """MLflow hands the command line to a shell, and quotes the values."""
    typed, markup = [form.format(canary) for form in SHELL], "[a](javascript:alert(1))<script>"
    options = [option.format(*typed, markup=markup) for option in options]
    done = run_command("mlflow", "run", "--env-manager", "local", *options, project)
    assert done.returncode == 1
    assert "\nerror: " in done.stderr
    assert "Traceback" not in done.stderr
    (run,) = mlflow.search_runs(output_format="list")
    assert run.info.status == "FAILED"
    assert run.data.tags["error"]
    assert is_harmless(run.data.tags[runs.DESCRIPTION], markup)


def is_harmless(note: str, text: str) -> bool:
    """Whether a note shows the text, and nothing of it can act in the page that shows the note."""
    signs = ("<", "](", "![", "]:", "`c`", "**b")
    return one_line(text) in html.unescape(note) and not any(sign in note for sign in signs)


@pytest.mark.parametrize("text", MARKUP)
def test_an_error_in_a_description_is_shown_as_it_stands(text):
    """MLflow's page drops scripts and handlers, but would load a picture and offer a link."""
    with mlflow.start_run() as run:
        pass
    for _ in range(2):  # the script tells it, and then the command line
        runs.record_failure(run.info.run_id, "error", f"data: {text}\x1b[31m")
    tags = mlflow.get_run(run.info.run_id).data.tags
    assert tags["error"] == f"data: {text}\\x1b[31m"
    assert is_harmless(tags[runs.DESCRIPTION], text)
    assert tags[runs.DESCRIPTION].count("data: ") == 1


@pytest.mark.parametrize("text", MARKUP)
def test_a_verdict_shows_a_group_as_it_stands(text):
    """The name of a group of people is a category of the data."""
    n_rows = 40
    y = np.arange(n_rows) % 2
    X = pd.DataFrame({"age": np.full(n_rows, 30.0), "sex": [text] * n_rows, "race": ["a"] * n_rows})
    split = sources.Split(X, y, "test", "", False)
    drop = promote._group_drop(split, np.full(n_rows, 0.1), y * 1.0, 0.02)
    assert text[:60] in drop[1]
    checks = pd.DataFrame([drop], columns=["check", "figure", "bound", "passed"])
    with mlflow.start_run() as run:
        promote.say(run, checks, None, None, 1)
    note = mlflow.get_run(run.info.run_id).data.tags[runs.DESCRIPTION]
    assert is_harmless(note, text[:60])
    assert note.splitlines()[-1].count("|") == 5


@pytest.mark.slow
def test_any_category_is_trained_on_drawn_and_served(run_command, tmp_path):
    """Markup, formulas, control characters, other scripts, a very long one: all are words."""
    words = [
        *MARKUP,
        "$\\frac{$",
        "$x$",
        "=1+1",
        "\x00",
        "a\x00b",
        "\x1b[31m",
        "\u202e",
        "x" * 20_000,
    ]
    words += ["\U0001f600", "{0}", "%s", '"', "\\", "\u2126", "e\u0301"]
    rng, folder = np.random.default_rng(0), tmp_path / "rows"
    folder.mkdir()
    for name in ("train", "test"):
        n_rows = 600
        numbers = {name: rng.integers(1, 90, n_rows).astype(float) for name in census.NUMERIC}
        texts = {name: rng.choice(words, n_rows) for name in census.CATEGORICAL}
        rows = pd.DataFrame(numbers | texts)[[*census.FEATURES]]
        label = np.where(rows["sex"].isin(words[::2]), census.NEGATIVE, census.POSITIVE)
        rows.assign(income=label).to_parquet(folder / f"{name}.parquet")
    done = run_command("python", PROJECT / "train.py", "--data", folder, "--n_estimators", 5)
    assert done.returncode == 0, done.stderr
    (run,) = mlflow.search_runs(output_format="list")
    assert run.info.status == "FINISHED"
    assert run.data.metrics["accuracy"] == 1  # told apart, every one
    note = run.data.tags[runs.DESCRIPTION]
    assert not any(sign in note.replace(census.POSITIVE, "") for sign in ("<", "](", "!["))
    groups = mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/groups.csv")
    assert MARKUP[0] in groups
    model = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
    answers = model.predict(rows)
    assert answers[census.LABEL].tolist() == label.tolist()


@pytest.mark.slow
def test_the_long_form_prints_a_table(tmp_path):
    done = subprocess.run(
        ["python", "-m", "tests.hostile", "--number", "40", "--seed", "3"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    heads, *lines = done.stdout.splitlines()
    assert heads.split()[0] == "kind"
    assert any(line.split()[0] == "all" and line.split()[-1] == "0" for line in lines)
