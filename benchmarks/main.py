"""The time of `mlflow run .` for one model, compared with the sum of its unavoidable parts.

Each round runs, one after the other: `mlflow run` of a project whose command is `true`; an
interpreter that imports mlflow, xgboost, pandas, matplotlib and seaborn; `start_run` on an existing
store, without the imports; a minimal load and fit, without the imports; and the project.

    CENSUS_DATA_DIR=<folder of the real files> python -m benchmarks.main
"""

import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

PROJECT = Path(__file__).resolve().parent.parent
IMPORTS = "import mlflow, xgboost, pandas, matplotlib.pyplot, seaborn"
START_RUN = """
import time, mlflow
start = time.perf_counter()
with mlflow.start_run():
    pass
print("seconds", time.perf_counter() - start)
"""
FIT = """
import os, time
import pandas, xgboost
start = time.perf_counter()
path = os.path.join(os.environ["CENSUS_DATA_DIR"], "adult.data")
rows = pandas.read_csv(path, header=None, skipinitialspace=True, na_values="?")
for column in rows.select_dtypes(exclude="number"):
    rows[column] = rows[column].astype("category")
X, y = rows.iloc[:, :-1], rows.iloc[:, -1].cat.codes
matrix = xgboost.QuantileDMatrix(X, y, enable_categorical=True)
parameters = {"objective": "binary:logistic", "max_depth": 6, "learning_rate": 0.1}
xgboost.train(parameters, matrix, 100)
print("seconds", time.perf_counter() - start)
"""
LOG_MODEL = """
import sys, time
from tabular.data import sources
from tabular.model import boosting
from tabular.tracking import logged_model, runs
from tabular.model.hyperparameters import DEFAULTS
dataset = sources.load()
booster, _ = boosting.fit(DEFAULTS | {"max_depth": 6}, boosting.full_matrix(dataset.train))
boosting.set_labels(booster, dataset.table)
with runs.start_run("benchmark"):
    examples = logged_model.to_client_frame(dataset.test.X.head(5))
    start = time.perf_counter()
    logged_model.log_model(booster, examples, {}, dataset.table)
    print("seconds", time.perf_counter() - start)
"""


def seconds(command: list[str], cwd: Path) -> tuple[float, str]:
    """The duration of a command, and what it prints."""
    start = time.perf_counter()
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    elapsed = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"{command} failed:\n{done.stdout}{done.stderr}")
    return elapsed, done.stdout


def inside(code: str, cwd: Path) -> float:
    """The seconds that a script measures itself, after its imports."""
    _, printed = seconds([sys.executable, "-c", code], cwd)
    return float(re.search(r"seconds ([\d.]+)", printed)[1])


@click.command(help=__doc__)
@click.option("--rounds", default=5, show_default=True)
def main(rounds: int) -> None:
    if "CENSUS_DATA_DIR" not in os.environ:
        sys.exit("set CENSUS_DATA_DIR to the folder of the real files")
    os.environ["CENSUS_DATA_DIR"] = str(Path(os.environ["CENSUS_DATA_DIR"]).resolve())
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # users have bytecode
    table = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        bare, project = folder / "bare", folder / "project"
        bare.mkdir()
        (bare / "MLproject").write_text("name: bare\nentry_points: {main: {command: 'true'}}\n")
        ignored = shutil.ignore_patterns(".*", "mlruns", "mlflow.db")
        shutil.copytree(PROJECT, project, ignore=ignored)
        run = ["mlflow", "run", ".", "--env-manager", "local"]
        for number in range(-1, rounds):
            row = {
                "mlflow run of true": seconds(run, bare)[0],
                "imports": seconds([sys.executable, "-c", IMPORTS], folder)[0],
                "start_run": inside(START_RUN, folder),
                "load and fit": inside(FIT, folder),
            }
            row["sum of the parts"] = sum(row.values())
            row["mlflow run . -P max_depth=6"] = seconds([*run, "-P", "max_depth=6"], project)[0]
            row["log_model"] = inside(LOG_MODEL, project)
            row["ratio"] = row["mlflow run . -P max_depth=6"] / row["sum of the parts"]
            if number >= 0:  # the first round fills caches
                for key, value in row.items():
                    table.setdefault(key, []).append(value)
    print(f"{rounds} rounds on {os.cpu_count()} cores, {platform.machine()}; seconds and ratio")
    for key, values in table.items():
        print(
            f"  {key:28} median {statistics.median(values):6.2f}   "
            f"from {min(values):.2f} to {max(values):.2f}"
        )
    print(json.dumps(table))


if __name__ == "__main__":
    main()
