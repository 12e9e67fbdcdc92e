import os
from pathlib import Path

import pytest
import torch

from contracts.artefacts import ArtefactsContract, Opener
from disks import read_only
from foretaste.digests import digest
from foretaste.errors import DataError, StorageError
from foretaste.store.folder_artefacts import FolderArtefacts
from foretaste.temporary import temporary_path


class TestContract(ArtefactsContract):
    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        return lambda: FolderArtefacts.create(tmp_path)


def test_an_artefact_is_a_file_named_by_its_content(tmp_path: Path) -> None:
    name = FolderArtefacts.create(tmp_path).put({"w": torch.ones(2)})
    assert name == digest({"w": torch.ones(2)})
    assert [path.name for path in (tmp_path / "tensors").iterdir()] == [f"{name}.safetensors"]


def test_damage_is_noticed(tmp_path: Path) -> None:
    artefacts = FolderArtefacts.create(tmp_path)
    name, other = artefacts.put({"w": torch.ones(2)}), artefacts.put({"w": torch.zeros(2)})
    path = tmp_path / "tensors" / f"{name}.safetensors"
    path.write_bytes((tmp_path / "tensors" / f"{other}.safetensors").read_bytes())
    with pytest.raises(DataError, match="is damaged: its content is not what its name says"):
        artefacts.get(name)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DataError, match="is truncated or damaged"):
        artefacts.slice(name, "w", slice(0, 1))


def test_leftovers_of_killed_writers_are_removed_and_those_of_others_stay(tmp_path: Path) -> None:
    FolderArtefacts.create(tmp_path)
    left = tmp_path / "tensors" / temporary_path(Path("a")).name.replace(str(os.getpid()), "999999999", 1)
    writing = temporary_path(tmp_path / "running" / "b")
    for path in (left, writing):
        path.touch()
    FolderArtefacts.create(tmp_path)
    assert not left.exists()
    assert writing.exists()


def test_a_read_only_folder_is_read_and_refuses_what_is_written(tmp_path: Path) -> None:
    name = FolderArtefacts.create(tmp_path).put({"w": torch.ones(2)})
    with read_only(tmp_path):
        artefacts = FolderArtefacts(tmp_path)
        assert torch.equal(artefacts.get(name)["w"], torch.ones(2))
        assert artefacts.put({"w": torch.ones(2)}) == name  # it is there already
        for write in (
            lambda: artefacts.put({"w": torch.zeros(2)}),
            lambda: artefacts.put_snapshot("key", {"w": torch.zeros(2)}, {}),
        ):
            with pytest.raises(StorageError, match="could not write"):
                write()
        with pytest.raises(StorageError, match="could not delete"):
            artefacts.drop(name)
    assert artefacts.has(name)
