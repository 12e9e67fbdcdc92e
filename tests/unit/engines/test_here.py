"""Work in this process: one piece after the other, and a full disk ends it."""

from pathlib import Path

import pytest

from engine_studies import NAMES, empty_study
from foretaste.engines.here import Here
from foretaste.errors import StorageError
from foretaste.simplex import lattice
from foretaste.work.context import Unwatched
from foretaste.work.runs import SingleTaskRun
from foretaste.workflow.session import Session


def test_a_full_disk_ends_it_at_once(session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = empty_study(session, tmp_path / "study", Here())
    begun: list[str] = []

    def full(work: SingleTaskRun, *_: object) -> None:
        begun.append(work.task)
        raise StorageError("the disk is full")

    monkeypatch.setattr(SingleTaskRun, "finish", full)
    with pytest.raises(StorageError):
        other.finish([SingleTaskRun(task) for task in NAMES])
    assert begun == ["low"]
    other.study.close()


def test_each_piece_is_done_when_its_result_is_asked_for(session: Session, tmp_path: Path) -> None:
    other = empty_study(session, tmp_path / "study", Here())
    works = [SingleTaskRun(task) for task in NAMES]
    results = Here().run(works, other, Unwatched())
    assert other.study.all_work() == []
    for count, work in enumerate(works, start=1):
        assert next(results)[0] == work
        assert len(other.study.all_work()) == count
    other.study.close()


def test_previews_are_made_together() -> None:
    points = lattice(NAMES, 2)
    assert Here().split(points) == [tuple(points)]
