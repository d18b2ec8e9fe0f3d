"""A sweep on a Dask cluster: the result of one machine, whatever becomes of the workers."""

import asyncio
import http.server
import os
import pickle
import signal
import subprocess
import threading
import time
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from unittest.mock import Mock

import cloudpickle
import mlflow
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tabular.cluster import connection
from tabular.sweep import child_runs
from tabular.sweep.dask_executor import DaskExecutor
from tabular.sweep.trials import SweepSpec
from tests.helpers import PROJECT, SWEEP, board, children_of, started, sweeps, wait_for
from tests.servers import answering, free_port, running

SIXTY = [
    "--max_depth", "2,3,4,5,6", "--learning_rate", "0.05,0.1,0.2,0.3",
    "--n_estimators", "60,120,180",
]  # fmt: skip
SMALL = ["--max_depth", "2,3", "--n_estimators", "5,10", "--learning_rate", "0.1,0.3"]
LONG = ["--max_depth", "5", "--n_estimators", "400,800", "--learning_rate", "0.01,0.02,0.03"]
TRIALS = ["--sampler", "tpe", "--trials", "8", "--max_depth", "2..4", "--n_estimators", "5..30"]
ELSEWHERE = ["unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh"]


@pytest.fixture
def start_cluster(tmp_path):
    """Starts a scheduler and workers, each with an address of its own."""
    with ExitStack() as stack:
        environment = os.environ | {
            "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "5s",
            "MLFLOW_RUN_ID": "0" * 32,  # of whoever started it: not ours to take
        }
        environment.pop("MLFLOW_TRACKING_URI")
        options = {"cwd": tmp_path / "home", "env": environment}

        def start_worker(address, number, prefix=()):
            host, port = f"127.0.0.{4 + number}", free_port()
            command = [*prefix, "dask", "worker", address, "--no-nanny", "--no-dashboard"]
            command += ["--host", host, "--worker-port", str(port), "--nthreads", "1"]
            command += ["--local-directory", str(tmp_path)]
            log = tmp_path / f"worker{number}.log"
            worker = stack.enter_context(running(command, port, log, host=host, **options))
            wait_for(lambda: "Registered to" in log.read_text())
            return worker

        def start_scheduler(port):
            command = ["dask", "scheduler", "--host", "127.0.0.3", "--port", str(port)]
            command += ["--no-dashboard", "--no-show"]
            log = tmp_path / "scheduler.log"
            scheduler = running(command, port, log, host="127.0.0.3", **options)
            return stack.enter_context(scheduler)

        def start(n_workers, **more):
            environment.update(more)
            port = free_port()
            start.scheduler, start.again = start_scheduler(port), lambda: start_scheduler(port)
            address = f"tcp://127.0.0.3:{port}"
            return address, [start_worker(address, number) for number in range(n_workers)]

        start.worker = start_worker
        yield start


@contextmanager
def tracking_server(folder):
    """`mlflow server` on an address of its own."""
    port = free_port()
    command = ["mlflow", "server", "--host", "127.0.0.2", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--allowed-hosts", "*"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    with running(command, port, folder / "server.log", "/health", host="127.0.0.2"):
        yield f"http://127.0.0.2:{port}"


def comparable(run):
    """The table of all points, without what is another in every sweep."""
    return board(run).drop(columns=["run_id", "source"])


def require_whole(run, n_points, expected=None):
    """Every point once, FINISHED, its curve written once; and the table as another sweep's."""
    assert run.info.status == "FINISHED"
    assert children_of(run, "RUNNING") == children_of(run, "KILLED") == []
    finished = children_of(run)
    assert len(finished) == len({c.data.tags[child_runs.CONFIG] for c in finished}) == n_points
    for child in finished:
        assert [i.tags[0].value for i in child.inputs.dataset_inputs] == ["training"]
        history = mlflow.MlflowClient().get_metric_history
        curve = history(child.info.run_id, "validation_log_loss")
        assert len(curve) == int(child.data.params["n_estimators"])
    if expected:
        assert comparable(run).equals(comparable(expected))
        assert run.data.tags["model.digest"] == expected.data.tags["model.digest"]


@pytest.mark.slow
@pytest.mark.parametrize("options", [
    SMALL, [*SMALL, "--folds", "2", "--max_bin", "16,64"], [*TRIALS, "--workers", "2"],
])  # fmt: skip
def test_a_cluster_of_this_machine_gives_the_same_bytes(synthetic_folder, run_command, options):
    data = ["--data", synthetic_folder, "--resume", "never"]
    for executor in ("local", "dask"):
        done = run_command(*SWEEP, *options, *data, "--executor", executor)
        assert done.returncode == 0, done.stderr
    ours, alone = sweeps()
    require_whole(ours, len(children_of(alone)), alone)


@pytest.mark.slow
def test_a_cluster_that_loses_workers_gives_what_one_machine_gives(
    start_cluster, synthetic_folder, tmp_path, run_command, monkeypatch
):
    """60 points; one worker is killed, one stopped, and goes on when all is over."""
    data = ["--data", synthetic_folder]
    here = run_command(*SWEEP, *SIXTY, *data, timeout=300)
    assert here.returncode == 0, here.stderr
    (alone,) = sweeps()
    expected = comparable(alone)
    with tracking_server(tmp_path) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        address, (first, second, _) = start_cluster(3)
        arguments = [*SIXTY, *data, "--executor", "dask", "--scheduler", address]
        with started(arguments, tmp_path / "sweep.log") as sweep:
            wait_for(lambda: sweeps() and len(children_of(sweeps()[0])) >= 12)
            os.kill(first.pid, signal.SIGKILL)
            os.kill(second.pid, signal.SIGSTOP)
            assert sweep.wait(300) == 0, (tmp_path / "sweep.log").read_text()
        os.kill(second.pid, signal.SIGCONT)
        for _ in range(2):
            (run,) = sweeps()
            require_whole(run, 60)
            assert comparable(run).equals(expected)
            assert run.data.tags["model.digest"] == alone.data.tags["model.digest"]
            time.sleep(3)


@pytest.mark.slow
def test_a_sweep_outlives_all_workers_if_another_comes(
    start_cluster, synthetic_folder, tmp_path, monkeypatch
):
    """One is stopped before it begins, one killed, one stopped as soon as it is there."""
    with tracking_server(tmp_path) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        address, (silent, first) = start_cluster(2)
        os.kill(silent.pid, signal.SIGSTOP)
        arguments = [*LONG, "--data", synthetic_folder, "--executor", "dask"]
        with started([*arguments, "--scheduler", address], tmp_path / "sweep.log") as sweep:
            wait_for(lambda: sweeps() and len(children_of(sweeps()[0])) >= 1)
            second = start_cluster.worker(address, 2)
            os.kill(second.pid, signal.SIGSTOP)
            os.kill(first.pid, signal.SIGKILL)
            start_cluster.worker(address, 3)
            assert sweep.wait(200) == 0, (tmp_path / "sweep.log").read_text()
        (run,) = sweeps()
        require_whole(run, 6)


@pytest.mark.slow
def test_a_fit_that_workers_die_of_fails_and_the_others_count(
    start_cluster, synthetic_folder, tmp_path
):
    address, (first, _) = start_cluster(2, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0")
    arguments = [*LONG, "--data", synthetic_folder, "--executor", "dask", "--scheduler", address]
    with started([*arguments, "--max_failures", "4"], tmp_path / "sweep.log") as sweep:
        wait_for(lambda: sweeps() and len(children_of(sweeps()[0], "RUNNING")) >= 4)
        time.sleep(1)
        os.kill(first.pid, signal.SIGKILL)
        assert sweep.wait(200) == 0, (tmp_path / "sweep.log").read_text()
    (run,) = sweeps()
    failed = children_of(run, "FAILED")
    assert failed
    assert len(failed) + len(children_of(run)) == 6
    assert children_of(run, "RUNNING") == []
    assert {child.data.tags["error"] for child in failed} == {"its worker died in every attempt"}


@pytest.mark.slow
@pytest.mark.parametrize("where", ["local", "there"])
def test_an_interrupted_sweep_leaves_nothing_running(
    start_cluster, synthetic_folder, tmp_path, where
):
    """Ctrl-C reaches every process of a terminal; the workers of a cluster stop in the middle."""
    address, _ = start_cluster(1) if where == "there" else ("local", None)
    log, arguments = tmp_path / "sweep.log", [*LONG, "--data", synthetic_folder, "--workers", "1"]
    command = [*map(str, [*SWEEP, *arguments]), "--executor", "dask", "--scheduler", address]
    with log.open("w") as output:
        sweep = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    try:
        wait_for(lambda: sweeps() and children_of(sweeps()[0], "RUNNING"))
        time.sleep(1)
        os.killpg(sweep.pid, signal.SIGINT)
        assert sweep.wait(30) == 130
    finally:
        sweep.kill()
    assert log.read_text().endswith("ended by: SIGINT\n")
    assert "Traceback" not in log.read_text()
    (run,) = sweeps()
    assert run.info.status == "KILLED"
    assert children_of(run, "RUNNING") == []
    if where == "there":  # the worker takes the next sweep at once
        data = ["--data", synthetic_folder, "--executor", "dask", "--scheduler", address]
        with started([*SMALL, *data], log) as sweep:
            assert sweep.wait(60) == 0, log.read_text()


def test_workers_on_another_machine_cannot_write_to_a_file(
    start_cluster, synthetic_folder, tmp_path, run_command
):
    address, _ = start_cluster(0)
    if run_command(*ELSEWHERE, "true").returncode:
        pytest.skip("may not take another host name")
    start_cluster.worker(address, 0, ELSEWHERE)
    data = ["--data", synthetic_folder, "--executor", "dask", "--scheduler", address]
    done = run_command(*SWEEP, *SMALL, *data)
    assert done.returncode == 2
    assert done.stderr.startswith("error: scheduler: worker tcp://127.0.0.4:")
    assert "is another machine, elsewhere, and the tracking store is a file of this" in done.stderr
    assert sweeps() == []


class Refusing(http.server.BaseHTTPRequestHandler):
    """A server that takes nobody's password."""

    def do_GET(self):
        self.send_error(401)

    def log_message(self, *args):
        pass


@pytest.mark.parametrize(("change", "message"), [
    ({}, ""),
    ({"versions": {"xgboost": "0.90"}}, "has xgboost 3.2.0, not 0.90; start it in the environment"),
    ({"machine": "elsewhere"}, "is another machine, "),
    ({"machine": "elsewhere", "writes": False}, ""),
    ({"uri": ""}, "needs MLFLOW_TRACKING_URI in its environment"),
    ({"device": "cuda"}, "cannot work: device: expected XGBoost with CUDA for cuda"),
    ({"uri": "refusing"}, "cannot work: MLFLOW_TRACKING_URI: http://127.0.0.1:"),
])  # fmt: skip
def test_a_worker_that_cannot_do_the_work_says_why(monkeypatch, change, message):
    """Called where it would be: in a process whose environment a stranger has set."""
    needs = connection.Requirements.of_this_process("cpu")
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    monkeypatch.setenv("MLFLOW_ACTIVE_MODEL_ID", "m-of-a-stranger")
    monkeypatch.setenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "false")
    monkeypatch.setattr(mlflow, "set_tracking_uri", lambda uri: monkeypatch.setenv(
        "MLFLOW_TRACKING_URI", uri))  # fmt: skip
    if change.get("uri") == "":
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with answering(Refusing) as address:
        if change.get("uri"):
            change = {"uri": address}
        lack = connection.missing_requirement(needs._replace(**change))
    assert lack.startswith(message)
    assert bool(lack) == bool(message)
    assert not {"MLFLOW_RUN_ID", "MLFLOW_ACTIVE_MODEL_ID"} & {*os.environ}


def thread_of(_):
    return threading.get_ident()


def test_a_worker_that_imports_can_still_tell_that_it_is_alive():
    ask = pickle.loads(cloudpickle.dumps(connection._beside_event_loop(thread_of)))
    assert asyncio.run(ask(pickle.dumps(None))) != threading.get_ident()


def test_a_cluster_of_this_machine_has_one_worker_for_its_gpu(monkeypatch):
    monkeypatch.setattr(connection, "LocalCluster", Mock(side_effect=RuntimeError("enough")))
    with pytest.raises(RuntimeError, match="enough"), connection.connect("local", "cuda"):
        pass
    assert connection.LocalCluster.call_args.kwargs["n_workers"] == 1


def test_every_worker_with_a_gpu_takes_a_fit(dataset):
    workers = {f"tcp://127.0.0.1:{port}": {"nthreads": 4} for port in range(1, 5)}
    client = Mock(status="running", scheduler_info=lambda n_workers: {"workers": workers})
    spec = SweepSpec(dataset, "cuda", 0, 1)
    assert DaskExecutor(client, Mock(), spec, n_fits=9).workers == 4


@pytest.mark.parametrize(("wanted", "at_once"), [(None, 16), (2, 2), (8, 16)])
def test_no_more_fits_are_sent_than_are_wanted_at_a_time(dataset, wanted, at_once):
    """One more for each worker, unless workers that are not wanted would take it."""
    workers = {f"tcp://127.0.0.1:{port}": {"nthreads": 1} for port in range(1, 9)}
    client = Mock(status="running", scheduler_info=lambda n_workers: {"workers": workers})
    spec = SweepSpec(dataset, "cpu", 0, 1)
    assert DaskExecutor(client, Mock(), spec, 99, wanted).max_in_flight == at_once


def test_a_password_does_not_travel(monkeypatch):
    for uri, sent in (
        ("http://ada:secret@ml.example.org", ""),
        ("postgresql://ada:secret@db.example.org/mlflow", ""),
        ("http://ml.example.org", "http://ml.example.org"),
    ):
        monkeypatch.setattr(connection.store, "tracking_uri", lambda uri=uri: uri)
        assert connection.Requirements.of_this_process("cpu").uri == sent


@pytest.mark.slow
@pytest.mark.parametrize("script", ["train.py", "sweep.py"])
@pytest.mark.parametrize(("options", "message"), [
    (["--executor", "spark"], "error: Invalid value for '--executor': 'spark' is not one of"),
    (["--scheduler", "tcp://10.0.0.1:8786"], "error: scheduler: tcp://10.0.0.1:8786 needs execut"),
    (["--executor", "dask", "--scheduler", "10.0.0.1"], "error: scheduler: expected local or an"),
    (["--executor", "dask", "--scheduler", "tcp://127.0.0.1:9"],
     "error: scheduler: tcp://127.0.0.1:9 does not answer; start dask scheduler"),
])  # fmt: skip
def test_a_slip_is_told_before_there_is_a_run(
    no_store, run_command, synthetic_folder, script, options, message
):
    done = run_command("python", PROJECT / script, "--data", synthetic_folder, *options)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(message)
    assert len(done.stderr.splitlines()) <= 2


@pytest.mark.slow
def test_a_scheduler_without_workers_is_told(start_cluster, run_command, synthetic_folder):
    address, _ = start_cluster(0)
    data = ["--data", synthetic_folder, "--executor", "dask", "--scheduler", address]
    done = run_command(*SWEEP, *SMALL, *data)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: scheduler: {address} has no worker; start dask")


@pytest.fixture
def tls(tmp_path, monkeypatch):
    """Dask's settings for encrypted connections, with a certificate of their own."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(1))
    certificate = builder.sign(key, hashes.SHA256())
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(encoding, serialization.PrivateFormat.TraditionalOpenSSL, plain)
    path = tmp_path / "tls.pem"
    path.write_bytes(private + certificate.public_bytes(encoding))
    prefix = "DASK_DISTRIBUTED__COMM__TLS__"
    monkeypatch.setenv(f"{prefix}CA_FILE", str(path))
    for who in ("SCHEDULER", "WORKER", "CLIENT"):
        monkeypatch.setenv(f"{prefix}{who}__CERT", str(path))
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION", "true")


@pytest.mark.slow
def test_a_scheduler_may_be_reached_over_tls(tls, synthetic_folder, tmp_path, run_command):
    port = free_port()
    address = f"tls://127.0.0.1:{port}"
    scheduler = ["dask", "scheduler", "--protocol", "tls", "--host", address]
    worker = ["dask", "worker", address, "--no-nanny", "--nthreads", "1", "--no-dashboard"]
    home = {"cwd": tmp_path / "home"}
    log = tmp_path / "worker.log"
    with (
        running([*scheduler, "--no-dashboard"], port, tmp_path / "scheduler.log", **home),
        running([*worker, "--local-directory", str(tmp_path)], port, log, **home),
    ):
        data = ["--data", synthetic_folder, "--executor", "dask", "--scheduler", address]
        done = run_command(*SWEEP, *SMALL, *data)
        assert done.returncode == 0, done.stderr + log.read_text()
    (run,) = sweeps()
    require_whole(run, 8)


@pytest.mark.slow
def test_the_commands_of_the_page_start_a_cluster(tmp_path, run_command, synthetic_folder):
    """With a free port, and addresses of this machine."""
    page = (PROJECT / "docs" / "remote.md").read_text()
    port = free_port()
    scheduler, worker, sweep, train = (
        line.replace("10.0.0.1", "127.0.0.1").replace("8786", str(port)).split()
        for line in page.splitlines()
        if line.startswith(("dask ", "mlflow run . ")) and "8786" in line
    )
    home = {"cwd": tmp_path / "home"}
    with (
        running(scheduler, port, tmp_path / "scheduler.log", **home),
        running(worker, port, tmp_path / "worker.log", **home),
    ):
        wait_for(lambda: "Registered to" in (tmp_path / "worker.log").read_text())
        for line, script in ((sweep, [*SWEEP, *SMALL]), (train, ["python", PROJECT / "train.py"])):
            given = dict(word.split("=", 1) for word in line if "=" in word)
            given["data"] = synthetic_folder
            options = [f"--{name}={value}" for name, value in given.items()]
            done = run_command(*script, *options)
            assert done.returncode == 0, done.stderr
    (run,) = sweeps()
    require_whole(run, 8)


@pytest.mark.slow
@pytest.mark.parametrize("again", [False, True])
def test_a_lost_scheduler_ends_the_sweep_in_words(start_cluster, synthetic_folder, tmp_path, again):
    address, _ = start_cluster(1)
    log = tmp_path / "sweep.log"
    arguments = [*LONG, "--data", synthetic_folder, "--executor", "dask", "--scheduler", address]
    with started(arguments, log) as sweep:
        wait_for(lambda: sweeps() and children_of(sweeps()[0], "RUNNING"))
        start_cluster.scheduler.kill()
        if again:  # the client finds it, and it knows nothing
            start_cluster.again()
        assert sweep.wait(200) == 1, log.read_text()
    assert "error: scheduler: the connection is lost" in log.read_text()
    (run,) = sweeps()
    assert run.info.status == "FAILED"
    assert children_of(run, "RUNNING") == []
