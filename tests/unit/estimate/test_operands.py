import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from foretaste.estimate.operands import as_rows, bias_joins, is_outer, is_transposed, operands
from laws import normal

LAYERS = {
    "linear": (nn.Linear(3, 2), (4, 3)),
    "linear over positions": (nn.Linear(3, 2), (4, 5, 3)),
    "conv": (nn.Conv2d(2, 3, 2, stride=2, padding=1), (4, 2, 5, 5)),
    "conv 1d": (nn.Conv1d(2, 3, 2, dilation=2, padding="same"), (4, 2, 6)),
    "transposed": (Conv1D(2, 3), (4, 5, 3)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_outer_products_are_the_gradient(name: str) -> None:
    layer, shape = LAYERS[name]
    inputs = normal(*shape, seed=1)
    outputs = layer(inputs)
    grad = normal(*outputs.shape, seed=2)
    assert is_outer(layer)
    bias = bias_joins(layer)
    rows, columns = operands(layer, inputs, grad, bias=bias)
    weight, *rest = torch.autograd.grad(outputs, [layer.weight, layer.bias][: 1 + bias], grad)
    found = torch.einsum("bsr,bsc->rc", rows, columns)
    expected = torch.cat([weight.flatten(1), *(part.unsqueeze(1) for part in rest)], dim=1)
    torch.testing.assert_close(found, expected)


def test_which_layers_have_outer_products() -> None:
    assert not is_outer(nn.Conv2d(2, 2, 1, groups=2))
    assert not is_outer(nn.LayerNorm(2))
    assert is_transposed(Conv1D(2, 3))
    assert not is_transposed(nn.Conv1d(2, 3, 1))
    assert not bias_joins(Conv1D(2, 3))
    assert as_rows(torch.zeros(2, 3, 4, 5)).shape == (2, 12, 5)
