"""Spans: the matrices of one layer among which conjugate gradients on sums of Kronecker precisions stay.

Coordinates stand for every matrix, so a step costs as much for a wide layer as for a narrow one::

    x = a r + sum_t U_t w_t V_t'          U_s' x V_s = a U_s' r V_s + sum_t (U_s' U_t) w_t (V_t' V_s)
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from foretaste.posterior.axes import Axes

__all__ = ["Span"]


class Span:
    """All matrices ``x = a r + sum_t U_t w_t V_t'`` in one layer.

    A vector stands for each x: the number a, all w, and all projections ``U_s' x V_s``, in float64.

    Args:
        terms: The axes, lambda and rho of each precision.
        residual: r, `[rows, columns]`; matrices are computed in its type.
    """

    def __init__(self, terms: Sequence[tuple[Axes, Tensor, Tensor]], residual: Tensor) -> None:
        self._residual, self._axes = residual, [axes for axes, _, _ in terms]
        self._outside = float(sum(outside.double() for _, _, outside in terms))
        self._excess = _concatenate([values.double() - outside.double() for _, values, outside in terms])
        self._shapes = [values.shape for _, values, _ in terms]
        left, right = (
            torch.cat(sides, dim=1).double()
            for sides in zip(*((axes.left, axes.right) for axes in self._axes), strict=True)
        )
        self._left, self._right = left.T @ left, right.T @ right
        self._projections = _concatenate([axes.to_basis(residual) for axes in self._axes])
        self._size = float(residual.double().square().sum())
        nothing = torch.zeros_like(self._projections)
        self.residual = torch.cat([self._projections.new_ones(1), nothing, self._projections])

    def image(self, vector: Tensor) -> Tensor:
        """Compute the vector of ``S x``."""
        more = self._excess * self._parts(vector)[2]
        return self._outside * vector + torch.cat([vector.new_zeros(1), more, self._project(more)])

    def dot(self, left: Tensor, right: Tensor) -> Tensor:
        """Compute the inner product of two matrices."""
        (alone, inside, _), (other, coordinates, projections) = self._parts(left), self._parts(right)
        return alone * (other * self._size + self._projections @ coordinates) + inside @ projections

    def matrix(self, vector: Tensor) -> Tensor:
        """Compute the matrix x that a vector stands for, `[rows, columns]`."""
        alone, inside, _ = self._parts(vector)
        total = self._residual * float(alone)
        for axes, part in zip(self._axes, self._matrices(inside), strict=True):
            total += axes.from_basis(part.to(total.dtype))
        return total

    def _parts(self, vector: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        alone, inside, projections = torch.split(vector, [1, len(self._excess), len(self._excess)])
        return alone.squeeze(), inside, projections

    def _matrices(self, vector: Tensor) -> list[Tensor]:
        parts = torch.split(vector, [shape.numel() for shape in self._shapes])
        return [part.reshape(shape) for part, shape in zip(parts, self._shapes, strict=True)]

    def _project(self, coordinates: Tensor) -> Tensor:
        """Compute ``U_s' (sum_t U_t w_t V_t') V_s`` for every s."""
        rows, columns = ([shape[side] for shape in self._shapes] for side in (0, 1))
        left = [
            part @ matrix
            for part, matrix in zip(torch.split(self._left, rows, dim=1), self._matrices(coordinates), strict=True)
        ]
        across = torch.split(torch.cat(left, dim=1), rows)
        return _concatenate(
            [part @ matrix for part, matrix in zip(across, torch.split(self._right, columns, dim=1), strict=True)]
        )


def _concatenate(matrices: Iterable[Tensor]) -> Tensor:
    return torch.cat([matrix.double().flatten() for matrix in matrices])
