import pytest
import torch
import transformers
from torch import nn

from checkpoints import Checkpoints
from foretaste.errors import DataError
from foretaste.sources.recompute import recompute_activations

# transformers asks torch's checkpointing for a mode by a name that torch renames.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")


def _gradients(model: nn.Module) -> tuple[list[torch.Tensor], int]:
    """The gradients of a loss, and how often the first module of the only layer went forward."""
    calls = 0

    def count(module: nn.Module, inputs: object, output: object) -> None:
        nonlocal calls
        calls += 1

    assert isinstance(model, transformers.LlamaForCausalLM)
    handle = model.model.layers[0].input_layernorm.register_forward_hook(count)
    ids = torch.arange(12).reshape(2, 6)
    model.train()(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    handle.remove()
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None], calls


def test_gradients_are_the_same_from_activations_that_are_computed_twice(checkpoints: Checkpoints) -> None:
    plain, saving = (transformers.LlamaForCausalLM.from_pretrained(checkpoints.llama) for _ in range(2))
    recompute_activations(saving)
    (expected, once), (found, twice) = _gradients(plain), _gradients(saving)
    assert (once, twice) == (1, 2)
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))


def test_a_model_that_cannot_is_refused_by_the_recipe_s_field() -> None:
    with pytest.raises(DataError, match="has no gradient checkpointing; leave gradient_checkpointing out") as caught:
        recompute_activations(nn.Sequential(nn.Linear(1, 1)))
    assert caught.value.field == ("finetune", "gradient_checkpointing")
