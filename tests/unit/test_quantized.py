"""Layers of 4 and 8 bits: shapes, scales, and derivatives by updates."""

from typing import Any

import pytest
import torch
from bitsandbytes.nn.modules import Int8Params, Linear4bit, Linear8bitLt, Params4bit
from torch import Tensor, nn

from foretaste.quantized import (
    count_parameters,
    differentiable,
    is_quantized,
    quantized_layers,
    scales_of,
    weight_shape,
)


def network(bits: str) -> nn.Sequential:
    """A quantised layer between two others."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(8, 64, generator=generator)
    middle: nn.Linear
    if bits == "nf4":
        make: Any = Linear4bit
        middle = make(64, 8, compute_dtype=torch.float32, quant_type="nf4")
        middle.weight = Params4bit(weight, requires_grad=False, quant_type="nf4")
    else:
        middle = Linear8bitLt(64, 8, has_fp16_weights=False)
        middle.weight = Int8Params(weight, requires_grad=False, has_fp16_weights=False)
    with torch.random.fork_rng([]):
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(5, 64), nn.Tanh(), middle, nn.Linear(8, 2))
    return model.to("cpu")


class Added(nn.Module):
    """A layer and a dense update in full precision."""

    def __init__(self, layer: nn.Module, update: Tensor) -> None:
        super().__init__()
        self.layer, self.update = layer, nn.Parameter(update)

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.layer(inputs) + inputs @ self.update.T
        return output


@pytest.mark.parametrize("bits", ["nf4", "int8"])
class TestQuantised:
    def test_layers_are_known_by_their_integers(self, bits: str) -> None:
        model = network(bits)
        assert list(quantized_layers(model)) == ["2"]
        assert [is_quantized(layer) for layer in model] == [False, False, True, False]
        assert weight_shape(model[2]) == (8, 64)
        assert count_parameters(model) == (5 + 1) * 64 + (64 + 1) * 8 + (8 + 1) * 2
        assert {name.split(".")[0] for name in scales_of(model)} == {"2"}

    def test_gradients_are_those_by_an_update_of_zero(self, bits: str) -> None:
        model, inputs = network(bits), torch.randn(7, 3, 5)
        layer, update = model[2], torch.zeros(8, 64)
        model[2] = added = Added(layer, update)
        (expected,) = torch.autograd.grad(model(inputs).square().sum(), [added.update])
        outputs = model(inputs)
        model[2] = layer
        with differentiable(model, ["2.weight"]):
            weight = model.get_parameter("2.weight")
            assert weight.shape == (8, 64)
            assert weight.untyped_storage().nbytes() == 4
            assert torch.equal(model(inputs), outputs)
            (gradient,) = torch.autograd.grad(model(inputs).square().sum(), [weight])
        assert torch.allclose(gradient, expected, rtol=1e-5, atol=1e-6 * float(expected.abs().max()))
        assert float(expected.abs().max()) > 0

    def test_the_layer_comes_back_whatever_happens(self, bits: str) -> None:
        model = network(bits)
        layer = model[2]
        with pytest.raises(ZeroDivisionError), differentiable(model, ["2.weight"]):
            raise ZeroDivisionError
        assert model[2] is layer

    def test_only_named_layers_change(self, bits: str) -> None:
        model = network(bits)
        layer = model[2]
        with differentiable(model, ["0.weight"]):
            assert model[2] is layer
