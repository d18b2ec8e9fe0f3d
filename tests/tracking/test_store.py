"""The tracking store: its address without secrets, and the experiment of this process."""

from pathlib import PureWindowsPath

import mlflow
import pytest

import train
from tabular.errors import StoreUnusable, UserError
from tabular.tracking import artifacts, runs, store
from tests.servers import free_port, running


@pytest.fixture
def experiment(monkeypatch):
    """A function that makes an experiment, deletes it if asked, and returns its id."""

    def make(name, deleted=False):
        client = mlflow.MlflowClient()
        made = client.create_experiment(name)
        if deleted:
            client.delete_experiment(made)
        return made

    return make


@pytest.mark.parametrize(("address", "shown"), [
    ("https://user:token@host/a.git", "https://host/a.git"),
    ("https://token@host/a.git#sub", "https://host/a.git#sub"),
    ("postgresql+psycopg2://u:p@db:5432/x", "postgresql+psycopg2://db:5432/x"),
    ("https://user:p@ss@host/a", "https://host/a"),
    ("postgresql://db/x?user=u&password=p&a=b", "postgresql://db/x?user=u&password=&a=b"),
    ("postgresql://ada:a/b@db/x", "postgresql://db/x"),
    ("mysql://db/x?passwd=p&a=b", "mysql://db/x?passwd=&a=b"),
    ("mssql+pyodbc:///?odbc_connect=PWD%3Dp", "mssql+pyodbc:///?odbc_connect="),
    ("https://host/x?token=t", "https://host/x?token="),
    ("postgres://u:p@db/x", "postgres://db/x"),
    ("REDIS://u:p@host", "REDIS://host"),
    ("http://host:5000/a@b", "http://host:5000/a@b"),
    ("git@host:a.git", "git@host:a.git"),
    ("ssh://git@host/a.git", "ssh://git@host/a.git"),
    ("/home/ada/a@b", "/home/ada/a@b"),
    ("sqlite:////home/ada/mlflow.db", "sqlite:////home/ada/mlflow.db"),
])  # fmt: skip
def test_an_address_is_shown_without_password_or_token(address, shown):
    assert store.redact(address) == shown


def test_the_default_experiment_is_used_where_no_variable_names_one():
    assert store.find_experiment().experiment_id == "0"


@pytest.mark.parametrize("variable", [store.EXPERIMENT_NAME, store.EXPERIMENT_ID])
def test_a_variable_names_the_experiment_of_check_and_of_a_run(monkeypatch, experiment, variable):
    made = experiment("team")
    monkeypatch.setenv(variable, "team" if variable == store.EXPERIMENT_NAME else made)
    assert store.current_experiment().experiment_id == made
    with runs.start_run("a run") as run:
        assert run.info.experiment_id == made


def test_an_experiment_of_a_new_name_is_made_when_the_run_starts(monkeypatch):
    monkeypatch.setenv(store.EXPERIMENT_NAME, "new")
    assert store.find_experiment() is None
    assert mlflow.MlflowClient().get_experiment_by_name("new") is None
    with runs.start_run("a run"):
        assert mlflow.MlflowClient().get_experiment_by_name("new")


def test_an_experiment_that_another_process_makes_at_the_same_time_is_used(monkeypatch, experiment):
    monkeypatch.setenv(store.EXPERIMENT_NAME, "new")
    create = mlflow.MlflowClient.create_experiment

    def late(client, name):
        create(client, name)
        return create(client, name)

    monkeypatch.setattr(mlflow.MlflowClient, "create_experiment", late)
    assert store.current_experiment().name == "new"


@pytest.mark.parametrize("variable", [store.EXPERIMENT_NAME, store.EXPERIMENT_ID])
def test_a_deleted_experiment_is_refused_with_both_ways_out(monkeypatch, experiment, variable):
    made = experiment("old", deleted=True)
    monkeypatch.setenv(variable, "old" if variable == store.EXPERIMENT_NAME else made)
    message = f"^{variable}: .* is deleted: restore it .mlflow experiments restore -x {made}., or"
    with pytest.raises(UserError, match=message):
        store.find_experiment()


def test_a_deleted_default_experiment_is_refused():
    mlflow.MlflowClient().delete_experiment("0")
    with pytest.raises(UserError, match="the default experiment is deleted: restore it"):
        store.find_experiment()


@pytest.mark.parametrize("unknown", ["77", "abc"])
def test_an_id_of_no_experiment_is_refused(monkeypatch, unknown):
    monkeypatch.setenv(store.EXPERIMENT_ID, unknown)
    with pytest.raises(UserError, match=f"{store.EXPERIMENT_ID}: {unknown} is not in sqlite"):
        store.find_experiment()


@pytest.mark.parametrize("name", ["team", "new"])
def test_a_name_and_an_id_of_different_experiments_are_refused(monkeypatch, experiment, name):
    experiment("team")
    monkeypatch.setenv(store.EXPERIMENT_NAME, name)
    monkeypatch.setenv(store.EXPERIMENT_ID, "0")
    with pytest.raises(UserError, match=f"'{name}' .* and MLFLOW_EXPERIMENT_ID .0. are different"):
        store.find_experiment()


def test_a_name_and_an_id_of_one_experiment_are_taken(monkeypatch, experiment):
    monkeypatch.setenv(store.EXPERIMENT_ID, experiment("team"))
    monkeypatch.setenv(store.EXPERIMENT_NAME, "team")
    assert store.find_experiment().name == "team"


@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_name_is_refused(monkeypatch, name):
    monkeypatch.setenv(store.EXPERIMENT_NAME, name)
    with pytest.raises(UserError, match=f"{store.EXPERIMENT_NAME}: expected a name"):
        store.find_experiment()


def test_a_name_that_mlflow_refuses_is_a_users_mistake(monkeypatch):
    monkeypatch.setenv(store.EXPERIMENT_NAME, "x" * 600)
    with pytest.raises(UserError, match=f"{store.EXPERIMENT_NAME}: 'name' exceeds the maximum"):
        store.current_experiment()


def test_a_run_that_is_not_in_the_store_is_reported(monkeypatch):
    monkeypatch.setenv(store.RUN_ID, "0" * 32)
    with pytest.raises(StoreUnusable, match="MLFLOW_RUN_ID: there is no run 0000.*: unset it, or"):
        store.find_experiment()


def test_a_metric_is_found_by_the_name_that_it_had_before_metrics_were_grouped():
    with mlflow.start_run() as run:
        mlflow.log_metric("accuracy_low", 0.5)
    past = mlflow.get_run(run.info.run_id)
    assert store.recorded_value(past, "interval/accuracy_low", 0.0) == 0.5


def test_a_run_that_is_deleted_is_reported(monkeypatch):
    client = mlflow.MlflowClient()
    run_id = client.create_run("0").info.run_id
    client.delete_run(run_id)
    monkeypatch.setenv(store.RUN_ID, run_id)
    with pytest.raises(UserError, match=f"{run_id} is deleted: restore it .mlflow runs restore"):
        store.find_experiment()


def test_the_experiment_of_the_run_that_mlflow_made_counts(monkeypatch, experiment):
    run_id = mlflow.MlflowClient().create_run(experiment("team")).info.run_id
    monkeypatch.setenv(store.RUN_ID, run_id)
    monkeypatch.setenv(store.EXPERIMENT_NAME, "another")
    assert store.find_experiment().name == "team"


def test_train_reports_a_deleted_experiment_in_one_line_and_makes_no_run(
    run_script, monkeypatch, experiment
):
    experiment("old", deleted=True)
    monkeypatch.setenv(store.EXPERIMENT_NAME, "old")
    done = run_script(train.main, "--data", "synthetic:500")
    assert done.returncode == 2
    assert done.stderr.startswith("error: MLFLOW_EXPERIMENT_NAME: 'old' is deleted: restore it")
    assert done.stderr.count("\n") == 1
    assert mlflow.search_runs(search_all_experiments=True, output_format="list") == []


@pytest.mark.slow
def test_a_script_refuses_an_experiment_in_a_folder_of_the_server(
    run_script, monkeypatch, tmp_path
):
    port = free_port()
    command = [
        "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{tmp_path}/server.db",
        "--no-serve-artifacts", "--default-artifact-root", "/somewhere/else",
    ]  # fmt: skip
    with running(command, port, tmp_path / "log", "/health"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        with pytest.raises(UserError, match=r"/somewhere/else/0, a folder of the server's machine"):
            artifacts.require_usable(store.current_experiment())
        done = run_script(train.main, "--data", "synthetic:500")
    assert done.returncode == 2
    line = done.stderr.splitlines()[-1]
    assert line.startswith("error: Default keeps artifacts in /somewhere/else/0, a folder of the")


@pytest.mark.parametrize(("uri", "local", "described"), [
    ("sqlite:///C:/runs/mlflow.db", True, "sqlite sqlite:///C:/runs/mlflow.db"),
    (r"C:\runs\mlruns", True, r"folder C:\runs\mlruns"),
    ("postgresql://db/mlflow", False, "postgresql postgresql://db/mlflow"),
])  # fmt: skip
def test_a_drive_of_windows_is_no_scheme(uri, local, described):
    assert store.is_local(uri) == local
    assert store.describe(uri) == described


@pytest.mark.parametrize(("uri", "relative"), [
    ("sqlite:///mlflow.db", True),
    ("sqlite:///C:/runs/mlflow.db", False),
    (r"sqlite:///C:\runs\mlflow.db", False),
    ("http://127.0.0.1:5000", False),
])  # fmt: skip
def test_an_sqlite_file_on_a_drive_is_not_relative(uri, relative, monkeypatch):
    monkeypatch.setattr(store, "Path", PureWindowsPath)
    assert store.is_relative(uri) == relative
