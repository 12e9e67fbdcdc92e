"""Jobs in a database of their own beside the study's, on disks that refuse too."""

from pathlib import Path

import pytest

from contracts.queue import Opener, QueueContract
from disks import read_only
from foretaste.errors import StorageError, StudyError
from foretaste.store.queue import Kind
from foretaste.store.sql_queue import SqlQueue


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "study.db").touch()
    return tmp_path


class TestContract(QueueContract):
    @pytest.fixture
    def opener(self, folder: Path) -> Opener:
        return lambda: SqlQueue(folder)


def test_where_nothing_can_be_written_jobs_can_be_read(folder: Path) -> None:
    with SqlQueue(folder) as queue:
        queue.add(Kind.TRAIN, "a=1")
    with read_only(folder), SqlQueue(folder) as queue:
        assert [job.weights for job in queue.jobs()] == ["a=1"]
        with pytest.raises(StorageError, match="cannot be written"):
            queue.add(Kind.PREVIEW, "a=1")
        assert not queue.has_worker()


def test_where_nothing_can_be_written_there_may_be_no_queue(folder: Path) -> None:
    with read_only(folder), SqlQueue(folder) as queue:
        assert queue.jobs() == []
        assert not queue.waiting()
        with pytest.raises(StorageError, match="cannot be written"):
            queue.add(Kind.PREVIEW, "a=1")
    assert not (folder / "queue.db").exists()


def test_a_folder_that_is_no_study(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="is not a study"):
        SqlQueue(tmp_path)
