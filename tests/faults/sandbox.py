"""The sandbox of a fault: a store, a cache and files of its own, copied from a template."""

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

from tabular.data import census, reading
from tabular.data.census import CENSUS
from tabular.tracking import logged_model, registry
from tabular.tracking.orphans import PARENT
from tabular.tracking.store import search_runs
from tests.faults.job import Job, run
from tests.faults.servers import Proxy

SCRIPTS = ("train", "sweep", "score", "promote")
OLD_OUTPUT = b"what an earlier run had written\n"
TIMEOUT_SECONDS = 90  # for a script to end, whatever happens to it


@dataclass
class Reference:
    """What all sandboxes share: data, models, and what undisturbed scripts do.

    Attributes:
        contents: the files that stand for UCI's, by name.
        mirror: the address from which they are downloaded.
        port: of the tracking server.
        models: addresses of the champion and the candidate, in either store.
        predictions: probabilities of the test rows, by the digest of the model file.
        model_digests: of the model that a script logs.
        children: validation metrics of the children of a sweep, by ``sweep.config``.
        scored: the output of ``score``.
        seconds: duration of a script without its imports, by script and kind of store.
        imports: duration of the imports, in seconds.
        requests: how many a script sends to the server.
        written: bytes that a script writes, by script and folder of the sandbox.
    """

    folder: Path
    contents: dict[str, bytes]
    mirror: str
    port: int
    models: tuple[str, str] = ("", "")
    predictions: dict[str, np.ndarray] = field(default_factory=dict)
    model_digests: dict[str, str] = field(default_factory=dict)
    children: dict[str, dict] = field(default_factory=dict)
    scored: bytes = b""
    seconds: dict[tuple[str, str], float] = field(default_factory=dict)
    imports: float = 0.0
    requests: dict[str, int] = field(default_factory=dict)
    written: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of the data files."""
        return {name: hashlib.sha256(body).hexdigest() for name, body in self.contents.items()}

    @property
    def input(self) -> Path:
        """The file to score."""
        return self.folder / "input.data"


@dataclass
class Sandbox:
    """A store, a cache, an output and temporary files that one fault may ruin.

    Attributes:
        tracking_uri: the store as the scripts see it, which may be behind a proxy.
        direct_uri: the store as the checks see it.
        experiment: name of the experiment of the scripts.
        name: of the registered model that ``promote`` changes.
        stack: what is undone at the end.
        before: ids of the runs that existed before the script ran.
    """

    reference: Reference
    folder: Path
    tracking_uri: str
    direct_uri: str
    experiment: str
    name: str
    stack: contextlib.ExitStack
    proxy: Proxy | None = None
    before: set[str] = field(default_factory=set)

    @property
    def kind(self) -> str:
        """The kind of store."""
        return "server" if self.proxy else "sqlite"

    @property
    def cache(self) -> Path:
        """The folder of downloaded files."""
        return self.folder / "home" / "cache" / "census-mlflow"

    @property
    def output(self) -> Path:
        """The file that ``score`` writes."""
        return self.folder / "out" / "scored.csv"

    @property
    def log(self) -> Path:
        """The file that gets what the scripts print."""
        return self.folder / "log"

    def job(self, script: str, arguments: list[str] | None = None) -> Job:
        """A script with the arguments and the environment of this sandbox."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder / "home"),
            "XDG_CACHE_HOME": str(self.folder / "home" / "cache"),
            "TMPDIR": str(self.folder / "tmp"),
            "CENSUS_DOWNLOAD": "uci",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_TRACKING_URI": self.tracking_uri,
            "MLFLOW_EXPERIMENT_NAME": self.experiment,
            # MLflow's client gives up after 6 seconds instead of minutes
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
            self.reference.digests,
            (f"{self.reference.mirror}/none/none/0/",),
        )

    def arguments(self, script: str) -> list[str]:
        """The small piece of work that a script does."""
        training = ["--data", "uci", "--register", f"{self.name}-{script}"]
        champion, candidate = self.reference.models
        return {
            "train": [*training, "--n_estimators", "8", "--max_depth", "2"],
            "sweep": [
                *training, "--max_depth", "2,3", "--learning_rate", "0.1,0.3",
                "--n_estimators", "4,8", "--budget", "1h",
            ],
            "score": [
                "--model", champion, "--input", str(self.reference.input),
                "--output", str(self.output),
            ],
            "promote": [
                "--model", candidate, "--name", self.name,
                "--min_improvement", "-9", "--max_group_drop", "1",
            ],
        }[script]  # fmt: skip

    def start(self, job: Job, cold: bool = False):
        """Start a process that runs a job; a cold one does its own imports."""
        context = multiprocessing.get_context("spawn" if cold else "forkserver")
        process = context.Process(target=run, args=(job,))
        process.start()
        self.stack.callback(_kill, process)
        return process

    def run(self, job: Job, **options) -> int:
        """Run a job to its end; returns its exit status."""
        return self.wait(self.start(job, **options))

    def wait(self, process) -> int:
        """Wait for a process; returns its exit status, or 99 if it does not end."""
        process.join(TIMEOUT_SECONDS)
        return 99 if process.exitcode is None else process.exitcode

    def use_store(self) -> None:
        """Make this process use the sandbox's store, without the proxy."""
        mlflow.set_tracking_uri(self.direct_uri)

    def runs(self) -> list[Run]:
        """The runs that the scripts have created here."""
        self.use_store()
        experiment = mlflow.get_experiment_by_name(self.experiment)
        found = search_runs("attributes.status != 'x'", experiment.experiment_id)
        return [run for run in found if run.info.run_id not in self.before]

    def children(self) -> list[Run]:
        """The child runs among them."""
        return [run for run in self.runs() if PARENT in run.data.tags]

    def top_runs(self) -> list[Run]:
        """The other ones."""
        return [run for run in self.runs() if PARENT not in run.data.tags]

    def empty_cache(self) -> None:
        """Delete the downloaded files."""
        for path in self.cache.iterdir():
            path.unlink()


def _kill(process) -> None:
    if process.exitcode is None:
        process.kill()
    process.join()


def rename_paths(folder: Path, before: Path) -> None:
    """Replace the former folder of a store that was copied by its new one, in its database."""
    with contextlib.closing(sqlite3.connect(folder / "store/mlflow.db")) as store, store:
        for table, column in (
            ("experiments", "artifact_location"),
            ("runs", "artifact_uri"),
            ("logged_models", "artifact_location"),
            ("model_versions", "source"),
            ("model_versions", "storage_location"),
        ):
            text = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
            store.execute(text, (f"{before}/", f"{folder}/"))


@contextlib.contextmanager
def create_sandbox(
    reference: Reference, name: str, store: str, script: str | None
) -> Iterator[Sandbox]:
    """A sandbox for one fault in one script; ``script`` is None while the models are made."""
    folder, template = reference.folder / name, reference.folder / "template"
    shutil.copytree(template, folder)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        rename_paths(folder, template)
        sandbox = Sandbox(reference, folder, "", "", "Default", "income", stack)
        if store == "server":
            sandbox.proxy = Proxy(reference.port)
            stack.callback(sandbox.proxy.close)
            sandbox.tracking_uri = f"http://127.0.0.1:{sandbox.proxy.port}"
            sandbox.direct_uri = f"http://127.0.0.1:{reference.port}"
            sandbox.experiment = sandbox.name = name
            sandbox.use_store()
            mlflow.MlflowClient().create_experiment(name)
        else:
            sandbox.tracking_uri = sandbox.direct_uri = f"sqlite:///{folder}/store/mlflow.db"
            sandbox.use_store()
        if script == "promote":
            version = registry.register(reference.models[0], sandbox.name)
            registry.set_champion(version, None)
        sandbox.before = {run.info.run_id for run in sandbox.runs()}
        yield sandbox


def predict(reference: Reference, uri: str) -> np.ndarray:
    """Probabilities of the test rows, (n_samples,), by a model loaded as it would be served."""
    split = reading.read_split(reference.folder / "data" / census.TEST, CENSUS)
    frame = logged_model.to_client_frame(split.X)
    return mlflow.pyfunc.load_model(uri).predict(frame)["probability"].to_numpy()
