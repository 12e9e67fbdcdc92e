from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.t5.modeling_t5 import T5LayerNorm
from transformers.pytorch_utils import Conv1D

from foretaste.estimate.layers import rules_for, squares_by_rows
from laws import normal, random

COUNT = 5

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")


def ids(*shape: int) -> Tensor:
    return torch.randint(0, 6, shape, generator=random(0))


LAYERS: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "linear": (lambda: nn.Linear(4, 3), normal(COUNT, 4)),
    "linear without bias": (lambda: nn.Linear(4, 3, bias=False), normal(COUNT, 4)),
    "linear over positions": (lambda: nn.Linear(4, 3), normal(COUNT, 6, 4)),
    "linear over a grid": (lambda: nn.Linear(4, 3), normal(COUNT, 2, 3, 4)),
    "gpt2 conv1d": (lambda: Conv1D(3, 4), normal(COUNT, 6, 4)),
    "gpt2 conv1d on rows": (lambda: Conv1D(3, 4), normal(COUNT, 4)),
    "embedding": (lambda: nn.Embedding(6, 4), ids(COUNT, 9)),
    "embedding of one token": (lambda: nn.Embedding(6, 4), ids(COUNT)),
    "embedding with padding": (lambda: nn.Embedding(6, 4, padding_idx=2), ids(COUNT, 9)),
    "conv1d": (lambda: nn.Conv1d(2, 4, 3), normal(COUNT, 2, 8)),
    "conv1d strided, dilated, grouped": (
        lambda: nn.Conv1d(2, 4, 3, stride=2, dilation=2, padding=3, groups=2),
        normal(COUNT, 2, 9),
    ),
    "conv1d same": (lambda: nn.Conv1d(2, 4, 4, padding="same", dilation=3), normal(COUNT, 2, 9)),
    "conv2d": (lambda: nn.Conv2d(2, 4, 3, bias=False), normal(COUNT, 2, 6, 7)),
    "conv2d of every option": (
        lambda: nn.Conv2d(4, 6, (3, 2), stride=(2, 1), dilation=(1, 2), padding=(2, 1), groups=2),
        normal(COUNT, 4, 7, 6),
    ),
    "conv2d same": (lambda: nn.Conv2d(2, 4, (4, 3), padding="same"), normal(COUNT, 2, 6, 7)),
    "conv2d valid": (lambda: nn.Conv2d(2, 4, 3, padding="valid"), normal(COUNT, 2, 6, 7)),
    "layer norm": (lambda: nn.LayerNorm(4), normal(COUNT, 6, 4)),
    "layer norm over two dimensions": (lambda: nn.LayerNorm((3, 4), eps=0.1), normal(COUNT, 2, 3, 4)),
    "layer norm without bias": (lambda: nn.LayerNorm(4, bias=False), normal(COUNT, 4)),
    "rms norm": (lambda: nn.RMSNorm(4), normal(COUNT, 6, 4)),
    "rms norm with eps": (lambda: nn.RMSNorm(4, eps=0.1), normal(COUNT, 6, 4)),
    "llama rms norm": (lambda: LlamaRMSNorm(4, eps=0.1), normal(COUNT, 6, 4)),
    "t5 layer norm": (lambda: T5LayerNorm(4, eps=0.1), normal(COUNT, 6, 4)),
    "batch norm 1d": (lambda: nn.BatchNorm1d(4), normal(COUNT, 4)),
    "batch norm 1d over positions": (lambda: nn.BatchNorm1d(4), normal(COUNT, 4, 6)),
    "batch norm 2d": (lambda: nn.BatchNorm2d(4, eps=0.1), normal(COUNT, 4, 3, 2)),
    "batch norm 3d": (lambda: nn.BatchNorm3d(4), normal(COUNT, 4, 3, 2, 2)),
}


def build(name: str) -> tuple[nn.Module, Tensor]:
    make, inputs = LAYERS[name]
    module = make().eval()
    for index, tensor in enumerate([*module.parameters(), *(b for b in module.buffers() if b.is_floating_point())]):
        tensor.data.copy_(normal(*tensor.shape, seed=index + 1).exp())
    return module, inputs


def one_by_one(module: nn.Module, inputs: Tensor, grad: Tensor) -> dict[str, Tensor]:
    """Per-example gradients ``[B, *shape]`` by autograd on each example."""
    named = dict(module.named_parameters())
    rows = [
        torch.autograd.grad(module(inputs[row : row + 1]), list(named.values()), grad[row : row + 1])
        for row in range(len(inputs))
    ]
    return {name: torch.stack([each[place] for each in rows]) for place, name in enumerate(named)}


@pytest.mark.parametrize("name", LAYERS)
def test_per_example_gradients_are_autograds(name: str) -> None:
    module, inputs = build(name)
    grad = normal(*module(inputs).shape, seed=99)
    truth = one_by_one(module, inputs, grad)
    assert set(rules_for(module)) >= set(truth)
    for local, expected in truth.items():
        torch.testing.assert_close(
            rules_for(module)[local].per_example(module, inputs, grad), expected, rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("name", LAYERS)
def test_the_faster_way_to_the_squares_agrees(name: str) -> None:
    module, inputs = build(name)
    grad = normal(*module(inputs).shape, seed=99)
    for local, expected in one_by_one(module, inputs, grad).items():
        squares = rules_for(module)[local].squares
        if squares is not None:
            torch.testing.assert_close(squares(module, inputs, grad), expected.square().sum(0), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_row_by_row_the_squares_are_the_same(name: str) -> None:
    module, inputs = build(name)
    grad = normal(*module(inputs).shape, seed=99)
    for local, expected in one_by_one(module, inputs, grad).items():
        rule = rules_for(module)[local]
        if rule.rows is not None:
            torch.testing.assert_close(
                squares_by_rows([(rule, module, inputs, grad)]), expected.square().sum(0), rtol=1e-5, atol=1e-5
            )


def test_a_matrix_of_several_blocks_that_an_embedding_shares() -> None:
    embedding, head = nn.Embedding(20_000, 8), nn.Linear(8, 20_000, bias=False)
    tokens = torch.tensor([[0, 19_999, 16_384], [16_383, 5, 5]])
    inputs, slopes, grad = normal(2, 3, 8), normal(2, 3, 8, seed=1), normal(2, 3, 20_000, seed=2)
    parts = [
        (rules_for(head)["weight"], head, inputs, grad),
        (rules_for(embedding)["weight"], embedding, tokens, slopes),
    ]
    each = [rule.per_example(module, given, slope) for rule, module, given, slope in parts]
    torch.testing.assert_close(squares_by_rows(parts), (each[0] + each[1]).square().sum(0))


def test_the_faster_way_exists_where_it_counts() -> None:
    assert rules_for(nn.Linear(1, 1))["weight"].squares is not None
    assert rules_for(nn.Embedding(1, 1))["weight"].squares is not None


@pytest.mark.parametrize(
    "module", [nn.ReLU(), nn.MultiheadAttention(4, 2), nn.GRU(2, 2), nn.ConvTranspose1d(1, 1, 1), nn.GroupNorm(1, 2)]
)
def test_other_layers_have_no_rules(module: nn.Module) -> None:
    assert rules_for(module) == {}


def test_a_subclass_has_its_parents_rules() -> None:
    class Mine(nn.RMSNorm):
        pass

    assert set(rules_for(Mine(3))) == {"weight"}
