import os
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from foretaste.errors import StorageError, StudyError
from foretaste.store import database, tables


def test_wal_and_foreign_keys_are_on(tmp_path: Path) -> None:
    engine = database.connect(tmp_path / "study.db", create=True)
    with engine.connect() as connection:
        assert connection.execute(sa.text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(sa.text("PRAGMA foreign_keys")).scalar() == 1


def test_a_row_without_its_artefact_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    engine = database.connect(path, create=True)
    row = {"key": "k", "kind": "x", "inputs": {}, "result": {}, "artefact": "nowhere", "seconds": 0.0, "created": "now"}
    with pytest.raises(IntegrityError), database.transaction(engine, path) as connection:
        connection.execute(sa.insert(tables.work).values(**row))


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    engine = database.connect(path, create=True)

    def fails() -> None:
        with database.transaction(engine, path) as connection:
            connection.execute(sa.insert(tables.artefacts).values(hash="h", bytes=1, created="now"))
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        fails()
    with engine.connect() as connection:
        assert connection.execute(sa.select(tables.artefacts)).all() == []


def test_what_is_not_a_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="is not a study"):
        database.connect(tmp_path / "study.db", create=False)
    (tmp_path / "text.db").write_text("not a database, but long enough to be read as one" * 100)
    with pytest.raises(StudyError, match="not a study's database"):
        database.connect(tmp_path / "text.db", create=False)
    sqlite3.connect(tmp_path / "other.db").execute("create table other (a)").connection.close()
    with pytest.raises(StudyError, match="no such table"):
        database.connect(tmp_path / "other.db", create=False)


def test_a_newer_schema_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    engine = database.connect(path, create=True)
    with engine.begin() as connection:
        connection.execute(sa.update(tables.study).values(schema=99, version="9.0"))
    engine.dispose()
    before = path.read_bytes()
    with pytest.raises(StudyError, match=r"made by foretaste 9.0 \(schema 99\); this version reads schema 2: upgrade"):
        database.connect(path, create=False)
    assert path.read_bytes() == before


def test_a_place_that_cannot_be_written_is_a_storage_error() -> None:
    with pytest.raises(
        StorageError,
        match=r"study\.db cannot be written \(.*\); make it and its folder writable, or name another folder",
    ):
        database.connect(Path("/proc/study.db"), create=True)


@pytest.mark.parametrize("logged", [False, True])
def test_what_cannot_be_written_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: bool) -> None:
    """Also what another process has only in its log so far, and without a file beside it."""
    (tmp_path / "a 100% study").mkdir()
    path = tmp_path / "a 100% study" / "study.db"
    writer = database.connect(path, create=True)
    with database.transaction(writer, path) as connection:
        connection.execute(sa.insert(tables.artefacts).values(hash="h", bytes=1, created="now"))
    if not logged:
        writer.dispose()
    before = sorted(path.parent.iterdir())
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    reader = database.connect(path, create=False)
    with database.transaction(reader, path) as connection:
        assert connection.execute(sa.select(tables.artefacts.c.hash)).scalars().all() == ["h"]
    with pytest.raises(StorageError, match="cannot be written"), database.transaction(reader, path) as connection:
        connection.execute(sa.insert(tables.artefacts).values(hash="i", bytes=1, created="now"))
    reader.dispose()
    assert sorted(path.parent.iterdir()) == before
    writer.dispose()
