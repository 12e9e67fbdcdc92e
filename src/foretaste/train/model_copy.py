"""The copy of a model that a run trains."""

import copy
from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from foretaste.params import Params, check_fit
from foretaste.quantized import quantized_layers

__all__ = ["copy_center", "copy_model", "load_params"]


def copy_model(model: nn.Module, changed: Collection[str]) -> nn.Module:
    """Copy a model; frozen parameters that nothing changes share the memory of the model's own.

    Args:
        model: Any module.
        changed: Names of parameters that the copy will get other values for.

    >>> layer = nn.Linear(2, 2).requires_grad_(False)
    >>> copied = copy_model(layer, ["bias"])
    >>> copied.weight.data_ptr() == layer.weight.data_ptr(), copied.bias.data_ptr() == layer.bias.data_ptr()
    (True, False)
    """
    shared = {
        id(parameter): nn.Parameter(parameter.detach(), requires_grad=False)
        for name, parameter in model.named_parameters()
        if not parameter.requires_grad and parameter.is_floating_point() and name not in changed
    }
    frozen = {id(layer): layer for layer in quantized_layers(model).values()}
    return copy.deepcopy(model, {**shared, **frozen})


def load_params(model: nn.Module, params: Params) -> None:
    """Copy params into a model's own tensors, by name.

    >>> layer = nn.Linear(1, 1)
    >>> load_params(layer, {"bias": torch.tensor([3.0])})
    >>> layer.bias.item()
    3.0
    """
    own = dict(model.named_parameters()) | dict(model.named_buffers())
    with torch.no_grad():
        for name, tensor in params.items():
            own[name].copy_(tensor)


def copy_center(trained: Mapping[str, nn.Parameter], center: Params | None) -> list[Tensor]:
    """Copy the centre of the prior, in the order of the trained parameters.

    Args:
        trained: The trained parameters, by name.
        center: The centre, by name; the parameters as they are, if left out.

    Raises:
        ParamsError: The centre lacks a parameter, or has one in another shape.

    >>> copy_center({"w": nn.Parameter(torch.ones(1))}, None)
    [tensor([1.])]
    """
    own_center = trained if center is None else {name: center[name] for name in trained if name in center}
    check_fit(trained, own_center, "the center of the prior")
    return [own_center[name].detach().clone() for name in trained]
