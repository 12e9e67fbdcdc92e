"""Studies of earlier versions are moved whole, once, and not at all where something goes wrong."""

import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from disks import fill, read_only, small_disk
from earlier import EARLIER, earlier_study
from foretaste.errors import StorageError
from foretaste.store import database, migrate, tables
from foretaste.store.study import StudyStore

Dump = list[str]


def dump(study: Path) -> Dump:
    """Everything that a study's database holds, as SQL."""
    connection = sqlite3.connect(study / "study.db")
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        return list(connection.iterdump())
    finally:
        connection.close()


def rows(text: Dump) -> list[str]:
    """The rows of it, but for what says of which version they are."""
    return sorted(
        line for line in text if line.startswith("INSERT") and '"study"' not in line and "alembic_version" not in line
    )


def broken_scripts(folder: Path, how: str) -> Path:
    """The scripts, of which the last ends in the middle."""
    scripts = Path(shutil.copytree(Path(migrate.__file__).parent / "migrations", folder / "migrations"))
    last = scripts / "versions" / "schema_2.py"
    last.write_text(
        last.read_text() + f"            if table == 'artefacts':\n                continue\n            {how}\n"
    )
    return scripts


def test_a_study_of_0_1_is_moved_and_keeps_its_rows(tmp_path: Path) -> None:
    study = earlier_study(tmp_path)
    before = dump(study)
    StudyStore.create(study).close()
    assert rows(dump(study)) == rows(before)
    with sqlite3.connect(study / "study.db") as connection:
        assert connection.execute("SELECT schema FROM study").fetchone() == (tables.SCHEMA,)
    connection.close()
    after = dump(study)
    StudyStore.create(study).close()
    assert dump(study) == after


def test_what_is_moved_has_the_tables_of_a_new_study(tmp_path: Path) -> None:
    for path in (earlier_study(tmp_path) / "study.db", tmp_path / "new.db"):
        engine = database.connect(path, create=True)
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, tables.METADATA) == []
            assert context.get_current_heads() == (tables.revision_of(tables.SCHEMA),)
        engine.dispose()


def test_a_script_that_fails_leaves_the_study_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = earlier_study(tmp_path)
    before = dump(study)
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "_SCRIPTS", broken_scripts(tmp_path, "raise ValueError('broken')"))
        with pytest.raises(ValueError, match="broken"):
            StudyStore.create(study)
    assert dump(study) == before
    StudyStore.create(study).close()
    assert rows(dump(study)) == rows(before)


def test_a_process_killed_while_it_moves_a_study_leaves_it_as_it_was(tmp_path: Path) -> None:
    study = earlier_study(tmp_path)
    before = dump(study)
    code = (
        "import sys; from pathlib import Path; from foretaste.store import migrate; from foretaste.store.study import"
        " StudyStore\nmigrate._SCRIPTS = Path(sys.argv[2])\nStudyStore.create(Path(sys.argv[1]))\n"
    )
    scripts = broken_scripts(tmp_path, "__import__('os').kill(__import__('os').getpid(), 9)")
    assert subprocess.run([sys.executable, "-c", code, str(study), str(scripts)], check=False).returncode == -9
    assert dump(study) == before
    StudyStore.create(study).close()
    assert rows(dump(study)) == rows(before)


def test_of_several_that_open_a_study_one_moves_it(tmp_path: Path) -> None:
    study = earlier_study(tmp_path)
    before = dump(study)
    with ThreadPoolExecutor(4) as threads:
        for opened in threads.map(lambda _: StudyStore.create(study), range(4)):
            opened.close()
    assert rows(dump(study)) == rows(before)


def test_reading_moves_a_copy(tmp_path: Path) -> None:
    study = earlier_study(tmp_path)
    with StudyStore.open(study) as opened:
        assert len(opened.evaluations_after(0)[0]) == 10
    assert (study / "study.db").read_bytes() == (EARLIER / "study.db").read_bytes()
    assert sorted(path.name for path in study.iterdir()) == ["study.db", "tensors"]


def test_what_another_process_has_only_in_its_log_is_read_too(tmp_path: Path) -> None:
    study = earlier_study(tmp_path)
    writer = sqlite3.connect(study / "study.db")
    writer.execute("INSERT INTO recipes VALUES (99, 'later', '{}', 'now')")
    writer.commit()
    with StudyStore.open(study) as opened:
        assert opened.recipe() == ("later", {})
    writer.close()


def test_on_a_read_only_disk_a_study_is_read_and_not_moved(tmp_path: Path) -> None:
    study = earlier_study(tmp_path)
    with read_only(study):
        with StudyStore.open(study) as opened:
            assert len(opened.all_work()) > 10
        with pytest.raises(StorageError):
            StudyStore.create(study)
    assert (study / "study.db").read_bytes() == (EARLIER / "study.db").read_bytes()


def test_on_a_full_disk_a_study_is_read_and_not_moved(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        study = earlier_study(disk)
        before = dump(study)
        filler = fill(disk)
        with StudyStore.open(study) as opened:
            assert len(opened.all_work()) > 10
        with pytest.raises(StorageError, match="free some space"):
            StudyStore.create(study)
        filler.unlink()
        assert dump(study) == before
        StudyStore.create(study).close()
        assert rows(dump(study)) == rows(before)


def test_a_study_whose_maker_was_killed_before_its_first_row(tmp_path: Path) -> None:
    """foretaste 0.1 made the tables before the row that says of which schema they are."""
    study = earlier_study(tmp_path)
    with sqlite3.connect(study / "study.db") as connection:
        connection.execute("DELETE FROM study")
    connection.close()
    StudyStore.create(study).close()
    engine = database.connect(study / "study.db", create=False)
    assert str(sa.inspect(engine).get_columns("artefacts")[1]["type"]) == "BIGINT"
    engine.dispose()
