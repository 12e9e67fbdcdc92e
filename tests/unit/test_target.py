"""What a command may write to: never over what is not ours, never over devices, never into a study."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from foretaste.errors import StorageError
from foretaste.target import check_file, check_outside_studies, has_mark, path_kind, resolved, study_above


def pipe(path: Path) -> None:
    os.mkfifo(path)


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    (tmp_path / "study" / "tensors").mkdir(parents=True)
    (tmp_path / "study" / "study.db").touch()
    return tmp_path / "study"


@pytest.mark.parametrize("make", [pipe, listening, lambda path: path.symlink_to("/dev/null")])
@pytest.mark.parametrize("overwrite", [False, True])
def test_special_files_are_never_replaced(tmp_path: Path, make: Callable[[Path], None], overwrite: bool) -> None:
    make(tmp_path / "out")
    with pytest.raises(StorageError, match="is a device, a pipe or a socket, which is never replaced"):
        check_file(tmp_path / "out", overwrite=overwrite, is_ours=lambda path: True)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_is_never_replaced_by_a_file(tmp_path: Path, overwrite: bool) -> None:
    with pytest.raises(StorageError, match="is a folder; name a file in it"):
        check_file(tmp_path, overwrite=overwrite)


def test_a_file_of_the_users(tmp_path: Path) -> None:
    path = tmp_path / "thesis.html"
    path.write_text("years of work")
    with pytest.raises(
        StorageError, match="was not written by foretaste; name another file, or replace it with --overwrite"
    ):
        check_file(path, overwrite=False)
    assert check_file(path, overwrite=True) == path
    assert check_file(path, overwrite=False, is_ours=lambda file: file == path) == path


def test_a_link_is_judged_and_written_by_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "thesis").write_text("years of work")
    (tmp_path / "link").symlink_to("thesis")
    with pytest.raises(StorageError, match="was not written by foretaste"):
        check_file(tmp_path / "link", overwrite=False)
    assert check_file(tmp_path / "link", overwrite=True) == tmp_path / "thesis"


def test_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    for use in (resolved, path_kind):
        with pytest.raises(StorageError, match="cannot be used as a path"):
            use(tmp_path / "a")


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be used as a path"):
        check_file(tmp_path / ("a" * 300), overwrite=False)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="is not a folder; make it, or name another file"):
        check_file(tmp_path / "nowhere" / "a.html", overwrite=False)


@pytest.mark.parametrize(
    "name", ["study.db", "thesis.html", "tensors/new.safetensors", "exports", "report.html/x", "running/x"]
)
def test_within_a_study(study: Path, name: str) -> None:
    with pytest.raises(StorageError, match="which only the study itself writes to"):
        check_file(study / "tensors" / ".." / name, overwrite=True, is_ours=lambda path: True)


def test_a_studys_own_places(study: Path) -> None:
    check_outside_studies(study / "report.html", study / "report.html")
    check_outside_studies(study / "exports" / "model", study / "exports" / "model")
    with pytest.raises(StorageError, match="is a study, which only"):
        check_outside_studies(study, study)
    assert study_above(study / "tensors" / "deep" / "er") == study
    assert study_above(study.parent) is None


def test_a_mark_far_down_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b" " * 100_000 + b"mark")
    (tmp_path / "b").write_bytes(b" " * 1000 + b"mark")
    assert not has_mark(tmp_path / "a", ["mark"])
    assert has_mark(tmp_path / "b", ["other", "mark"])
    assert not has_mark(tmp_path / "c", ["mark"])
