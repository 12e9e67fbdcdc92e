"""Devices: moves Gaussians, precisions and sites of any structure, and counts their bytes."""

import copy
from collections.abc import Iterator, Mapping
from types import FunctionType
from typing import TypeVar, cast

import torch
from torch import Tensor

from foretaste.lendable import Lendable
from foretaste.stored import Stored

__all__ = ["bytes_of", "place_on"]

_T = TypeVar("_T")
_PLAIN = (
    str,
    bytes,
    int,
    float,
    complex,
    bool,
    type(None),
    type,
    slice,
    torch.dtype,
    torch.device,
    FunctionType,
    Stored,
)


def place_on(value: _T, device: torch.device | None) -> _T:
    """Put every tensor of a value on a device.

    Shared tensors stay shared, and tensors that are already there are not copied.

    Args:
        value: Params, a precision, a Gaussian, a site, or mappings and sequences of them. Params in files stay there.
        device: The device; None leaves every tensor where it is.

    >>> from foretaste.posterior.isotropic import Isotropic
    >>> from foretaste.posterior.site import GaussianSite
    >>> place_on(GaussianSite({"w": torch.ones(1)}, Isotropic(1.0)), torch.device("meta")).center["w"].device
    device(type='meta')
    """
    return value if device is None else cast("_T", _place(value, device, {}))


def bytes_of(value: object) -> int:
    """Count the bytes of a value's tensors, each tensor once.

    >>> weight = torch.zeros(2)
    >>> bytes_of({"a": {"w": weight}, "b": [weight, torch.zeros(1)]})
    12
    """
    return sum({id(held): held.nbytes for held in _tensors(value, set())}.values())


def _place(value: object, device: torch.device, copies: dict[int, tuple[object, object]]) -> object:
    if isinstance(value, _PLAIN):
        return value
    if id(value) not in copies:
        copies[id(value)] = value, _copy(value, device, copies)  # with the value, so that no other object gets its id
    return copies[id(value)][1]


def _copy(value: object, device: torch.device, copies: dict[int, tuple[object, object]]) -> object:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, Lendable):
        return value.to(device)
    if isinstance(value, Mapping):
        return {key: _place(attribute, device, copies) for key, attribute in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)([_place(attribute, device, copies) for attribute in value])
    copied = copy.copy(value)
    for name, attribute in vars(value).items():
        copied.__dict__[name] = _place(attribute, device, copies)  # dataclasses may be frozen
    return copied


def _tensors(value: object, visited: set[int]) -> Iterator[Tensor | Lendable]:
    if isinstance(value, _PLAIN) or id(value) in visited:
        return
    visited.add(id(value))
    if isinstance(value, Tensor | Lendable):
        yield value
    elif isinstance(value, Mapping):
        for element in value.values():
            yield from _tensors(element, visited)
    elif isinstance(value, (list, tuple)):
        for element in value:
            yield from _tensors(element, visited)
    else:
        for element in vars(value).values():
            yield from _tensors(element, visited)
