"""What is made once, before the faults: data, models, and what undisturbed scripts do."""

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
from tabular.data.census import CENSUS
from tabular.sweep import child_runs
from tests.faults import disk
from tests.faults.job import ROWS
from tests.faults.sandbox import (
    OLD_OUTPUT,
    SCRIPTS,
    Reference,
    Sandbox,
    create_sandbox,
    predict,
    rename_paths,
)  # fmt: skip
from tests.faults.servers import mirror
from tests.helpers import PROJECT
from tests.servers import free_port, running

CHAMPION = ["--n_estimators", "2", "--max_depth", "2"]
CANDIDATE = ["--n_estimators", "5", "--max_depth", "3"]
COPIES = 600  # of the test rows in the file to score, which then takes some tenths of a second
PRELOADED = [
    ".".join(path.relative_to(PROJECT).with_suffix("").parts)
    for path in sorted((PROJECT / "tabular").rglob("[a-z]*.py"))
] + [
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
]


@contextlib.contextmanager
def create_reference(folder: Path) -> Iterator[Reference]:
    """Make data and stores with a champion and a candidate, and measure undisturbed scripts."""
    (folder / "data").mkdir(parents=True)
    synthetic.write(folder / "data", ROWS)
    contents = {
        name: (folder / "data" / name).read_bytes().removeprefix(f"{synthetic.MARKER}\n".encode())
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
        reference = Reference(folder, contents, stack.enter_context(mirror(contents)), port)
        reference.input.write_bytes(contents[census.TEST] * COPIES)
        _make_template(reference)
        with create_sandbox(reference, "models", "sqlite", None) as sandbox:
            _make_models(reference, sandbox)
        stack.enter_context(_server(folder, port))
        for script in SCRIPTS:
            for store in ("sqlite", "server"):
                name = f"undisturbed-{script}-{store}"
                with create_sandbox(reference, name, store, script) as sandbox:
                    _measure(reference, sandbox, script)
        yield reference


def _server(folder: Path, port: int) -> contextlib.AbstractContextManager:
    """A tracking server that has the models too."""
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
    """Start a process that has imported everything, so that its copies start at once."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(PROJECT))
        # multiprocessing warns at its end about what killed processes left, which is expected here
        patch.setenv("PYTHONWARNINGS", "ignore::UserWarning:multiprocessing.resource_tracker")
        forkserver.ensure_running()


def _make_template(reference: Reference) -> None:
    """A folder with an empty store, data files in the cache, and an older output."""
    template = reference.folder / "template"
    for name in ("store/artifacts", "home/cache/census-mlflow", "tmp", "out"):
        (template / name).mkdir(parents=True)
    for name, body in reference.contents.items():
        (template / "home/cache/census-mlflow" / name).write_bytes(body)
    (template / "out" / "scored.csv").write_bytes(OLD_OUTPUT)
    mlflow.MlflowClient(f"sqlite:///{template}/store/mlflow.db").search_experiments()
    with contextlib.closing(sqlite3.connect(template / "store/mlflow.db")) as store, store:
        location = f"{template}/store/artifacts/0"
        store.execute("UPDATE experiments SET artifact_location = ?", [location])


def _make_models(reference: Reference, sandbox: Sandbox) -> None:
    """Train the champion and the candidate, and make the sandbox's store the template's."""
    uris = []
    for options in (CHAMPION, CANDIDATE):
        if sandbox.run(sandbox.job("train", ["--data", "uci", *options])):
            raise RuntimeError(sandbox.log.read_text())
        run = max(sandbox.runs(), key=lambda run: run.info.start_time)
        uris.append(f"runs:/{run.info.run_id}/model")
        reference.predictions[run.data.tags["model.digest"]] = predict(reference, uris[-1])
    if run.data.metrics["log_loss"] <= CENSUS.floors["log_loss"]:
        raise RuntimeError("the candidate reaches the table's floors: lowered ones prove nothing")
    reference.models = (uris[0], uris[1])
    template = reference.folder / "template"
    shutil.rmtree(template)
    shutil.copytree(sandbox.folder, template)
    (template / "log").unlink()
    rename_paths(template, sandbox.folder)


def _measure(reference: Reference, sandbox: Sandbox, script: str) -> None:
    """Run a script undisturbed, and keep what it did, how long it took and what it wrote."""
    folders = ("store", "store/artifacts", "out", "home/cache/census-mlflow")
    before = {name: disk.used(sandbox.folder / name) for name in folders}
    if script != "score":
        sandbox.empty_cache()
    seconds = _timed(sandbox, script)
    reference.seconds[script, sandbox.kind] = seconds
    if sandbox.proxy:
        reference.requests[script] = sandbox.proxy.count
        return
    for name in folders:
        reference.written[script, name] = disk.used(sandbox.folder / name) - before[name]
    reference.written[script, "home/cache/census-mlflow"] = before["home/cache/census-mlflow"]
    if script in ("train", "sweep"):
        run = sandbox.top_runs()[0]
        digest = reference.model_digests[script] = run.data.tags["model.digest"]
        reference.predictions[digest] = predict(reference, f"runs:/{run.info.run_id}/model")
    if script == "sweep":
        children = sandbox.children()
        reference.children = {c.data.tags[child_runs.CONFIG]: c.data.metrics for c in children}
    if script == "score":
        reference.scored = sandbox.output.read_bytes()
        reference.imports = _timed(sandbox, script, cold=True) - seconds


def _timed(sandbox: Sandbox, script: str, **options) -> float:
    """Seconds that a script takes, which must succeed."""
    start = time.perf_counter()
    if sandbox.run(sandbox.job(script), **options):
        raise RuntimeError(sandbox.log.read_text())
    return time.perf_counter() - start
