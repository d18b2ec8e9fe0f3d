"""A run ends with a status that is true, and keeps the name that its user chose."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from tabular import cancel
from tabular.errors import WorkFailed
from tabular.tracking import process, runs
from tests.helpers import PROJECT, the_run


@pytest.fixture
def sigterm(monkeypatch):
    """A function that does what the arrival of SIGTERM does."""
    return lambda: monkeypatch.setattr(cancel, "_received", signal.SIGTERM)


@pytest.fixture
def run_of_mlflow(monkeypatch):
    """Create the run that `mlflow run` creates before it starts a script; returns its id."""

    def create(name, **tags):
        run_id = mlflow.MlflowClient().create_run("0", run_name=name, tags=tags).info.run_id
        monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
        return run_id

    return create


def test_a_run_ends_as_finished_after_its_work():
    with runs.start_run("a run"):
        assert the_run().info.status == "RUNNING"
    assert the_run().info.status == "FINISHED"
    assert the_run().info.run_name == "a run"


@pytest.mark.parametrize("gone", ["deleted", "deleted for good"])
@pytest.mark.parametrize("which", ["run", "child"])
def test_a_run_that_is_deleted_while_it_runs_is_reported_in_one_line(capsys, gone, which):
    client = mlflow.MlflowClient()
    child = client.create_run("0").info.run_id
    with (
        pytest.raises(WorkFailed, match=" was deleted while it ran; mlflow runs restore"),
        runs.start_run("a run") as run,
    ):
        run_id = run.info.run_id if which == "run" else child
        client.delete_run(run_id)
        if gone == "deleted for good":  # by `mlflow gc`
            client._tracking_client.store._hard_delete_run(run_id)
        client.log_metric(run_id, "loss", 0.5)
    assert capsys.readouterr().err == ""
    assert mlflow.active_run() is None


def test_metrics_of_a_run_do_not_go_to_a_model_that_the_environment_names():
    """MLFLOW_ACTIVE_MODEL_ID of a shell, or ``mlflow.set_active_model`` in a notebook."""
    other = mlflow.create_external_model("another").model_id
    mlflow.set_active_model(model_id=other)
    with runs.start_run("a run") as run:
        runs.log_metrics(run, {"rows_scored": 1.0})
    assert the_run().data.metrics == {"rows_scored": 1.0}
    assert mlflow.get_logged_model(other).metrics is None


@pytest.mark.parametrize(("error", "line"), [
    (WorkFailed("the scheduler is gone"), "the scheduler is gone"),
    (ValueError("not\na number"), "ValueError: not a number"),
])  # fmt: skip
def test_a_run_ends_as_failed_with_the_reason_after_an_error(error, line):
    with pytest.raises(type(error)), runs.start_run("a run"):
        raise error
    run = the_run()
    assert run.info.status == "FAILED"
    assert run.data.tags["error"] == line
    assert run.data.tags[runs.DESCRIPTION].startswith(f"**error**: {line}")


def test_a_run_ends_as_killed_after_a_signal(sigterm):
    with pytest.raises(cancel.Cancelled), runs.start_run("a run"):
        sigterm()
    run = the_run()
    assert run.info.status == "KILLED"
    assert run.data.tags["ended_by"] == "SIGTERM"


def test_no_run_starts_after_a_signal(sigterm):
    sigterm()
    with pytest.raises(cancel.Cancelled), runs.start_run("a run"):
        raise AssertionError
    assert mlflow.MlflowClient().search_runs(["0"]) == []


def test_a_run_ends_as_killed_although_a_second_signal_interrupts_the_report(sigterm, monkeypatch):
    def interrupted(*reason):
        raise cancel.Cancelled

    monkeypatch.setattr(runs, "record_failure", interrupted)
    with pytest.raises(cancel.Cancelled), runs.start_run("a run"):
        sigterm()
    assert the_run().info.status == "KILLED"


def test_the_reason_is_written_although_the_store_fails_once(monkeypatch, capsys):
    log_batch, failures = mlflow.MlflowClient.log_batch, iter([OSError("busy")])

    def fail_once(*args, **kwargs):
        for failure in failures:
            raise failure
        log_batch(*args, **kwargs)

    with pytest.raises(WorkFailed), runs.start_run("a run"):
        monkeypatch.setattr(mlflow.MlflowClient, "log_batch", fail_once)
        raise WorkFailed("too few rows")
    assert the_run().data.tags["error"] == "too few rows"
    assert "not written" not in capsys.readouterr().err


def test_the_error_of_the_work_is_raised_although_the_store_fails_too(monkeypatch, capsys):
    def fail(*args, **kwargs):
        raise OSError("the disk is full")

    with (
        monkeypatch.context() as patch,
        pytest.raises(WorkFailed, match="too few rows"),
        runs.start_run("a run"),
    ):
        patch.setattr(mlflow.MlflowClient, "log_batch", fail)
        patch.setattr(mlflow, "end_run", fail)
        raise WorkFailed("too few rows")
    mlflow.end_run()
    printed = capsys.readouterr().err
    assert "not written on the run: OSError: the disk is full" in printed
    assert "not ended: OSError: the disk is full" in printed


def test_a_signal_ends_a_run_soon_although_the_server_has_fallen_silent(
    silent, sigterm, monkeypatch, capsys
):
    with pytest.raises(cancel.Cancelled), runs.start_run("a run"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", silent)
        sigterm()
        start = time.perf_counter()
    assert time.perf_counter() - start < 10 - cancel.GRACE_SECONDS
    assert "not ended" in capsys.readouterr().err


def test_a_signal_ends_a_script_that_waits_for_a_silent_server():
    """As under `mlflow run`, where the script also tries to write the reason on its run."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        uri = f"http://127.0.0.1:{listener.getsockname()[1]}"
        script = subprocess.Popen(
            [sys.executable, PROJECT / "train.py", "--data", "synthetic:500"],
            env=os.environ | {"MLFLOW_TRACKING_URI": uri, "MLFLOW_RUN_ID": "0" * 32},
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        listener.settimeout(60)
        connection, _ = listener.accept()
        start = time.perf_counter()
        script.send_signal(signal.SIGTERM)
        _, errors = script.communicate(timeout=60)
        connection.close()
    assert time.perf_counter() - start < 15  # on a busy machine; it takes 8 seconds at most
    assert script.returncode == 128 + signal.SIGTERM
    assert errors.startswith("ended by: SIGTERM\n")
    assert "Traceback" not in errors


def test_a_name_that_mlflow_generated_is_replaced(run_of_mlflow):
    run_of_mlflow(None)
    assert runs.GENERATED_NAME.fullmatch(the_run().info.run_name)
    with runs.start_run("depth 3"):
        pass
    assert the_run().info.run_name == "depth 3"


@pytest.mark.parametrize(("name", "command"), [
    ("mine", "mlflow run ."),
    ("my run 1", "mlflow run . --run-name my run 1"),
    ("my-run-1", "mlflow run . --run-name my-run-1"),  # looks as if MLflow had generated it
    ("my-run-1", "mlflow run . --run-name=my-run-1"),
])  # fmt: skip
def test_a_name_that_the_user_chose_stays(run_of_mlflow, monkeypatch, name, command):
    monkeypatch.setattr(process, "ancestor_commands", lambda: ["bash", command])
    run_of_mlflow(name)
    with runs.start_run("depth 3"):
        pass
    assert the_run().info.run_name == name


def test_the_password_in_a_git_address_is_removed_from_the_tags(run_of_mlflow):
    run_of_mlflow("mine", **{"mlflow.source.name": "https://ada:secret@host/a.git", "note": "a@b"})
    with runs.start_run("depth 3") as run:
        assert run.data.tags["mlflow.source.name"] == "https://host/a.git"
    tags = the_run().data.tags
    assert tags["mlflow.source.name"] == "https://host/a.git"
    assert tags["note"] == "a@b"


def test_a_table_is_written_with_the_same_bytes_on_every_system(monkeypatch):
    monkeypatch.setattr(os, "linesep", "\r\n")
    with runs.start_run("tables") as run:
        runs.log_artifacts(run, {}, {"table.csv": pd.DataFrame({"é": [0.1, None]})})
    path = mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/table.csv")
    assert Path(path).read_bytes() == 'é\n0.1\n""\n'.encode()


def test_a_run_that_cannot_be_ended_as_finished_does_not_stay_running(monkeypatch):
    """MLflow takes a run from its stack, and prints its address, before it ends the run."""
    original = mlflow.MlflowClient.set_terminated

    def fail_once(client, *arguments):
        monkeypatch.setattr(mlflow.MlflowClient, "set_terminated", original)
        raise UnicodeEncodeError("ascii", "x", 0, 1, "an error of a print")

    monkeypatch.setattr(mlflow.MlflowClient, "set_terminated", fail_once)
    with pytest.raises(UnicodeEncodeError), runs.start_run("printed"):
        pass
    assert the_run().info.status == "FAILED"
    assert the_run().data.tags["error"].startswith("UnicodeEncodeError: ")
