import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from checkpoints import Checkpoints
from foretaste.errors import DataError
from foretaste.metrics import METRICS
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.site import GaussianSite
from foretaste.sources.expert import Expert, fit_to_model, hash_files, open_expert, read_tensors
from foretaste.sources.site_file import NAME, save_site
from foretaste.task import Rows, Task

ROWS = Rows(torch.eye(2), torch.tensor([0, 1]))
TASK = Task("a", ROWS, ROWS, [METRICS["accuracy"]])


class TestLooking:
    def test_every_kind_is_told_apart(self, tmp_path: Path, checkpoints: Checkpoints) -> None:
        assert open_expert(checkpoints.bert).kind == "checkpoint"
        save_site(GaussianSite({"w": torch.ones(1)}, Isotropic(1.0)), tmp_path / NAME)
        found = open_expert(tmp_path)
        assert (found.kind, found.site, found.files) == ("site", tmp_path / NAME, (tmp_path / NAME,))
        save_file({"w": torch.ones(1)}, tmp_path / "model.safetensors")
        found = open_expert(tmp_path)
        assert (found.kind, found.site, found.files) == ("tensors", tmp_path / NAME, (tmp_path / "model.safetensors",))

    def test_folders_without_a_model(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="holds no model; name a checkpoint folder"):
            open_expert(tmp_path)
        with pytest.raises(DataError, match="does not exist or is not a folder"):
            open_expert(tmp_path / "none")
        (tmp_path / "model.pt").touch()
        with pytest.raises(DataError, match=r"model\.pt is a pickle"):
            open_expert(tmp_path)


def test_the_hash_is_of_the_content(tmp_path: Path) -> None:
    for name, content in (("a", b"12"), ("b", b"3"), ("c", b"123")):
        (tmp_path / name).write_bytes(content)
    seen: list[int] = []
    assert hash_files([tmp_path / "a", tmp_path / "b"], seen.append) == hash_files([tmp_path / "c"])
    assert hash_files([tmp_path / "b", tmp_path / "a"]) != hash_files([tmp_path / "c"])
    assert seen == [2, 1]


class TestReading:
    def test_numbers_are_widened_and_buffers_are_the_model_s_where_none_are_there(self) -> None:
        model = nn.BatchNorm1d(2)
        found = fit_to_model(model, TASK, {"weight": torch.ones(2).half(), "bias": torch.ones(2)}, Path("there"))
        assert found["weight"].dtype == torch.float32
        assert found["running_var"].tolist() == [1.0, 1.0]
        assert "num_batches_tracked" not in found

    def test_all_that_does_not_fit_is_listed(self) -> None:
        with pytest.raises(
            DataError, match=r"there does not fit .* 'a': bias is missing; shape of weight is \[2\], not \[2, 2\]"
        ):
            fit_to_model(nn.Linear(2, 2), TASK, {"weight": torch.ones(2)}, Path("there"))
        with pytest.raises(DataError, match=r"is missing and 2 more; import"):
            fit_to_model(nn.Sequential(*(nn.Linear(2, 2) for _ in range(3))), TASK, {}, Path("there"))

    def test_an_adapter_is_not_for_models_of_one_s_own(self) -> None:
        with pytest.raises(DataError, match="merge it into its model first"):
            read_tensors(nn.Linear(2, 2), TASK, Expert(Path("there"), "adapter", ()))


def test_a_damaged_checkpoint_is_named(tmp_path: Path, checkpoints: Checkpoints) -> None:
    shutil.copytree(checkpoints.bert, tmp_path / "bert")
    (tmp_path / "bert" / "model.safetensors").write_bytes(b"0")
    with pytest.raises(DataError, match=r"model\.safetensors"):
        open_expert(tmp_path / "bert")
