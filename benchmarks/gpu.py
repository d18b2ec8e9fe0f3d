"""The scripts on a GPU and on the CPU of the same machine: seconds, memory, accuracy and log loss.

Every command runs in a fresh process, all of them on one fresh SQLite store. For each device:
`check.py`, `train.py` of depth 6, `reproduce.py` of that run, the sweep of 27 configurations, and
`train.py` on synthetic rows. The first device's model also scores the test rows, and is reproduced,
where no GPU is visible; `compare` predicts the test rows on the device too, and shows the largest
difference of the probabilities. `stages` are the seconds of reading, binning and fitting.

    CENSUS_DATA_DIR=<folder of the real files> python -m benchmarks.gpu --out <folder>

Without the real files, synthetic rows take their place. A command that fails or takes too long does
not end the script. Each result is printed and written to `gpu.json` at once; what the commands
print is in `gpu.log`.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import joblib
import psutil

PROJECT = Path(__file__).resolve().parent.parent
FILES = 16  # of synthetic training rows
PROBE = ("-m", "benchmarks.gpu_probes")
GRIDS = {
    "full": {
        "max_depth": "3,6,9",
        "learning_rate": "0.05,0.1,0.3",
        "n_estimators": "100,200,300",
    },
    "small": {"max_depth": "2,3", "n_estimators": "5,10"},
}
FIGURES = ("fit_seconds", "search_seconds", "accuracy", "log_loss")  # metrics of a run
LAST_LINES = 12  # of a failed command
SAID = r"^(?:(?:ok|WRONG|WARNING|differs|identical|search)\b|.*Warning: ).*"  # lines worth showing
COLUMNS = ("seconds", *FIGURES[:2], "memory_mb", "gpu_memory_mb", *FIGURES[2:])
# further options, on the first device and at the end: what other ways lead to a fit
OTHERS = {
    "early stopping": ("train.py", "--early_stopping_rounds", 20, "--n_estimators", 1000),
    "sweep, tpe": ("sweep.py", "--sampler", "tpe", "--trials", 4, "--max_depth", "2..6"),
    "train, Dask": ("train.py", "--executor", "dask"),
    "sweep, Dask, 2 folds": ("sweep.py", "--executor", "dask", "--folds", 2, "--max_depth", "2,3"),
}


class Session:
    """Runs commands one after the other, and keeps what each of them took and gave.

    Attributes:
        machine: what the figures depend on.
        rows: a dictionary for each command.
    """

    def __init__(self, out: Path, folder: Path, limit: float) -> None:
        """Args: where results go; the working directory of the commands; seconds of a command."""
        self.out, self.folder, self.limit = out, folder, limit
        self.machine, self.rows = machine(), []

    def run(self, task: str, device: str, *command: object, visible: bool = True) -> dict[str, Any]:
        """Run a Python command, with or without a visible GPU; a failure is part of the result."""
        row: dict[str, Any] = {"task": task, "device": device}
        environment = dict(os.environ) | ({} if visible else {"CUDA_VISIBLE_DEVICES": ""})
        try:
            status, printed = self._measure(row, [*map(str, command)], environment)
            row |= results(printed)
            if status:
                lines = "\n".join(printed.splitlines()[-LAST_LINES:])
                row["error"] = f"exit status {status}:\n{lines}"
        except Exception as error:
            row["error"] = f"{type(error).__name__}: {error}"
        self.rows.append(row)
        print("\n".join([line(row), *notes(row)]), flush=True)
        text = json.dumps({"machine": self.machine, "results": self.rows}, indent=1)
        (self.out / "gpu.json").write_text(text + "\n", encoding="utf-8")
        return row

    def _measure(
        self, row: dict[str, Any], command: list[str], environment: dict[str, str]
    ) -> tuple[int, str]:
        """Exit status and output of a command, whose seconds and memory are written into a row."""
        printed = self.folder / "printed"
        start, peak = time.perf_counter(), 0.0
        with printed.open("wb") as stream, gpu_memory(self.folder) as readings:
            process = psutil.Popen(
                [sys.executable, *command],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
            while process.poll() is None:
                peak = max(peak, memory_mb(process))
                if time.perf_counter() - start > self.limit:
                    for one in [*process.children(recursive=True), process]:
                        one.kill()
                time.sleep(0.1)
        row |= {"seconds": time.perf_counter() - start, "memory_mb": peak, **readings}
        text = printed.read_text("utf-8", "replace")
        with (self.out / "gpu.log").open("a", encoding="utf-8") as log:
            log.write(f"\n===== {row['task']} on {row['device']}: {' '.join(command)}\n{text}")
        return process.returncode, text


def memory_mb(process: psutil.Process) -> float:
    """The memory of a process and of all that it has started, in MB."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_full_info().pss
        except psutil.Error:
            continue
    return total / 1e6


@contextmanager
def gpu_memory(folder: Path) -> Iterator[dict[str, float]]:
    """The most memory in use on the first GPU while the body runs, in MB; nothing without one."""
    readings: dict[str, float] = {}
    if not (tool := shutil.which("nvidia-smi")):
        yield readings
        return
    query = ["--query-gpu=memory.used", "--format=csv,noheader,nounits", "-lms", "200", "-i", "0"]
    path = folder / "gpu_memory"
    with path.open("wb") as stream:
        process = subprocess.Popen([tool, *query], stdout=stream, stderr=subprocess.DEVNULL)
        try:
            yield readings
        finally:
            process.kill()
            process.wait()
    if values := re.findall(r"\d+", path.read_text()):
        readings["gpu_memory_mb"] = max(map(float, values)) * 1.048576  # of MiB


def results(printed: str) -> dict[str, Any]:
    """What the output of a command tells: run and metrics; or a line of JSON at its end."""
    last = (printed.splitlines() or [""])[-1]
    if last.startswith("{"):
        return {"details": json.loads(last)}
    found: dict[str, Any] = {}
    if said := re.findall(SAID, printed, re.M):
        found["said"] = said[:20]
    if run_ids := re.findall(r"^run +([0-9a-f]{32})$", printed, re.M):
        import mlflow

        metrics = mlflow.MlflowClient().get_run(run_ids[-1]).data.metrics
        found["run_id"] = run_ids[-1]
        found |= {name: metrics[name] for name in FIGURES if name in metrics}
    return found


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    import xgboost

    found = {
        "cores": joblib.cpu_count(),
        "python": platform.python_version(),
        "xgboost": xgboost.__version__,
        "cuda": xgboost.build_info().get("CUDA_VERSION"),
    }
    if tool := shutil.which("nvidia-smi"):
        query = [tool, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
        done = subprocess.run(query, capture_output=True, text=True, check=False)
        found["gpu"] = done.stdout.strip()
    return found


def line(row: dict[str, Any]) -> str:
    """The figures of a command, as a row of the table."""
    digits = {"accuracy": 4, "log_loss": 4, "memory_mb": 0, "gpu_memory_mb": 0}
    cells = [f"{row[name]:,.{digits.get(name, 1)}f}" if name in row else "" for name in COLUMNS]
    failed = "  FAILED" * ("error" in row)
    return f"{row['task']:28} {row['device']:5}" + "".join(f"{c:>15}" for c in cells) + failed


def notes(row: dict[str, Any]) -> list[str]:
    """What else a command told, and why it failed, in lines."""
    error = row.get("error", "").splitlines()
    details = [f"{name}: {value:g}" for name, value in row.get("details", {}).items()]
    said = [text for text in row.get("said", []) if text not in error]
    return [f"    {text}" for text in [", ".join(details), *said, *error] if text]


def table(rows: list[dict[str, Any]]) -> str:
    """The figures of all commands, the devices of a task one below the other."""
    order = [*dict.fromkeys(row["task"] for row in rows)]
    head = f"{'task':28} {'device':5}" + "".join(f"{name:>15}" for name in COLUMNS)
    return "\n".join([head, *map(line, sorted(rows, key=lambda row: order.index(row["task"])))])


def write_rows(folder: Path, n_rows: int) -> None:
    """Write synthetic rows in several files, as many at a time as there are cores."""

    def write(number: int) -> None:
        part, size = folder / f"part-{number}", n_rows // FILES
        command = [sys.executable, "-m", "tabular.data.synthetic", part]
        options = ["--rows", size, "--seed", number]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run([*map(str, command + options)], cwd=PROJECT, check=True, env=environment)
        for name, split in (("adult.data", "train"), ("adult.test", "test")):
            (part / name).rename(folder / split / f"part-{number:02}{Path(name).suffix}")

    for split in ("train", "test"):
        (folder / split).mkdir(parents=True)
    with ThreadPoolExecutor(joblib.cpu_count()) as pool:
        list(pool.map(write, range(FILES)))


def train(session: Session, device: str, data: Path) -> str | None:
    """Check, train and reproduce; returns the id of the training run."""
    place = ("--data", data, "--device", device)
    session.run("check", device, PROJECT / "check.py", *place)
    trained = session.run("train, depth 6", device, PROJECT / "train.py", *place, "--max_depth", 6)
    run_id = trained.get("run_id")
    if run_id:
        session.run("reproduce", device, PROJECT / "reproduce.py", "--run_id", run_id)
    return run_id


def use_without_gpu(session: Session, device: str, data: Path, run_id: str) -> None:
    """Score and reproduce where no GPU is visible, and compare the probabilities."""
    scored, uri = session.folder / "scored.parquet", f"runs:/{run_id}/model"
    score = (PROJECT / "score.py", "--model", uri, "--input", data / "adult.test")
    session.run("score, no GPU", device, *score, "--output", scored, visible=False)
    session.run("compare", device, *PROBE, "compare", data, device, uri, scored)
    again = (PROJECT / "reproduce.py", "--run_id", run_id)
    session.run("reproduce, no GPU", device, *again, visible=False)


def train_on_many(session: Session, devices: list[str], sizes: list[int]) -> None:
    """Train on synthetic rows, written once for all devices."""
    start = time.perf_counter()
    folders = {n_rows: session.folder / f"rows-{n_rows}" for n_rows in sizes}
    for n_rows, data in folders.items():
        write_rows(data, n_rows)
    print(f"rows written in {time.perf_counter() - start:.0f} s", flush=True)
    for n_rows, data in folders.items():
        for device in devices:
            place = ("--data", data, "--device", device)
            session.run(f"train, {n_rows:,} rows", device, PROJECT / "train.py", *place)
    for n_rows, data in folders.items():
        session.run(f"stages, {n_rows:,} rows", devices[0], *PROBE, "stages", data, devices[0])


def prepare_environment(folder: Path) -> Path:
    """Give the commands a new store; returns the folder of the census rows."""
    given = os.environ.get("CENSUS_DATA_DIR")
    for name in [name for name in os.environ if name.startswith(("MLFLOW_", "CENSUS_"))]:
        del os.environ[name]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # users have bytecode
    paths = [str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    touch = "import mlflow; mlflow.MlflowClient().search_experiments()"
    subprocess.run([sys.executable, "-c", touch], cwd=folder, check=True, capture_output=True)
    if given:
        os.environ["CENSUS_DATA_DIR"] = str(Path(given).resolve())  # reproduce.py looks there
        return Path(given).resolve()
    (folder / "census").mkdir()
    command = [sys.executable, "-m", "tabular.data.synthetic", folder / "census"]
    subprocess.run(command, cwd=PROJECT, check=True)
    return folder / "census"


@click.command(help=__doc__)
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path))
@click.option("--rows", default="1000000,10000000", show_default=True, help="Synthetic rows.")
@click.option("--devices", default="cuda,cpu", show_default=True, help="The first one goes first.")
@click.option("--grid", default="full", type=click.Choice([*GRIDS]), show_default=True)
@click.option("--limit", default=120.0, show_default=True, help="Seconds that a command may take.")
def main(out: Path, rows: str, devices: str, grid: str, limit: float) -> None:
    out.mkdir(parents=True, exist_ok=True)
    chosen, start = devices.split(","), time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        session = Session(out.resolve(), Path(name), limit)
        print(json.dumps(session.machine), flush=True)
        data = prepare_environment(session.folder)
        run_ids = [train(session, device, data) for device in chosen]
        lists = [text for name, values in GRIDS[grid].items() for text in (f"--{name}", values)]
        for device in chosen:
            place = ("--data", data, "--device", device, "--resume", "never")
            session.run("sweep", device, PROJECT / "sweep.py", *place, *lists)
        if run_ids[0]:
            use_without_gpu(session, chosen[0], data, run_ids[0])
        train_on_many(session, chosen, [int(n) for n in rows.split(",") if n])
        for task, (script, *options) in OTHERS.items():
            place = ("--data", data, "--device", chosen[0])
            session.run(task, chosen[0], PROJECT / script, *place, *options)
    print(f"\n{table(session.rows)}\n{time.perf_counter() - start:.0f} s in all")


if __name__ == "__main__":
    main()
