"""Shared by tests of several folders: paths, expected names, and queries of the store."""

import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import mlflow
import pandas as pd

from tabular.sweep import child_runs
from tests import real_files

PROJECT = Path(__file__).resolve().parent.parent
README = (PROJECT / "README.md").read_text()
REAL = real_files.find()  # the folder of the real files, or None

SCORES = (
    "accuracy", "roc_auc", "log_loss", "average_precision", "f1", "precision", "recall",
    "brier_score",
)  # fmt: skip
TEST_METRICS = {*SCORES} | {
    f"interval/{name}_{end}" for name in SCORES for end in ("low", "high")
} | {
    f"group/{kind}_difference_{feature}"
    for kind in ("demographic_parity", "equalized_odds")
    for feature in ("sex", "race", "age", "sex_race")
} | {"expected_calibration_error"}  # fmt: skip
PLOTS = {
    "calibration", "confusion_matrix", "groups", "log_loss", "precision_recall", "roc", "shap",
}  # fmt: skip
PERSON = {
    "age": 39, "workclass": "Private", "fnlwgt": 77516, "education": "Bachelors",
    "education-num": 13, "marital-status": "Divorced", "occupation": "Sales",
    "relationship": "Unmarried", "race": "White", "sex": "Male", "capital-gain": 2174,
    "capital-loss": 0, "hours-per-week": 40, "native-country": "United-States",
}  # fmt: skip
RUN = ["mlflow", "run", "--env-manager", "local"]
SWEEP = ["python", PROJECT / "sweep.py"]
SMALL = ["--max_depth", "2,3", "--learning_rate", "0.1,0.3", "--n_estimators", "5,10"]
TABLES = {
    "calibration.csv", "diagnosis.csv", "groups.csv", "importance.csv", "shap.csv",
    "thresholds.csv",
}  # fmt: skip


def the_run():
    """The only run of the store."""
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    return run


def artifacts(run):
    """The paths of a run's artifacts, two levels deep."""
    client = mlflow.MlflowClient()
    return {
        a.path for folder in (None, "plots") for a in client.list_artifacts(run.info.run_id, folder)
    }


def search(condition):
    return mlflow.MlflowClient().search_runs(["0"], condition, max_results=1000)


def sweeps():
    """The runs of sweeps, the newest first."""
    return search(f"tags.`{child_runs.SIZE}` != ''")


def children_of(run, status="FINISHED"):
    parent = f"tags.mlflow.parentRunId = '{run.info.run_id}'"
    return search(f"{parent} and attributes.status = '{status}'")


def board(run):
    """The table of all results of a sweep."""
    path = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="sweep.csv")
    return pd.read_csv(path, keep_default_na=False)


@contextmanager
def started(arguments, log):
    """Start a sweep in the background and kill it afterwards; yields its process."""
    with log.open("w") as output:
        command = [str(argument) for argument in [*SWEEP, *arguments]]
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield process
    except BaseException as error:
        error.add_note(f"The sweep's status is {process.poll()}; it printed:\n{log.read_text()}")
        raise
    finally:
        process.kill()
        process.wait()


def wait_for(condition, seconds=180):
    """Wait until a function returns something true."""
    for _ in range(seconds * 20):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"the condition is still false after {seconds} s")


def find_python(version: str) -> Path | None:
    """The interpreter of a Python like 3.13 that is installed here, on the path or by pyenv."""
    candidates = [Path(found)] if (found := shutil.which(f"python{version}")) else []
    if pyenv := shutil.which("pyenv"):
        root = Path(pyenv).resolve().parent.parent
        candidates += sorted(root.glob(f"versions/{version}.*/bin/python"))
    for candidate in candidates:  # pyenv puts commands on the path that start nothing
        if not subprocess.run([candidate, "-c", ""], capture_output=True).returncode:
            return candidate
    return None
