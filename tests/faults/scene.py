"""Where faults happen: rows, stores and models made once, and a scene of its own for each fault."""

import contextlib
import hashlib
import multiprocessing
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from multiprocessing import forkserver
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow.entities import Run

from census import children, data, registry, synthetic, table, tracking
from census.store import search
from tests.conftest import PROJECT
from tests.faults import disk
from tests.faults.job import ROWS, Job, run
from tests.faults.servers import Proxy, mirror
from tests.servers import free_port, running

SCRIPTS = ("train", "sweep", "score", "promote")
CHAMPION = ["--n_estimators", "5", "--max_depth", "2"]
CANDIDATE = ["--n_estimators", "20", "--max_depth", "3"]
BEFORE = b"what an earlier run had written\n"
COPIES = 600  # of the test rows in the file to score: some tenths of a second
LONGEST = 90  # seconds for a script to end, whatever was done to it
PRELOADED = [f"census.{path.stem}" for path in sorted((PROJECT / "census").glob("[a-z]*.py"))] + [
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
]


@dataclass
class World:
    """What all scenes have in common.

    Attributes:
        port: of the tracking server.
        models: addresses of champion and candidate, in either store.
        answers: probabilities that a model gives, by the digest of its file.
        results: digest of the model that an undisturbed run of a script makes.
        children: validation metrics of the points of an undisturbed sweep, by ``sweep.config``.
        scored: what an undisturbed score writes.
        seconds: that an undisturbed script takes by kind of store, its imports not counted.
        imports: seconds that those take.
        requests: that it sends to the server.
        written: bytes that it writes, by script and folder of the scene.
    """

    folder: Path
    contents: dict[str, bytes]
    mirror: str
    port: int
    models: tuple[str, str] = ("", "")
    answers: dict[str, np.ndarray] = field(default_factory=dict)
    results: dict[str, str] = field(default_factory=dict)
    children: dict[str, dict] = field(default_factory=dict)
    scored: bytes = b""
    seconds: dict[tuple[str, str], float] = field(default_factory=dict)
    imports: float = 0.0
    requests: dict[str, int] = field(default_factory=dict)
    written: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of the files of rows."""
        return {name: hashlib.sha256(body).hexdigest() for name, body in self.contents.items()}

    @property
    def people(self) -> Path:
        """The file to score."""
        return self.folder / "people.data"


@dataclass
class Scene:
    """A store, a cache, an output and temporary files that one fault may ruin.

    Attributes:
        store: where the scripts think the store is.
        direct: where it is.
        before: ids of the runs that were there before.
    """

    world: World
    folder: Path
    store: str
    direct: str
    experiment: str
    name: str
    stack: contextlib.ExitStack
    proxy: Proxy | None = None
    addresses: tuple[str, ...] = ()
    before: set[str] = field(default_factory=set)

    @property
    def kind(self) -> str:
        """The kind of store."""
        return "server" if self.proxy else "sqlite"

    @property
    def cache(self) -> Path:
        """Where downloaded files go."""
        return self.folder / "home" / "cache" / "census-mlflow"

    @property
    def output(self) -> Path:
        """Where scored rows go."""
        return self.folder / "out" / "scored.csv"

    @property
    def log(self) -> Path:
        """What the scripts print."""
        return self.folder / "log"

    def job(self, script: str, arguments: list[str] | None = None) -> Job:
        """A script as it is run here."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder / "home"),
            "XDG_CACHE_HOME": str(self.folder / "home" / "cache"),
            "TMPDIR": str(self.folder / "tmp"),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_TRACKING_URI": self.store,
            "MLFLOW_EXPERIMENT_NAME": self.experiment,
            # a patience of 6 seconds in place of minutes
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
            "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
            "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0.1",
        }
        return Job(
            script,
            arguments or self.arguments(script),
            environment,
            str(self.folder),
            str(self.log),
            self.world.digests,
            self.addresses or (f"{self.world.mirror}/none/none/0/",),
        )

    def arguments(self, script: str) -> list[str]:
        """The small piece of work that a script is given."""
        made = ["--data", "uci", "--register", f"{self.name}-{script}"]
        champion, candidate = self.world.models
        output = str(self.output)
        return {
            "train": [*made, "--n_estimators", "8", "--max_depth", "2"],
            "sweep": [
                *made, "--max_depth", "2,3", "--learning_rate", "0.1,0.3", "--n_estimators", "4,8",
            ],
            "score": ["--model", champion, "--input", str(self.world.people), "--output", output],
            "promote": [
                "--model", candidate, "--name", self.name,
                "--min_improvement", "-9", "--max_group_drop", "1",
            ],
        }[script]  # fmt: skip

    def started(self, job: Job, cold: bool = False):
        """A process that runs a job; a cold one imports everything by itself."""
        context = multiprocessing.get_context("spawn" if cold else "forkserver")
        process = context.Process(target=run, args=(job,))
        process.start()
        self.stack.callback(_end, process)
        return process

    def run(self, job: Job, **options) -> int:
        """Run a job to its end; its exit status."""
        return self.ended(self.started(job, **options))

    def ended(self, process) -> int:
        """Wait for a process; its exit status, 99 where it does not end."""
        process.join(LONGEST)
        return 99 if process.exitcode is None else process.exitcode

    def look(self) -> None:
        """From now on this process asks the scene's store, not by way of the proxy."""
        mlflow.set_tracking_uri(self.direct)

    def runs(self) -> list[Run]:
        """The runs that the scripts have made here."""
        self.look()
        experiment = mlflow.get_experiment_by_name(self.experiment)
        found = search("attributes.status != 'x'", experiment.experiment_id)
        return [run for run in found if run.info.run_id not in self.before]

    def empty_cache(self) -> None:
        """As if nothing had been downloaded yet."""
        for path in self.cache.iterdir():
            path.unlink()


def _end(process) -> None:
    if process.exitcode is None:
        process.kill()
    process.join()


@contextlib.contextmanager
def world(folder: Path) -> Iterator[World]:
    """Make rows, stores with a champion and a candidate, and measure what is undisturbed."""
    (folder / "rows").mkdir(parents=True)
    synthetic.write(folder / "rows", ROWS)
    contents = {
        name: (folder / "rows" / name).read_bytes().removeprefix(f"{synthetic.MARKER}\n".encode())
        for name in table.DIGESTS
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
        made.people.write_bytes(contents[table.TEST] * COPIES)
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
    _rename_paths(folder / "server", folder / "template")
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


def _rename_paths(folder: Path, before: Path) -> None:
    """The store has moved: wherever it names its folder, it is to name the new one."""
    with contextlib.closing(sqlite3.connect(folder / "store/mlflow.db")) as store, store:
        for kind, column in (
            ("experiments", "artifact_location"),
            ("runs", "artifact_uri"),
            ("logged_models", "artifact_location"),
            ("model_versions", "source"),
            ("model_versions", "storage_location"),
        ):
            text = f"UPDATE {kind} SET {column} = replace({column}, ?, ?)"
            store.execute(text, (f"{before}/", f"{folder}/"))


@contextlib.contextmanager
def scene(made: World, name: str, store: str, script: str | None) -> Iterator[Scene]:
    """A place for one fault; ``script`` None: the models are yet to be made."""
    folder, template = made.folder / name, made.folder / "template"
    shutil.copytree(template, folder)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        _rename_paths(folder, template)
        place = Scene(made, folder, "", "", "Default", "income", stack)
        if store == "server":
            place.proxy = Proxy(made.port)
            stack.callback(place.proxy.close)
            place.store = f"http://127.0.0.1:{place.proxy.port}"
            place.direct = f"http://127.0.0.1:{made.port}"
            place.experiment = place.name = name
            place.look()
            mlflow.MlflowClient().create_experiment(name)
        else:
            place.store = place.direct = f"sqlite:///{folder}/store/mlflow.db"
            place.look()
        if script == "promote":
            version = registry.register(made.models[0], place.name)
            registry.promote(version, None)
        place.before = {run.info.run_id for run in place.runs()}
        yield place


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
    _rename_paths(template, place.folder)


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
    tops = [run for run in place.runs() if children.PARENT not in run.data.tags]
    if script in ("train", "sweep"):
        digest = made.results[script] = tops[0].data.tags["model.digest"]
        made.answers[digest] = answer(made, f"runs:/{tops[0].info.run_id}/model")
    if script == "sweep":
        kids = [run for run in place.runs() if children.PARENT in run.data.tags]
        made.children = {run.data.tags[children.CONFIG]: run.data.metrics for run in kids}
    if script == "score":
        made.scored = place.output.read_bytes()
        start = time.perf_counter()
        if place.run(place.job(script), cold=True):
            raise RuntimeError(place.log.read_text())
        made.imports = time.perf_counter() - start - made.seconds[script, place.kind]


def answer(made: World, uri: str) -> np.ndarray:
    """What a model says of the test rows, loaded as it would be served."""
    folder = made.folder / "rows"
    split = data.read(folder / table.TEST)
    frame = tracking.raw_rows(split.X)
    return mlflow.pyfunc.load_model(uri).predict(frame)["probability"].to_numpy()


def with_limit(job: Job, most_bytes: int) -> Job:
    """The job, where no file may grow larger."""
    return replace(job, most_bytes=most_bytes)
