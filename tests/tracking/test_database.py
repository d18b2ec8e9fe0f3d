"""A database that cannot be the store is reported in one line; a new one is made once."""

import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import mlflow
import pytest
import sqlalchemy
from mlflow.store.db import utils

import score
import sweep
import train
from tabular.errors import StoreUnusable
from tabular.tracking import database, opening, runs, store
from tests import team
from tests.helpers import PROJECT
from tests.servers import free_port
from tests.tracking.test_server import SCRIPTS

OLDER, NEWER = "728d730b5ebd", "ffffffffffff"


@pytest.fixture
def sql(tmp_path):
    """A function that executes statements in the database of the store, which may be new."""

    def execute(*statements):
        with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    return execute


@pytest.fixture
def no_database(tmp_path):
    """The path of the store's database, which is not there."""
    path = tmp_path / "mlflow.db"
    path.unlink()
    return path


def refusal():
    """The message with which the store is refused; no password of it is shown."""
    with pytest.raises(StoreUnusable) as raised:
        opening.require_store()
    line = raised.value.format_message()
    assert "secret" not in line
    assert "\n" not in line
    return line


def test_a_database_of_an_older_mlflow_is_to_be_upgraded(sql, tmp_path):
    sql(f"UPDATE alembic_version SET version_num = '{OLDER}'")
    assert refusal() == (
        f"MLFLOW_TRACKING_URI: sqlite:///{tmp_path}/mlflow.db is of an older MLflow than "
        f"{mlflow.__version__}: make a copy of it, then run `mlflow db upgrade "
        f"sqlite:///{tmp_path}/mlflow.db`"
    )


def test_a_database_that_lacks_newer_tables_is_not_upgraded_unasked(sql):
    sql(f"UPDATE alembic_version SET version_num = '{OLDER}'", "DROP TABLE logged_models")
    assert "then run `mlflow db upgrade" in refusal()
    sql("CREATE TABLE logged_models (id INTEGER)")  # it was not made meanwhile


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_every_script_reports_a_database_of_an_older_mlflow(run_script, sql, tmp_path, script):
    (tmp_path / "x.csv").touch()
    sql(f"UPDATE alembic_version SET version_num = '{OLDER}'")
    done = run_script(script.main, *SCRIPTS[script])
    assert done.returncode == 2
    assert done.stdout == ""
    assert "mlflow db upgrade" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_database_of_a_newer_mlflow_is_refused(sql):
    sql(f"UPDATE alembic_version SET version_num = '{NEWER}'")
    assert f"is of a newer MLflow than {mlflow.__version__}, or of another program" in refusal()


def test_a_database_that_lost_a_table_is_refused(sql):
    sql("DROP TABLE latest_metrics")
    assert "lacks some of MLflow's tables: restore a copy" in refusal()


def test_the_database_of_another_program_is_refused_and_left_alone(no_database, sql):
    sql("CREATE TABLE songs (name TEXT)")
    before = no_database.read_bytes()
    assert "is the database of another program (it has the tables songs): name an" in refusal()
    assert no_database.read_bytes() == before


def test_tables_that_only_have_the_names_of_mlflows_are_reported(no_database, sql):
    sql("CREATE TABLE experiments (name TEXT)", "CREATE TABLE runs (name TEXT)")
    assert "has tables that MLflow did not make or did not finish" in refusal()


def test_a_file_that_is_no_database_is_refused(no_database):
    no_database.write_text("Dear diary\n" * 100)
    assert "is not an SQLite database, or is damaged" in refusal()


def test_a_damaged_database_is_refused(tmp_path):
    path = tmp_path / "mlflow.db"
    content = path.read_bytes()
    path.write_bytes(content[:8192] + bytes(len(content) - 8192))
    assert "is not an SQLite database, or is damaged" in refusal()


def test_a_folder_in_place_of_the_file_is_refused(no_database):
    no_database.mkdir()
    assert "cannot be opened: expected a file, in a folder that this user may write" in refusal()


def test_a_file_in_place_of_its_folder_is_refused(no_database, monkeypatch, tmp_path):
    no_database.touch()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{no_database}/mlflow.db")
    assert f"cannot be made: expected a folder that can be written, got {no_database}" in refusal()


def test_an_empty_file_becomes_a_store(no_database, empty_store):
    no_database.touch()
    uri = f"sqlite:///{no_database}"
    database.require_database(uri, "", lambda: shutil.copy(empty_store, no_database))
    assert no_database.read_bytes() == empty_store.read_bytes()


def test_a_store_in_a_new_folder_is_made_with_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/a/b/mlflow.db")
    opening.require_usable()
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["mlflow.db"]


def test_a_store_whose_making_was_broken_off_is_finished(no_database, empty_store):
    uri = f"sqlite:///{no_database}"
    engine = sqlalchemy.create_engine(uri)
    utils.InitialBase.metadata.create_all(engine)  # the first step of MLflow
    engine.dispose()
    database.require_database(uri, "", lambda: shutil.copy(empty_store, no_database))
    assert no_database.read_bytes() == empty_store.read_bytes()


def test_no_store_is_made_for_a_run_that_another_one_must_have(no_database, monkeypatch):
    monkeypatch.setenv(store.RUN_ID, "0" * 32)
    assert "is not there, although MLFLOW_RUN_ID names a run in it" in refusal()
    assert not no_database.exists()


def test_a_mistake_in_the_data_leaves_no_new_store_behind(no_store, run_script, tmp_path):
    done = run_script(train.main, "--data", tmp_path / "nowhere")
    assert done.stderr.startswith("error: data: expected a folder")


def test_a_new_store_is_made_when_a_run_starts(no_database):
    assert not opening.require_store(make=False)
    assert not no_database.exists()
    with runs.start_run("a run"):
        assert no_database.exists()


def test_a_database_that_is_readable_only_is_refused(monkeypatch, tmp_path):
    path = f"file:{tmp_path}/mlflow.db?mode=ro&uri=true"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
    assert "can be read but not written: give this user the right" in refusal()


def test_looking_whether_a_database_can_be_written_changes_nothing(tmp_path):
    before = (tmp_path / "mlflow.db").read_bytes()
    opening.require_store()
    assert (tmp_path / "mlflow.db").read_bytes() == before


@pytest.mark.parametrize("kind", ["IMMEDIATE", "EXCLUSIVE"])
def test_a_database_that_stays_locked_is_given_up(monkeypatch, tmp_path, kind):
    monkeypatch.setattr(database, "LOCK_SECONDS", 0.5)
    with closing(sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)) as other:
        other.execute(f"BEGIN {kind}")
        start = time.perf_counter()
        assert "has been locked by another process for" in refusal()
    assert time.perf_counter() - start < 10


@pytest.mark.slow
def test_processes_that_start_at_once_make_one_store(no_database):
    command = [sys.executable, PROJECT / "train.py", "--data", "synthetic:500"]
    command += ["--n_estimators", "2"]
    runs = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    printed = [run.communicate(timeout=240)[1] for run in runs]
    assert [run.returncode for run in runs] == [0] * 4, printed
    assert len(mlflow.search_runs(["0"], output_format="list")) == 4
    assert not no_database.with_name("mlflow.db.lock").exists()


def test_a_database_that_another_process_is_making_is_waited_for(sql, empty_store, tmp_path):
    """Half made, it looks like one of an older MLflow."""
    sql(f"UPDATE alembic_version SET version_num = '{OLDER}'", "DROP TABLE logged_models")
    path = tmp_path / "mlflow.db"
    program = f"""
import shutil, sqlite3, time
lock = sqlite3.connect("{path}.lock", isolation_level=None)
lock.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
time.sleep(1.5)
shutil.copy("{empty_store}", "{path}")
lock.close()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        assert opening.require_store()


@pytest.mark.parametrize("address", ["runs:/0123/model", "models:/x/1"])
def test_score_makes_no_store_to_look_for_a_model(run_script, no_database, tmp_path, address):
    (tmp_path / "x.csv").touch()
    done = run_script(score.main, "--model", address, "--input", tmp_path / "x.csv",
                      "--output", tmp_path / "y.csv")  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: model: {address} is not in sqlite sqlite:///{tmp_path}")
    assert not no_database.exists()


def test_a_sweep_makes_no_store_to_look_for_one_to_resume(run_script, no_database):
    done = run_script(sweep.main, "--data", "synthetic:500", "--resume", "0" * 32)
    assert done.returncode == 2
    assert not no_database.exists()


def test_a_file_in_place_of_the_lock_is_named(tmp_path):
    (tmp_path / "mlflow.db.lock").write_text("something else, longer than a header of SQLite" * 9)
    assert f"is made under the lock {tmp_path}/mlflow.db.lock, which cannot be taken" in refusal()


def test_an_experiment_id_in_a_new_store_is_refused_before_the_work(
    run_script, monkeypatch, no_database
):
    monkeypatch.setenv(store.EXPERIMENT_ID, "7")
    done = run_script(train.main, "--data", "synthetic:500")
    assert done.returncode == 2
    assert done.stderr.startswith("error: MLFLOW_EXPERIMENT_ID: 7 is not in sqlite")
    assert not no_database.exists()


def test_a_lock_on_the_making_of_a_store_ends_with_its_process(no_database):
    program = f"""
import os, sqlite3, time
lock = sqlite3.connect("{no_database}.lock", isolation_level=None)
lock.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
time.sleep(1.5)
os.kill(os.getpid(), 9)
"""
    opened = []
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        start = time.perf_counter()
        uri = f"sqlite:///{no_database}"
        database.require_database(uri, "", lambda: opened.append(time.perf_counter() - start))
    assert opened[0] > 1


@pytest.mark.parametrize(("uri", "line"), [
    ("postgresql://ada:secret@127.0.0.1:{port}/x", "does not answer; is the address right and the"),
    ("postgresql+pg9://ada:secret@127.0.0.1/x", "needs the Python package pg9, which this"),
    ("mysql+nodriver://ada:secret@127.0.0.1/x", "needs the Python package nodriver, which this"),
    ("postgresql://ada:secret/1@127.0.0.1:x/x", "expected an address like postgresql://user:pass"),
])  # fmt: skip
def test_a_database_server_that_cannot_be_used_is_reported_at_once(monkeypatch, uri, line):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(port=free_port()))
    start = time.perf_counter()
    assert line in refusal()
    assert time.perf_counter() - start < 20


def test_a_silent_database_server_is_given_up_within_seconds(silent, monkeypatch):
    monkeypatch.setattr(database, "ANSWER_SECONDS", 2)
    uri = silent.replace("http://", "postgresql://ada:secret@") + "/x"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert "does not answer; is the address right" in refusal()


@pytest.mark.parametrize(("reported", "line"), [
    ('FATAL:  password authentication failed for user "ada"', "refuses user and password"),
    ("(1045, \"Access denied for user 'ada'@'%'\")", "refuses user and password"),
    ('FATAL:  database "x" does not exist', "is not there: create the database"),
    ("cannot execute UPDATE in a read-only transaction", "can be read but not written"),
    ("permission denied for table experiments", "can be read but not written"),
    ("database or disk is full", "the disk is full"),
    ("could not translate host name", "does not answer"),
    ("something with secret in it", "cannot be used: RuntimeError: something with *** in it"),
])  # fmt: skip
def test_what_a_driver_reports_is_explained(reported, line):
    url = sqlalchemy.make_url("postgresql://ada:secret@db/x")
    assert line in database._explain(RuntimeError(reported), url)


@pytest.mark.slow
@pytest.mark.postgresql
def test_postgresql_as_the_store(monkeypatch, tmp_path):
    with team.postgresql(tmp_path / "log") as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        opening.require_usable()
        opening.require_usable()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{uri}_nowhere")
        assert "is not there: create the database" in refusal()
