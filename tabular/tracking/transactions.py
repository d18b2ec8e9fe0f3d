"""Several calls of MLflow as one transaction of a local SQLite store.

SQLite waits for the disk whenever a transaction ends, and MLflow ends one to four with each call:
for a small configuration of a sweep this waiting takes longer than the fit.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from mlflow.exceptions import MlflowException
from mlflow.store.db.db_types import SQLITE
from mlflow.store.db.utils import _get_managed_session_maker
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking._tracking_service.utils import _get_store
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import sessionmaker

Result = TypeVar("Result")


def in_one_transaction(write: Callable[[], Result]) -> Result:
    """The result of ``write``, whose calls of MLflow become one transaction where that is possible.

    Where the transaction fails, nothing of it is kept, and ``write`` is called once more, without
    one; so it is if the store is a server or another database. No other thread of this process may
    use the store meanwhile.
    """
    store = _get_store()
    if not isinstance(store, SqlAlchemyStore) or store.db_type != SQLITE:
        return write()
    try:
        with _transaction(store):
            return write()
    except (MlflowException, SQLAlchemyError):
        return write()


@contextmanager
def _transaction(store: SqlAlchemyStore) -> Iterator[None]:
    """Let all sessions of the store join one transaction, whose end alone is written to disk."""
    own = store.ManagedSessionMaker
    with store.engine.connect() as connection, connection.begin():
        sessions = sessionmaker(bind=connection, join_transaction_mode="rollback_only")
        store.ManagedSessionMaker = _get_managed_session_maker(sessions, SQLITE)
        try:
            yield
        finally:
            store.ManagedSessionMaker = own
