"""The time to train one model, compared with the sum of its unavoidable parts, its floor.

Each round runs, one after the other: `mlflow run` of a project whose command is `true`; an
interpreter that imports mlflow, xgboost, pandas, matplotlib and seaborn; `start_run` on an existing
store, without the imports; a minimal load and fit, without the imports; `python train.py`, whose
floor is the last three; and `mlflow run .`, whose floor is all four. A second, leaner floor of each
has the same parts without garbage collection and without the interpreter's teardown; `mlflow run`
of `true` is the same in both.

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
RUN = "mlflow", "run", ".", "--env-manager", "local"
IMPORTS = "import mlflow, xgboost, pandas, matplotlib.pyplot, seaborn"
LEAN = "import gc; gc.disable()\n{}\nimport os, sys; sys.stdout.flush(); os._exit(0)"
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


def floors(bare: Path, folder: Path) -> dict[str, float]:
    """The seconds of each part, and of both floors of both commands."""
    row = {"mlflow run of true": seconds([*RUN], bare)[0]}
    for suffix, frame in (("", "{}"), (", lean", LEAN)):
        parts = {
            "imports": seconds([sys.executable, "-c", frame.format(IMPORTS)], folder)[0],
            "start_run": inside(frame.format(START_RUN), folder),
            "load and fit": inside(frame.format(FIT), folder),
        }
        row |= {f"{name}{suffix}": value for name, value in parts.items()}
        row[f"floor of train.py{suffix}"] = floor = sum(parts.values())
        row[f"floor of mlflow run{suffix}"] = row["mlflow run of true"] + floor
    return row


def measure(bare: Path, project: Path) -> dict[str, float]:
    """One round: seconds of the floors and of the commands, and their ratios."""
    row, option = floors(bare, project.parent), "max_depth=6"
    train = [sys.executable, "train.py", f"--{option}"]
    row["python train.py"] = seconds(train, project)[0]
    row["mlflow run"] = seconds([*RUN, "-P", option], project)[0]
    row["log_model"] = inside(LOG_MODEL, project)
    for command, name in (("python train.py", "train.py"), ("mlflow run", "mlflow run")):
        for suffix in ("", ", lean"):
            floor = f"floor of {name}{suffix}"
            row[f"{command} to its floor{suffix}"] = row[command] / row[floor]
    row["share of MLflow's own in mlflow run"] = row["mlflow run of true"] / row["mlflow run"]
    row["and in its floor"] = row["mlflow run of true"] / row["floor of mlflow run"]
    return row


@click.command(help=__doc__)
@click.option("--rounds", default=5, show_default=True)
def main(rounds: int) -> None:
    if "CENSUS_DATA_DIR" not in os.environ:
        sys.exit("set CENSUS_DATA_DIR to the folder of the real files")
    os.environ["CENSUS_DATA_DIR"] = str(Path(os.environ["CENSUS_DATA_DIR"]).resolve())
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # users have bytecode
    table: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        bare, project = folder / "bare", folder / "project"
        bare.mkdir()
        (bare / "MLproject").write_text("name: bare\nentry_points: {main: {command: 'true'}}\n")
        ignored = shutil.ignore_patterns(".*", "mlruns", "mlflow.db")
        shutil.copytree(PROJECT, project, ignore=ignored)
        measure(bare, project)  # fills caches
        for _ in range(rounds):
            for key, value in measure(bare, project).items():
                table.setdefault(key, []).append(value)
    print(f"{rounds} rounds on {os.cpu_count()} cores, {platform.machine()}; seconds and ratios")
    for key, values in table.items():
        print(
            f"  {key:35} median {statistics.median(values):6.2f}   "
            f"from {min(values):.2f} to {max(values):.2f}"
        )
    print(json.dumps(table))


if __name__ == "__main__":
    main()
