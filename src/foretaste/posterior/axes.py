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
        right: V, `[columns, c]`, the same of its others, flattened, and one more for the bias.
        bias: The name of the bias, where the layer has one.
    """

    left: Tensor
    right: Tensor
    bias: str | None = None

    __repr__ = one_line

    @cached_property
    def key(self) -> str:
        """Equal for equal bases, whoever loaded them."""
        return digest({"left": self.left, "right": self.right}) + (self.bias or "")

    def is_same(self, other: "Axes") -> bool:
        """Whether both are the same basis."""
        return self is other or self.key == other.key

    @property
    def outside(self) -> int:
        """Entries of the layer beyond those that the directions span."""
        return self.left.shape[0] * self.right.shape[0] - self.left.shape[1] * self.right.shape[1]

    def within(self, matrix: Tensor) -> Tensor:
        """``U' M V``: a matrix in this basis."""
        return self.left.T.to(matrix.dtype) @ matrix @ self.right.to(matrix.dtype)

    def without(self, matrix: Tensor) -> Tensor:
        """``U M V'``: the way back."""
        return self.left.to(matrix.dtype) @ matrix @ self.right.T.to(matrix.dtype)


Basis = Mapping[str, Axes]
