"""Units: a task's loss is a mean over examples or over label tokens."""

from typing import Literal

import torch
from torch import Tensor

__all__ = ["Unit", "count_units", "unit_factors", "units_of_each"]

Unit = Literal["example", "token"]


def unit_factors(counted: Tensor, unit: Unit) -> Tensor:
    """Compute the factor of each example's summed losses.

    Args:
        counted: `[B, S]`, which losses count, from `Loss.counts`.
        unit: For ``token``, all losses count the same. For ``example``, all examples do.

    Returns:
        `[B]`: 1, or one over the example's losses that count.

    >>> unit_factors(torch.tensor([[True, False], [True, True]]), "example")
    tensor([1.0000, 0.5000])
    """
    counts = counted.reshape(len(counted), -1).sum(1).clamp(min=1)
    return torch.ones_like(counts, dtype=torch.float32) if unit == "token" else 1.0 / counts


def count_units(counted: Tensor, unit: Unit) -> int:
    """Count the units in a batch: its examples, or its losses that count.

    Args:
        counted: `[B, S]`, which losses count.
        unit: What to count.

    >>> count_units(torch.tensor([[True, False], [True, True]]), "token")
    3
    """
    return len(counted) if unit == "example" else int(counted.sum())


def units_of_each(counted: Tensor, unit: Unit) -> list[int]:
    """Count the units of each example of a batch: 1, or its losses that count.

    Args:
        counted: `[B, S]`, which losses count.
        unit: What to count.

    >>> units_of_each(torch.tensor([[True, False], [True, True]]), "token")
    [1, 2]
    """
    return [1] * len(counted) if unit == "example" else counted.reshape(len(counted), -1).sum(1).tolist()
