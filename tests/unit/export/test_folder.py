from pathlib import Path

import pytest

from foretaste.errors import ParamsError, StorageError
from foretaste.export.folder import new_folder


def test_it_appears_when_it_is_complete_with_the_folders_above_it(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b"
    with new_folder(target) as folder:
        (folder / "file").write_text("whole")
        assert not target.exists()
    assert (target / "file").read_text() == "whole"
    assert [path.name for path in target.parent.iterdir()] == ["b"]


@pytest.mark.parametrize("error", [ParamsError("bad"), KeyboardInterrupt()])
def test_nothing_is_left_after_an_error(tmp_path: Path, error: BaseException) -> None:
    def write() -> None:
        with new_folder(tmp_path / "out") as folder:
            (folder / "file").write_text("half")
            raise error

    with pytest.raises(type(error)):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_refuses_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"could not write .*out: no more; free some space"), new_folder(tmp_path / "out"):
        raise OSError("no more")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StorageError, match="could not write"), new_folder(tmp_path / "file" / "out"):
        pass
