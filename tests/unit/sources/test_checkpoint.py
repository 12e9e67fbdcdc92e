import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from checkpoints import Checkpoints
from foretaste.errors import DataError
from foretaste.sources.checkpoint import check_checkpoint


@pytest.fixture
def folder(tmp_path: Path, checkpoints: Checkpoints) -> Path:
    shutil.copytree(checkpoints.bert, tmp_path / "model")
    return tmp_path / "model"


def sharded(folder: Path) -> list[Path]:
    """The same checkpoint in two files with an index."""
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, chosen in parts.items():
        save_file({name: tensors[name] for name in chosen}, folder / file, metadata={"format": "pt"})
    weight_map = {name: file for file, chosen in parts.items() for name in chosen}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    (folder / "model.safetensors").unlink()
    return [folder / file for file in parts]


def test_one_file_and_shards_are_found(folder: Path) -> None:
    assert check_checkpoint(folder) == [folder / "model.safetensors"]
    parts = sharded(folder)
    assert check_checkpoint(folder) == parts


def test_a_missing_shard_is_named(folder: Path) -> None:
    sharded(folder)[1].unlink()
    with pytest.raises(DataError, match=r"lacks the shards model-00002-of-00002\.safetensors, which its index names; copy them too"):
        check_checkpoint(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"metadata": {}}', '{"weight_map": 3}', '{"weight_map": {"a": ["b"]}}'])
def test_a_damaged_index_is_named(folder: Path, content: str) -> None:
    (folder / "model.safetensors.index.json").write_text(content)
    with pytest.raises(DataError, match=r"index\.json is damaged .*copy or download it again"):
        check_checkpoint(folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "last.ckpt", "model.pkl"])
def test_pickles_are_refused_with_the_way_out(folder: Path, name: str) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / name)
    with pytest.raises(DataError, match=rf"{name} is a pickle, which can run code .*convert it once .*save_pretrained\(NEW_FOLDER\)"):
        check_checkpoint(folder)


def test_a_pickle_beside_safetensors_is_left_alone(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"not even a pickle")
    assert check_checkpoint(folder) == [folder / "model.safetensors"]


@pytest.mark.parametrize("keep", [0, 4, 50, -1])
def test_truncated_files_are_named(folder: Path, keep: int) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"model\.safetensors is truncated or damaged .*copy or download it again"):
        check_checkpoint(folder)


def test_folders_that_are_no_checkpoints(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no config\.json; name a folder that save_pretrained made"):
        check_checkpoint(tmp_path)
    (folder / "model.safetensors").unlink()
    with pytest.raises(DataError, match=r"has no \.safetensors file; name a folder that save_pretrained made"):
        check_checkpoint(folder)
