import sqlite3
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from foretaste.store import sqlite_file
from foretaste.store.sqlite_file import open_file, open_plain, open_readable


def test_a_database_is_opened_while_another_writes_its_first_row(tmp_path: Path) -> None:
    """SQLite does not wait by itself when it moves a database to write-ahead logging."""
    path = tmp_path / "study.db"
    held = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    held.execute("CREATE TABLE study (id)")
    held.execute("BEGIN IMMEDIATE")
    held.execute("INSERT INTO study VALUES (1)")
    timer = threading.Timer(0.3, lambda: held.execute("COMMIT"))
    timer.start()
    engine = open_file(path)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("SELECT count(*) FROM study").scalar() == 1
    timer.join()
    engine.dispose()
    held.close()


def test_it_waits_no_longer_than_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "_WAIT_SECONDS", 0.2)
    path = tmp_path / "study.db"
    held = sqlite3.connect(path, isolation_level=None)
    held.execute("CREATE TABLE study (id)")
    held.execute("BEGIN IMMEDIATE")
    engine = open_file(path)
    with pytest.raises(OperationalError, match="database is locked"):
        engine.connect()
    held.execute("ROLLBACK")
    engine.dispose()
    held.close()


def test_a_file_of_a_folder_that_cannot_be_written_is_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "study?mode=memory.db"
    first = open_plain(path)
    with first.begin() as connection:
        connection.execute(sa.text("CREATE TABLE study (id)"))
    first.dispose()
    assert path.is_file()
    monkeypatch.setattr(sqlite_file, "_is_writable", lambda path: False)
    engine = open_readable(path, open_file)
    assert sa.inspect(engine).get_table_names() == ["study"]
    with pytest.raises(OperationalError, match="readonly"), engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO study VALUES (1)"))
    engine.dispose()
