"""The arithmetic of IVON's step, and the ranges of its settings; see `foretaste.estimate.ivon` for the formulas."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from foretaste.errors import ParamsError
from foretaste.params import wide

__all__ = ["Columns", "check_settings", "in_pieces", "move_params"]

_PIECE = 1 << 18  # entries; small enough for the cache, large enough that Python's own time does not matter


Columns = Sequence[list[Tensor]]


def in_pieces(
    columns: Sequence[Sequence[Tensor | None]], factors: list[float]
) -> Iterator[tuple[Columns, list[float]]]:
    """Yield tensors whole on an accelerator, and in pieces that stay in the cache on a CPU.

    Args:
        columns: Lists of tensors that have the same shapes; a column of None is left out.
        factors: One number per tensor.
    """
    present = [
        [tensor for tensor in column if tensor is not None] for column in columns if column and column[0] is not None
    ]
    if not present or present[0][0].device.type != "cpu":
        yield present, factors
        return
    for *row, factor in zip(*present, factors, strict=True):
        whole = not all(tensor.is_contiguous() for tensor in row)
        for piece in zip(*([tensor] if whole else tensor.view(-1).split(_PIECE) for tensor in row), strict=True):
            yield [[tensor] for tensor in piece], [factor]


def move_params(group: Mapping[str, Any], columns: Columns, debias: list[float]) -> None:
    """Take one step of IVON, in place.

    Args:
        group: The optimizer's settings.
        columns: Params, gradients, momenta, curvatures h, sums of ``e * G``, and centers. The centers are missing where
            the prior is centred at 0.
        debias: ``1 / (1 - b1^k)`` of each parameter.
    """
    params, grads, momenta, hessians, products, *centers = columns
    decay = group["weight_decay"]
    torch._foreach_lerp_(momenta, [wide(grad) for grad in grads], 1 - group["beta1"])
    torch._foreach_add_(hessians, decay)  # h + w from here on
    rate = 1 - group["beta2"]
    change = torch._foreach_reciprocal(hessians)
    torch._foreach_mul_(change, rate * decay)
    torch._foreach_add_(change, products, alpha=rate * group["ess"])
    torch._foreach_add_(change, group["beta2"])  # 1 + u, where hhat / (h + w) = lambda (e * G)
    torch._foreach_mul_(change, change)
    torch._foreach_add_(change, 1.0)
    torch._foreach_mul_(hessians, change)
    torch._foreach_mul_(hessians, 0.5)  # 1 + u + u^2 / 2 = (1 + (1 + u)^2) / 2
    torch._foreach_zero_(products)
    moves = torch._foreach_mul(momenta, debias)
    if decay:
        torch._foreach_add_(moves, [wide(param) for param in params], alpha=decay)
        for center in centers:
            torch._foreach_sub_(moves, center, alpha=decay)
    torch._foreach_div_(moves, hessians)
    if math.isfinite(group["clip_radius"]):
        torch._foreach_clamp_max_(moves, group["clip_radius"])
        torch._foreach_clamp_min_(moves, -group["clip_radius"])
    torch._foreach_mul_(moves, -group["lr"] * (group["hessian_init"] + decay))
    torch._foreach_add_(params, [move.to(param.dtype) for move, param in zip(moves, params, strict=True)])
    torch._foreach_sub_(hessians, decay)


def check_settings(group: Mapping[str, Any]) -> None:
    """Check that settings are in their ranges.

    Raises:
        ParamsError: A setting is not; the message names it and its range.
    """
    if not group["clip_radius"] > 0:
        raise ParamsError(f"clip_radius of IVON must be above 0, not {group['clip_radius']}")
    for name in ("ess", "hessian_init"):
        if not 0 < group[name] < math.inf:
            raise ParamsError(f"{name} of IVON must be a finite number above 0, not {group[name]}")
    for name in ("lr", "weight_decay"):
        if not 0 <= group[name] < math.inf:
            raise ParamsError(f"{name} of IVON must be a finite number of at least 0, not {group[name]}")
    for name in ("beta1", "beta2"):
        if not 0 <= group[name] < 1:
            raise ParamsError(f"{name} of IVON must be at least 0 and below 1, not {group[name]}")
