from pathlib import Path

import pytest

from foretaste.errors import StudyError
from foretaste.store.study import Study
from foretaste.work.imports import BASE, SHOWN, folders_of, latest, record, remove


def test_the_latest_counts_until_it_is_removed(tmp_path: Path) -> None:
    with Study.create(tmp_path / "study") as study:
        for number, (task, folder) in enumerate((("a", "one"), ("b", "two"), ("a", "three"), (BASE, "base"))):
            record(study, task, number, {}, {"folder": folder})
        assert {task: done.result["folder"] for task, done in latest(study).items()} == {
            "a": "three",
            "b": "two",
            BASE: "base",
        }
        remove(study, ["a", SHOWN])
        assert folders_of(study) == {"the imported model of task 'b'": Path("two")}
        record(study, "a", 6, {}, {"folder": "again"})
        assert list(latest(study)) == ["b", "a"]


def test_what_is_not_there_cannot_be_removed(tmp_path: Path) -> None:
    with Study.create(tmp_path / "study") as study:
        with pytest.raises(StudyError, match="has no imported model of 'a' to remove; it has: none"):
            remove(study, ["a"])
        record(study, "a", 0, {}, {"folder": "one"})
        with pytest.raises(StudyError, match="of 'b' to remove; it has: a"):
            remove(study, ["a", "b"])
        assert list(latest(study)) == ["a"]
