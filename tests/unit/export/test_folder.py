import json
import os
from pathlib import Path

import pytest

from commands import contents
from foretaste.errors import ParamsError, StorageError
from foretaste.export.folder import FACTS, MANIFEST, check_folder, new_folder


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
    with (
        pytest.raises(StorageError, match=r"could not write .*out: no more; free some space"),
        new_folder(tmp_path / "out"),
    ):
        raise OSError("no more")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StorageError, match="could not write"), new_folder(tmp_path / "file" / "out"):
        pass


def ours(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / FACTS).write_text("{}")
    return folder


@pytest.mark.parametrize("name", ["thesis.txt", "config.json", MANIFEST])
def test_only_what_foretaste_wrote_is_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text(json.dumps({"name": "a page of mine", "icons": []}))
    before = contents(tmp_path)
    with pytest.raises(
        StorageError, match=f"out holds {name} and was not written by foretaste; .*choose another folder"
    ):
        check_folder(tmp_path / "out", overwrite=True)
    assert contents(tmp_path) == before
    with new_folder(ours(tmp_path / "made"), overwrite=True) as folder:
        (folder / "new").touch()
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["new"]


@pytest.mark.parametrize(
    ("target", "how"), [("model", "is"), ("around", "holds"), ("model/within", "is within"), ("data.csv/..", "holds")]
)
def test_what_is_kept_is_never_replaced(tmp_path: Path, target: str, how: str) -> None:
    ours(tmp_path / "model")
    ours(tmp_path / "model" / "within")
    ours(tmp_path / "around" / "other")
    (tmp_path / "around" / FACTS).touch()
    (tmp_path / FACTS).touch()
    (tmp_path / "data.csv").mkdir()
    keep = {"the model": tmp_path / "model", "an expert": tmp_path / "around" / "other"}
    with pytest.raises(
        StorageError, match=rf"{how} (the model|an expert) \(.*\), which --overwrite does not replace; choose another"
    ):
        check_folder(tmp_path / target, overwrite=True, keep=keep)


def test_what_is_put_there_meanwhile_is_kept(tmp_path: Path) -> None:
    def write() -> None:
        with new_folder(tmp_path / "out", overwrite=True) as folder:
            (folder / "new").touch()
            (tmp_path / "out").mkdir()
            (tmp_path / "out" / "thesis.txt").touch()

    with pytest.raises(StorageError, match="not written by foretaste"):
        write()
    assert contents(tmp_path) == {"out/thesis.txt": b""}


def test_where_one_is_cannot_be_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StorageError, match=r"^[.] is the folder that you are in"):
        check_folder(Path("."))
    (tmp_path / FACTS).touch()
    for target in (Path("."), Path("..")):
        with pytest.raises(StorageError, match=r"is the folder that you are in|not written by foretaste"):
            check_folder(target, overwrite=True)
    with pytest.raises(StorageError, match=r"^[.] exists already"):
        check_folder(Path("."))
    assert check_folder(Path("new")) == tmp_path / "new"


def test_a_place_where_nothing_can_be_made_is_said_before_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(
        StorageError,
        match=r"the folder .*a does not exist and cannot be made: .* is not writable; choose another place",
    ):
        check_folder(tmp_path / "a" / "b")
    with pytest.raises(StorageError, match=r"could not write .*a: /.* is not writable; choose another place"):
        check_folder(tmp_path / "a")
    monkeypatch.undo()
    made = r"the folder /proc/none does not exist and cannot be made \(.*\); make it, or choose another place"
    with pytest.raises(StorageError, match=made), new_folder(Path("/proc/none/x")):
        pass
