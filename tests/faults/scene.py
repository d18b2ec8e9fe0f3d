"""Where faults happen: a scene of its own for each, a copy of what was made once."""

import contextlib
import hashlib
import multiprocessing
import os
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import mlflow
import numpy as np
from mlflow.entities import Run

from tabular.data import census, sources
from tabular.tracking import logged_model, registry
from tabular.tracking.store import search_runs
from tests.faults.job import Job, run
from tests.faults.servers import Proxy

SCRIPTS = ("train", "sweep", "score", "promote")
BEFORE = b"what an earlier run had written\n"
LONGEST = 90  # seconds for a script to end, whatever was done to it


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
        found = search_runs("attributes.status != 'x'", experiment.experiment_id)
        return [run for run in found if run.info.run_id not in self.before]

    def empty_cache(self) -> None:
        """As if nothing had been downloaded yet."""
        for path in self.cache.iterdir():
            path.unlink()


def _end(process) -> None:
    if process.exitcode is None:
        process.kill()
    process.join()


def rename_paths(folder: Path, before: Path) -> None:
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
        rename_paths(folder, template)
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
            registry.set_champion(version, None)
        place.before = {run.info.run_id for run in place.runs()}
        yield place


def answer(made: World, uri: str) -> np.ndarray:
    """What a model says of the test rows, loaded as it would be served."""
    folder = made.folder / "rows"
    split = sources.read_split(folder / census.TEST)
    frame = logged_model.to_client_frame(split.X)
    return mlflow.pyfunc.load_model(uri).predict(frame)["probability"].to_numpy()
