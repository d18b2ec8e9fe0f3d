"""A database as the store: whether it can be opened, read and written, and making a new one."""

import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.utils.string_utils import quote

from tabular import cancel
from tabular.errors import UserError, one_line
from tabular.tracking import store

ANSWER_SECONDS = 6  # for a database server
LOCK_SECONDS = 20  # for a transaction of another process, as long as MLflow itself waits
MAKE_SECONDS = 120  # for another process that makes the same store
TIMEOUTS = {  # the argument of each driver that limits the time to connect
    "psycopg": "connect_timeout",
    "psycopg2": "connect_timeout",
    "pymysql": "connect_timeout",
    "mysqldb": "connect_timeout",
    "mysqlconnector": "connection_timeout",
    "pg8000": "timeout",
}
SECRETS = ("password", "passwd", "pwd", "token", "odbc_connect")  # parameters of an address
CAUSES = {  # what a driver or MLflow reports, and what it means, as the predicate of a sentence
    r"read-?\s?only|permission denied for|command denied": "can be read but not written: give "
    "this user the right to write the database (an SQLite file and its folder), or name another",
    r"is locked": f"has been locked by another process for {LOCK_SECONDS} seconds: end that "
    "process, or start a server (mlflow server) if many processes write at a time",
    r"not a database|malformed|encrypted": "is not an SQLite database, or is damaged: name "
    "another file, or restore a copy",
    r"unable to open database file": "cannot be opened: expected a file, in a folder that this "
    "user may write",
    r"disk is full|No space left": "cannot be written: the disk is full",
    r"password|Access denied|authentication|Login failed": "refuses user and password: expected "
    "those of an account of the database",
    r"database .* does not exist|Unknown database": "is not there: create the database on its "
    "server, or name another",
    r"refused|timed? ?out|resolve|translate|not known|connect|getaddrinfo|unreachable": "does not "
    "answer; is the address right and the database server running?",
    r"already exists|duplicate column|no such (column|table)": "has tables that MLflow did not "
    "make or did not finish: start again if another process is making them, else name another",
}


class Found(NamedTuple):
    """What a database holds.

    Attributes:
        tables: names.
        revision: of MLflow's schema; None if nothing has recorded one.
        complete: whether all of MLflow's tables are there.
    """

    tables: set[str]
    revision: str | None
    complete: bool


def require_database(
    uri: str,
    where: str,
    open_store: Callable[[], object],
    *,
    writes: bool = True,
    make: bool = True,
) -> bool:
    """Open a database by MLflow.

    Args:
        uri: its address.
        where: how a message names it: its variable and address, without secrets.
        open_store: opens it by MLflow, which makes tables where there are none.
        writes: whether it must be writable.
        make: whether to make it if it is new.

    Returns:
        False if it is new and was not made.

    Raises:
        UserError: it cannot be used.
    """
    try:
        url = import_module("sqlalchemy").make_url(uri)  # slow to import; a server does without
    except Exception:  # the text may hold a part of the password
        raise UserError(
            f"{where.partition(':')[0]}: expected an address like "
            "postgresql://user:password@host:5432/database, with %40 for @ in a password and the "
            "like for other special characters"
        ) from None
    try:
        return _open(url, open_store, writes, make)
    except UserError as error:
        raise UserError(f"{where} {error.format_message()}") from None
    except Exception as error:  # a driver raises errors of its own
        raise UserError(f"{where} {_explain(error, url)}") from None


def _open(url: Any, open_store: Callable[[], object], writes: bool, make: bool) -> bool:
    """Open what MLflow can use, or make it; False if it is new and is not to be made."""
    found = _inspect(url, writes)
    if _is_unmade(found, url):
        if not make:
            _require_folder(_file(url))
            return False
        with _only_one(_file(url)):
            if _is_unmade(_inspect(url, writes), url):
                # another process must not find it half made, nor a signal leave it so
                with cancel.uninterrupted():
                    open_store()
    else:
        _wait_for_maker(_file(url))
        if not found.complete and not (found := _inspect(url, writes)).complete:
            raise UserError(_explain_revision(str(found.revision), url))
    open_store()
    return True


def _wait_for_maker(file: Path | None) -> None:
    """Wait for a process that is making an SQLite file, which looks like an older one meanwhile."""
    if file is not None and _lock_path(file).exists():
        with _only_one(file):
            pass


def _is_unmade(found: Found, url: Any) -> bool:
    """Whether MLflow has never made its tables there, or was stopped while it did so."""
    if found.revision:
        return False
    foreign = found.tables - set(_mlflow_tables()) - {"alembic_version"}
    if url.get_backend_name() == "sqlite" and foreign or (found.complete and found.tables):
        names = ", ".join(sorted(foreign or found.tables)[:3])
        raise UserError(f"is the database of another program (it has the tables {names}): name "
                        "another")  # fmt: skip
    return True


def _inspect(url: Any, writes: bool) -> Found:
    """What a database holds; that it can be written is tried, and undone, where there are runs."""
    file = _file(url)
    if file is not None and not (file.exists() and file.stat().st_size):
        return Found(set(), None, False)
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        cancel.check()
        try:
            return _read(url, writes)
        except Exception as error:
            if "is locked" not in str(error) or time.monotonic() > deadline:
                raise


def _read(url: Any, writes: bool) -> Found:
    sqlalchemy, is_file = import_module("sqlalchemy"), url.get_backend_name() == "sqlite"
    timeouts = {"timeout": 1} if is_file else {}
    if argument := TIMEOUTS.get(url.get_driver_name()):
        timeouts = {argument: ANSWER_SECONDS}
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, connect_args=timeouts)
    with engine.connect() as connection:
        tables = set(sqlalchemy.inspect(connection).get_table_names())
        revision = None
        if "alembic_version" in tables:
            query = "SELECT version_num FROM alembic_version"
            revision = connection.execute(sqlalchemy.text(query)).scalar()
        complete = tables.issuperset(_mlflow_tables())
        if writes and revision and complete:
            # SQLite must touch a row to find out; elsewhere that would lock it
            change = "alembic_version SET version_num = version_num"
            if not is_file:
                change = "experiments SET name = name WHERE 1 = 0"
            connection.execute(sqlalchemy.text(f"UPDATE {change}"))
        connection.rollback()
    return Found(tables, revision, complete)


def _mlflow_tables() -> list[str]:
    return [*import_module("mlflow.store.db.utils").Base.metadata.tables]


def _file(url: Any) -> Path | None:
    """The file of an SQLite database; None for one in memory and for a database server."""
    name = (url.database or "").removeprefix("file:")
    if url.get_backend_name() != "sqlite" or not name or name.startswith(":memory:"):
        return None
    return None if url.query.get("mode") == "memory" else Path(name)


def _require_folder(file: Path | None) -> None:
    """Raise ``UserError`` if a new SQLite file could not be written where it is to be."""
    if file is not None:
        folders = file.absolute().parents
        folder = next((parent for parent in folders if parent.exists()), folders[0])
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            raise UserError(f"cannot be made: expected a folder that can be written, got {folder}")


def _lock_path(file: Path) -> Path:
    return file.with_name(f"{file.name}.lock")


@contextmanager
def _only_one(file: Path | None) -> Iterator[None]:
    """Keep other processes that would make the same SQLite file waiting while the body makes it.

    The lock is a transaction in a file beside it: the system ends it with the process.
    """
    if file is None:
        yield
        return
    _require_folder(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    path, deadline = _lock_path(file), time.monotonic() + MAKE_SECONDS
    while True:
        cancel.check()
        lock = sqlite3.connect(path, timeout=1, isolation_level=None)
        try:
            lock.execute("BEGIN EXCLUSIVE")
            break
        except sqlite3.Error as error:  # locked, or its last holder has just removed it
            lock.close()
            certain = not isinstance(error, sqlite3.OperationalError) or "unable" in str(error)
            if certain or time.monotonic() > deadline:
                raise UserError(
                    f"is made under the lock {path}, which cannot be taken ({error}): remove that "
                    "file, unless another process is making the store"
                ) from None
            time.sleep(0.1)
    with closing(lock):
        yield
    with suppress(OSError):  # Windows keeps it while another process has it open
        path.unlink(missing_ok=True)


def _explain_revision(revision: str, url: Any) -> str:
    """What it means that a schema has another revision than MLflow's own."""
    utils, scripts = import_module("mlflow.store.db.utils"), import_module("alembic.script")
    known = scripts.ScriptDirectory.from_config(utils._get_alembic_config(""))
    try:
        known.get_revision(revision)
    except Exception:  # alembic's error for a revision that it does not have
        return (
            f"is of a newer MLflow than {mlflow.__version__}, or of another program (its schema is "
            f"{one_line(revision)[:40]}): use the MLflow that made it, or name another database"
        )
    if revision == known.get_current_head():
        return "lacks some of MLflow's tables: restore a copy of it, or name another database"
    shown = quote(store.redact(url.render_as_string(hide_password=False)))
    return (
        f"is of an older MLflow than {mlflow.__version__}: make a copy of it, then run `mlflow db "
        f"upgrade {shown}`"
    )


def _explain(error: Exception, url: Any) -> str:
    """What an error of a driver, of SQLAlchemy or of MLflow means."""
    text = one_line(error)
    if match := re.search(r"found version (\w+),", text):
        return _explain_revision(match[1], url)
    if isinstance(error, OSError):
        return f"cannot be made: {error.strerror}: {error.filename}"
    if isinstance(error, ImportError) or "load plugin" in text:
        name = getattr(error, "name", None) or url.get_driver_name()
        return (
            f"needs the Python package {name}, which this environment lacks: install it (uv pip "
            f"install {name}), or name a server (http://host:port) that uses the database"
        )
    for pattern, meaning in CAUSES.items():
        if re.search(pattern, text, re.IGNORECASE):
            return meaning
    if isinstance(error, MlflowException):
        return f"cannot be used: {_without_password(text, url)}"
    return f"cannot be used: {type(error).__name__}: {_without_password(text, url)}"


def _without_password(text: str, url: Any) -> str:
    secrets = [url.password, *(value for name, value in url.query.items() if name in SECRETS)]
    for secret in filter(None, secrets):
        text = text.replace(str(secret), "***")
    return text[:300]
