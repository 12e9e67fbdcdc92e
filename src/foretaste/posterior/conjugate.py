"""Conjugate gradients: solving with an operator that is only known by its products."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

__all__ = ["EXACT", "Stop", "conjugate_gradients"]


@dataclass(frozen=True)
class Stop:
    """The rule that stops conjugate gradients.

    They solve steep directions first: stopping early leaves flat ones near the start.

    Args:
        tolerance: They stop once the residual is this share of the first one.
        steps: They stop after this many steps at the latest; ten for every entry if left out.
    """

    tolerance: float = 1e-8
    steps: int | None = None


EXACT = Stop()


def conjugate_gradients(
    residual: Tensor, image: Callable[[Tensor], Tensor], dot: Callable[[Tensor, Tensor], Tensor], stop: Stop = EXACT
) -> Tensor:
    """Compute ``S^-1 r`` by conjugate gradients, beginning at 0.

    Args:
        residual: r, a vector of numbers, or of coordinates that can be added and multiplied by numbers.
        image: Computes ``S v`` for a vector v.
        dot: The inner product of two vectors.
        stop: When to stop.

    References:
        Hestenes, Stiefel: Methods of Conjugate Gradients for Solving Linear Systems, 1952.

    >>> import torch
    >>> conjugate_gradients(torch.tensor([2.0, 3.0]), lambda v: torch.tensor([1.0, 2.0]) * v, torch.dot)
    tensor([2.0000, 1.5000])
    """
    solution, direction = residual * 0, residual
    size = first = float(dot(residual, residual))
    for _ in range(stop.steps or 10 * len(residual)):
        if not size > stop.tolerance**2 * first:
            break
        step = size / float(dot(direction, moved := image(direction)))
        solution = solution + step * direction
        residual = residual - step * moved
        size, before = float(dot(residual, residual)), size
        direction = residual + size / before * direction
    return solution
