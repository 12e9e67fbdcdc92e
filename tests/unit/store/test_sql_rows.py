import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.rows import ROW, Opener, RowsContract, evaluated, worked
from disks import read_only
from earlier import EARLIER, earlier_study
from foretaste.errors import StorageError
from foretaste.evaluation import Fidelity
from foretaste.store import database
from foretaste.store.sql_rows import SqlRows
from statements import recorded_queries


class TestContract(RowsContract):
    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        return lambda: SqlRows.open(tmp_path / "study.db", create=True)


def test_sizes_and_seeds_are_64_bits_wide(tmp_path: Path) -> None:
    rows = SqlRows.open(tmp_path / "study.db", create=True)
    rows.add([worked("k", artefact="1f", size=2**62), evaluated("e")])
    rows.close()
    with sqlite3.connect(tmp_path / "study.db") as connection:
        assert connection.execute("SELECT bytes FROM artefacts WHERE hash = '1f'").fetchone() == (2**62,)
        assert connection.execute("SELECT seed FROM evaluations").fetchone() == (2**62 + 3,)
    connection.close()


def test_a_method_with_its_steps_is_stored_as_one_text(tmp_path: Path) -> None:
    rows = SqlRows.open(tmp_path / "study.db", create=True)
    sharpened = replace(ROW, fidelity=Fidelity.SHARPENED, steps=30)
    rows.add([evaluated("e", sharpened)])
    assert rows.evaluations(["e"]) == {"e": sharpened}
    rows.close()
    with sqlite3.connect(tmp_path / "study.db") as connection:
        assert connection.execute("SELECT method FROM evaluations").fetchone() == ("simple+30",)
    connection.close()


def test_finding_many_is_one_query(tmp_path: Path) -> None:
    rows = SqlRows.open(tmp_path / "study.db", create=True)
    rows.add([evaluated(str(place)) for place in range(100)])
    with recorded_queries() as queries:
        assert len(rows.evaluations([str(place) for place in range(1000)])) == 100
    assert len(queries) == 1
    rows.close()


def test_a_database_that_allows_few_parameters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = SqlRows.open(tmp_path / "study.db", create=True)
    rows.add([evaluated(str(place)) for place in range(20)])
    monkeypatch.setattr(database, "most_parameters", lambda connection: 7)
    assert list(rows.evaluations([str(place) for place in range(30)])) == [str(place) for place in range(20)]
    rows.close()


def test_a_database_that_cannot_be_written_is_read(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    rows = SqlRows.open(tmp_path / "study" / "study.db", create=True)
    rows.add([evaluated("e")])
    rows.close()
    with read_only(tmp_path / "study"):
        rows = SqlRows.open(tmp_path / "study" / "study.db", create=False)
        assert list(rows.evaluations(["e"])) == ["e"]
        with pytest.raises(StorageError, match="cannot be written"):
            rows.add([evaluated("f")])
        rows.close()


def test_rows_of_an_earlier_version_are_read_and_not_added_to(tmp_path: Path) -> None:
    study = earlier_study(tmp_path)
    rows = SqlRows.open(study / "study.db", create=False)
    before = rows.all_work()
    with pytest.raises(
        StorageError, match=r"was made by an earlier version and is open for reading alone; run its recipe with --study"
    ):
        rows.add([worked("k")])
    assert rows.all_work() == before
    rows.close()
    assert (study / "study.db").read_bytes() == (EARLIER / "study.db").read_bytes()
