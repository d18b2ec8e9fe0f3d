"""Malformed input gives a documented error or a correct result.

`python -m tests.hostile` tries more of it.
"""

import html
import subprocess
from collections import Counter

import mlflow
import numpy as np
import pandas as pd
import pytest

import score
import sweep
import train
from tabular import promotion, promotion_checks
from tabular.data import census
from tabular.data.census import CENSUS
from tabular.data.dataset import Dataset, Split
from tabular.errors import one_line
from tabular.evaluation import bootstrap
from tabular.tracking import runs
from tests.helpers import PROJECT
from tests.hostile import bodies, files, oracle, parameters

MARKUP = [
    "<script>alert(1)</script>",
    "<img src=http://127.0.0.1/x onerror=alert(1)>",
    "![x](http://127.0.0.1/x.png)",
    "[a](javascript:alert(1))",
    "[a]: http://127.0.0.1 | **b** | `c`",
]


def check(cases) -> Counter:
    """The number of cases by outcome; none may be wrong."""
    found = [*cases]
    assert not [why for _, outcome, why in found if outcome == "WRONG"]
    return Counter(outcome for _, outcome, _ in found)


def test_a_malformed_file_gives_an_error_that_names_it_or_correct_rows(tmp_path):
    counts = check(files.try_many(150, 1, tmp_path))
    assert counts["error"] > 50
    assert counts["correct"] > 10


@pytest.mark.parametrize("form", [".data", ".csv", ".parquet"])
def test_a_well_formed_file_is_read_correctly(tmp_path, form):
    """Otherwise a reader that refuses every file would pass."""
    forms = files.good(tmp_path / "forms")
    (tmp_path / census.TRAIN).write_bytes(forms[".data"])
    path = tmp_path / (census.TEST if form == ".data" else f"test{form}")
    path.write_bytes(forms[form])
    assert oracle.outcome(path, tmp_path) == ("correct", "")


def test_the_oracle_detects_wrong_rows(tmp_path, monkeypatch):
    """Readers that change a value, lose a row or raise an undocumented error."""
    forms = files.good(tmp_path / "forms")
    (tmp_path / census.TEST).write_bytes(forms[".data"])
    path = tmp_path / census.TRAIN
    path.write_bytes(forms[".data"])
    interpret = oracle.columns.interpret

    def older(chunk, schema):
        chunk, X, y = interpret(chunk, schema)
        return chunk, X.assign(age=X["age"] + 1), y

    def shorter(chunk, schema):
        chunk, X, y = interpret(chunk, schema)
        return chunk._replace(rows=chunk.rows[1:], lines=chunk.lines[1:]), X[1:], y[1:]

    def raising(chunk, schema):
        raise KeyError("age")

    for reader in (older, shorter, raising):
        monkeypatch.setattr(oracle.columns, "interpret", reader)
        assert oracle.outcome(path, tmp_path)[0] == "WRONG"


def test_a_malformed_parameter_gives_an_error_that_names_it_or_the_typed_number(tmp_path):
    counts = check(parameters.try_many(200, 2, tmp_path))
    assert counts["error"] > 100
    assert counts["correct"] > 3


def test_a_malformed_request_is_refused_with_a_reason_or_predicted_correctly(tmp_path):
    counts = check(bodies.try_many(150, 1, tmp_path))
    assert counts["error"] > 80
    assert counts["correct"] > 20


@pytest.fixture
def canary(tmp_path):
    """A command that creates a file; no shell may run it."""
    (tmp_path / "work").mkdir()
    yield f"touch {tmp_path}/canary"
    assert not [*tmp_path.rglob("canary*")]


SHELL = ["; {}", "$({})", "`{}`", "' ; {} ; '", '" ; {} ; "', "\n{}\n", "x && {} #", "| {}"]


@pytest.mark.parametrize("script", [train, sweep, score], ids=["train", "sweep", "score"])
def test_a_script_runs_no_command_that_was_typed(run_script, no_store, canary, script):
    typed = "".join(SHELL).replace("{}", canary)
    options = {"data": typed}
    if script is score:
        options = {"model": typed, "input": f"{typed}.csv", "output": "out.csv"}
    options = [f"--{name}={value}" for name, value in options.items()]
    done = run_script(script.main, *options)
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
def test_mlflow_run_runs_no_command_that_was_typed(run_command, project, canary, options):
    """MLflow passes the command line to a shell, and quotes the values."""
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
    """Whether a description shows the text, and no markup in it is rendered."""
    signs = ("<", "](", "![", "]:", "`c`", "**b")
    return one_line(text) in html.unescape(note) and not any(sign in note for sign in signs)


@pytest.mark.parametrize("text", MARKUP)
def test_markup_in_an_error_is_not_rendered_in_the_description(text):
    """MLflow's page removes scripts and handlers, but would load an image and show a link."""
    with mlflow.start_run() as run:
        pass
    for _ in range(2):  # the script records it, and then the command line
        runs.record_failure(run.info.run_id, "error", f"data: {text}\x1b[31m")
    tags = mlflow.get_run(run.info.run_id).data.tags
    assert tags["error"] == f"data: {text}\\x1b[31m"
    assert is_harmless(tags[runs.DESCRIPTION], text)
    assert tags[runs.DESCRIPTION].count("data: ") == 1


@pytest.mark.parametrize("text", MARKUP)
def test_markup_in_the_name_of_a_group_is_not_rendered_in_the_checks(text):
    """The name of a group is a category of the data."""
    n_rows = 40
    y = np.arange(n_rows) % 2
    groups = {"sex": [text] * n_rows, "race": ["a"] * n_rows, "age": np.full(n_rows, 30.0)}
    groups = pd.DataFrame(groups).astype({"sex": "category", "race": "category"})
    split = Split(groups, y, groups, "test", "", False)
    dataset = Dataset(CENSUS, split, split, "directory", "/folder")
    drop = promotion_checks.check_groups(
        dataset, y * 1.0, np.full(n_rows, 0.1), 0.02, bootstrap.AT_HALF
    )
    assert text[:60] in drop[1]
    checks = pd.DataFrame([drop], columns=["check", "figure", "bound", "passed"])
    with mlflow.start_run() as run:
        promotion.log_checks(run, checks, None, None, 1)
    note = mlflow.get_run(run.info.run_id).data.tags[runs.DESCRIPTION]
    assert is_harmless(note, text[:60])
    assert note.splitlines()[-1].count("|") == 5


@pytest.mark.slow
def test_any_text_can_be_a_category(run_command, tmp_path):
    """Training, plots and serving accept markup, formulas, control characters and long texts."""
    categories = [
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
    categories += ["\U0001f600", "{0}", "%s", '"', "\\", "\u2126", "e\u0301"]
    rng, folder = np.random.default_rng(0), tmp_path / "rows"
    folder.mkdir()
    for name in ("train", "test"):
        n_rows = 600
        numbers = {name: rng.integers(1, 90, n_rows).astype(float) for name in CENSUS.numeric}
        texts = {name: rng.choice(categories, n_rows) for name in CENSUS.categorical}
        rows = pd.DataFrame(numbers | texts)[[*CENSUS.features]]
        label = np.where(rows["sex"].isin(categories[::2]), CENSUS.negative, CENSUS.positive)
        rows.assign(income=label).to_parquet(folder / f"{name}.parquet")
    done = run_command("python", PROJECT / "train.py", "--data", folder, "--n_estimators", 5)
    assert done.returncode == 0, done.stderr
    (run,) = mlflow.search_runs(output_format="list")
    assert run.info.status == "FINISHED"
    assert run.data.metrics["accuracy"] == 1  # every category is distinguished
    note = run.data.tags[runs.DESCRIPTION]
    assert not any(sign in note.replace(CENSUS.positive, "") for sign in ("<", "](", "!["))
    groups = mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/groups.csv")
    assert MARKUP[0] in groups
    model = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
    predictions = model.predict(rows)
    assert predictions[CENSUS.label].tolist() == label.tolist()


@pytest.mark.slow
def test_the_command_prints_a_table(tmp_path):
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
