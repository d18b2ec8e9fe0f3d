"""The scripts on tables that are not the census: a file and a label are all that they need."""

import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

import check
import promote
import reproduce
import score
import sweep
import train
from tabular.data.table import Table
from tabular.tracking import logged_model
from tests.tables import awkward_names, churn

FEATURES = {
    "senior": "categorical",
    "tenure": "numeric",
    "contract": "categorical",
    "monthly charges": "numeric",
    "total charges": "numeric",
    "Zahlungsart": "categorical",
}
SMALL = ["--n_estimators", "10", "--max_depth", "2"]


@pytest.fixture
def churn_file(tmp_path):
    churn(1000).to_csv(tmp_path / "churn.csv", index=False)
    return tmp_path / "churn.csv"


@pytest.fixture
def run_well(run_script):
    """A function that runs a script, which must succeed, and returns its newest run and output."""

    def run(command, *arguments):
        done = run_script(command, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        found = mlflow.search_runs(output_format="list", max_results=20)
        parents = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
        return parents[0], done.stdout

    return run


def recorded(run):
    return Table.from_json(mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/table.json"))


def metrics(run):
    """The metrics of a run that do not depend on the machine."""
    noisy = ("fit_seconds", "peak_memory_mb", "search_seconds")
    return {name: value for name, value in run.data.metrics.items() if name not in noisy}


def test_training_prints_and_records_what_the_table_was_found_to_be(run_well, churn_file):
    run, printed = run_well(train.main, "--data", churn_file, "--label", "Churn", *SMALL)
    assert f"data   800 training and 200 test rows, from {churn_file}" in printed
    assert "label  Churn: Yes is positive, " in printed
    assert "table  churn: 3 numeric and 3 categorical features, no groups\n" in printed
    assert "left out, dates: signed up\n" in printed
    assert "left out, one value: country\n" in printed
    assert "left out, nearly unique text (800 distinct values in 800 rows): customerID" in printed
    table = recorded(run)
    assert table.columns == FEATURES
    assert [*table.left_out] == ["signed up", "customerID", "country"]
    assert (table.name, table.label, table.negative, table.positive) == (
        "churn", "Churn", "No", "Yes",
    )  # fmt: skip
    assert run.data.metrics["roc_auc"] > 0.6
    assert not [name for name in run.data.metrics if "parity" in name]
    info = mlflow.models.get_model_info(f"runs:/{run.info.run_id}/model")
    assert {c.name: c.type.name for c in logged_model.full_signature(info).inputs} == {
        name: "double" if kind == "numeric" else "string" for name, kind in FEATURES.items()
    }
    assert [c.name for c in info.signature.outputs] == ["Churn", "probability"]
    folder = mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/model")
    text = (Path(folder) / "artifacts" / "table.json").read_text(encoding="utf-8")
    assert Table.from_json(text) == table


def test_the_test_rows_of_one_file_are_the_same_for_every_seed_and_choice(run_well, churn_file):
    file = ["--data", churn_file, "--label", "Churn", *SMALL]
    (churn_file.parent / "table.toml").write_text('[columns]\ntenure = "categorical"\n')
    first, _ = run_well(train.main, *file)
    (churn_file.parent / "table.toml").unlink()
    second, _ = run_well(train.main, *file, "--seed", 7, "--drop", "contract,tenure")
    assert recorded(first).columns["tenure"] == "categorical"
    assert {"contract", "tenure"} <= {*recorded(second).left_out}
    assert first.data.tags["data.digest"] == second.data.tags["data.digest"]
    assert first.data.tags["data.table"] != second.data.tags["data.table"]


def test_metrics_are_broken_down_by_groups_that_need_not_be_features(run_well, churn_file):
    arguments = ["--groups", "senior, tenure", "--drop", "senior", *SMALL]
    run, printed = run_well(train.main, "--data", churn_file, "--label", "Churn", *arguments)
    assert "by group of senior, tenure" in printed
    assert "left out, named in drop: senior" in printed
    table = recorded(run)
    assert "senior" not in table.columns
    assert table.non_features == {"senior": "categorical"}
    assert "group/demographic_parity_difference_senior" in run.data.metrics
    text = mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/groups.csv")
    groups = pd.read_csv(pd.io.common.StringIO(text))
    assert groups["feature"].value_counts().to_dict() == {"senior": 2, "tenure": 4}
    assert groups.groupby("feature")["rows"].sum().tolist() == [200, 200]


def test_every_script_reads_the_table_from_the_run(run_well, churn_file, tmp_path):
    """No parameter of the table is given again after training."""
    table = ["--data", churn_file, "--label", "Churn", "--groups", "contract"]
    grid = ["--max_depth", "2,3", "--learning_rate", "0.3", "--n_estimators", "10,20"]
    swept, _ = run_well(sweep.main, *table, *grid)
    again, printed = run_well(sweep.main, *table, *grid)
    assert "4 results are known from earlier sweeps" in printed
    assert metrics(again) == metrics(swept)
    model = f"runs:/{swept.info.run_id}/model"
    promoted, printed = run_well(promote.main, "--model", model)
    assert promoted.data.tags["verdict"] == "passed"
    assert "passed baseline: log_loss +" in printed
    assert "version 1 of churn is champion" in printed
    _, printed = run_well(reproduce.main, "--run_id", swept.info.run_id)
    assert "identical: all" in printed
    child = swept.data.tags["sweep.best_run_id"]
    _, printed = run_well(reproduce.main, "--run_id", child)
    assert "identical: all" in printed
    output = tmp_path / "scored.tsv.gz"
    scored, printed = run_well(
        score.main, "--model", "models:/churn@champion", "--input", churn_file, "--output", output
    )
    assert "are Yes at threshold 0.5" in printed
    found = pd.read_csv(output, sep="\t")
    assert [*found][-3:] == ["true_Churn", "Churn", "probability"]
    assert found["true_Churn"].tolist() == churn(1000)["Churn"].tolist()


def test_another_choice_of_columns_is_not_taken_from_an_earlier_sweep(run_well, churn_file):
    table = ["--data", churn_file, "--label", "Churn"]
    grid = ["--max_depth", "2", "--learning_rate", "0.3", "--n_estimators", "10"]
    run_well(sweep.main, *table, *grid)
    _, printed = run_well(sweep.main, *table, *grid, "--drop", "tenure")
    assert "known from earlier sweeps" not in printed


def test_a_model_no_better_than_a_constant_is_not_promoted(run_script, run_well, tmp_path):
    rng = np.random.default_rng(0)
    noise = pd.DataFrame({"a": rng.normal(size=600), "b": rng.normal(size=600)})
    noise.assign(y=rng.integers(0, 2, 600)).to_csv(tmp_path / "noise.csv", index=False)
    run, _ = run_well(train.main, "--data", tmp_path / "noise.csv", "--label", "y")
    done = run_script(promote.main, "--model", f"runs:/{run.info.run_id}/model")
    assert done.returncode == 1
    assert "FAILED baseline: log_loss -" in done.stdout
    assert "refused, nothing is changed: baseline" in done.stderr
    assert not mlflow.search_registered_models()


def test_a_model_of_fewer_columns_is_compared_with_the_champion_on_the_same_rows(
    run_well, churn_file
):
    """The champion needs a column that the candidate does not use; floors are the user's own."""
    table = ["--data", churn_file, "--label", "Churn", "--n_estimators", "20"]
    (churn_file.parent / "table.toml").write_text("[floors]\nroc_auc = 0.5\n")
    full, _ = run_well(train.main, *table)
    run_well(promote.main, "--model", f"runs:/{full.info.run_id}/model")
    fewer, _ = run_well(train.main, *table, "--drop", "Zahlungsart")
    any_figure = ["--min_improvement", "-9"]
    run, printed = run_well(
        promote.main, "--model", f"runs:/{fewer.info.run_id}/model", *any_figure
    )
    assert "passed champion_data: " in printed
    assert "passed improvement: log_loss improves by " in printed
    assert "passed roc_auc: " in printed


def test_names_that_libraries_refuse_or_use_themselves_work_everywhere(run_well, tmp_path):
    path = tmp_path / "awkward.csv"
    frame = awkward_names()
    frame.to_csv(path, index=False)
    columns = frame.columns.drop("target")
    arguments = ["--data", path, "--label", "target", "--groups", "text <>,y_true,$a$", *SMALL]
    run, _ = run_well(train.main, *arguments)
    assert [*recorded(run).columns] == [*columns]
    text = mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/importance.csv")
    importance = pd.read_csv(pd.io.common.StringIO(text), keep_default_na=False)
    assert {*importance["feature"]} == {*columns}
    model = f"runs:/{run.info.run_id}/model"
    run_well(score.main, "--model", model, "--input", path, "--output", tmp_path / "out.parquet")
    found = pd.read_parquet(tmp_path / "out.parquet")
    assert found["probability"].tolist() == frame["probability"].tolist()
    assert [*found][-3:] == ["true_target", "target", "predicted_probability"]
    served = mlflow.pyfunc.load_model(model).predict(frame[columns])
    assert found["predicted_probability"].tolist() == served["probability"].tolist()
    assert found["target"].tolist() == served["target"].tolist()


def test_a_request_over_json_names_columns_of_any_name(run_well, tmp_path):
    path = tmp_path / "awkward.csv"
    awkward_names().to_csv(path, index=False)
    run, _ = run_well(train.main, "--data", path, "--label", "target", *SMALL)
    model = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
    record = json.loads(awkward_names(1).drop(columns="target").to_json(orient="records"))
    assert model.predict(pd.DataFrame(record))["target"].isin(["0", "1"]).all()


@pytest.mark.parametrize(("change", "arguments", "message"), [
    ({}, [], "label: FILE: auto is only for a table that names its label"),
    ({}, ["--label", "churn"], "label: FILE has no column 'churn'; did you mean 'Churn'?"),
    ({}, ["--label", "Churn", "--drop", "x"], "drop: FILE has no column 'x'"),
    ({}, ["--label", "Churn", "--groups", "x"], "groups: FILE has no column 'x'"),
    ({}, ["--label", "Churn", "--drop", "Churn"], "drop: 'Churn' is the label of FILE"),
    ({}, ["--label", "contract"], "label: FILE, column 'contract': expected two labels, got 3: "),
    ({"Churn": "A"}, ["--label", "Churn"], "label: FILE, column 'Churn': expected two labels"),
    ({"senior": "no label"}, ["--label", "senior"], "label: FILE, column 'senior': expected two"),
    ({}, ["--label", "Churn", "--positive", "yes"], "positive: FILE, column 'Churn': expected"),
    ({"tenure": "1,5"}, ["--label", "Churn"], "FILE line 2, column 'tenure': expected numbers"),
])  # fmt: skip
def test_a_mistake_is_one_line_and_no_run(run_script, tmp_path, change, arguments, message):
    path = tmp_path / "churn.csv"
    churn(200).assign(**change).to_csv(path, index=False)
    done = run_script(train.main, "--data", path, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: " + message.replace("FILE", str(path))), done.stderr
    assert done.stderr.count("\n") == 1
    assert not mlflow.search_runs(output_format="list")


def test_rows_without_a_label_are_an_error_or_left_out(run_script, run_well, tmp_path):
    path = tmp_path / "churn.csv"
    frame = churn(500)
    frame["Churn"] = frame["Churn"].where(np.arange(500) % 10 != 3)
    frame.to_csv(path, index=False)
    done = run_script(train.main, "--data", path, "--label", "Churn")
    assert "expected a label in every row, found none in 50 rows, first in line 5" in done.stderr
    (tmp_path / "table.toml").write_text("drop_missing_labels = true")
    _, printed = run_well(train.main, "--data", path, "--label", "Churn", *SMALL)
    assert "data   360 training and 90 test rows" in printed


def test_a_rare_label_is_pointed_out(run_well, tmp_path):
    rng = np.random.default_rng(0)
    rare = pd.DataFrame({"a": rng.normal(size=3000), "y": np.arange(3000) % 200 == 0})
    rare.to_parquet(tmp_path / "rare.parquet")
    _, printed = run_well(train.main, "--data", tmp_path / "rare.parquet", "--label", "y", *SMALL)
    assert "note   only 12 of 2,400 training rows have the rarer label" in printed


def test_check_reads_the_table_as_training_does(run_script, churn_file):
    done = run_script(check.main, "--data", churn_file)
    assert f"WRONG  data: label: {churn_file}: auto is only for" in done.stdout
    done = run_script(check.main, "--data", churn_file, "--label", "Churn")
    assert "ok     data: from" in done.stdout


@pytest.mark.parametrize(("change", "message"), [
    (lambda frame: frame.drop(columns=["tenure", "senior"]), "has no senior, tenure; it has"),
    (lambda frame: frame.assign(tenure=True), "tenure: expected numbers, got bool"),
    (lambda frame: frame.assign(contract=1), "contract: expected text like month-to-month, one"),
])  # fmt: skip
def test_a_file_of_other_columns_is_told_which(run_script, run_well, churn_file, change, message):
    run, _ = run_well(train.main, "--data", churn_file, "--label", "Churn", *SMALL)
    change(churn(50)).to_parquet(churn_file.parent / "in.parquet")
    paths = ["--input", churn_file.parent / "in.parquet", "--output", churn_file.parent / "out.csv"]
    done = run_script(score.main, "--model", f"runs:/{run.info.run_id}/model", *paths)
    assert done.returncode == 2
    assert message in done.stderr
