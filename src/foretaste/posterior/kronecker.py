"""Kronecker precision: per layer, one number per pair of directions of its input and its output.

The weight of a layer is a matrix M (with its bias, if any, as a last column). In orthonormal directions
U of its rows and V of its columns the precision is diagonal, with one number rho for all that lies
outside of them, and so are its inverse and its root::

    W = U' M V          S M = U (lambda * W) V' + rho (M - U W V')          lambda: [r, c], at least 0

Few directions are enough where curvature is: they make it small and quick. Parameters outside of such
layers have one number per entry. Precisions in the same directions add up to one of their kind; other
sums are solved by conjugate gradients.

References:
    George, Laurent, Bouthillier, Ballas, Vincent: Fast Approximate Natural Gradient Descent in a
    Kronecker-factored Eigenbasis, 2018, https://arxiv.org/abs/1806.03884
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
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
    """The directions of one layer.

    Args:
        left: U, `[rows, r]`, orthonormal columns; the weight's first dimension.
        right: V, `[columns, c]`, the same of its others, flattened, and one more for the bias.
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


class Kronecker(Precision):
    """``S = (U x V) diag(lambda) (U x V)'`` per layer, a diagonal for everything else.

    Args:
        basis: Axes by the name of the layer's weight.
        eigenvalues: lambda by the same names, `[r, c]`, at least 0.
        entries: The diagonal of every other parameter, in its shape.
        outside: rho by the same names, `[]`, at least 0; 0 if left out.

    >>> turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    >>> layer = Kronecker({"w": Axes(turn, torch.ones(1, 1))}, {"w": torch.tensor([[1.0], [4.0]])}, {})
    >>> layer.apply({"w": turn[:, 1:]})
    {'w': tensor([[-3.2000],
            [ 2.4000]])}
    """

    structure = "kronecker"

    def __init__(self, basis: Basis, eigenvalues: Params, entries: Params, outside: Params | None = None) -> None:
        self.basis = basis
        self.eigenvalues = eigenvalues
        self.outside = outside if outside is not None else {name: torch.zeros(()) for name in basis}
        self.diagonal = Diagonal(entries)
        self._biases = {axes.bias: name for name, axes in basis.items() if axes.bias is not None}

    def apply(self, params: Params) -> dict[str, Tensor]:
        return self._changed(params, lambda matrix, values: matrix * values, self.diagonal.apply)

    def solve(self, params: Params) -> dict[str, Tensor]:
        return self._changed(params, lambda matrix, values: matrix / values, self.diagonal.solve)

    def _changed(
        self, params: Params, change: Callable[[Tensor, Tensor], Tensor], diagonal: Callable[[Params], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        layers, rest = self._parted(params)
        found = diagonal({name: params[name] for name in rest})
        for name in layers:
            matrix = self._layer(name, self._matrix(params, name), change)
            found |= _unpacked(matrix, params, name, self.basis[name].bias)
        return {name: found[name] for name in params}

    def _layer(self, name: str, matrix: Tensor, change: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """A function of one layer's precision at a matrix, from that function of numbers."""
        axes, inside = self.basis[name], self.basis[name].within(matrix)
        found = axes.without(change(inside, self.eigenvalues[name].to(matrix.dtype)))
        if axes.outside:
            found += change(matrix - axes.without(inside), self.outside[name].to(matrix.dtype))
        return found

    def _parted(self, names: Iterable[str]) -> tuple[list[str], list[str]]:
        """The weights of layers and the parameters outside of layers, among these names."""
        known = dict.fromkeys(names)
        layers = [name for name in known if name in self.basis]
        pairs = [(name, axes.bias) for name, axes in self.basis.items() if axes.bias is not None]
        for weight, bias in pairs:
            if (weight in known) != (bias in known):
                given = weight if weight in known else bias
                raise ParamsError(f"the Kronecker precision couples {weight} with {bias}, and only {given} was given; give both")
        return layers, [name for name in known if name not in self.basis and name not in self._biases]

    def _matrix(self, params: Params, name: str) -> Tensor:
        bias, tensor = self.basis[name].bias, wide(params[name])
        matrix = tensor.reshape(len(tensor), math.prod(tensor.shape[1:]))
        return matrix if bias is None else torch.cat([matrix, wide(params[bias]).reshape(-1, 1)], dim=1)

    def __mul__(self, factor: float) -> "Kronecker":
        values, outside = ({name: wide(tensor) * factor for name, tensor in each.items()} for each in (self.eigenvalues, self.outside))
        return Kronecker(self.basis, values, (self.diagonal * factor).entries, outside)

    def plus(self, other: Precision) -> "Kronecker | None":
        if isinstance(other, Isotropic):
            more = dict.fromkeys(self.basis, other.scale)
            return self._raised(self.diagonal.plus(other), more, more)
        if isinstance(other, Kronecker) and self._shares_basis(other):
            return self._raised(self.diagonal.plus(other.diagonal), other.eigenvalues, other.outside)
        return self._raised(self.diagonal.plus(other), {}, {}) if isinstance(other, Diagonal) and not self.basis else None

    def _raised(
        self, diagonal: Diagonal | None, inside: Mapping[str, Tensor | float], outside: Mapping[str, Tensor | float]
    ) -> "Kronecker":
        """The same directions, with more in each."""
        assert diagonal is not None  # what is added is diagonal or isotropic outside of layers
        values = {name: wide(tensor) + inside[name] for name, tensor in self.eigenvalues.items()}
        return Kronecker(self.basis, values, diagonal.entries, {name: wide(t) + outside[name] for name, t in self.outside.items()})

    def _shares_basis(self, other: "Kronecker") -> bool:
        return set(self.basis) == set(other.basis) and all(axes.is_same(other.basis[name]) for name, axes in self.basis.items())

    def log_det(self, like: Params) -> float:
        layers, rest = self._parted(like)
        own = self.diagonal.log_det({name: like[name] for name in rest})
        inside = sum(float(self.eigenvalues[name].double().log().sum()) for name in layers)
        counts = {name: self.basis[name].outside for name in layers}
        return own + inside + sum(count * float(self.outside[name].double().log()) for name, count in counts.items() if count)

    def sample(self, like: Params, generator: torch.Generator) -> dict[str, Tensor]:
        layers, rest = self._parted(like)
        found = self.diagonal.sample({name: like[name] for name in rest}, generator)
        noise = {name: torch.randn(tensor.shape, generator=generator) for name, tensor in like.items() if name not in rest}
        for name in layers:
            matrix = self._layer(name, self._matrix(noise, name), lambda part, values: part * values.rsqrt())
            found |= _unpacked(matrix, like, name, self.basis[name].bias)
        return {name: found[name] for name in like}

    def to_tensors(self) -> dict[str, Tensor]:
        found = {f"entries/{name}": tensor for name, tensor in self.diagonal.entries.items()}
        for name, axes in self.basis.items():
            found |= {f"left/{name}": axes.left, f"right/{name}": axes.right, f"eigenvalues/{name}": self.eigenvalues[name]}
            found[f"outside/{name}"] = self.outside[name]
            found[f"bias/{name}"] = torch.tensor(list((axes.bias or "").encode()), dtype=torch.uint8)
        return found

    @classmethod
    def from_tensors(cls, tensors: Params) -> "Kronecker":
        parts: dict[str, dict[str, Tensor]] = {"entries": {}, "left": {}, "right": {}, "eigenvalues": {}, "outside": {}, "bias": {}}
        for key, tensor in tensors.items():
            part, _, name = key.partition("/")
            parts[part][name] = tensor
        names = {name: bytes(tensor.tolist()).decode() or None for name, tensor in parts["bias"].items()}
        basis = {name: Axes(left, parts["right"][name], names[name]) for name, left in parts["left"].items()}
        Diagonal.checked({f"eigenvalues of {name}": tensor for name, tensor in parts["eigenvalues"].items()})
        Diagonal.checked({f"curvature outside of {name}": tensor for name, tensor in parts["outside"].items()})
        return cls(basis, parts["eigenvalues"], Diagonal.checked(parts["entries"]).entries, parts["outside"])

    def groups(self, names: Sequence[str]) -> list[tuple[str, ...]]:
        found: list[tuple[str, ...]] = []
        for name in (name for name in names if name not in self._biases or self._biases[name] not in names):
            bias = self.basis[name].bias if name in self.basis else None
            found.append((name, bias) if bias in names and bias is not None else (name,))
        return found

    def restrict(self, piece: Piece) -> "Kronecker":
        layers, rest = self._parted(piece.names)
        if piece.cut is not None and len(rest) < len(piece.names):
            raise ParamsError(f"a piece cuts through the layer of {piece.names[0]}; ask the precision for its groups")
        entries = self.diagonal.restrict(Piece(rest, piece.cut)).entries
        basis = {name: self.basis[name] for name in layers}
        values, outside = ({name: each[name] for name in layers} for each in (self.eigenvalues, self.outside))
        return Kronecker(basis, values, entries, outside)


def _unpacked(matrix: Tensor, like: Params, name: str, bias: str | None) -> dict[str, Tensor]:
    if bias is None:
        return {name: matrix.reshape(like[name].shape)}
    return {name: matrix[:, :-1].reshape(like[name].shape), bias: matrix[:, -1].reshape(like[bias].shape)}
