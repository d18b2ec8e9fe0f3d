"""What keeps a command from opening its store is one line, before it does anything."""

import shutil

import mlflow
import pytest

import promote
import score
import train
from tabular.errors import StoreUnusable, UserError
from tabular.tracking import opening, runs
from tests.servers import free_port
from tests.tracking.test_server import SCRIPTS

PROMOTE, SCORE = SCRIPTS[promote], SCRIPTS[score]


@pytest.mark.parametrize(("uri", "line"), [
    ("127.0.0.1:5000", "127.0.0.1:5000 has no http:// before the host: export {0}=http://127."),
    ("localhost:5000/a", "has no http:// before the host: export {0}=http://localhost:5000/a"),
    ("'http://host'", "has quotes or blanks around the address: export {0}=http://host"),
    ('"http://a:secret@host"', "has quotes or blanks around the address: export {0}=http://host"),
    ("http://host ", "'http://host ' has quotes or blanks around the address: export {0}=http:"),
    ("http:/host:5000", "lacks a slash: export {0}=http://host:5000"),
    ("https:host", "lacks a slash: export {0}=https://host"),
    ("sqlite://mlflow.db", "lacks a slash: export {0}=sqlite:///mlflow.db"),
    ("sqlite:/tmp/mlflow.db", "lacks a slash: export {0}=sqlite:////tmp/mlflow.db"),
    ("postgres://a:secret@host/x", "knows no postgres: export {0}=postgresql://host/x"),
    ("http://", "expected http://host:port, sqlite:////folder/mlflow.db or postgresql://"),
    ("postgresql://a:secret[@host/x", "with %5B for [ in a password"),
])  # fmt: skip
@pytest.mark.parametrize("variable", [opening.TRACKING, opening.REGISTRY])
def test_an_address_with_a_slip_is_reported_with_the_one_that_is_meant(variable, uri, line):
    with pytest.raises(UserError) as raised:
        opening.require_spelling(variable, uri)
    message = raised.value.format_message()
    assert message.startswith(f"{variable}: ")
    assert line.format(variable) in message
    assert "secret" not in message


@pytest.mark.parametrize("uri", [
    "http://host:5000", "https://a:b@host/prefix/", "HTTP://host", "http://[::1]:5000",
    "sqlite:///x.db", "sqlite:////a/x.db", "sqlite+pysqlite:///x.db", "sqlite://",
    "postgresql+psycopg://a:b@host:1/x", "mysql://host/x", "databricks", "databricks://team",
    "file:///a/b", "mlruns", "/a/b", "C:\\mlruns", "azureml://host/x",
])  # fmt: skip
def test_an_address_that_mlflow_understands_is_left_alone(uri):
    opening.require_spelling(opening.TRACKING, uri)


@pytest.mark.parametrize("scheme", ["file:", "file://", ""])
def test_a_folder_is_refused_with_three_ways_out(monkeypatch, tmp_path, scheme):
    (tmp_path / "mlruns").mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{scheme}{tmp_path}/mlruns")
    database = f"sqlite:///{tmp_path}/mlflow.db"
    with pytest.raises(StoreUnusable) as raised:
        opening.require_store()
    assert raised.value.format_message() == (
        f"MLFLOW_TRACKING_URI: {scheme}{tmp_path}/mlruns is a folder, which MLflow "
        f"{mlflow.__version__} refuses as a store: export MLFLOW_TRACKING_URI={database} (mlflow "
        f"migrate-filestore --source {tmp_path}/mlruns --target {database} copies the runs), or "
        "the address of a server (http://host:port), or allow the folder with "
        "MLFLOW_ALLOW_FILE_STORE=true"
    )


def test_a_folder_of_runs_beside_the_user_that_selects_itself_is_reported(monkeypatch, tmp_path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    (tmp_path / "mlruns" / "0").mkdir(parents=True)
    (tmp_path / "mlruns" / "0" / "meta.yaml").touch()
    with pytest.raises(UserError, match=f"^the default store file://{tmp_path}/mlruns is a folder"):
        opening.require_store()


def test_a_folder_that_mlflow_allows_is_used(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{tmp_path}/mlruns")
    opening.require_usable()
    with runs.start_run("a run") as run:
        assert run.info.experiment_id == "0"


def test_an_allowed_folder_that_cannot_be_written_is_reported(monkeypatch, tmp_path):
    (tmp_path / "a file").touch()
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{tmp_path}/a file")
    with pytest.raises(StoreUnusable, match="cannot be read and written"):
        opening.require_store()


@pytest.mark.parametrize("uri", ["databricks", "databricks://team", "databricks-uc"])
def test_databricks_without_credentials_is_reported(monkeypatch, caplog, uri):
    for name in ("DATABRICKS_HOST", "DATABRICKS_TOKEN", "DATABRICKS_CONFIG_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(StoreUnusable, match=f"{uri} has no credentials here: set DATABRICKS_HOST"):
        opening.require_store()
    assert not caplog.records


def test_an_unknown_kind_of_store_is_reported_without_its_password(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "redis://ada:secret@127.0.0.1:1")
    with pytest.raises(StoreUnusable) as raised:
        opening.require_store()
    assert raised.value.format_message() == (
        "MLFLOW_TRACKING_URI: redis://127.0.0.1:1 is not a kind of store that MLflow knows: "
        "expected http://host:port, sqlite:////folder/mlflow.db or postgresql://host/database"
    )


@pytest.mark.parametrize(("script", "arguments"), [
    (promote, PROMOTE),
    (score, SCORE),
    (train, ["--data", "synthetic:500", "--register", "census"]),
])  # fmt: skip
@pytest.mark.parametrize("uri", ["127.0.0.1:5000", "http://127.0.0.1:{port}", "redis://host"])
def test_a_registry_that_cannot_be_used_is_reported_before_the_work(
    run_script, monkeypatch, tmp_path, script, arguments, uri
):
    (tmp_path / "x.csv").touch()
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", uri.format(port=free_port()))
    done = run_script(script.main, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: MLFLOW_REGISTRY_URI: ")
    assert done.stderr.count("\n") == 1
    assert mlflow.search_runs(["0"], output_format="list") == []


def test_the_database_of_a_server_is_refused_where_only_the_server_reaches_artifacts(monkeypatch):
    mlflow.MlflowClient().create_experiment("team", "mlflow-artifacts:/1")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "team")
    with pytest.raises(UserError, match="is a server's database, whose experiment team keeps art"):
        opening.require_usable()


def test_a_registry_that_is_not_used_is_not_asked(run_script, monkeypatch):
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "127.0.0.1:5000")
    opening.require_usable()


def test_a_registry_apart_can_be_read_only_for_score(monkeypatch, tmp_path, empty_store):
    shutil.copy(empty_store, tmp_path / "registry.db")
    uri = f"sqlite:///file:{tmp_path}/registry.db?mode=ro&uri=true"
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", uri)
    opening.require_registry(writes=False)
    with pytest.raises(UserError, match="MLFLOW_REGISTRY_URI: .* can be read but not written"):
        opening.require_registry()


def test_nothing_is_written_on_a_run_of_a_store_that_cannot_be_opened(
    run_script, monkeypatch, tmp_path
):
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/new.db")
    done = run_script(train.main, "--data", "synthetic:500")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "new.db").exists()


@pytest.mark.parametrize(("name", "value", "expected"), [
    ("MLFLOW_HTTP_REQUEST_TIMEOUT", "abc", "a whole number"),
    ("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "maybe", "true or false"),
    ("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", "abc", "a number"),
])  # fmt: skip
def test_a_variable_that_mlflow_cannot_read_is_named(monkeypatch, name, value, expected):
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=f"{name}: expected {expected}, got '{value}'"):
        opening.require_store()


def test_an_empty_variable_is_taken_as_not_set(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "")
    opening.require_store()
