"""Several calls of MLflow as one transaction of a local SQLite store."""

import sqlite3
import threading
from contextlib import closing, suppress

import mlflow
import pytest
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking._tracking_service.utils import _get_store
from sqlalchemy import text

from tabular.tracking.transactions import in_one_transaction


@pytest.fixture
def client():
    return mlflow.MlflowClient()


def n_metrics(tmp_path) -> int:
    """What another process sees."""
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        return database.execute("select count(*) from metrics").fetchone()[0]


def test_what_is_written_becomes_visible_at_once(client, tmp_path):
    run_id = client.create_run("0").info.run_id
    seen = []

    def write() -> str:
        client.log_metric(run_id, "a", 1.0)
        client.log_metric(run_id, "b", 2.0)
        seen.append(n_metrics(tmp_path))
        client.set_terminated(run_id)
        return "done"

    assert in_one_transaction(write) == "done"
    assert seen == [0]
    assert client.get_run(run_id).data.metrics == {"a": 1.0, "b": 2.0}
    assert client.get_run(run_id).info.status == "FINISHED"


def test_an_interrupted_transaction_leaves_nothing(client, tmp_path):
    run_id = client.create_run("0").info.run_id

    def write() -> None:
        client.log_metric(run_id, "a", 1.0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_one_transaction(write)
    assert n_metrics(tmp_path) == 0
    client.log_metric(run_id, "b", 2.0)
    assert n_metrics(tmp_path) == 1


def test_a_transaction_that_fails_is_repeated_call_by_call(client):
    """A metric that is logged twice makes MLflow roll its transaction back."""
    run_id = client.create_run("0").info.run_id
    client.log_metric(run_id, "a", 1.0, timestamp=5, step=0)

    def write() -> None:
        client.log_metric(run_id, "b", 2.0)
        client.log_metric(run_id, "a", 1.0, timestamp=5, step=0)

    in_one_transaction(write)
    assert client.get_run(run_id).data.metrics == {"a": 1.0, "b": 2.0}


def test_a_transaction_that_was_rolled_back_unnoticed_is_repeated(client):
    def write() -> str:
        run_id = client.create_run("0").info.run_id
        client.log_param(run_id, "a", 1)
        with suppress(MlflowException):
            client.log_param(run_id, "a", 2)
        return run_id

    assert client.get_run(in_one_transaction(write)).data.params == {"a": "1"}


def test_another_thread_writes_by_itself(client, tmp_path):
    """Such as the one that logs the metrics of the system."""
    run_id = client.create_run("0").info.run_id
    other = threading.Thread(target=client.log_metric, args=(run_id, "other", 1.0))

    def write() -> int:
        other.start()
        other.join()
        client.log_metric(run_id, "own", 1.0)
        return n_metrics(tmp_path)

    assert in_one_transaction(write) == 1
    assert n_metrics(tmp_path) == 2


def test_an_error_that_remains_is_raised(client):
    with pytest.raises(MlflowException, match="not found"):
        in_one_transaction(lambda: client.log_metric("0" * 32, "a", 1.0))


def test_a_run_that_is_written_in_a_transaction_is_like_any_other(client, tmp_path):
    points = [Metric("a", 1 / step, 5, step) for step in range(1, 40)] + [Metric("b", 2.0, 5, 1)]

    def write() -> str:
        run_id = client.create_run("0", start_time=1, run_name="one").info.run_id
        client.log_batch(run_id, points, [Param("p", "1"), Param("q", "2")], [RunTag("t", "3")])
        client.log_batch(run_id, [Metric("a", 0.5, 6, 40)])
        client.set_terminated(run_id, end_time=2)
        return run_id

    def rows(run_id: str) -> list:
        with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
            return [
                sorted(
                    str([value for value in row if run_id not in str(value)])
                    for row in database.execute(
                        f"select * from {table} where run_uuid = ?", [run_id]
                    )
                )
                for table in ("runs", "metrics", "latest_metrics", "params", "tags")
            ]

    assert rows(in_one_transaction(write)) == rows(write())


def test_foreign_keys_are_checked_in_every_session_of_a_transaction(client):
    seen = []

    def write() -> None:
        client.search_experiments()
        with _get_store().ManagedSessionMaker() as session:
            seen.append(session.execute(text("pragma foreign_keys")).scalar())

    in_one_transaction(write)
    assert seen == [1]
