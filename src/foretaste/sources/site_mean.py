"""The mean of a site on disk: the params that it was taken at, in its file or given by the caller, and compared."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from foretaste.digests import digest
from foretaste.errors import ParamsError
from foretaste.names import first_few
from foretaste.params import Params, snapshot

__all__ = ["as_type", "check_digest", "check_values", "mean_given", "mean_inside"]


def mean_inside(path: Path, center: Params, names: list[str], mean: Params | None) -> dict[str, Tensor]:
    """Return the file's own mean; the caller's must be the same, up to rounding to the coarser of both types.

    Raises:
        ParamsError: The caller's params are others.
    """
    if mean is not None:
        _check_there(path, mean, names)
        check_values(path, center, names, mean)
    return {name: center[name] for name in names}


def check_values(path: Path, center: Params, names: list[str], mean: Params) -> None:
    """Check that a file's mean has the values of the caller's params.

    Raises:
        ParamsError: A tensor differs by more than rounding.
    """
    other = next((name for name in names if not _same(center[name], mean[name])), None)
    if other is not None:
        raise ParamsError(
            f"{path} was taken at another {other} than the params given have; name the site of this very model"
        )


def mean_given(path: Path, mean: Params | None, facts: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the mean that the caller gives, once it is known to be the one that the site was taken at.

    Raises:
        ParamsError: None is given, or it is another one.
    """
    if mean is None:
        raise ParamsError(
            f"{path} was saved without the task's params; give them: load_site(path, mean=parameters_of(model))"
        )
    _check_there(path, mean, facts["names"])
    center = snapshot({name: as_type(mean[name], facts["dtype"]) for name in facts["names"]})
    check_digest(path, digest(center), facts)
    return center


def _check_there(path: Path, mean: Params, names: list[str]) -> None:
    missing = [name for name in names if name not in mean]
    if missing:
        raise ParamsError(
            f"the mean given for {path} lacks {first_few(missing, 1)}; give the params of the model that the site was"
            " estimated on"
        )


def check_digest(path: Path, actual: str, facts: Mapping[str, Any]) -> None:
    """Check that the caller's mean is the one that the site was taken at, bit for bit.

    Raises:
        ParamsError: It is not.
    """
    if actual != facts["sha256"]:
        raise ParamsError(
            f"the mean given for {path} has other values or types than the params that the site was taken at; "
            "load the checkpoint that was saved with it, in the type it was trained in"
        )


def as_type(tensor: Tensor, types: str) -> Tensor:
    """Cast a tensor to the one type that a site was taken in, where that changes no value (bf16 loaded as float32)."""
    kind = getattr(torch, types, None)
    cast = tensor.to(kind) if isinstance(kind, torch.dtype) and kind.is_floating_point else tensor
    return cast if torch.equal(cast.to(tensor.dtype), tensor) else tensor


def _same(one: Tensor, other: Tensor) -> bool:
    coarser = min(one.dtype, other.dtype, key=lambda kind: kind.itemsize)
    return one.shape == other.shape and torch.equal(one.to(coarser).cpu(), other.to(coarser).cpu())
