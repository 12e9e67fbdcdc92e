"""The mean of a site on disk, which is in its file or comes from the caller, and is compared."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from foretaste.digests import digest
from foretaste.errors import ParamsError
from foretaste.names import first_few
from foretaste.params import Params, snapshot

__all__ = ["as_type", "check_digest", "check_mean", "check_values", "own_mean"]


def own_mean(path: Path, center: Params, names: list[str], mean: Params | None) -> dict[str, Tensor]:
    """Return the file's own mean; the caller's must be equal, up to rounding to the coarser type.

    Raises:
        ParamsError: The caller's params differ.
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


def check_mean(path: Path, mean: Params | None, facts: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the caller's mean, after a check that it is the site's.

    Raises:
        ParamsError: There is no mean, or it differs from the site's.
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
    """Check that the caller's mean is the site's, bit for bit.

    Raises:
        ParamsError: The mean differs.
    """
    if actual != facts["sha256"]:
        raise ParamsError(
            f"the mean given for {path} has other values or types than the params that the site was taken at; "
            "load the checkpoint that was saved with it, in the type it was trained in"
        )


def as_type(tensor: Tensor, types: str) -> Tensor:
    """Cast a tensor to the site's type if that changes no value, as for bf16 that was loaded as float32."""
    kind = getattr(torch, types, None)
    cast = tensor.to(kind) if isinstance(kind, torch.dtype) and kind.is_floating_point else tensor
    return cast if torch.equal(cast.to(tensor.dtype), tensor) else tensor


def _same(one: Tensor, other: Tensor) -> bool:
    coarser = min(one.dtype, other.dtype, key=lambda kind: kind.itemsize)
    return one.shape == other.shape and torch.equal(one.to(coarser).cpu(), other.to(coarser).cpu())
