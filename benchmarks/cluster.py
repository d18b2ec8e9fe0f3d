"""The speed of a sweep by number of workers, and the cost of a child run on a tracking server.

A tracking server on this machine (SQLite, one process) stores the runs. First child runs with
curves of one and of 300 points are written one after the other, as a sweep writes them, and with
MLflow's usual calls. Then the same sweep runs without Dask and on Dask clusters of this machine.
The last lines extrapolate beyond the cores of this machine.

    CENSUS_DATA_DIR=<folder of the real files> python -m benchmarks.cluster
"""

import os
import platform
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import click
import joblib
import numpy as np
import psutil

from tests.servers import free_port, running

PROJECT = Path(__file__).resolve().parent.parent
CHILDREN = 100
CONFIGS = 60
GRID = ["--max_depth", "3,4,5,6,7", "--learning_rate", "0.05,0.1,0.2,0.3"]
GRID += ["--n_estimators", "100,200,300"]


def cpu_seconds(port: int) -> float:
    """CPU time of all processes that listen on a port."""
    found = {c.pid for c in psutil.net_connections("tcp") if c.laddr and c.laddr.port == port}
    processes = [psutil.Process(pid) for pid in found if pid]
    return sum(sum(p.cpu_times()[:2]) for p in processes if p.pid != os.getpid())


def ours(n_points: int) -> tuple[float, float]:
    """Milliseconds for a child run, and the part in which the sweep's process creates it."""
    import mlflow

    from tabular.data import sources
    from tabular.model.hyperparameters import DEFAULTS
    from tabular.sweep import child_runs
    from tabular.sweep.trials import SweepSpec, TrialResult

    spec = SweepSpec(sources.load(), "cpu", seed=0, folds=1)
    with mlflow.start_run() as parent:
        curve = np.linspace(0.6, 0.3, n_points)
        metrics = {"log_loss": 0.3, "accuracy": 0.87, "roc_auc": 0.92}
        times = []
        for number in range(CHILDREN):
            config = DEFAULTS | {"gamma": float(number)}
            start = time.perf_counter()
            run_id = child_runs.create(parent, spec, config)
            created = time.perf_counter()
            child_runs.finish(spec, TrialResult(config, metrics, curve, run_id=run_id))
            times.append((time.perf_counter() - start, created - start))
    return tuple(1000 * median(column) for column in zip(*times, strict=True))


def plain(n_points: int) -> float:
    """Milliseconds for a child run with the calls that MLflow's documentation shows."""
    import mlflow

    from tabular.model.hyperparameters import DEFAULTS

    times = []
    with mlflow.start_run():
        for _ in range(CHILDREN if n_points == 1 else 5):  # one call for each point is slow
            start = time.perf_counter()
            with mlflow.start_run(nested=True):
                mlflow.log_params(DEFAULTS)
                mlflow.log_metrics({"log_loss": 0.3, "accuracy": 0.87, "roc_auc": 0.92})
                for step in range(n_points - 1):
                    mlflow.log_metric("curve", 0.3, step)
            times.append(time.perf_counter() - start)
    return 1000 * median(times)


def sweep(*options: str) -> dict[str, float]:
    """Seconds of the search, and of the whole command."""
    import mlflow

    start = time.perf_counter()
    command = [sys.executable, str(PROJECT / "sweep.py"), *GRID, "--resume", "never", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{command} failed:\n{done.stdout}{done.stderr}")
    command_seconds = time.perf_counter() - start
    run_id = next(line.split()[1] for line in done.stdout.splitlines() if line.startswith("run "))
    run = mlflow.MlflowClient().get_run(run_id)
    digest = run.data.tags["model.digest"]
    return {
        "search": run.data.metrics["search_seconds"],
        "command": command_seconds,
        "digest": digest,
    }


@contextmanager
def server(folder: Path):
    """Run a tracking server on a free port, and use it as the store; yields the port."""
    port = free_port()
    command = ["mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/server.db"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    with running(command, port, folder / "server.log", "/health"):
        os.environ["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{port}"
        yield port


@click.command(help=__doc__)
@click.option("--rounds", default=3, show_default=True)
def main(rounds: int) -> None:
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        del os.environ[name]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": str(PROJECT)}
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    cores = joblib.cpu_count()
    print(f"{cores} cores, {platform.machine()}, {rounds} rounds; medians")
    with tempfile.TemporaryDirectory() as name, server(Path(name)) as port:
        ours(1)  # warms up
        costs = []
        for n_points in (1, 300):
            used = cpu_seconds(port)
            found = [ours(n_points) for _ in range(rounds)]
            used = 1000 * (cpu_seconds(port) - used) / (rounds * CHILDREN)
            child, created = (median(column) for column in zip(*found, strict=True))
            costs.append((n_points, child, created, used))
            print(
                f"a child with a curve of {n_points:3} points: {child:5.1f} ms "
                f"(creating it {created:.1f} ms; CPU time of the server {used:.1f} ms)"
            )
            usual = median(plain(n_points) for _ in range(rounds))
            print(f"  with MLflow's usual calls: {usual:.1f} ms")
        cases = [("local", n) for n in range(1, cores + 1)]
        cases += [("dask", n) for n in range(1, cores + 1)]
        table: dict[tuple, list] = {case: [] for case in cases}
        for _ in range(rounds):
            for executor, n in cases:
                table[executor, n].append(sweep("--executor", executor, "--workers", str(n)))
        assert len({found["digest"] for runs in table.values() for found in runs}) == 1
    rates = {}
    for (executor, n), runs in table.items():
        seconds = median(found["search"] for found in runs)
        whole = median(found["command"] for found in runs)
        rates[executor, n] = CONFIGS / seconds
        print(
            f"{executor:5} {n} workers: search {seconds:.1f} s, "
            f"{rates[executor, n]:.1f} configs/s, "
            f"{rates[executor, n] / rates[executor, 1]:.2f} times one worker; command {whole:.1f} s"
        )
    _, child, created, used = costs[-1]
    one = rates["dask", 1]
    client, store = 1000 / created, 1000 / used
    print(f"one worker: {one:.1f} configs/s; one sweep can create {client:.0f} runs/s,")
    print(f"and one core of a tracking server can store {store:.0f} runs of 300 points/s:")
    print(f"up to {min(client, store) / one:.0f} workers, with as many cores, need not wait")


if __name__ == "__main__":
    main()
