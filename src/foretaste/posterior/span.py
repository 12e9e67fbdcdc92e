"""Spans: the matrices of one layer that conjugate gradients on sums of Kronecker precisions never leave.

Every matrix is kept by its coordinates, so that a step costs as much for a wide layer as for a narrow one::

    x = a r + sum_t U_t w_t V_t'          U_s' x V_s = a U_s' r V_s + sum_t (U_s' U_t) w_t (V_t' V_s)
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from foretaste.posterior.axes import Axes

__all__ = ["Span"]


class Span:
    """All ``a r + sum_t U_t w_t V_t'`` in one layer: each a vector of a, the w and, beside them, its ``U_s' x V_s``.

    Args:
        terms: Per precision its axes, lambda and rho.
        residual: r, `[rows, columns]`; its type is that of the computation, coordinates are in float64.
    """

    def __init__(self, terms: Sequence[tuple[Axes, Tensor, Tensor]], residual: Tensor) -> None:
        self._of, self._axes = residual, [axes for axes, _, _ in terms]
        self._outside = float(sum(outside.double() for _, _, outside in terms))
        self._excess = _joined([values.double() - outside.double() for _, values, outside in terms])
        self._shapes = [values.shape for _, values, _ in terms]
        left, right = (
            torch.cat(sides, dim=1).double()
            for sides in zip(*((axes.left, axes.right) for axes in self._axes), strict=True)
        )
        self._left, self._right = left.T @ left, right.T @ right
        seen = _joined([axes.within(residual) for axes in self._axes])
        self._seen, self._size = seen, float(residual.double().square().sum())
        self.residual = torch.cat([seen.new_ones(1), torch.zeros_like(seen), seen])

    def image(self, vector: Tensor) -> Tensor:
        """``S x``."""
        more = self._excess * self._parts(vector)[2]
        return self._outside * vector + torch.cat([vector.new_zeros(1), more, self._within(more)])

    def dot(self, left: Tensor, right: Tensor) -> Tensor:
        """The inner product of two matrices."""
        (alone, inside, _), (other, coordinates, seen) = self._parts(left), self._parts(right)
        return alone * (other * self._size + self._seen @ coordinates) + inside @ seen

    def matrix(self, vector: Tensor) -> Tensor:
        """The matrix x itself, `[rows, columns]`."""
        alone, inside, _ = self._parts(vector)
        total = self._of * float(alone)
        for axes, part in zip(self._axes, self._matrices(inside), strict=True):
            total += axes.without(part.to(total.dtype))
        return total

    def _parts(self, vector: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        alone, inside, seen = torch.split(vector, [1, len(self._excess), len(self._excess)])
        return alone.squeeze(), inside, seen

    def _matrices(self, vector: Tensor) -> list[Tensor]:
        parts = torch.split(vector, [shape.numel() for shape in self._shapes])
        return [part.reshape(shape) for part, shape in zip(parts, self._shapes, strict=True)]

    def _within(self, coordinates: Tensor) -> Tensor:
        """``U_s' (sum_t U_t w_t V_t') V_s`` for every s."""
        rows, columns = ([shape[side] for shape in self._shapes] for side in (0, 1))
        left = [
            part @ matrix
            for part, matrix in zip(torch.split(self._left, rows, dim=1), self._matrices(coordinates), strict=True)
        ]
        across = torch.split(torch.cat(left, dim=1), rows)
        return _joined(
            [part @ matrix for part, matrix in zip(across, torch.split(self._right, columns, dim=1), strict=True)]
        )


def _joined(matrices: Iterable[Tensor]) -> Tensor:
    return torch.cat([matrix.double().flatten() for matrix in matrices])
