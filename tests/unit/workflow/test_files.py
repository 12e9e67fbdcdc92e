"""The whole way is in tests/flows/test_import.py; here is what is said of weights."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from foretaste.errors import StudyError, WeightsError
from foretaste.store.study import StudyStore
from foretaste.workflow.experts import import_experts
from foretaste.workflow.files import Merging, parse_weights


def test_weights_are_over_the_experts(tmp_path: Path) -> None:
    save_file({"w": torch.ones(1)}, tmp_path / "model.safetensors")
    with StudyStore.create(tmp_path / "study") as study:
        with pytest.raises(StudyError, match="nothing was imported"):
            parse_weights(study, "uniform")
        import_experts(study, {"a": tmp_path, "b": tmp_path})
        assert str(parse_weights(study, "uniform")) == "a=0.5,b=0.5"
        assert Merging(parse_weights(study, "a=0.25,b=0.75")).weights["b"] == 0.75
        with pytest.raises(WeightsError):
            parse_weights(study, "a=0.5,c=0.5")
