"""A sweep on a Dask cluster: the result of one machine, whatever becomes of the workers."""

import os
import signal
import time
from contextlib import ExitStack, contextmanager

import mlflow
import pytest

from census import children
from tests.servers import free_port, running
from tests.test_sweep import SWEEP, board, children_of, started, sweeps, wait_for

SIXTY = [
    "--max_depth", "2,3,4,5,6", "--learning_rate", "0.05,0.1,0.2,0.3",
    "--n_estimators", "60,120,180",
]  # fmt: skip
SMALL = ["--max_depth", "2,3", "--n_estimators", "5,10", "--learning_rate", "0.3"]


@pytest.fixture
def cluster(tmp_path):
    """Starts a scheduler and workers, each with an address of its own; yields them."""
    with ExitStack() as stack:

        def start(n_workers, environment=None, prefix=(), nthreads=1):
            environment = os.environ | {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "5s"}
            environment |= {"MLFLOW_RUN_ID": "0" * 32}  # of whoever started it: not ours to take
            port, elsewhere = free_port(), {"cwd": tmp_path / "home", "env": environment}
            command = ["dask", "scheduler", "--host", "127.0.0.3", "--port", str(port)]
            command += ["--no-dashboard", "--no-show"]
            log = tmp_path / "scheduler.log"
            stack.enter_context(running(command, port, log, host="127.0.0.3", **elsewhere))
            address = f"tcp://127.0.0.3:{port}"
            workers = []
            for number in range(n_workers):
                host, port = f"127.0.0.{4 + number}", free_port()
                command = [*prefix, "dask", "worker", address, "--no-nanny", "--no-dashboard"]
                command += ["--host", host, "--worker-port", str(port)]
                command += ["--nthreads", str(nthreads), "--local-directory", str(tmp_path)]
                log = tmp_path / f"worker{number}.log"
                worker = running(command, port, log, host=host, **elsewhere)
                workers.append(stack.enter_context(worker))
            return address, workers

        yield start


@contextmanager
def tracking_server(folder):
    """`mlflow server` on an address of its own; it is the store while the body runs."""
    port = free_port()
    command = ["mlflow", "server", "--host", "127.0.0.2", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/server.db"]
    command += ["--artifacts-destination", str(folder / "artifacts"), "--allowed-hosts", "*"]
    with running(command, port, folder / "server.log", "/health", host="127.0.0.2"):
        yield f"http://127.0.0.2:{port}"


def comparable(run):
    """The table of all points, without what is another in every sweep."""
    return board(run).drop(columns=["run_id", "source"])


def test_a_cluster_that_loses_workers_gives_what_one_machine_gives(
    cluster, synthetic_folder, tmp_path, run_command, monkeypatch
):
    """60 points; one worker is killed, one stopped, and goes on when all is over."""
    data = ["--data", synthetic_folder]
    here = run_command(*SWEEP, *SIXTY, *data)
    assert here.returncode == 0, here.stderr
    (alone,) = sweeps()
    expected = comparable(alone)
    with tracking_server(tmp_path) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        address, (first, second, _) = cluster(3)
        arguments = [*SIXTY, *data, "--executor", "dask", "--scheduler", address]
        with started(arguments, tmp_path / "sweep.log") as sweep:
            wait_for(lambda: sweeps() and len(children_of(sweeps()[0])) >= 12)
            os.kill(first.pid, signal.SIGKILL)
            os.kill(second.pid, signal.SIGSTOP)
            assert sweep.wait(120) == 0, (tmp_path / "sweep.log").read_text()
        os.kill(second.pid, signal.SIGCONT)
        for _ in range(2):
            (run,) = sweeps()
            assert run.info.status == "FINISHED"
            assert run.data.tags["model.digest"] == alone.data.tags["model.digest"]
            assert comparable(run).equals(expected)
            assert children_of(run, "RUNNING") == children_of(run, "KILLED") == []
            finished = children_of(run)
            assert len(finished) == len({c.data.tags[children.CONFIG] for c in finished}) == 60
            for child in finished:
                curve = mlflow.MlflowClient().get_metric_history(
                    child.info.run_id, "validation_log_loss"
                )
                assert len(curve) == int(child.data.params["n_estimators"])
            time.sleep(3)
