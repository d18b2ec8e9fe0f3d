"""docs/your-table.md is executed: the project works on the table that it describes."""

import json
import re
import shutil

import mlflow
import numpy as np
import pandas as pd
import pytest
import requests

from tests.helpers import PROJECT
from tests.servers import serving

PAGE = (PROJECT / "docs" / "your-table.md").read_text()
(TABLE,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
(REQUEST,) = re.findall(r"```json\n(.*?)```", PAGE, re.S)
RENAME, FIT, START, WORK = re.findall(r"```sh\n(.*?)```", PAGE, re.S)


def customers(n_rows, seed):
    """Invented customers: young ones, poor ones and those of the south leave more often."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({
        "age": rng.integers(18, 90, n_rows),
        "region": rng.choice(["north", "south", "east", None], n_rows, p=[0.4, 0.3, 0.25, 0.05]),
        "balance": rng.integers(0, 20_000, n_rows),
        "segment": rng.choice(["private", "business", "student"], n_rows),
        "visits": rng.poisson(3, n_rows),
    })  # fmt: skip
    margin = 3.0 - frame["age"] / 12 - frame["balance"] / 8000 + 3 * (frame["region"] == "south")
    frame["left"] = np.where(rng.random(n_rows) < 1 / (1 + np.exp(-2 * margin)), "yes", "no")
    return frame


@pytest.fixture
def bank(project, tmp_path):
    """A copy of the project with the page's table instead of the census."""
    copy = tmp_path / "bank-project"
    shutil.copytree(project, copy)
    (copy / "tabular" / "data" / "census.py").write_text(TABLE)
    return copy


@pytest.fixture
def folder(tmp_path):
    """The data files in the folder that the page names."""
    made = tmp_path / "home" / "bank"
    made.mkdir()
    for name, n_rows, seed in (("train", 3000, 0), ("test", 1500, 1)):
        customers(n_rows, seed).to_csv(made / f"{name}.csv", index=False)
    return made


@pytest.fixture
def shell(run_command, bank, monkeypatch):
    """A function that runs shell commands in the changed project."""

    def run(lines, run_id="", expected=0):
        monkeypatch.setenv("RUN", run_id)
        done = run_command("bash", "-ec", lines, cwd=bank, timeout=600)
        assert done.returncode == expected, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


def newest():
    """The run that started last."""
    return mlflow.search_runs(max_results=1, output_format="list")[0]


@pytest.mark.slow
def test_the_whole_project_works_on_the_table_of_the_page(shell, folder, tmp_path):
    shell(RENAME)
    shell(START)
    run = newest()
    assert run.data.tags["data.origin"] == "directory"
    assert "whether left is yes" in run.data.tags["mlflow.note.content"]
    assert {f"demographic_parity_difference_{g}" for g in ("region", "age", "region_age")} < set(
        run.data.metrics
    )
    assert 0.75 < run.data.metrics["accuracy"] < 0.95
    (training, _) = sorted(run.inputs.dataset_inputs, key=lambda i: i.tags[0].value, reverse=True)
    assert training.dataset.name == "bank-customers"

    done = shell(WORK, run.info.run_id)
    assert "promoted: version 1 of bank-customers is champion, the first" in done.stdout
    assert re.search(r"identical: all \d+ results", done.stdout)
    sweep = newest()
    while parent := sweep.data.tags.get("mlflow.parentRunId"):
        sweep = mlflow.get_run(parent)
    assert sweep.info.status == "FINISHED"
    shell(f"python reproduce.py --run_id {sweep.info.run_id}")

    scored = pd.read_csv(folder / "scored.csv")
    assert {*scored["left"]} == {"yes", "no"}
    assert (scored["left"] == scored["true_left"]).mean() == run.data.metrics["accuracy"]
    raw = json.loads(scored.head(200).to_json(orient="split", index=False))
    with serving(f"runs:/{run.info.run_id}/model", tmp_path / "serve.log") as address:
        (prediction,) = requests.post(address, json=json.loads(REQUEST), timeout=30).json()[
            "predictions"
        ]
        assert list(prediction) == ["left", "probability"]
        response = requests.post(address, json={"dataframe_split": raw}, timeout=30)
    got = pd.DataFrame(response.json()["predictions"])
    assert got["probability"].tolist() == scored["probability"].head(200).tolist()

    shell(f"python train.py --data {folder} --n_estimators 1 --learning_rate 0.01")
    weak = f"runs:/{newest().info.run_id}/model"
    done = shell(f"python promote.py --model {weak}", expected=1)
    assert "refused, nothing is changed: " in done.stderr
    assert "log_loss" in done.stderr


@pytest.mark.slow
def test_synthetic_rows_are_refused_until_their_recipe_is_fitted_to_the_table(
    shell, folder, monkeypatch
):
    monkeypatch.delenv("CENSUS_DOWNLOAD")
    for source in ("auto", "synthetic", "synthetic:500"):
        done = shell(f"python train.py --data {source}", expected=2)
        (line,) = done.stderr.splitlines()
        assert line.endswith(
            "data: data/synthetic.npz makes rows of another table than tabular/data/census.py; "
            "name a folder of rows, or fit it to them: python -m data.fit_synthetic"
        )
        if source == "auto":
            assert "bank.data could not be downloaded (no address is known)" in line
    shell(FIT)
    run = newest()
    assert run.info.status == "FINISHED"
    assert run.data.tags["data.origin"] == "synthetic"
    assert 0.75 < run.data.metrics["accuracy"] < 0.95
