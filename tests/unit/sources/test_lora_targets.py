from collections.abc import Sequence

import pytest
import transformers
from torch import nn

from checkpoints import Checkpoints
from foretaste.errors import DataError
from foretaste.params import parameters_of
from foretaste.sources.lora_targets import at_targets, choose_targets, layers_for_factors


@pytest.fixture
def llama(checkpoints: Checkpoints) -> nn.Module:
    model: nn.Module = transformers.LlamaForCausalLM.from_pretrained(checkpoints.llama)
    return model


def test_layers_that_no_task_shares_or_whose_calls_are_bypassed_cannot_have_factors(llama: nn.Module) -> None:
    attention = nn.MultiheadAttention(2, 1)
    model = nn.ModuleDict({"attention": attention, "out": nn.Linear(2, 2), "head": nn.Linear(2, 2)})
    shared = [name for name in parameters_of(model) if not name.startswith("head")]
    assert list(layers_for_factors(model, shared)) == ["out"]
    assert "model.layers.0.mlp.up_proj" in layers_for_factors(llama, parameters_of(llama))


@pytest.mark.parametrize(
    ("chosen", "ends"),
    [
        (None, {"q_proj", "v_proj"}),
        (["up_proj"], {"up_proj"}),
        ("all-linear", {"q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj", "gate_proj"}),
        (r".*\.[ko]_proj", {"k_proj", "o_proj"}),
    ],
)
def test_targets_by_architecture_by_name_by_pattern_or_all(
    llama: nn.Module, chosen: Sequence[str] | None, ends: set[str]
) -> None:
    targets = choose_targets(llama, layers_for_factors(llama, parameters_of(llama)), chosen)
    assert {name.rpartition(".")[2] for name in targets} == ends


def test_a_name_of_no_layer_is_refused_with_names_that_there_are(llama: nn.Module) -> None:
    layers = layers_for_factors(llama, parameters_of(llama))
    with pytest.raises(DataError, match=r"'gone' is the name of no layer; name layers .* for example .q_proj, k_proj"):
        choose_targets(llama, layers, ["gone"])
    with pytest.raises(DataError, match="PEFT has no usual layers for a model of your own"):
        choose_targets(nn.Linear(1, 1), {}, None)
    assert at_targets("x").field == ("finetune", "targets")
