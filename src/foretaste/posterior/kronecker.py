"""Kronecker precision: per layer, one number per pair of directions of its input and its output.

The weight of a layer is a matrix M (with its bias, if any, as a last column). In an orthogonal basis
U of its rows and V of its columns the precision is diagonal, and so are its inverse and its root::

    S M = U (lambda * (U' M V)) V'          lambda: [rows, columns], at least 0

Parameters outside such layers have one number per entry. Precisions in the same basis add up to
one in that basis, so that tasks which share it merge in closed form for any weights.

References:
    George, Laurent, Bouthillier, Ballas, Vincent: Fast Approximate Natural Gradient Descent in a
    Kronecker-factored Eigenbasis, 2018, https://arxiv.org/abs/1806.03884
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from foretaste.errors import ParamsError
from foretaste.params import Params, digest, wide
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.precision import Piece, Precision

__all__ = ["Axes", "Basis", "Kronecker"]


@dataclass(frozen=True)
class Axes:
    """The basis of one layer.

    Args:
        left: U, `[rows, rows]`, orthogonal; the weight's first dimension.
        right: V, `[columns, columns]`, orthogonal; its others, flattened, and one more for the bias.
        bias: The name of the bias, where the layer has one.
    """

    left: Tensor
    right: Tensor
    bias: str | None = None

    @cached_property
    def key(self) -> str:
        """Equal for equal bases, whoever loaded them."""
        return digest({"left": self.left, "right": self.right}) + (self.bias or "")

    def is_same(self, other: "Axes") -> bool:
        """Whether both are the same basis."""
        return self is other or self.key == other.key

    def within(self, matrix: Tensor) -> Tensor:
        """``U' M V``: a matrix in this basis."""
        return self.left.T.to(matrix.dtype) @ matrix @ self.right.to(matrix.dtype)

    def without(self, matrix: Tensor) -> Tensor:
        """``U M V'``: the way back."""
        return self.left.to(matrix.dtype) @ matrix @ self.right.T.to(matrix.dtype)


Basis = Mapping[str, Axes]


class Kronecker(Precision):
    """``S = (U x V) diag(lambda) (U x V)'`` per layer, a diagonal for everything else.

    Args:
        basis: Axes by the name of the layer's weight.
        eigenvalues: lambda by the same names, `[rows, columns]`, at least 0.
        entries: The diagonal of every other parameter, in its shape.

    >>> turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    >>> layer = Kronecker({"w": Axes(turn, torch.ones(1, 1))}, {"w": torch.tensor([[1.0], [4.0]])}, {})
    >>> layer.apply({"w": turn[:, 1:]})
    {'w': tensor([[-3.2000],
            [ 2.4000]])}
    """

    structure = "kronecker"

    def __init__(self, basis: Basis, eigenvalues: Params, entries: Params) -> None:
        self.basis = basis
        self.eigenvalues = eigenvalues
        self.diagonal = Diagonal(entries)
        self._biases = {axes.bias: name for name, axes in basis.items() if axes.bias is not None}

    def apply(self, params: Params) -> dict[str, Tensor]:
        return self._changed(params, lambda matrix, values: matrix * values, self.diagonal.apply)

    def solve(self, params: Params) -> dict[str, Tensor]:
        return self._changed(params, lambda matrix, values: matrix / values, self.diagonal.solve)

    def _changed(
        self, params: Params, change: Callable[[Tensor, Tensor], Tensor], diagonal: Callable[[Params], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        found = diagonal({name: tensor for name, tensor in params.items() if name not in self.basis and name not in self._biases})
        for name in (name for name in params if name in self.basis):
            axes, matrix = self.basis[name], self._matrix(params, name)
            matrix = axes.without(change(axes.within(matrix), self.eigenvalues[name].to(matrix.dtype)))
            found |= _unpacked(matrix, params, name, axes.bias)
        return {name: found[name] for name in params}

    def _matrix(self, params: Params, name: str) -> Tensor:
        bias = self.basis[name].bias
        matrix = wide(params[name]).reshape(len(params[name]), -1)
        if bias is None:
            return matrix
        if bias not in params:
            raise ParamsError(f"the Kronecker precision couples {name} with {bias}; give both")
        return torch.cat([matrix, wide(params[bias]).reshape(-1, 1)], dim=1)

    def __mul__(self, factor: float) -> "Kronecker":
        values = {name: tensor * factor for name, tensor in self.eigenvalues.items()}
        return Kronecker(self.basis, values, (self.diagonal * factor).entries)

    def plus(self, other: Precision) -> "Kronecker | None":
        if isinstance(other, Isotropic):
            values = {name: tensor + other.scale for name, tensor in self.eigenvalues.items()}
            return Kronecker(self.basis, values, (self.diagonal + other).entries)  # type: ignore[attr-defined]
        if isinstance(other, Kronecker) and self._shares_basis(other):
            values = {name: tensor + other.eigenvalues[name] for name, tensor in self.eigenvalues.items()}
            return Kronecker(self.basis, values, (self.diagonal + other.diagonal).entries)  # type: ignore[attr-defined]
        if isinstance(other, Diagonal) and not self.basis:
            return Kronecker({}, {}, (self.diagonal + other).entries)  # type: ignore[attr-defined]
        return None

    def _shares_basis(self, other: "Kronecker") -> bool:
        return set(self.basis) == set(other.basis) and all(axes.is_same(other.basis[name]) for name, axes in self.basis.items())

    def log_det(self, like: Params) -> float:
        layers = [name for name in like if name in self.basis]
        rest = {name: tensor for name, tensor in like.items() if name not in self.basis and name not in self._biases}
        return self.diagonal.log_det(rest) + sum(float(self.eigenvalues[name].double().log().sum()) for name in layers)

    def sample(self, like: Params, generator: torch.Generator) -> dict[str, Tensor]:
        noise = {name: torch.randn(tensor.shape, generator=generator) for name, tensor in like.items()}
        scaled = {name: tensor for name, tensor in noise.items() if name not in self.basis and name not in self._biases}
        found = {name: tensor * self.diagonal.entries[name].rsqrt() for name, tensor in scaled.items()}
        for name in (name for name in like if name in self.basis):
            axes, matrix = self.basis[name], self._matrix(noise, name)
            found |= _unpacked(axes.without(matrix * self.eigenvalues[name].rsqrt()), like, name, axes.bias)
        return {name: found[name] for name in like}

    def to_tensors(self) -> dict[str, Tensor]:
        found = {f"entries/{name}": tensor for name, tensor in self.diagonal.entries.items()}
        for name, axes in self.basis.items():
            found |= {f"left/{name}": axes.left, f"right/{name}": axes.right, f"eigenvalues/{name}": self.eigenvalues[name]}
            found[f"bias/{name}"] = torch.tensor(list((axes.bias or "").encode()), dtype=torch.uint8)
        return found

    @classmethod
    def from_tensors(cls, tensors: Params) -> "Kronecker":
        parts: dict[str, dict[str, Tensor]] = {"entries": {}, "left": {}, "right": {}, "eigenvalues": {}, "bias": {}}
        for key, tensor in tensors.items():
            part, _, name = key.partition("/")
            parts[part][name] = tensor
        names = {name: bytes(tensor.tolist()).decode() or None for name, tensor in parts["bias"].items()}
        basis = {name: Axes(left, parts["right"][name], names[name]) for name, left in parts["left"].items()}
        Diagonal.checked({f"eigenvalues of {name}": tensor for name, tensor in parts["eigenvalues"].items()})
        return cls(basis, parts["eigenvalues"], Diagonal.checked(parts["entries"]).entries)

    def groups(self, names: Sequence[str]) -> list[tuple[str, ...]]:
        found: list[tuple[str, ...]] = []
        for name in (name for name in names if name not in self._biases or self._biases[name] not in names):
            bias = self.basis[name].bias if name in self.basis else None
            found.append((name, bias) if bias in names and bias is not None else (name,))
        return found

    def restrict(self, piece: Piece) -> "Kronecker":
        layers = [name for name in piece.names if name in self.basis]
        for name in layers:
            if piece.cut is not None or self.basis[name].bias not in (None, *piece.names):
                raise ParamsError(f"a piece cuts through the layer of {name}; ask the precision for its groups")
        rest = Piece([name for name in piece.names if name not in self.basis and name not in self._biases], piece.cut)
        entries = self.diagonal.restrict(rest).entries
        return Kronecker({name: self.basis[name] for name in layers}, {name: self.eigenvalues[name] for name in layers}, entries)


def _unpacked(matrix: Tensor, like: Params, name: str, bias: str | None) -> dict[str, Tensor]:
    if bias is None:
        return {name: matrix.reshape(like[name].shape)}
    return {name: matrix[:, :-1].reshape(like[name].shape), bias: matrix[:, -1].reshape(like[bias].shape)}
