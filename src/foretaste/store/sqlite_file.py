"""Opening a SQLite file: in WAL mode if it can be written, for reading alone otherwise."""

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

__all__ = ["open_file", "open_plain", "open_readable"]

_WAIT_SECONDS = 60.0
_RETRY_SECONDS = 0.05
_UNWRITABLE = ("full", "disk I/O", "unable to open", "readonly")  # SQLite's messages on a full or read-only disk


def open_readable(path: Path, open_writable: Callable[[Path], sa.Engine]) -> sa.Engine:
    """Open a file that exists, as immutable if the disk is full or read-only.

    Args:
        path: The file.
        open_writable: Function that opens the file if the disk allows writing.

    Raises:
        OperationalError: The file cannot be read at all.
    """
    if _is_writable(path):
        engine = open_writable(path)
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


def open_file(path: Path) -> sa.Engine:
    """Open a file in WAL mode, with foreign keys, and with waiting up to a minute for other processes.

    >>> open_file(Path("/a folder?/study.db")).url.database
    '/a folder?/study.db'
    """
    engine = open_plain(path)
    sa.event.listen(engine, "connect", _set_pragmas)
    return engine


def open_plain(path: Path) -> sa.Engine:
    """Open a file with SQLite's own settings, whatever characters its name has."""
    address = sa.URL.create("sqlite", database=str(path.absolute()))
    return sa.create_engine(address, connect_args={"timeout": _WAIT_SECONDS})


def _is_writable(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def _read_only(path: Path) -> sa.Engine:
    """Open a file that cannot be written: without locks, unless there is a log of another process to read."""
    log = path.with_name(f"{path.name}-wal")
    logged = log.is_file() and log.stat().st_size > 0
    options = {"mode": "ro"} if logged else {"immutable": "1"}
    address = sa.URL.create("sqlite", database=path.resolve().as_uri(), query=options | {"uri": "true"})
    return sa.create_engine(address, connect_args={"timeout": _WAIT_SECONDS})


def _set_pragmas(connection: sa.engine.interfaces.DBAPIConnection, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys=ON")
    _log_ahead(cursor)
    cursor.close()


def _log_ahead(cursor: sa.engine.interfaces.DBAPICursor) -> None:
    """Switch to write-ahead logging.

    If another process has locked the file, SQLite fails at once here, so this function waits.
    """
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() >= deadline:
                raise
            time.sleep(_RETRY_SECONDS)
        else:
            return
