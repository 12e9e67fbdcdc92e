"""Layers whose frozen weights are stored in 4 or 8 bits, by bitsandbytes: their shapes, contents and derivatives.

A quantised weight has no gradient. But the weights that finetuning by LoRA makes are ``W + s B A``, with the update in
full precision. So the curvature that merges need is the one by the update, at the point where it is zero: the
gradient of a layer's output times its input, whatever the format of W.

References:
    QLoRA: Efficient Finetuning of Quantized LLMs, Dettmers et al., 2023, https://arxiv.org/abs/2305.14314
    LLM.int8(): 8-bit Matrix Multiplication for Transformers at Scale, Dettmers et al., 2022,
    https://arxiv.org/abs/2208.07339
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

__all__ = ["count_parameters", "differentiable", "is_quantized", "quantized_layers", "scales_of", "weight_shape"]


def is_quantized(module: nn.Module) -> TypeGuard[nn.Linear]:
    """Tell whether a layer's weight is stored as integers.

    >>> is_quantized(nn.Linear(1, 1))
    False
    """
    weight = module._parameters.get("weight")
    return isinstance(module, nn.Linear) and weight is not None and not weight.is_floating_point()


def quantized_layers(model: nn.Module) -> dict[str, nn.Linear]:
    """Return the layers with quantised weights, by name.

    >>> quantized_layers(nn.Sequential(nn.Linear(1, 1)))
    {}
    """
    return {name: module for name, module in model.named_modules() if is_quantized(module)}


def weight_shape(module: nn.Module) -> tuple[int, ...]:
    """Return the shape of a layer's weight; weights of 4 bits are stored in another.

    >>> weight_shape(nn.Linear(2, 3))
    (3, 2)
    """
    if isinstance(module, nn.Linear):
        return module.out_features, module.in_features
    assert isinstance(module.weight, Tensor)
    return tuple(module.weight.shape)


def scales_of(model: nn.Module) -> dict[str, Tensor]:
    """Return what turns the integers of a model's quantised weights into numbers, by name.

    For int8 that is ``[out]``, the largest absolute value of each row; for 4 bits, the state that bitsandbytes keeps.
    Two weights that differ by a factor have the same integers, so hashes need these too.

    >>> scales_of(nn.Linear(1, 1))
    {}
    """
    scales: dict[str, Tensor] = {}
    layer: Any
    for name, layer in quantized_layers(model).items():
        state = getattr(layer.weight, "quant_state", None)
        if state is not None:
            scales |= {f"{name}.{key}": tensor for key, tensor in state.as_dict(packed=True).items()}
            continue
        rows = layer.weight.SCB  # moves to the layer's state when the layer is first called
        scales[f"{name}.scales"] = layer.state.SCB if rows is None else rows
    return scales


def count_parameters(model: nn.Module) -> int:
    """Count a model's parameters, each tied one once.

    >>> count_parameters(nn.Linear(2, 3))
    9
    """
    packed = {id(layer.weight): layer.in_features * layer.out_features for layer in quantized_layers(model).values()}
    return sum(packed.get(id(parameter), parameter.numel()) for parameter in model.parameters())


@contextmanager
def differentiable(model: nn.Module, names: Collection[str]) -> Iterator[None]:
    """Make a model differentiable by updates of quantised weights, until the end of the block.

    Such a layer's parameter ``weight`` becomes an update of zero, float32, ``[out, in]``. Its gradient is exact. The
    forward pass computes nothing more, and the update shares the memory of one zero.

    Args:
        model: The model.
        names: Names of weights, among which those that are quantised matter.

    >>> with differentiable(nn.Linear(1, 1), ["weight"]):
    ...     pass
    """
    layers = {name: layer for name, layer in quantized_layers(model).items() if f"{name}.weight" in names}
    places = [(model.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2]) for name in layers]
    try:
        for (parent, local), layer in zip(places, layers.values(), strict=True):
            setattr(parent, local, _WithUpdate(layer))
        yield
    finally:
        for (parent, local), layer in zip(places, layers.values(), strict=True):
            setattr(parent, local, layer)


class _WithUpdate(nn.Linear):
    """A layer with an update of zero in place of its weight."""

    def __init__(self, layer: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        zero = torch.zeros((), device=layer.weight.device)
        self.weight = nn.Parameter(zero.expand(layer.out_features, layer.in_features))
        self.register_parameter("bias", None)
        self._hidden = (layer,)  # a tuple hides its parameters from this layer's

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = _AddNothing.apply(  # type: ignore[no-untyped-call]
            self._hidden[0](inputs), inputs.detach(), self.weight
        )
        return output


class _AddNothing(torch.autograd.Function):
    """``output + inputs @ weight.T`` where the weight ``[out, in]`` is zero: ``[..., in]`` to ``[..., out]``."""

    @staticmethod
    def forward(ctx: FunctionCtx, output: Tensor, inputs: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(inputs)
        return output.view_as(output)

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor, None, Tensor | None]:
        context: Any = ctx
        (grad,), (inputs,) = grads, context.saved_tensors
        if not context.needs_input_grad[2]:
            return grad, None, None
        return grad, None, grad.flatten(0, -2).float().T @ inputs.flatten(0, -2).float()
