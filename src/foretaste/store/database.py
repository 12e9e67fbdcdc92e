"""The study's database: opening it, its transactions, and clear errors."""

import sqlite3
from collections.abc import Iterator
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
from foretaste.store.sqlite_file import open_file, open_plain, open_readable
from foretaste.target import path_kind

__all__ = [
    "begin_writing",
    "check_schema",
    "connect",
    "insert_new",
    "is_upgraded_copy",
    "most_parameters",
    "readable_engine",
    "transaction",
]

_MOST_PARAMETERS = 32_000  # in other databases than SQLite


def connect(path: Path, *, create: bool) -> sa.Engine:
    """Open a database file.

    If the file is opened for work, it is created if it is missing, and tables of an earlier version are moved to this
    version. If it is opened for reading, it stays as it is. One of an earlier version is copied into memory and moved
    there, which works on a read-only disk too.

    Args:
        path: The file.
        create: Whether the file is opened for work.

    Raises:
        StudyError: The file is missing, not a database, or of a newer schema.
        StorageError: The disk refuses.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     engine = connect(Path(folder) / "study.db", create=True)
    ...     sa.inspect(engine).get_table_names()
    ...     engine.dispose()
    ['alembic_version', 'artefacts', 'evaluations', 'recipes', 'study', 'work']
    """
    if not create and path_kind(path) != "file":
        raise StudyError(
            f"{path.parent} is not a study (it has no {path.name}); name the folder that `foretaste run` made"
        )
    schema = check_schema(path, create=create)
    with _clear_errors(path):
        if create:
            _prepare(path)
            engine = open_file(path)
            engine.connect().close()
            return engine
        engine = open_readable(path, open_file)
        return engine if schema is None or schema >= tables.SCHEMA else _upgraded_copy(engine)


def _prepare(path: Path) -> None:
    """Create the tables, or move those of an earlier version, in one transaction of one process."""
    engine = open_plain(path)  # without foreign keys, which would keep tables from being copied
    with engine.begin() as connection:
        begin_writing(connection)
        if "study" in sa.inspect(connection).get_table_names():
            upgrade_schema(connection)
        else:
            tables.METADATA.create_all(connection)
            mark_schema(connection)
        row = {
            "id": 1,
            "schema": tables.SCHEMA,
            "version": __version__,
            "created": datetime.now(UTC).isoformat(timespec="microseconds"),
        }
        connection.execute(insert_new(tables.study).values(row))
    engine.dispose()


def _upgraded_copy(source: sa.Engine) -> sa.Engine:
    """Copy a database into memory, move it to this version's tables, and make it read-only."""
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
    """Tell whether an engine reads a copy in memory of an earlier version's study, which is read-only.

    >>> is_upgraded_copy(open_file(Path("study.db")))
    False
    """
    return not engine.url.database


def readable_engine(path: Path) -> sa.Engine:
    """Open an existing database file for reading, and for writing if the disk allows.

    SQLite reads a database in WAL mode with the help of a file beside it. On a full or read-only disk that file cannot
    be created. Then the database is opened as immutable.

    Raises:
        StorageError: The file cannot be read.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     connect(path := Path(folder) / "study.db", create=True).dispose()
    ...     engine = readable_engine(path)
    ...     "work" in sa.inspect(engine).get_table_names()
    ...     engine.dispose()
    True
    """
    with _clear_errors(path):
        return open_readable(path, open_file)


def check_schema(path: Path, *, create: bool) -> int | None:
    """Check that a database is a study of a known schema, before anything is changed; the file may be missing.

    Args:
        path: The file.
        create: Whether tables will be created in it.

    Returns:
        The schema; None if there is none yet.

    Raises:
        StudyError: The file is not a database, is another program's, or has a newer schema.

    >>> check_schema(Path("no-such-folder/study.db"), create=True)
    """
    if path_kind(path) != "file":
        return None
    with _clear_errors(path):
        engine = open_plain(path) if create else open_readable(path, open_plain)
    with _clear_errors(path), engine.connect() as connection:
        names = sa.inspect(connection).get_table_names()
        stored = schema_of(connection) if "study" in names or not create else None
    engine.dispose()
    if create and names and "study" not in names:
        raise StudyError(
            f"{path} is another program's database (its tables are {', '.join(names[:4])}); name another folder with"
            " --study"
        )
    if stored is None:
        return None
    schema, version = stored
    if schema > tables.SCHEMA:
        maker = f"made by foretaste {version} (schema {schema})"
        raise StudyError(f"{path.parent} was {maker}; this version reads schema {tables.SCHEMA}: upgrade foretaste")
    return schema


def begin_writing(connection: sa.Connection) -> None:
    """Keep other writers out until the end of the transaction, so that what it reads stays true until it writes.

    >>> engine = sa.create_engine("sqlite://")
    >>> with engine.begin() as connection:
    ...     begin_writing(connection)
    """
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def most_parameters(connection: sa.Connection) -> int:
    """Return how many parameters one statement may have; SQLite before 3.32 allows 999.

    >>> with sa.create_engine("sqlite://").connect() as connection:
    ...     most_parameters(connection) >= 999
    True
    """
    driver = connection.connection.driver_connection
    return (
        driver.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
        if isinstance(driver, sqlite3.Connection)
        else _MOST_PARAMETERS
    )


def insert_new(table: sa.Table) -> Insert:
    """Make a statement that adds rows, and leaves existing rows as they are.

    >>> print(insert_new(tables.study).values(id=1))
    INSERT INTO study (id) VALUES (?) ON CONFLICT DO NOTHING
    """
    return insert(table).on_conflict_do_nothing()


@contextmanager
def transaction(engine: sa.Engine, path: Path) -> Iterator[sa.Connection]:
    """Open a transaction, which is stored as a whole or not at all.

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
            raise StudyError(
                f"{path} is not a study's database ({reason}); name the folder that `foretaste run` made"
            ) from error
        if "readonly" in reason or "unable to open" in reason:
            raise StorageError(
                f"the study's database {path} cannot be written ({reason}); make it and its folder writable, or name"
                " another folder with --study; `foretaste show` and `foretaste report --out FILE` only read it"
            ) from error
        raise StorageError(
            f"the study's database {path} refuses ({reason}); free some space or choose another place, then run again"
        ) from error
    except DatabaseError as error:
        raise StudyError(
            f"{path} is not a study's database ({error.orig}); name the folder that `foretaste run` made"
        ) from error
