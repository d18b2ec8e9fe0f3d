"""What is made once, before the faults: rows, models, and what scripts do undisturbed."""

import contextlib
import multiprocessing
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path

import mlflow
import pytest

from tabular.data import census, synthetic
from tabular.sweep import child_runs
from tests.faults import disk
from tests.faults.job import ROWS
from tests.faults.scene import BEFORE, SCRIPTS, Scene, World, answer, rename_paths, scene
from tests.faults.servers import mirror
from tests.helpers import PROJECT
from tests.servers import free_port, running

CHAMPION = ["--n_estimators", "5", "--max_depth", "2"]
CANDIDATE = ["--n_estimators", "20", "--max_depth", "3"]
COPIES = 600  # of the test rows in the file to score: some tenths of a second
PRELOADED = [
    ".".join(path.relative_to(PROJECT).with_suffix("").parts)
    for path in sorted((PROJECT / "tabular").rglob("[a-z]*.py"))
] + [
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
]


@contextlib.contextmanager
def world(folder: Path) -> Iterator[World]:
    """Make rows, stores with a champion and a candidate, and measure what is undisturbed."""
    (folder / "rows").mkdir(parents=True)
    synthetic.write(folder / "rows", ROWS)
    contents = {
        name: (folder / "rows" / name).read_bytes().removeprefix(f"{synthetic.MARKER}\n".encode())
        for name in census.DIGESTS
    }
    with contextlib.ExitStack() as stack:
        stack.callback(mlflow.set_tracking_uri, None)
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        patch.setenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        _start_forkserver()
        stack.callback(forkserver._forkserver._stop)
        port = free_port()
        made = World(folder, contents, stack.enter_context(mirror(contents)), port)
        made.people.write_bytes(contents[census.TEST] * COPIES)
        _make_template(made)
        with scene(made, "models", "sqlite", None) as place:
            _make_models(made, place)
        stack.enter_context(_server(folder, port))
        for script in SCRIPTS:
            for store in ("sqlite", "server"):
                with scene(made, f"undisturbed-{script}-{store}", store, script) as place:
                    _measure(made, place, script)
        yield made


def _server(folder: Path, port: int) -> contextlib.AbstractContextManager:
    """A tracking server that knows the models too."""
    (folder / "server").mkdir()
    shutil.copytree(folder / "template" / "store", folder / "server" / "store")
    rename_paths(folder / "server", folder / "template")
    command = [
        sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder}/server/store/mlflow.db",
        "--artifacts-destination", f"{folder}/server/artifacts",
    ]  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    environment |= {"MLFLOW_DISABLE_TELEMETRY": "true"}
    return running(command, port, folder / "server" / "log", "/health", env=environment)


def _start_forkserver() -> None:
    """A process that has imported everything, so that copies of it start at once."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(PROJECT))
        # what a killed process leaves is told at the end; here that is no news
        patch.setenv("PYTHONWARNINGS", "ignore::UserWarning:multiprocessing.resource_tracker")
        forkserver.ensure_running()


def _make_template(made: World) -> None:
    """A folder as scenes begin with it: an empty store, rows in the cache, an older output."""
    template = made.folder / "template"
    for name in ("store/artifacts", "home/cache/census-mlflow", "tmp", "out"):
        (template / name).mkdir(parents=True)
    for name, body in made.contents.items():
        (template / "home/cache/census-mlflow" / name).write_bytes(body)
    (template / "out" / "scored.csv").write_bytes(BEFORE)
    mlflow.MlflowClient(f"sqlite:///{template}/store/mlflow.db").search_experiments()
    with contextlib.closing(sqlite3.connect(template / "store/mlflow.db")) as store, store:
        location = f"{template}/store/artifacts/0"
        store.execute("UPDATE experiments SET artifact_location = ?", [location])


def _make_models(made: World, place: Scene) -> None:
    """Champion and candidate, and a template that has them."""
    addresses = []
    for options in (CHAMPION, CANDIDATE):
        if place.run(place.job("train", ["--data", "uci", *options])):
            raise RuntimeError(place.log.read_text())
        run = max(place.runs(), key=lambda run: run.info.start_time)
        addresses.append(f"runs:/{run.info.run_id}/model")
        made.answers[run.data.tags["model.digest"]] = answer(made, addresses[-1])
    made.models = (addresses[0], addresses[1])
    template = made.folder / "template"
    shutil.rmtree(template)
    shutil.copytree(place.folder, template)
    (template / "log").unlink()
    rename_paths(template, place.folder)


def _measure(made: World, place: Scene, script: str) -> None:
    parts = ("store", "store/artifacts", "out", "home/cache/census-mlflow")
    before = {part: disk.used(place.folder / part) for part in parts}
    if script != "score":
        place.empty_cache()
    start = time.perf_counter()
    code = place.run(place.job(script))
    if code:
        raise RuntimeError(place.log.read_text())
    made.seconds[script, place.kind] = time.perf_counter() - start
    if place.proxy:
        made.requests[script] = place.proxy.count
        return
    for part in parts:
        made.written[script, part] = disk.used(place.folder / part) - before[part]
    made.written[script, "home/cache/census-mlflow"] = before["home/cache/census-mlflow"]
    tops = [run for run in place.runs() if child_runs.PARENT not in run.data.tags]
    if script in ("train", "sweep"):
        digest = made.results[script] = tops[0].data.tags["model.digest"]
        made.answers[digest] = answer(made, f"runs:/{tops[0].info.run_id}/model")
    if script == "sweep":
        kids = [run for run in place.runs() if child_runs.PARENT in run.data.tags]
        made.children = {run.data.tags[child_runs.CONFIG]: run.data.metrics for run in kids}
    if script == "score":
        made.scored = place.output.read_bytes()
        start = time.perf_counter()
        if place.run(place.job(script), cold=True):
            raise RuntimeError(place.log.read_text())
        made.imports = time.perf_counter() - start - made.seconds[script, place.kind]
