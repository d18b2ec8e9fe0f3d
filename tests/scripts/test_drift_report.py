"""The drift of scored rows, as the command says and records it."""

import mlflow
import pandas as pd
import pytest

import score
from tabular import drift_report, scoring, training
from tabular.data import sources
from tabular.data.requests import TableRequest
from tabular.evaluation import drift
from tabular.tracking import logged_model, runs
from tests import tables
from tests.scripts.test_score_any_table import CONFIG, log

UNCHANGED = "drift  none in 6 columns and the predictions, "


@pytest.fixture(scope="module")
def churn(tmp_path_factory, empty_store):
    """The store of two models of the customers, without and with a profile, and their addresses."""
    folder = tmp_path_factory.mktemp("drift")
    store = f"sqlite:///{folder}/mlflow.db"
    mlflow.set_tracking_uri(store)
    old = log(tables.churn(3000), folder, label="Churn")
    dataset = sources.load(str(folder / "table.parquet"), TableRequest(label="Churn"))
    fitted = training.fit(CONFIG, dataset, seed=0, device="cpu")
    with runs.start_run("a run") as run:
        runs.log_setup(run, {}, dataset, "cpu")
        new = run.info.run_id
        training.evaluate_and_log(run, fitted, dataset)
    mlflow.set_tracking_uri(None)
    return store, old, f"runs:/{new}/model"


@pytest.fixture
def models(churn, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", churn[0])
    mlflow.set_tracking_uri(churn[0])
    yield churn[1:]
    mlflow.set_tracking_uri(None)


@pytest.fixture
def rows():
    """Customers whom the model has not seen, in an order of their own."""
    return tables.churn(6000)[3000:].sample(frac=1, random_state=0)


def newest():
    return mlflow.search_runs(order_by=["start_time DESC"], output_format="list")[0]


def paths(run):
    client = mlflow.MlflowClient()
    return {
        a.path for place in (None, "plots") for a in client.list_artifacts(run.info.run_id, place)
    }


def test_rows_like_those_of_the_training_have_none(models, rows, run_script):
    rows.to_csv("in.csv", index=False)
    done = run_script(score.main, "--model", models[1], "--input", "in.csv", "--output", "out.csv")
    assert done.returncode == 0, done.stderr
    assert f"{UNCHANGED}3,000 rows\nwrote " in done.stdout
    run = newest()
    assert paths(run) == {"drift.csv"}
    assert run.data.tags["score.drift"] == "none"
    found = {name: value for name, value in run.data.metrics.items() if name.startswith("drift")}
    assert {*found} == {
        "drift_columns", "drift_max_psi", "drift_prediction_psi", "drift_mean_probability",
        "drift_selection_rate",
    }  # fmt: skip
    assert found["drift_columns"] == 0
    assert found["drift_max_psi"] < drift.MODERATE
    assert abs(found["drift_mean_probability"]) < 0.05


def test_a_changed_column_is_named_and_drawn(models, rows, run_script):
    rows.assign(tenure=rows["tenure"] + 20).to_parquet("in.parquet")
    options = ["--input", "in.parquet", "--output", "out.parquet"]
    done = run_script(score.main, "--model", models[1], *options)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("drift")]
    assert "of 6 columns" in line
    assert "tenure (PSI " in line
    run = newest()
    assert paths(run) == {"drift.csv", "plots", "plots/drift.png"}
    assert "tenure" in run.data.tags["score.drift"].split(", ")
    table = pd.read_csv(mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/drift.csv"))
    assert {*table["column"]} == {
        "senior", "tenure", "contract", "monthly charges", "total charges", "Zahlungsart",
        "probability",
    }  # fmt: skip


def test_a_model_without_a_profile_scores_and_says_so(models, rows, capsys):
    rows.to_csv("in.csv", index=False)
    scoring.score(models[0], "in.csv", "out.csv", 0.5, {})
    assert "drift  unknown: the model has no profile" in capsys.readouterr().out
    assert not paths(newest())


def test_drift_can_be_switched_off(models, rows, capsys):
    rows.to_csv("in.csv", index=False)
    scoring.score(models[1], "in.csv", "out.csv", 0.5, {}, drift=False)
    assert "\ndrift" not in capsys.readouterr().out
    assert not paths(newest())


def test_the_profile_is_of_the_training_rows_and_of_the_predictions_for_test_rows(models, tmp_path):
    path = mlflow.artifacts.download_artifacts(f"{models[1]}/artifacts/{logged_model.PROFILE}")
    profile = drift.Profile.from_json(path)
    *features, predictions = profile.columns
    assert {sum(column.counts) for column in features} == {2400}
    assert sum(predictions.counts) == 600


def test_drift_is_not_checked_where_no_row_is_scored():
    assert drift_report._summarize(pd.DataFrame(), 9, 0) == "not checked: no row was scored"
