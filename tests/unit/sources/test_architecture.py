"""What facts and fingerprints say of a model's architecture."""

from pathlib import Path

import pytest
import torch
import transformers

from checkpoints import Checkpoints
from foretaste.params import parameters_of
from foretaste.sources.architecture import configuration, stored_as
from foretaste.sources.pretrained import pretrained
from foretaste.sources.request import Format


def test_a_configuration_is_what_the_architecture_depends_on(checkpoints: Checkpoints) -> None:
    model = pretrained(str(checkpoints.gpt2), "causal-lm")
    before = configuration(model)
    config: transformers.PretrainedConfig = model.config
    config.id2label, config._name_or_path = {0: "a"}, "elsewhere"
    assert configuration(model) == before
    config.activation_function = "relu"
    assert configuration(model) != before


@pytest.mark.parametrize(
    ("fast", "dtype", "fact"),
    [
        (True, torch.bfloat16, " in bfloat16"),
        (False, torch.float32, " in float32, since this processor is slow in the checkpoint's bfloat16"),
    ],
)
def test_auto_keeps_bfloat16_where_it_is_fast(
    checkpoints: Checkpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast: bool, dtype: torch.dtype, fact: str
) -> None:
    monkeypatch.setattr("foretaste.sources.pretrained.bfloat16.is_fast", lambda: fast)
    transformers.LlamaForCausalLM.from_pretrained(checkpoints.llama, dtype=torch.bfloat16).save_pretrained(tmp_path)
    model = pretrained(str(tmp_path), "causal-lm", form=Format("auto"))
    assert {tensor.dtype for tensor in parameters_of(model).values()} == {dtype}
    assert stored_as(model) == fact
    assert stored_as(pretrained(str(tmp_path), "causal-lm", form=Format("bfloat16"))) == " in bfloat16"
    assert stored_as(pretrained(str(tmp_path), "causal-lm", form=Format("float32"))) == ""
