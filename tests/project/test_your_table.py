"""docs/your-table.md is executed: its commands print what it shows, on the table it describes."""

import hashlib
import json
import re
import shlex
import tomllib

import mlflow
import pandas as pd
import pytest
import requests as http

import promote
import reproduce
import score
import sweep
import train
from tabular.data import requests, sources
from tabular.tracking import logged_model
from tests.helpers import PROJECT
from tests.servers import serving
from tests.tables import churn

PAGE = (PROJECT / "docs" / "your-table.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.S | re.M)
TRAIN, NEXT, CURL = (text for kind, text in BLOCKS if kind == "sh")
TRAINED, PROMOTED = (text for kind, text in BLOCKS if kind == "")
(TOML,) = (text for kind, text in BLOCKS if kind == "toml")
REQUEST = shlex.split(CURL)[-1]
ENTRY_POINTS = {
    "main": train, "sweep": sweep, "promote": promote, "score": score, "reproduce": reproduce
}  # fmt: skip


@pytest.fixture
def customers(tmp_path):
    """The file of the page."""
    path = tmp_path / "customers.csv"
    churn().to_csv(path, index=False, lineterminator="\n")
    return path


@pytest.fixture
def run_line(run_script, tmp_path):
    """A function that runs a line of the page in this process and returns what it printed."""

    def run(line, run_id=""):
        line = line.replace("<git URL>", ".").replace("$PWD", str(tmp_path))
        words = shlex.split(line.replace("$RUN", run_id))
        name = words[words.index("-e") + 1] if "-e" in words else "main"
        options = [word for word in words if "=" in word]
        done = run_script(ENTRY_POINTS[name].main, *(f"--{option}" for option in options))
        assert done.returncode == 0, done.stderr
        return done.stdout.replace(str(tmp_path), "/home/ada")

    return run


def numbers_apart(text):
    """A text without ids, and with a mark in place of each decimal fraction; and the fractions."""
    text = re.sub(r"\b[0-9a-f]{32}\b", "ID", text)
    return re.sub(r"[+-]?\d\.\d{4}", "F", text), [*map(float, re.findall(r"[+-]?\d\.\d{4}", text))]


def assert_shown(shown, printed):
    """Another processor may change the last digits of a result."""
    (shown, expected), (printed, found) = numbers_apart(shown), numbers_apart(printed)
    assert shown == printed
    assert found == pytest.approx(expected, abs=0.01)


def test_the_command_prints_what_the_page_shows(run_line, customers):
    assert_shown(TRAINED, run_line(TRAIN))


@pytest.mark.slow
def test_the_next_commands_need_nothing_but_the_run(run_line, customers, tmp_path):
    run_line(TRAIN)
    (trained,) = mlflow.search_runs(output_format="list")
    _, promoting, scoring, reproducing = lines = NEXT.splitlines()
    printed = run_line(promoting, trained.info.run_id)
    assert_shown(PROMOTED, "".join(printed.splitlines(keepends=True)[-3:]))
    run_line(scoring)
    scored = pd.read_csv(tmp_path / "scored.csv")
    assert {*scored["Churn"]} == {"Yes", "No"}
    assert "identical: all " in run_line(reproducing, trained.info.run_id)
    assert "\nbest   depth=" in run_line(lines[0])

    model = mlflow.pyfunc.load_model("models:/customers@champion")
    asked = json.loads(REQUEST)["dataframe_records"]
    assert {*asked[0]} == {*logged_model.full_signature(model.metadata).inputs.input_names()}
    with serving("models:/customers@champion", tmp_path / "serve.log") as address:
        answer = http.post(address, json=json.loads(REQUEST), timeout=30).json()
        head = json.loads(scored.head(50).to_json(orient="split", index=False))
        rows = http.post(address, json={"dataframe_split": head}, timeout=30).json()
    assert answer["predictions"][0]["Churn"] == "Yes"
    assert [row["probability"] for row in rows["predictions"]] == [*scored["probability"].head(50)]


@pytest.mark.slow
def test_the_command_works_from_a_git_url(run_command, git_url, customers):
    words = shlex.split(TRAIN.replace("<git URL>", git_url).replace("$PWD", str(customers.parent)))
    done = run_command(*words, "--env-manager", "local", "-v", "main", timeout=300)
    assert done.returncode == 0, done.stderr
    (run,) = mlflow.search_runs(output_format="list")
    assert run.data.tags["data.source"] == str(customers)
    assert run.data.metrics["accuracy"] == pytest.approx(0.765, abs=0.01)


def test_the_file_of_the_page_has_every_key_and_fixes_the_table(customers):
    assert {*tomllib.loads(TOML)} == {*requests.PARSERS}
    digest = hashlib.sha256(customers.read_bytes()).hexdigest()
    (customers.parent / "table.toml").write_text(re.sub(r"[0-9a-f]{64}", digest, TOML))
    rows = churn().rename(columns={"tenure": "months"}).replace({"Churn": {"Yes": "Y"}})
    other = customers.with_name("other.csv")
    rows.assign(Churn=rows["Churn"].where(rows.index != 5)).to_csv(other, index=False)
    tables = [sources.load(str(path)).table for path in (customers, other)]
    for table in tables:
        assert table.name == "telephone"
        assert table.columns == {
            "senior": "categorical", "tenure": "numeric", "contract": "categorical",
            "monthly charges": "numeric", "total charges": "numeric",
        }  # fmt: skip
        assert (table.negative, table.positive) == ("No", "Yes")
        assert table.bands == {"tenure": (12, 36)}
        assert table.floors == {"roc_auc": 0.75, "log_loss": 0.6}


def test_the_parameters_of_the_page_are_those_of_the_table():
    names = re.search(r"^The parameters (.*)$", PAGE, re.M)[1]
    assert {*re.findall(r"`(\w+)`", names)} == {"label", "positive", "groups", "drop"}
