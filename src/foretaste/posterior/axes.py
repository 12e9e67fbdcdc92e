"""Axes: the directions in which a layer's Kronecker precision is diagonal."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from foretaste.digests import digest
from foretaste.one_line import one_line

__all__ = ["Axes", "Basis"]


@dataclass(frozen=True)
class Axes:
    """The directions of one layer.

    Args:
        left: U, `[rows, r]`, orthonormal columns; the weight's first dimension.
        right: V, `[columns, c]`, orthonormal columns; the weight's other dimensions, flattened, and a last row for the
            bias.
        bias: The name of the bias, where the layer has one.
    """

    left: Tensor
    right: Tensor
    bias: str | None = None

    __repr__ = one_line

    @cached_property
    def key(self) -> str:
        """A text that is equal for equal bases, wherever they were loaded."""
        return digest({"left": self.left, "right": self.right}) + (self.bias or "")

    def is_same(self, other: "Axes") -> bool:
        """Return whether both are the same basis."""
        return self is other or self.key == other.key

    @property
    def outside(self) -> int:
        """The number of the layer's entries less the number that the directions span."""
        return self.left.shape[0] * self.right.shape[0] - self.left.shape[1] * self.right.shape[1]

    def to_basis(self, matrix: Tensor) -> Tensor:
        """Compute ``U' M V``, the coordinates of a matrix in this basis."""
        return self.left.T.to(matrix.dtype) @ matrix @ self.right.to(matrix.dtype)

    def from_basis(self, matrix: Tensor) -> Tensor:
        """Compute ``U M V'``, the matrix that has these coordinates."""
        return self.left.to(matrix.dtype) @ matrix @ self.right.T.to(matrix.dtype)


Basis = Mapping[str, Axes]
