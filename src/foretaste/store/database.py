"""The study's database: SQLite in WAL mode, tables in SQLAlchemy Core; where it cannot be written, it can still be read."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError

from foretaste.errors import StorageError, StudyError
from foretaste.target import path_kind

__all__ = [
    "SCHEMA",
    "artefacts",
    "check_schema",
    "connect",
    "engine_of",
    "evaluations",
    "readable_engine",
    "recipes",
    "study",
    "transaction",
    "work",
]

SCHEMA = 1
_WAIT_SECONDS = 60
_UNWRITABLE = ("full", "disk I/O", "unable to open", "readonly")  # what SQLite says where a disk is full or read-only

_metadata = sa.MetaData()

study = sa.Table(
    "study",
    _metadata,
    sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1"), primary_key=True),
    sa.Column("schema", sa.Integer, nullable=False),
    sa.Column("version", sa.String, nullable=False),
    sa.Column("created", sa.String, nullable=False),
)
recipes = sa.Table(
    "recipes",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("text", sa.String, nullable=False),
    sa.Column("plan", sa.JSON, nullable=False),
    sa.Column("created", sa.String, nullable=False),
)
artefacts = sa.Table(
    "artefacts",
    _metadata,
    sa.Column("hash", sa.String, primary_key=True),
    sa.Column("bytes", sa.Integer, nullable=False),
    sa.Column("created", sa.String, nullable=False),
)
work = sa.Table(
    "work",
    _metadata,
    sa.Column("key", sa.String, primary_key=True),
    sa.Column("kind", sa.String, nullable=False, index=True),
    sa.Column("inputs", sa.JSON, nullable=False),
    sa.Column("result", sa.JSON, nullable=False),
    sa.Column("artefact", sa.ForeignKey("artefacts.hash")),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("created", sa.String, nullable=False),
)
evaluations = sa.Table(
    "evaluations",
    _metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("key", sa.ForeignKey("work.key"), nullable=False, unique=True),
    sa.Column("weights", sa.JSON, nullable=False),
    sa.Column("fidelity", sa.String, nullable=False, index=True),
    sa.Column("method", sa.String, nullable=False),
    sa.Column("seed", sa.Integer, nullable=False),
    sa.Column("metrics", sa.JSON, nullable=False),
    sa.Column("cost", sa.Float, nullable=False),
)


def connect(path: Path, *, create: bool) -> sa.Engine:
    """Open a database file; its tables are made if it is new.

    Args:
        path: The file.
        create: Whether a missing file is made.

    Raises:
        StudyError: Missing, not a database, or of a newer schema.
        StorageError: The disk refuses.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     engine = connect(Path(folder) / "study.db", create=True)
    ...     sa.inspect(engine).get_table_names()
    ...     engine.dispose()
    ['artefacts', 'evaluations', 'recipes', 'study', 'work']
    """
    if not create and path_kind(path) != "file":
        raise StudyError(f"{path.parent} is not a study (it has no {path.name}); name the folder that `foretaste run` made")
    check_schema(path, create=create)
    with _clear_errors(path):
        if not create:
            return _readable(path, engine_of)
        engine = engine_of(path)
        _metadata.create_all(engine)
        engine.connect().close()
    return engine


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
    ...     len(sa.inspect(engine).get_table_names())
    ...     engine.dispose()
    5
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
    how = {"mode": "ro"} if logged else {"immutable": "1"}
    address = sa.URL.create("sqlite", database=path.resolve().as_uri(), query=how | {"uri": "true"})
    return sa.create_engine(address, connect_args={"timeout": _WAIT_SECONDS})


def check_schema(path: Path, *, create: bool) -> None:
    """Look at a database before anything is changed in it; a file that does not exist is fine.

    Args:
        path: The file.
        create: Whether tables would be made in it.

    Raises:
        StudyError: It is no database, another program's, or of a newer schema.

    >>> check_schema(Path("no-such-folder/study.db"), create=True)
    """
    if path_kind(path) != "file":
        return
    with _clear_errors(path):
        engine = _plain_engine(path) if create else _readable(path, _plain_engine)
    with _clear_errors(path), engine.connect() as connection:
        tables = sa.inspect(connection).get_table_names()
        known = "study" in tables
        found = connection.execute(sa.text("select schema, version from study")).first() if known or not create else None
    engine.dispose()
    if create and tables and not known:
        raise StudyError(f"{path} is another program's database (its tables are {', '.join(tables[:4])}); name another folder with --study")
    if found is not None and found.schema > SCHEMA:
        made = f"made by foretaste {found.version} (schema {found.schema})"
        raise StudyError(f"{path.parent} was {made}; this version reads schema {SCHEMA}: upgrade foretaste")


def _set_pragmas(connection: sa.engine.interfaces.DBAPIConnection, _: object) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


@contextmanager
def transaction(engine: sa.Engine, path: Path) -> Iterator[sa.Connection]:
    """A transaction: all of it is kept, or nothing.

    Raises:
        StorageError: The disk refuses.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     engine = connect(path := Path(folder) / "study.db", create=True)
    ...     with transaction(engine, path) as connection:
    ...         connection.execute(sa.select(work)).all()
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
