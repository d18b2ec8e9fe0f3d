"""The logged model in an environment that is made from its own requirements and nothing else."""

import subprocess
import sys
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from tabular.data import sources
from tabular.data.census import CENSUS
from tabular.model import boosting, hyperparameters
from tabular.tracking import logged_model
from tests.helpers import find_python

SCRIPT = Path(__file__).with_name("predict_isolated.py")


@pytest.fixture
def uv(run_command, tmp_path):
    """A function that runs uv, which downloads packages but no Python."""

    def run(*arguments):
        return run_command("uv", *arguments, "--no-python-downloads", "--quiet", timeout=300)

    if run("pip", "install", "--dry-run", "--target", tmp_path / "none", "cycler").returncode:
        pytest.skip("needs a package index")
    return run


@pytest.mark.slow
@pytest.mark.parametrize("python", ["3.11", "3.13"])
def test_predictions_are_the_same_in_an_environment_of_the_models_own_requirements(
    uv, synthetic_folder, tmp_path, python
):
    if sys.version_info[:2] > (*map(int, python.split(".")),):
        pytest.skip("a model is served with the Python that logged it, or with a newer one")
    found = find_python(python)
    if not found:
        pytest.skip(f"needs Python {python}")
    assert uv("venv", "--python", found, tmp_path / "venv").returncode == 0
    dataset = sources.load(str(synthetic_folder))
    booster, _ = boosting.fit(hyperparameters.DEFAULTS, boosting.full_matrix(dataset.train))
    boosting.set_labels(booster, CENSUS)
    rows = logged_model.to_client_frame(dataset.test.X)
    with mlflow.start_run():
        logged = logged_model.log_model(booster, rows.head(3), {}, CENSUS)
    folder = mlflow.artifacts.download_artifacts(logged.model_uri)
    rows.to_parquet(tmp_path / "rows.parquet")
    interpreter = tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    installed = uv("pip", "install", "--python", interpreter, "-r", f"{folder}/requirements.txt")
    assert installed.returncode == 0, installed.stderr

    done = subprocess.run(
        [interpreter, "-I", SCRIPT, folder, "rows.parquet", "output.parquet"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert "mismatches" not in done.stderr  # of the requirements and what is installed
    expected = mlflow.pyfunc.load_model(folder).predict(rows, params={"threshold": 0.3})
    assert pd.read_parquet(tmp_path / "output.parquet").equals(expected)
