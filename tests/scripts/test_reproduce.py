"""A past run is reproduced: its results are identical, or the differences are named."""

import os

import mlflow
import numpy as np
import pandas as pd
import pytest

import reproduce
import sweep
import train
from tabular.evaluation import metrics
from tests.helpers import PROJECT, SMALL, TEST_METRICS, children_of, sweeps, the_run

TRAIN = ["python", PROJECT / "train.py"]


def comparison():
    run_id = newest().info.run_id
    path = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="comparison.csv")
    return pd.read_csv(path)


def newest():
    return mlflow.search_runs(max_results=1, output_format="list")[0]


@pytest.mark.parametrize(
    "threads", ["4", *(pytest.param(n, marks=pytest.mark.slow) for n in ("1", "2"))]
)
def test_a_run_is_identical_whatever_the_threads_it_was_made_with(
    run_command, run_script, synthetic_folder, monkeypatch, threads
):
    """Sampled rows and early stopping included; made with so many threads, repeated with all."""
    options = ["--n_estimators", 80, "--early_stopping_rounds", 5, "--subsample", 0.7]
    environment = os.environ | {"OMP_NUM_THREADS": threads, "OMP_THREAD_LIMIT": threads}
    made = run_command(*TRAIN, "--data", synthetic_folder, *options, env=environment)
    assert made.returncode == 0, made.stderr
    past = the_run()
    done = run_script(reproduce.main, "--run_id", past.info.run_id)
    assert done.returncode == 0, done.stderr
    expected = f"identical: all 40 results of run {past.info.run_id} (model.digest, log_loss, "
    assert done.stdout.splitlines()[-1].startswith(expected)
    compared = comparison()
    assert compared["identical"].all()
    curves = {"train_log_loss", "validation_log_loss", "best_n_estimators"}
    tables = {"importance.csv", "groups.csv", "calibration.csv"}
    assert {*compared["result"]} == TEST_METRICS | curves | tables | {"model.digest"}
    assert newest().data.tags["identical"] == "true"
    assert newest().data.tags["reproduces"] == past.info.run_id


@pytest.mark.slow
def test_a_sweep_and_its_children_are_identical(run_script, synthetic_folder):
    """The winner as a run of its own, a child by its validation metrics and its curve."""
    options = ["--data", synthetic_folder, "--seed", 5, "--subsample", 0.6, "--folds", 3]
    assert run_script(sweep.main, *SMALL, *options, "--workers", 2).returncode == 0
    (parent,) = sweeps()
    done = run_script(reproduce.main, "--run_id", parent.info.run_id)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("identical: all 38 results of run ")
    assert len(comparison()) == 38
    child = children_of(parent)[0]
    done = run_script(reproduce.main, "--run_id", child.info.run_id)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("identical: all 6 results of run ")
    assert len(comparison()) == 6


@pytest.mark.parametrize(("changed", "reason"), [
    pytest.param("rows", "likely because data.digest was ", marks=pytest.mark.slow),
    ("version", "likely because version.xgboost was 3.1.0, is 3.2.0"),
    pytest.param("device", "likely because device was cuda, is cpu", marks=pytest.mark.slow),
])  # fmt: skip
def test_what_differs_is_named_with_its_likely_reason(
    run_script, synthetic_folder, tmp_path, changed, reason
):
    """Rows that changed since; or a record of another version or device, and another model."""
    text = (synthetic_folder / "adult.data").read_text()
    (tmp_path / "adult.data").write_text(text)
    (tmp_path / "adult.test").write_text((synthetic_folder / "adult.test").read_text())
    made = run_script(train.main, "--data", tmp_path, "--n_estimators", 5)
    assert made.returncode == 0, made.stderr
    past, client = the_run(), mlflow.MlflowClient()
    if changed == "rows":
        kept = text.splitlines(keepends=True)
        (tmp_path / "adult.data").write_text("".join(kept[:1] + kept[500:]))
    else:
        client.set_tag(past.info.run_id, "model.digest", "of another model")
        tag = {"version": ("version.xgboost", "3.1.0"), "device": ("device", "cuda")}[changed]
        client.set_tag(past.info.run_id, *tag)
    done = run_script(reproduce.main, "--run_id", past.info.run_id)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "differs model.digest: " in done.stdout
    assert done.stderr.rstrip().splitlines()[-1].startswith("error: ")
    assert reason in done.stderr.rstrip().splitlines()[-1]
    assert ("differs log_loss" in done.stdout) == (changed == "rows")
    assert ("; this is on the CPU" in done.stderr) == (changed == "device")
    assert newest().info.status == "FAILED"
    assert newest().data.tags["identical"] == "false"
    assert reason in newest().data.tags["error"]


@pytest.mark.slow
def test_what_is_no_finished_run_of_ours_is_refused(run_script, tmp_path):
    other = mlflow.MlflowClient().create_run("0").info.run_id
    for run_id in (other, "0" * 32, "../../etc", ""):
        done = run_script(reproduce.main, "--run_id", run_id)
        assert done.returncode == 2
        assert done.stderr.startswith("error: run_id: expected a FINISHED run of train.py or swee")
        assert done.stderr.count("\n") == 1
    assert len(mlflow.search_runs(output_format="list")) == 1


def test_what_is_undefined_is_not_logged_and_a_past_run_that_logged_it_is_identical(
    run_script, synthetic_folder
):
    """A model that predicts no positive row: its precision has no interval."""
    options = ["--data", synthetic_folder, "--n_estimators", 1, "--learning_rate", 0.01]
    done = run_script(train.main, *options)
    assert done.returncode == 0
    assert "Warning" not in done.stderr
    past, client = the_run(), mlflow.MlflowClient()
    assert not {"interval/precision_low", "interval/precision_high"} & {*past.data.metrics}
    assert not any(np.isnan(value) for value in past.data.metrics.values())
    reason = "no test row has a predicted probability of 0.5 or more"
    assert f"note   {reason}" in done.stdout
    assert reason in past.data.tags["mlflow.note.content"]
    client.log_metric(past.info.run_id, "precision_low", np.nan)  # as earlier versions did
    done = run_script(reproduce.main, "--run_id", past.info.run_id)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "did not record" not in done.stdout


def test_a_result_that_the_past_run_did_not_record_is_named_and_not_compared(
    run_script, synthetic_folder, monkeypatch
):
    """As for the run of an older version, which had fewer metrics."""
    assert run_script(train.main, "--data", synthetic_folder, "--n_estimators", 3).returncode == 0
    past, original = the_run(), metrics.classification_metrics

    def with_new_metric(y_true, probability, *args):
        return original(y_true, probability, *args) | {"new_metric": 0.5}

    monkeypatch.setattr(metrics, "classification_metrics", with_new_metric)
    done = run_script(reproduce.main, "--run_id", past.info.run_id)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"note   run {past.info.run_id} did not record new_metric" in done.stdout


def test_a_run_without_its_model_digest_is_not_called_identical(run_script, synthetic_folder):
    assert run_script(train.main, "--data", synthetic_folder, "--n_estimators", 3).returncode == 0
    past = the_run()
    mlflow.MlflowClient().delete_tag(past.info.run_id, "model.digest")
    done = run_script(reproduce.main, "--run_id", past.info.run_id)
    assert done.returncode == 1
    assert "did not record model.digest: there is nothing to compare" in done.stderr


def test_a_run_that_trained_nothing_is_refused(run_script, synthetic_folder):
    assert run_script(train.main, "--data", synthetic_folder, "--n_estimators", 3).returncode == 0
    assert run_script(reproduce.main, "--run_id", the_run().info.run_id).returncode == 0
    done = run_script(reproduce.main, "--run_id", newest().info.run_id)
    assert done.returncode == 2
    assert done.stderr.startswith("error: run_id: expected a FINISHED run of train.py or sweep.py")


def test_a_chosen_threshold_is_identical(run_script, synthetic_folder):
    """As MLflow records it, too: in quotes."""
    options = ["--data", synthetic_folder, "--n_estimators", 10, "--threshold", "'recall>=0.8'"]
    assert run_script(train.main, *options).returncode == 0
    past = the_run()
    assert past.data.params["threshold"] == "'recall>=0.8'"
    done = run_script(reproduce.main, "--run_id", past.info.run_id)
    assert done.returncode == 0, done.stdout + done.stderr
    compared = comparison()
    assert compared["identical"].all()
    assert {"threshold", "threshold.csv"} <= {*compared["result"]}


def test_the_threshold_of_a_sweep_is_chosen_on_all_folds_and_identical(
    run_script, synthetic_folder
):
    options = ["--data", synthetic_folder, "--folds", 3, "--threshold", "f1"]
    done = run_script(sweep.main, *SMALL, *options)
    assert "chosen by f1 on 4,000 validation rows; on test rows" in done.stdout
    (parent,) = sweeps()
    assert parent.data.metrics["threshold"] != 0.5
    assert not any("threshold" in child.data.metrics for child in children_of(parent))
    done = run_script(reproduce.main, "--run_id", parent.info.run_id)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "did not record" not in done.stdout
    assert comparison()["identical"].all()
    done = run_script(sweep.main, *SMALL, *options)  # all results are known: the best is refitted
    assert sweeps()[0].data.metrics["threshold"] == parent.data.metrics["threshold"]


def test_a_parameter_that_a_notebook_left_open_has_its_default(run_script, synthetic_folder):
    """`mlflow.projects.run` records Python's None as a text."""
    options = ["--data", synthetic_folder, "--n_estimators", 5]
    options += ["--threshold", "None", "--monotone_constraints", "None"]
    assert run_script(train.main, *options).returncode == 0
    done = run_script(reproduce.main, "--run_id", the_run().info.run_id)
    assert done.returncode == 0, done.stdout + done.stderr
