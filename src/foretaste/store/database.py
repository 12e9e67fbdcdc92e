"""The study's database: SQLite in WAL mode. Where it cannot be written, it can still be read.

What is particular to SQLite is here: how a file is opened, how a writer keeps others out, and what its errors mean.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import Insert, insert
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError

from foretaste import __version__
from foretaste.errors import StorageError, StudyError
from foretaste.store import tables
from foretaste.store.migrate import mark_schema, schema_of, upgrade_schema
from foretaste.target import path_kind

__all__ = [
    "begin_writing",
    "check_schema",
    "connect",
    "engine_of",
    "insert_new",
    "is_upgraded_copy",
    "most_parameters",
    "readable_engine",
    "transaction",
]

_WAIT_SECONDS = 60
_RETRY_SECONDS = 0.05
_MOST_PARAMETERS = 32_000  # of other databases than SQLite
_UNWRITABLE = ("full", "disk I/O", "unable to open", "readonly")  # what SQLite says where a disk is full or read-only


def connect(path: Path, *, create: bool) -> sa.Engine:
    """Open a database file.

    Opened for work, a missing file is made, and tables of an earlier version are moved to this version's. Opened for reading, a
    file is left as it is: one of an earlier version is copied into memory and moved there, which also works on a read-only disk.

    Args:
        path: The file.
        create: Whether it is opened for work.

    Raises:
        StudyError: Missing, not a database, or of a newer schema.
        StorageError: The disk refuses.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     engine = connect(Path(folder) / "study.db", create=True)
    ...     sa.inspect(engine).get_table_names()
    ...     engine.dispose()
    ['alembic_version', 'artefacts', 'evaluations', 'recipes', 'study', 'work']
    """
    if not create and path_kind(path) != "file":
        raise StudyError(f"{path.parent} is not a study (it has no {path.name}); name the folder that `foretaste run` made")
    schema = check_schema(path, create=create)
    with _clear_errors(path):
        if create:
            _prepare(path)
            engine = engine_of(path)
            engine.connect().close()
            return engine
        engine = _readable(path, engine_of)
        return engine if schema is None or schema >= tables.SCHEMA else _upgraded_copy(engine)


def _prepare(path: Path) -> None:
    """Make the tables, or move those of an earlier version: all of it or nothing, and by one process at a time."""
    engine = _plain_engine(path)  # without foreign keys, which would keep tables from being copied
    with engine.begin() as connection:
        begin_writing(connection)
        if "study" in sa.inspect(connection).get_table_names():
            upgrade_schema(connection)
        else:
            tables.METADATA.create_all(connection)
            mark_schema(connection)
        row = {"id": 1, "schema": tables.SCHEMA, "version": __version__, "created": datetime.now(UTC).isoformat(timespec="microseconds")}
        connection.execute(insert_new(tables.study).values(row))
    engine.dispose()


def _upgraded_copy(source: sa.Engine) -> sa.Engine:
    """A copy in memory, moved to this version's tables, that refuses to be written."""
    copy = sa.create_engine("sqlite://", poolclass=sa.StaticPool, connect_args={"check_same_thread": False})
    with source.connect() as reading, copy.connect() as writing:
        original, memory = (connection.connection.driver_connection for connection in (reading, writing))
        if not isinstance(original, sqlite3.Connection) or not isinstance(memory, sqlite3.Connection):
            raise TypeError("a study's database is opened by Python's sqlite3")
        original.backup(memory)
    source.dispose()
    with copy.begin() as connection:
        upgrade_schema(connection)
    with copy.connect() as connection:
        connection.exec_driver_sql("PRAGMA query_only=ON")
    return copy


def is_upgraded_copy(engine: sa.Engine) -> bool:
    """Whether an engine reads a copy in memory of an earlier version's study, which nothing can be added to.

    >>> is_upgraded_copy(engine_of(Path("study.db")))
    False
    """
    return not engine.url.database


def readable_engine(path: Path) -> sa.Engine:
    """A database file that exists, opened for reading and, where the disk allows, for writing.

    A database in WAL mode is read with the help of a file beside it. Where the disk is full or read-only, that file cannot be made,
    and the database is opened as one that nobody changes.

    Raises:
        StorageError: It can be read in no way.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     connect(path := Path(folder) / "study.db", create=True).dispose()
    ...     engine = readable_engine(path)
    ...     "work" in sa.inspect(engine).get_table_names()
    ...     engine.dispose()
    True
    """
    with _clear_errors(path):
        return _readable(path, engine_of)


def _readable(path: Path, make: Callable[[Path], sa.Engine]) -> sa.Engine:
    if _is_writable(path):
        engine = make(path)
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql("SELECT 1 FROM sqlite_master").first()
        except OperationalError as error:
            engine.dispose()
            if not any(reason in str(error.orig) for reason in _UNWRITABLE):
                raise
        else:
            return engine
    return _read_only(path)


def engine_of(path: Path) -> sa.Engine:
    """A database file, opened as all of ours are: in WAL mode, waiting for others up to a minute.

    >>> engine_of(Path("/a folder?/study.db")).url.database
    '/a folder?/study.db'
    """
    engine = _plain_engine(path)
    sa.event.listen(engine, "connect", _set_pragmas)
    return engine


def _plain_engine(path: Path) -> sa.Engine:
    """A database file as SQLite opens it; whatever its name holds, none of it is read as part of an address."""
    address = sa.URL.create("sqlite", database=str(path.absolute()))
    return sa.create_engine(address, connect_args={"timeout": _WAIT_SECONDS})


def _is_writable(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def _read_only(path: Path) -> sa.Engine:
    """A database that cannot be written: SQLite takes no locks, unless another left its log, which is then read too."""
    log = path.with_name(f"{path.name}-wal")
    logged = log.is_file() and log.stat().st_size > 0
    options = {"mode": "ro"} if logged else {"immutable": "1"}
    address = sa.URL.create("sqlite", database=path.resolve().as_uri(), query=options | {"uri": "true"})
    return sa.create_engine(address, connect_args={"timeout": _WAIT_SECONDS})


def check_schema(path: Path, *, create: bool) -> int | None:
    """Look at a database before anything is changed in it; a file that does not exist is fine.

    Args:
        path: The file.
        create: Whether tables would be made in it.

    Returns:
        Its schema; None where it has none yet.

    Raises:
        StudyError: It is no database, another program's, or of a newer schema.

    >>> check_schema(Path("no-such-folder/study.db"), create=True)
    """
    if path_kind(path) != "file":
        return None
    with _clear_errors(path):
        engine = _plain_engine(path) if create else _readable(path, _plain_engine)
    with _clear_errors(path), engine.connect() as connection:
        names = sa.inspect(connection).get_table_names()
        stored = schema_of(connection) if "study" in names or not create else None
    engine.dispose()
    if create and names and "study" not in names:
        raise StudyError(f"{path} is another program's database (its tables are {', '.join(names[:4])}); name another folder with --study")
    if stored is None:
        return None
    schema, version = stored
    if schema > tables.SCHEMA:
        maker = f"made by foretaste {version} (schema {schema})"
        raise StudyError(f"{path.parent} was {maker}; this version reads schema {tables.SCHEMA}: upgrade foretaste")
    return schema


def begin_writing(connection: sa.Connection) -> None:
    """Keep other writers out from here to the end of the transaction: what it reads is still so when it writes.

    >>> engine = sa.create_engine("sqlite://")
    >>> with engine.begin() as connection:
    ...     begin_writing(connection)
    """
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def most_parameters(connection: sa.Connection) -> int:
    """How many parameters one statement may have; SQLite before 3.32 allows 999.

    >>> with sa.create_engine("sqlite://").connect() as connection:
    ...     most_parameters(connection) >= 999
    True
    """
    driver = connection.connection.driver_connection
    return driver.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) if isinstance(driver, sqlite3.Connection) else _MOST_PARAMETERS


def insert_new(table: sa.Table) -> Insert:
    """A statement that adds rows, and leaves a row that is there already as it is.

    >>> print(insert_new(tables.study).values(id=1))
    INSERT INTO study (id) VALUES (?) ON CONFLICT DO NOTHING
    """
    return insert(table).on_conflict_do_nothing()


def _set_pragmas(connection: sa.engine.interfaces.DBAPIConnection, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys=ON")
    deadline = time.monotonic() + _WAIT_SECONDS
    while not _is_in_wal_mode(cursor) and time.monotonic() < deadline:
        time.sleep(_RETRY_SECONDS)
    cursor.close()


def _is_in_wal_mode(cursor: sa.engine.interfaces.DBAPICursor) -> bool:
    """Move the database to write-ahead logging; false while others keep it, for which SQLite itself does not wait here."""
    try:
        cursor.execute("PRAGMA journal_mode=WAL")
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise
        return False
    return True


@contextmanager
def transaction(engine: sa.Engine, path: Path) -> Iterator[sa.Connection]:
    """A transaction: all of it is kept, or nothing.

    Raises:
        StorageError: The disk refuses.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     engine = connect(path := Path(folder) / "study.db", create=True)
    ...     with transaction(engine, path) as connection:
    ...         connection.execute(sa.select(tables.work)).all()
    ...     engine.dispose()
    []
    """
    with _clear_errors(path), engine.begin() as connection:
        yield connection


@contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise
    except OperationalError as error:
        reason = str(error.orig)
        if "no such table" in reason or "no such column" in reason:
            raise StudyError(f"{path} is not a study's database ({reason}); name the folder that `foretaste run` made") from error
        if "readonly" in reason or "unable to open" in reason:
            raise StorageError(
                f"the study's database {path} cannot be written ({reason}); make it and its folder writable, or name another folder with "
                "--study; `foretaste show` and `foretaste report --out FILE` only read it"
            ) from error
        raise StorageError(
            f"the study's database {path} refuses ({reason}); free some space or choose another place, then run again"
        ) from error
    except DatabaseError as error:
        raise StudyError(f"{path} is not a study's database ({error.orig}); name the folder that `foretaste run` made") from error
