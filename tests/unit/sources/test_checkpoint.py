import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from checkpoints import Checkpoints
from foretaste.errors import DataError
from foretaste.sources.checkpoint import INDEX, check_checkpoint, open_checkpoint


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
    with pytest.raises(
        DataError, match=r"lacks the shards model-00002-of-00002\.safetensors, which its index names; copy them too"
    ):
        check_checkpoint(folder)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"metadata": {}}', '{"weight_map": 3}', '{"weight_map": {"a": ["b"]}}']
)
def test_a_damaged_index_is_named(folder: Path, content: str) -> None:
    (folder / "model.safetensors.index.json").write_text(content)
    with pytest.raises(DataError, match=r"index\.json is damaged .*copy or download it again"):
        check_checkpoint(folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "last.ckpt", "model.pkl"])
def test_pickles_are_refused_with_the_way_out(folder: Path, name: str) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / name)
    with pytest.raises(
        DataError, match=rf"{name} is a pickle, which can run code .*convert it once .*save_pretrained\(NEW_FOLDER\)"
    ):
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


class TestOpening:
    def test_headers_and_configuration_are_read(self, folder: Path) -> None:
        expected = load_file(folder / "model.safetensors")
        sharded(folder)
        found = open_checkpoint(folder)
        assert found.config["model_type"] == "bert"
        assert [path.name for path in found.files] == [
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
        ]
        assert found.params.keys() == expected.keys()
        assert all(found.params[name].equal(tensor) for name, tensor in expected.items())

    def test_files_that_the_index_does_not_name_are_left_alone(self, folder: Path) -> None:
        sharded(folder)
        save_file({"other": torch.ones(1)}, folder / "consolidated.safetensors")
        assert "other" not in open_checkpoint(folder).params

    def test_a_site_beside_the_params_is_no_shard(self, folder: Path) -> None:
        before = list(open_checkpoint(folder).params)
        shutil.copyfile(folder / "model.safetensors", folder / "foretaste-site.safetensors")
        assert list(open_checkpoint(folder).params) == before

    def test_several_files_without_an_index_are_refused(self, folder: Path) -> None:
        save_file({"other": torch.ones(1)}, folder / "consolidated.safetensors")
        with pytest.raises(
            DataError,
            match=r"several safetensors files \(consolidated.*, model.*\) and no model.safetensors.index.json",
        ):
            open_checkpoint(folder)

    def test_an_index_that_names_an_absent_tensor_is_refused(self, folder: Path) -> None:
        sharded(folder)
        index = json.loads((folder / INDEX).read_text())
        index["weight_map"]["ghost"] = "model-00002-of-00002.safetensors"
        (folder / INDEX).write_text(json.dumps(index))
        with pytest.raises(DataError, match=r"says that ghost is in model-00002-of-00002.safetensors, which it is not"):
            open_checkpoint(folder)

    def test_a_tensor_in_two_shards_is_refused(self, folder: Path) -> None:
        first, second = sharded(folder)
        twice = load_file(first)
        save_file(twice | load_file(second), second)
        with pytest.raises(
            DataError, match=r"is both in .*00001-of-00002.safetensors and in model-00002-of-00002.safetensors"
        ):
            open_checkpoint(folder)

    @pytest.mark.parametrize("said", [{"quant_method": "gptq", "bits": 4}, {"quant_method": "bitsandbytes"}])
    def test_a_quantised_model_is_refused(self, folder: Path, said: dict[str, object]) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"quantization_config": said}))
        with pytest.raises(
            DataError, match=rf"is quantised \({said['quant_method']}\): .*use the model it was made from"
        ):
            open_checkpoint(folder)

    def test_eight_bits_are_refused(self, folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        name = next(iter(tensors))
        save_file(tensors | {name: tensors[name].to(torch.float8_e4m3fn)}, folder / "model.safetensors")
        with pytest.raises(DataError, match=rf"{name} in .* is in 8 bits \(F8_E4M3\)"):
            open_checkpoint(folder)
