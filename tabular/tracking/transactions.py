"""Several calls of MLflow as one transaction of a local SQLite store.

SQLite waits for the disk whenever a transaction ends, and MLflow ends one to four with each call:
for a small configuration of a sweep this waiting takes longer than the fit.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

from mlflow.exceptions import MlflowException
from mlflow.tracking._tracking_service.utils import _get_store

Result = TypeVar("Result")


class _RolledBack(Exception):
    """MLflow has rolled the transaction back."""


def in_one_transaction(write: Callable[[], Result]) -> Result:
    """The result of ``write``, whose calls of MLflow become one transaction where that is possible.

    Where the transaction fails, nothing of it is kept, and ``write`` is called once more, without
    one; so it is if the store is a server or another database. What other threads write meanwhile
    does not belong to it.
    """
    store = _get_store()
    if getattr(store, "db_type", None) != "sqlite":
        return write()
    database_error = import_module("sqlalchemy.exc").SQLAlchemyError  # a server does without
    try:
        with _transaction(store):
            return write()
    except (MlflowException, database_error, _RolledBack):
        return write()


@cache
def _session_class() -> type:
    """Sessions that insert many rows, such as a curve, without following what becomes of each."""
    orm = import_module("sqlalchemy.orm")

    def add_all(self: Any, rows: Iterable) -> None:
        self.flush()  # of rows that these refer to
        self.bulk_save_objects(rows)

    return type("_BulkSession", (orm.Session,), {"add_all": add_all})


@contextmanager
def _transaction(store: Any) -> Iterator[None]:
    """Let all sessions of this thread join one transaction, whose end alone is written to disk.

    Args:
        store: MLflow's ``SqlAlchemyStore``.
    """
    own, thread = store.ManagedSessionMaker, threading.get_ident()
    sessionmaker = import_module("sqlalchemy.orm").sessionmaker
    managed = import_module("mlflow.store.db.utils")._get_managed_session_maker
    with store.engine.connect() as connection, connection.begin() as transaction:
        sessions = sessionmaker(
            bind=connection, class_=_session_class(), join_transaction_mode="rollback_only"
        )
        with managed(sessions, store.db_type)():
            pass  # SQLite's settings belong to the connection: they are made once, by this session
        joined = managed(sessions, None)

        def choose(*args: Any, **kwargs: Any) -> Any:
            maker = joined if threading.get_ident() == thread else own
            return maker(*args, **kwargs)

        store.ManagedSessionMaker = choose
        try:
            yield
        finally:
            store.ManagedSessionMaker = own
        if not transaction.is_active:
            raise _RolledBack
