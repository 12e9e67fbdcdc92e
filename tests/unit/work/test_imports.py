from pathlib import Path

import pytest

from foretaste.errors import StudyError
from foretaste.store.study import StudyStore
from foretaste.work.imports import BASE, BASE_LABEL, folders_of, latest_imports, record_import, remove, undo_on_error


def test_the_latest_counts_until_it_is_removed(tmp_path: Path) -> None:
    with StudyStore.create(tmp_path / "study") as study:
        for number, (task, folder) in enumerate((("a", "one"), ("b", "two"), ("a", "three"), (BASE, "base"))):
            record_import(study, task, number, {}, {"folder": folder})
        assert {task: done.result["folder"] for task, done in latest_imports(study).items()} == {
            "a": "three",
            "b": "two",
            BASE: "base",
        }
        remove(study, ["a", BASE_LABEL])
        assert folders_of(study) == {"the imported model of task 'b'": Path("two")}
        record_import(study, "a", 6, {}, {"folder": "again"})
        assert list(latest_imports(study)) == ["b", "a"]


def test_what_is_not_there_cannot_be_removed(tmp_path: Path) -> None:
    with StudyStore.create(tmp_path / "study") as study:
        with pytest.raises(StudyError, match="has no imported model of 'a' to remove; it has: none"):
            remove(study, ["a"])
        record_import(study, "a", 0, {}, {"folder": "one"})
        with pytest.raises(StudyError, match="of 'b' to remove; it has: a"):
            remove(study, ["a", "b"])
        assert list(latest_imports(study)) == ["a"]


def change_and_fail(study: StudyStore) -> None:
    """Remove, replace and add a model in a context that undoes it."""
    with undo_on_error(study):
        remove(study, ["a"])
        record_import(study, "b", 4, {"digest": "x"}, {"folder": "x"})
        record_import(study, "new", 5, {"digest": "y"}, {"folder": "y"})
        raise StudyError("it does not fit")


def test_an_error_leaves_the_same_models_as_before(tmp_path: Path) -> None:
    with StudyStore.create(tmp_path / "study") as study:
        for number, task in enumerate("abc"):
            record_import(study, task, number, {"digest": task}, {"folder": task})
        before = folders_of(study)
        with pytest.raises(StudyError, match="it does not fit"):
            change_and_fail(study)
        assert folders_of(study) == before
        assert {task: done.inputs["digest"] for task, done in latest_imports(study).items()} == dict(
            zip("abc", "abc", strict=True)
        )
