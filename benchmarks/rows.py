"""Time and memory of `python train.py` by number of rows: locally, with Dask, and a minimal script.

N synthetic training rows are in eight files, and N/2 test rows in one. Every run is a fresh
process; its memory is that of all its processes (PSS, read four times a second), and its time that
of the whole command. The minimal script reads the same rows with pandas, trains with the same
parameters and predicts; it checks, plots and tracks nothing.

    python -m benchmarks.rows --out <folder for JSON and plot>
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import joblib
import numpy as np
import psutil

PROJECT = Path(__file__).resolve().parent.parent
FILES = 8
CASES = ("local", "dask", "bare")
BARE = """
import sys, glob, json, csv
import pandas as pd, xgboost
from sklearn.metrics import accuracy_score
from tabular.data.census import CENSUS
def read(paths):
    names = [*CENSUS.features, "income"]
    kinds = dict.fromkeys([*CENSUS.categorical, "income"], "category")
    frame = pd.concat([
        pd.read_csv(p, names=names, skipinitialspace=True, na_values="?", comment="|", dtype=kinds)
        for p in paths
    ])
    return frame, frame.pop("income").astype(str).str.startswith(">")
train, y = read(sorted(glob.glob(sys.argv[1] + "/train/*")))
test, y_test = read([sys.argv[1] + "/adult.test"])
for name in CENSUS.categorical:
    train[name] = train[name].astype("category")
    test[name] = test[name].astype(pd.CategoricalDtype(train[name].cat.categories))
rows = xgboost.QuantileDMatrix(train, y, enable_categorical=True)
parameters = {"objective": "binary:logistic", "max_depth": 3, "learning_rate": 0.1}
booster = xgboost.train(parameters, rows, 100)
probability = booster.inplace_predict(test)
print(json.dumps({"accuracy": accuracy_score(y_test, probability >= 0.5)}))
"""


def write(folder: Path, n_rows: int) -> None:
    """Write synthetic rows, the training rows in several files."""
    from tabular.data import census, synthetic

    synthetic.write(folder, n_rows)
    (folder / "train").mkdir()
    with (folder / census.TRAIN).open("rb") as source:
        size = (folder / census.TRAIN).stat().st_size
        for number in range(FILES):
            with (folder / "train" / f"part-{number}.data").open("wb") as part:
                while source.tell() < size * (number + 1) // FILES:
                    part.write(source.readline())
    (folder / census.TRAIN).unlink()


def measured(command: list) -> dict[str, float]:
    """Seconds and MB of a command, with all processes that it starts."""
    start, peak = time.perf_counter(), 0
    process = psutil.Popen(
        [str(argument) for argument in command], stdout=subprocess.PIPE, text=True
    )
    while process.poll() is None:
        total = 0
        for one in [process, *process.children(recursive=True)]:
            try:
                total += one.memory_full_info().pss
            except psutil.Error:
                continue
        peak = max(peak, total)
        time.sleep(0.25)
    seconds = time.perf_counter() - start
    printed = process.stdout.read()
    if process.returncode:
        sys.exit(f"{command} failed:\n{printed[-2000:]}")
    return {"seconds": seconds, "memory": peak / 1e6, "printed": printed}


def case(name: str, folder: Path) -> dict[str, float]:
    """Seconds, MB and accuracy of a run; for train.py also the seconds of the fit."""
    if name == "bare":
        found = measured([sys.executable, "-c", BARE, folder])
        return found | json.loads(found.pop("printed"))
    script = [sys.executable, PROJECT / "train.py", "--data", folder, "--executor", name]
    found = measured(script)
    printed = found.pop("printed")
    run_id = next(line.split()[1] for line in printed.splitlines() if line.startswith("run "))
    import mlflow

    metrics = mlflow.MlflowClient().get_run(run_id).data.metrics
    return found | {name: metrics[name] for name in ("accuracy", "fit_seconds")}


def exponent(figures: dict[int, dict[str, float]], key: str) -> float:
    """The exponent of growth: the slope of the line through the logarithms."""
    rows, values = np.log([*figures]), np.log([found[key] for found in figures.values()])
    return float(np.polyfit(rows, values, 1)[0])


def plot(table: dict[str, dict[int, dict[str, float]]]):
    """Seconds and memory by number of rows."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    from tabular.evaluation.plot_style import BLUE, GREY, ORANGE

    figure = Figure(figsize=(10, 4), layout="constrained")
    panels = {"seconds": "seconds of the whole command", "memory": "MB of all its processes"}
    for axes, (key, label) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        for (name, figures), colour in zip(table.items(), (BLUE, ORANGE, GREY), strict=False):
            values = [found[key] for found in figures.values()]
            grows = f"grows as $N^{{{exponent(figures, key):.2f}}}$"
            axes.loglog([*figures], values, "o-", color=colour, label=f"{name}: {grows}")
        axes.set(xlabel="training rows", ylabel=label)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter("{x:,.0f}")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid(color="#e8ebf0")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    return figure


@click.command(help=__doc__)
@click.option("--rows", default="100000,1000000,10000000", show_default=True)
@click.option("--cases", default=",".join(CASES), show_default=True)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="For JSON and plot.")
def main(rows: str, cases: str, out: Path | None) -> None:
    for name in [name for name in os.environ if name.startswith(("MLFLOW_", "CENSUS_"))]:
        del os.environ[name]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": str(PROJECT)}
    print(f"{joblib.cpu_count()} cores, {platform.machine()}, one run each")
    print("case   training rows   seconds  fit, s   peak, MB  bytes a row  accuracy")
    table: dict[str, dict[int, dict[str, float]]] = {name: {} for name in cases.split(",")}
    for n_rows in map(int, rows.split(",")):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
            write(folder, n_rows)
            for label, figures in table.items():
                found = figures[n_rows] = case(label, folder)
                print(
                    f"{label:6} {n_rows:13,} {found['seconds']:9.1f} "
                    f"{found.get('fit_seconds', float('nan')):7.1f} {found['memory']:10,.0f} "
                    f"{found['memory'] * 1e6 / n_rows:12,.0f} {found['accuracy']:9.4f}",
                    flush=True,
                )
    for label, figures in table.items():
        grown = ", ".join(f"{key} {exponent(figures, key):.2f}" for key in ("seconds", "memory"))
        print(f"{label}: exponents of growth with the rows: {grown}")
    if out:
        out.mkdir(parents=True, exist_ok=True)
        (out / "rows.json").write_text(json.dumps(table, indent=1) + "\n")
        plot(table).savefig(out / "rows.png", dpi=110)


if __name__ == "__main__":
    main()
