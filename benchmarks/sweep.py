"""The sweep of 27 configurations, compared with alternatives and with a minimal loop.

All of them train the same configurations on the sweep's own 80 % of `adult.data` and evaluate them
on the other 20 % by log loss, accuracy and AUC; the sweep and the minimal loop record the log loss
by round as well. The alternatives are written as their documentation shows; a setting that is much
faster than the default is a case of its own. Every case runs in a fresh process on a fresh SQLite
store that needs no migration, after a round that fills caches, and is timed from the start of the
search to the end of the last child run. Imports, loading and binning are not counted, except where
an alternative repeats them for each configuration: scikit-learn and Ray bin the rows, and
`mlflow.projects.run` does everything in a process of its own; three of these are run, and scaled.
The results are read from the stores, and must agree.

    uv pip install -r requirements-dev.txt -r benchmarks/requirements.txt
    CENSUS_DATA_DIR=<folder of the real files> python -m benchmarks.sweep --rounds 3

With `--scale` it measures `sweep.py` alone, on 300 and on 3,000 configurations of small trees.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from itertools import product
from pathlib import Path
from statistics import median

import click

from benchmarks.peers import CASES, CONFIGS, CORES, GRID, METRICS, MIDDLE

PROJECT = Path(__file__).resolve().parent.parent
TOLERANCES = dict(zip(METRICS, (1e-4, 1e-3, 1e-3), strict=True))
FLOORS = {
    "floor": "the minimal loop",
    "unbinned": "the same, validation rows not binned",
}  # are always measured
SCALES = {
    300: 50,
    3000: 500,
}  # by number of configurations, that of learning rates, with 3 depths and 2 sizes


def run(command: list[str], folder: Path) -> float:
    """Run a command in a folder with a store of its own; returns its duration in seconds."""
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    start = time.perf_counter()
    with (folder / "log").open("w") as log:
        done = subprocess.run(command, cwd=folder, env=environment, stdout=log, stderr=log)
    if done.returncode:
        sys.exit(f"{command} failed:\n{(folder / 'log').read_text()[-5000:]}")
    return time.perf_counter() - start


def stored(folder: Path, n_configs: int) -> tuple[list, list]:
    """The runs of the configurations, which must all be FINISHED, and the other runs."""
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments, max_results=10_000)
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags] or runs
    ended = Counter(run.info.status for run in children)
    if ended != {"FINISHED": n_configs}:
        sys.exit(f"expected {n_configs} FINISHED runs, got {dict(ended)}")
    return children, [run for run in runs if run not in children]


def ours(folder: Path, n_configs: int, **lists) -> dict[str, float]:
    """Measurements of ``sweep.py``; ``seconds`` is the duration of the search."""
    command = [sys.executable, str(PROJECT / "sweep.py"), "--data", "uci", "--resume", "never"]
    command += [f"--{name}={','.join(map(str, values))}" for name, values in lists.items()]
    command_seconds = run(command, folder)
    children, [parent] = stored(folder, n_configs)
    tail = (parent.info.end_time - max(child.info.end_time for child in children)) / 1000
    search, memory = (parent.data.metrics[key] for key in ("search_seconds", "peak_memory_mb"))
    after = {"refit, plots and model, s": tail, "peak memory, MB": memory}
    return {"seconds": search, "whole command, s": command_seconds} | after


def scaled(n_configs: int, folder: Path) -> dict[str, float]:
    """Measurements with trees so small that the other costs of a configuration dominate."""
    n = SCALES[n_configs]
    rates = [round((i + 1) / 2 / n, 3) for i in range(n)]
    return ours(folder, n_configs, max_depth=(1, 2, 3), learning_rate=rates, n_estimators=(5, 10))


def measured(name: str, folder: Path, reference: dict) -> dict[str, float]:
    """Measurements of a case in a fresh process; its metrics must agree with the reference."""
    prefix, configs = CASES[name][2], MIDDLE if name == "projects" else CONFIGS
    if name == "ours":
        figures = ours(folder, len(configs), **GRID)
    else:
        run([sys.executable, "-c", f"from benchmarks import peers; peers.inside('{name}')"], folder)
        seconds, pairs = json.loads((folder / "result.json").read_text())
        figures = {"seconds": seconds * len(CONFIGS) / len(configs)}
        found = {tuple(config): scores for config, scores in pairs}
    if prefix is not None:
        found = {
            tuple(float(child.data.params[key]) for key in GRID): {
                metric: abs(child.data.metrics[prefix + metric]) for metric in TOLERANCES
            }
            for child in stored(folder, len(configs))[0]
        }
    if sorted(found) != configs:
        sys.exit(f"{name}: other configurations: {sorted(found)}")
    for config, metric in product(configs, TOLERANCES):
        value, expected = found[config][metric], reference.setdefault(config, found[config])[metric]
        if not abs(value - expected) <= TOLERANCES[metric]:
            sys.exit(f"{name}: {metric} of {config} is {value}, expected {expected}")
    return figures


def ratios(table: dict, above, below) -> list[float]:
    return [a / b for a, b in zip(table[above]["seconds"], table[below]["seconds"], strict=True)]


def show(label: str, values: list[float], remark: str = "") -> None:
    ends = f"from {min(values):,.2f} to {max(values):,.2f}"
    print(f"  {label:50}{median(values):10,.2f}   {ends:26}{remark}".rstrip())


def plot(table: dict, rounds: int):
    """Bars of the medians, the fastest on top, with lines from minimum to maximum."""
    from matplotlib.figure import Figure

    from tabular.evaluation.plot_style import BLUE, GREY, ORANGE

    names = sorted(table, key=lambda name: -median(table[name]["seconds"]))
    figure = Figure(figsize=(10, 0.42 * len(names) + 1.2), layout="constrained")
    axes = figure.add_subplot(xscale="log", axisbelow=True)
    for place, name in enumerate(names):
        values, times = table[name]["seconds"], median(ratios(table, name, "ours"))
        colour = BLUE if name == "ours" else GREY if CASES[name][2] is None else ORANGE
        axes.barh(place, median(values), 0.7, color=colour)
        axes.plot([min(values), max(values)], [place] * 2, "|-", color="#222222", linewidth=1.2)
        text = f"  {median(values):.1f} s" + (
            f"   {times:.3g} × sweep.py" if name != "ours" else ""
        )
        axes.text(max(values), place, text, va="center")
    most = max(max(figures["seconds"]) for figures in table.values())
    ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if tick < 2 * most]
    axes.set(
        xlim=(1, 6 * most), title=f"{len(CONFIGS)} configurations on {CORES} cores, {rounds} rounds"
    )
    axes.set_xlabel("seconds from the first fit to the end of the last child run: median and range")
    axes.set_xticks(ticks, ticks)
    axes.set_yticks(range(len(names)), [CASES[name][0] for name in names])
    axes.tick_params(which="both", length=0)
    axes.grid(axis="x", color="#e8ebf0")
    axes.spines[["top", "right", "left"]].set_visible(False)
    return figure


@click.command(help=__doc__)
@click.option("--rounds", default=3, show_default=True)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="For JSON and plot.")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice([*CASES]),
    help="Cases besides sweep.py and the minimal loops.",
)
@click.option("--scale", is_flag=True, help="sweep.py alone, by number of configurations.")
def main(rounds: int, out: Path | None, only: tuple[str, ...], scale: bool) -> None:
    if "CENSUS_DATA_DIR" not in os.environ:
        sys.exit("set CENSUS_DATA_DIR to the folder of the real files")
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        del os.environ[name]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # users have bytecode
    os.environ["CENSUS_DATA_DIR"] = str(Path(os.environ["CENSUS_DATA_DIR"]).resolve())
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    os.environ["PYTHONPATH"] = str(PROJECT)
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "RAY_USAGE_STATS_ENABLED": "0"}
    chosen = [name for name in CASES if name in (*FLOORS, "ours", *(only or CASES))]
    cases, table = [*SCALES] if scale else chosen, {}
    with tempfile.TemporaryDirectory() as name:
        empty = Path(name) / "empty"
        empty.mkdir()
        touch = "import mlflow; mlflow.MlflowClient().search_experiments()"
        run([sys.executable, "-c", touch], empty)
        for number in range(rounds + 1):
            reference: dict = {}
            for case in cases:
                folder = Path(name) / f"{case}-{number}"
                shutil.copytree(empty, folder)
                figures = scaled(case, folder) if scale else measured(case, folder, reference)
                shutil.rmtree(folder)
                print(f"round {number}: {case} {figures['seconds']:.2f} s", file=sys.stderr)
                for key, value in figures.items() if number else ():  # round 0 fills caches
                    table.setdefault(case, {}).setdefault(key, []).append(value)
    print(f"{rounds} rounds on {CORES} cores, {platform.machine()}; median and range")
    for case, figures in table.items():
        times = "" if scale else f"{median(ratios(table, case, 'ours')):.2f} times sweep.py"
        show(
            f"{case:,} configurations, s" if scale else f"{CASES[case][0]}, s",
            figures["seconds"],
            times,
        )
        for key in [*figures][1:]:
            show(f"  {key}", figures[key])
    if scale:
        (few, less), (many, more) = table.items()
        by_point = [ratio * few / many for ratio in ratios(table, many, few)]
        show(f"seconds a point, {many:,} to {few:,}", by_point)
        memory = zip(more["peak memory, MB"], less["peak memory, MB"], strict=True)
        growth = [1000 * (a - b) / (many - few) for a, b in memory]
        show("memory for each further point, KB", growth)
    else:
        for floor, label in FLOORS.items():
            to_floor = ratios(table, "ours", floor)
            by_round = ", ".join(f"{ratio:.3f}" for ratio in to_floor)
            show(f"sweep.py to {label}", to_floor, f"by round: {by_round}")
    if out:
        out.mkdir(parents=True, exist_ok=True)
        path = out / ("sweep_scale.json" if scale else "sweep.json")
        machine = {"rounds": rounds, "cores": CORES, "machine": platform.machine()}
        path.write_text(json.dumps(machine | {"figures": table}, indent=1) + "\n")
        if not scale:
            plot(table, rounds).savefig(path.with_suffix(".png"), dpi=150)


if __name__ == "__main__":
    main()
