"""Artifacts are kept where the experiment says, or the run does not start."""

import shutil

import mlflow
import pytest

import check
import compare
import promote
import reproduce
import score
import sweep
import train
from tabular.errors import UserError
from tabular.tracking import artifacts, logged_model, store

SMALL = {"--data": "synthetic:500", "--n_estimators": "2"}


@pytest.fixture
def moved(run_script, tmp_path):
    """A model's run whose experiment has lost the folder of its artifacts: the run's id."""
    done = run_script(train.main, *sum(SMALL.items(), ()))
    assert done.returncode == 0, done.stderr
    shutil.move(tmp_path / "mlruns", tmp_path / "elsewhere")
    (run,) = mlflow.search_runs(output_format="list")
    return run.info.run_id


def test_every_script_says_that_the_folder_of_the_artifacts_is_gone(run_script, tmp_path, moved):
    (tmp_path / "x.csv").write_text("age\n1\n")
    model = {"--model": f"runs:/{moved}/model"}
    for command, options in (
        (train.main, SMALL),
        (sweep.main, SMALL),
        (reproduce.main, {"--run_id": moved}),
        (score.main, model | {"--input": "x.csv", "--output": "y.csv"}),
        (promote.main, model),
        (compare.main, {"--a": moved, "--b": moved}),
    ):
        done = run_script(command, *sum(options.items(), ()))
        assert done.returncode == 2, done.stderr
        line = done.stderr.splitlines()[-1]
        assert f"were in {tmp_path}/mlruns/0" in line
        assert f"{tmp_path}/mlruns is gone; if it was moved, move it back or link it (ln" in line
    assert len(mlflow.search_runs()) == 1
    assert not (tmp_path / "mlruns").exists()


def test_the_check_says_it_and_does_not_make_the_folder_again(run_script, tmp_path):
    mlflow.MlflowClient().create_run("0", tags={logged_model.DIGEST: "of a model"})
    done = run_script(check.main, "--data", "synthetic:500")
    (wrong,) = [line for line in done.stdout.splitlines() if line.startswith("WRONG  experiment")]
    assert f"the artifacts of Default were in {tmp_path}/mlruns/0" in wrong
    assert not (tmp_path / "mlruns").exists()


@pytest.mark.slow
def test_a_link_to_where_the_folder_is_now_is_enough(run_script, tmp_path, moved):
    (tmp_path / "mlruns").symlink_to(tmp_path / "elsewhere")
    done = run_script(reproduce.main, "--run_id", moved)
    assert done.returncode == 0, done.stderr


def test_a_folder_that_no_run_has_needed_yet_is_not_gone():
    mlflow.MlflowClient().create_run("0")
    artifacts.require_usable(store.current_experiment())


def test_a_store_that_was_moved_before_its_first_run_does_not_make_its_old_folder(
    tmp_path, monkeypatch
):
    mlflow.create_experiment("new", f"{tmp_path}/old/mlruns/1")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "new")
    with pytest.raises(UserError, match=f"and {tmp_path}/old is gone; if it was moved"):
        artifacts.require_usable(store.current_experiment())


def test_a_folder_whose_name_mlflow_would_decode_is_refused(monkeypatch, tmp_path):
    folder = tmp_path / "a%20b"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "new")
    with pytest.raises(UserError, match=f"which MLflow reads as {tmp_path}/a b/mlruns/1: rename"):
        artifacts.require_usable(store.current_experiment())


def test_an_encoded_address_of_a_folder_is_used_as_it_is(tmp_path, monkeypatch):
    """As MLflow writes it on Windows, and a user may anywhere."""
    location = (tmp_path / "a%20b c").as_uri()
    mlflow.create_experiment("new", location)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "new")
    artifacts.require_usable(store.current_experiment())
    assert artifacts.local_folder(location) == tmp_path / "a%20b c"


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path, monkeypatch):
    """``os.access`` is replaced, because root may write to any folder."""
    mlflow.create_experiment("new", f"{tmp_path}/kept/mlruns/1")
    (tmp_path / "kept").mkdir()
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "new")
    monkeypatch.setattr(artifacts.os, "access", lambda path, mode: path != tmp_path / "kept")
    with pytest.raises(UserError, match=f"and {tmp_path}/kept cannot be written to: change its"):
        artifacts.require_usable(store.current_experiment())


@pytest.mark.parametrize("location", ["s3://bucket/0", "mlflow-artifacts:/0", "gs://b/a%20b"])
def test_a_location_elsewhere_is_no_folder(location):
    assert artifacts.local_folder(location) is None
