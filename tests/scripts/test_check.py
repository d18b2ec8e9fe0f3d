"""check.py reports each check in one line, with the command that fixes a problem."""

import re
import shutil
import sys

import mlflow
import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement

import check
from tabular import checks
from tabular.errors import UserError
from tabular.tracking import artifacts, model_files, orphans, process, registry, runs
from tests.helpers import PROJECT


def test_every_check_prints_ok(run_script, synthetic_folder):
    done = run_script(check.main, "--data", synthetic_folder)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    names = ["versions", "data", "device", "store", "experiment", "artifacts", "runs", "models"]
    assert [line.split(":")[0] for line in lines] == [f"ok     {name}" for name in names]


def test_every_problem_is_printed_with_its_fix(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    options = ["--data", str(tmp_path / "nowhere"), "--device", "cuda"]
    result = CliRunner().invoke(check.main, options)
    assert result.exit_code == 1
    wrong = [line for line in result.stdout.splitlines() if line.startswith("WRONG")]
    assert [line.split(":")[0] for line in wrong] == [
        "WRONG  data",
        "WRONG  device",
        "WRONG  store",
    ]
    assert "expected a folder of adult.data and adult.test" in wrong[0]
    assert wrong[2].endswith(f"export MLFLOW_TRACKING_URI=sqlite:///{tmp_path}/mlflow.db")


def test_another_version_than_the_pinned_one_is_a_problem(monkeypatch):
    monkeypatch.setattr(checks, "_installed", lambda name: {"xgboost": "missing"}.get(name, "0.1"))
    with pytest.raises(
        UserError, match=r"is 0.1, pinned ==.*; ...: uv pip install -r requirements"
    ):
        checks.check_versions()


def test_an_environment_for_a_gpu_is_compared_with_its_own_requirements(monkeypatch):
    """The module xgboost is there, but another package than in requirements.txt installs it."""
    lines = re.findall(r"^\w[^\\\n]*", (PROJECT / "requirements-gpu.txt").read_text(), re.M)
    pins = [line for line in map(Requirement, lines) if not line.marker or line.marker.evaluate()]
    installed = {line.name: str(line.specifier).removeprefix("==") for line in pins}
    monkeypatch.setattr(checks, "_installed", lambda name: installed.get(name, "missing"))
    monkeypatch.setattr(checks.boosting, "has_cuda", lambda: True)
    assert checks.check_versions().endswith("packages as pinned in requirements-gpu.txt")


def test_both_builds_of_xgboost_in_one_environment_are_a_problem(monkeypatch):
    """They install the same files, and removing one breaks the other."""
    monkeypatch.setattr(checks, "version", lambda name: "3.2.0")
    with pytest.raises(
        UserError, match=r"uninstall xgboost xgboost-cpu && uv pip install -r requirements"
    ):
        checks.check_versions()


def test_a_package_that_cannot_be_imported_is_reported_with_its_fix(monkeypatch):
    monkeypatch.setitem(sys.modules, "tabular.checks", None)
    monkeypatch.delattr("tabular.checks")
    result = CliRunner().invoke(check.main)
    assert result.exit_code == 1
    assert "tabular.checks" in result.stderr
    assert result.stderr.endswith(": uv pip install -r requirements.txt\n")


def test_a_run_of_a_script_in_the_run_of_a_notebook_is_ended_too():
    """``mlflow.projects.run`` nests it there; the notebook's own run names no process."""
    client = mlflow.MlflowClient()
    gone = process.identity().rsplit(" ", 2)[0] + " 999999999 1"
    notebook = client.create_run("0").info.run_id
    tags = {orphans.PARENT: notebook}
    dead = client.create_run("0", tags=tags | {runs.PROCESS: gone}).info.run_id
    alive = client.create_run("0", tags=tags | {runs.PROCESS: process.identity()}).info.run_id
    ended = checks.check_runs(fix=True)
    assert ended == "1 ended whose process was gone; 2 read RUNNING and may be alive"
    assert [client.get_run(run).info.status for run in (dead, alive, notebook)] == [
        "KILLED", "RUNNING", "RUNNING",
    ]  # fmt: skip


def test_runs_whose_process_is_gone_are_listed_and_ended():
    client = mlflow.MlflowClient()
    gone = process.identity().rsplit(" ", 2)[0] + " 999999999 1"
    dead = client.create_run("0", tags={runs.PROCESS: gone}).info.run_id
    child = client.create_run("0", tags={orphans.PARENT: dead}).info.run_id
    alive = client.create_run("0", tags={runs.PROCESS: process.identity()}).info.run_id
    with pytest.raises(UserError, match=f"2 read RUNNING though their process is gone .*{dead}"):
        checks.check_runs(fix=False)
    ended = checks.check_runs(fix=True)
    assert ended == "2 ended whose process was gone; 1 read RUNNING and may be alive"
    assert [client.get_run(run).info.status for run in (dead, child, alive)] == [
        "KILLED", "KILLED", "RUNNING",
    ]  # fmt: skip
    assert checks.check_runs(fix=False) == "1 read RUNNING and may be alive"


@pytest.mark.parametrize(("variables", "line"), [
    ({"MLFLOW_TRACKING_URI": "127.0.0.1:5000"}, "WRONG  store: MLFLOW_TRACKING_URI: 127.0.0.1:50"),
    ({"MLFLOW_EXPERIMENT_ID": "77"}, "WRONG  experiment: MLFLOW_EXPERIMENT_ID: 77 is not in"),
    (
        {"MLFLOW_EXPERIMENT_ID": "0", "MLFLOW_EXPERIMENT_NAME": "new"},
        "WRONG  experiment: MLFLOW_EXPERIMENT_NAME: 'new' (not there yet) and MLFLOW_EXPERIMENT_ID",
    ),
    (
        {"MLFLOW_REGISTRY_URI": "localhost:5000"},
        "WRONG  registry: MLFLOW_REGISTRY_URI: localhost:5000 has no http:// before the host: exp",
    ),
])  # fmt: skip
def test_what_would_keep_a_run_from_starting_is_a_problem(
    run_script, monkeypatch, synthetic_folder, variables, line
):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    done = run_script(check.main, "--data", synthetic_folder)
    assert done.returncode == 1
    (wrong,) = [found for found in done.stdout.splitlines() if found.startswith("WRONG")]
    assert wrong.startswith(line)


def test_a_database_that_is_readable_only_is_a_problem(monkeypatch, tmp_path):
    uri = f"sqlite:///file:{tmp_path}/mlflow.db?mode=ro&uri=true"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UserError, match="can be read but not written"):
        checks.check_store()


def test_a_registry_apart_is_named(
    run_script, monkeypatch, synthetic_folder, tmp_path, empty_store
):
    uri = f"sqlite:///{shutil.copy(empty_store, tmp_path / 'registry.db')}"
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", uri)
    done = run_script(check.main, "--data", synthetic_folder)
    assert done.returncode == 0
    assert f"ok     registry: sqlite {uri}" in done.stdout.splitlines()


def register_champion(folder):
    """Register a folder as a logged model and make it the champion of the name people."""
    client = mlflow.MlflowClient()
    model = client.create_logged_model("0", "model")
    client.log_model_artifacts(model.model_id, folder)
    client.create_registered_model("people")
    version = client.create_model_version("people", f"models:/{model.model_id}")
    client.set_registered_model_alias("people", registry.CHAMPION, version.version)
    return mlflow.get_logged_model(model.model_id)


def test_a_changed_file_of_a_champion_is_a_problem_that_names_it(tmp_path):
    assert checks.check_models() == "no model is champion"
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "MLmodel").write_text("as it was logged")
    model = register_champion(tmp_path / "model")
    assert checks.check_models().endswith("; 1 older than the record of files")
    model_files.record(model.model_id, model_files.list_digests(tmp_path / "model"))
    assert checks.check_models() == "1 in use, whose files are as they were logged"
    with artifacts.open_folder(model.artifact_location) as folder:
        (folder / "MLmodel").write_text("changed since")
        with pytest.raises(UserError, match="^models:/people/1: MLmodel differs: put back"):
            checks.check_models()
        shutil.rmtree(folder)
        with pytest.raises(UserError, match="^models:/people/1: its files were in .* is gone"):
            checks.check_models()
