"""Files written whole: what is there when writing fails."""

import os
from pathlib import Path

import pytest

from foretaste.errors import StorageError
from foretaste.whole import write_whole


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fails(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match=r"could not write .*No space left.*free some space"):
        write_whole(path, fails)
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


def test_no_folder_is_made_for_it(tmp_path: Path) -> None:
    """A path with a slip of the pen must not become one."""
    with pytest.raises(StorageError, match="could not write"):
        write_whole(tmp_path / "a" / "b.txt", lambda temporary: temporary.write_text("whole"))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_needs_no_space(tmp_path: Path) -> None:
    with pytest.raises(
        StorageError, match=r"No such file or directory.*; choose another place, then run again; nothing is lost"
    ):
        write_whole(tmp_path / "nowhere" / "file", lambda path: path.write_text("x"))


def test_only_ordinary_files_are_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(StorageError, match="is not a regular file and is never replaced"):
            write_whole(tmp_path / name, lambda path: path.write_text("x"))
    with pytest.raises(StorageError, match="never replaced"):
        write_whole(Path("/dev/null"), lambda path: path.write_text("x"))
    assert Path("/dev/null").is_char_device()
