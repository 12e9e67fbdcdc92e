"""Kronecker precision: per layer, one number per pair of directions of its input and its output.

The weight of a layer is a matrix M (with its bias, if any, as a last column). In orthonormal directions
U of its rows and V of its columns the precision is diagonal, with one number rho for all that lies
outside of them, and so are its inverse and its root::

    W = U' M V          S M = U (lambda * W) V' + rho (M - U W V')          lambda: [r, c], at least 0

A few directions can hold most of the curvature, and make the precision small and fast. Parameters outside of
such layers have one number per entry. Precisions in the same directions add up to one of the same structure. A
sum in different directions is solved by conjugate gradients, layer by layer. Beside the first residual r, their
vectors stay in the span of the directions. So coordinates are enough, and a step costs as much for a wide layer
as for a narrow one::

    x = a r + sum_t U_t w_t V_t'          U_s' x V_s = a U_s' r V_s + sum_t (U_s' U_t) w_t (V_t' V_s)

References:
    George, Laurent, Bouthillier, Ballas, Vincent: Fast Approximate Natural Gradient Descent in a
    Kronecker-factored Eigenbasis, 2018, https://arxiv.org/abs/1806.03884
"""

import functools
import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from foretaste.errors import ParamsError
from foretaste.params import Params, wide
from foretaste.posterior.axes import Axes, Basis
from foretaste.posterior.conjugate import EXACT, Stop, conjugate_gradients
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.precision import Piece, Precision, Sum
from foretaste.posterior.span import Span

__all__ = ["Kronecker", "KroneckerSum"]


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
        return self._map(params, lambda matrix, values: matrix * values, self.diagonal.apply)

    def solve(self, params: Params) -> dict[str, Tensor]:
        return self._map(params, lambda matrix, values: matrix / values, self.diagonal.solve)

    def _map(
        self,
        params: Params,
        change: Callable[[Tensor, Tensor], Tensor],
        diagonal: Callable[[Params], dict[str, Tensor]],
    ) -> dict[str, Tensor]:
        layers, rest = self.split_names(params)
        image = diagonal({name: params[name] for name in rest})
        for name in layers:
            matrix = self._layer(name, self.matrix(params, name), change)
            image |= _unpack(matrix, params, name, self.basis[name].bias)
        return {name: image[name] for name in params}

    def _layer(self, name: str, matrix: Tensor, change: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Apply a function of numbers to one layer's precision, at a matrix."""
        axes, inside = self.basis[name], self.basis[name].to_basis(matrix)
        image = axes.from_basis(change(inside, self.eigenvalues[name].to(matrix.dtype)))
        if axes.outside:
            image += change(matrix - axes.from_basis(inside), self.outside[name].to(matrix.dtype))
        return image

    def split_names(self, names: Iterable[str]) -> tuple[list[str], list[str]]:
        """Split names into weights of layers and parameters outside of layers.

        Biases of layers are in neither list.

        Raises:
            ParamsError: A weight without its bias, or a bias without its weight.
        """
        distinct = dict.fromkeys(names)
        layers = [name for name in distinct if name in self.basis]
        pairs = [(name, axes.bias) for name, axes in self.basis.items() if axes.bias is not None]
        for weight, bias in pairs:
            if (weight in distinct) != (bias in distinct):
                present = weight if weight in distinct else bias
                raise ParamsError(
                    f"the Kronecker precision couples {weight} with {bias}, and only {present} was given; give both"
                )
        return layers, [name for name in distinct if name not in self.basis and name not in self._biases]

    def matrix(self, params: Params, name: str) -> Tensor:
        """Return a layer as `[rows, columns]` in float32 or wider, with its bias as the last column."""
        bias, tensor = self.basis[name].bias, wide(params[name])
        matrix = tensor.reshape(len(tensor), math.prod(tensor.shape[1:]))
        return matrix if bias is None else torch.cat([matrix, wide(params[bias]).reshape(-1, 1)], dim=1)

    def __mul__(self, factor: float) -> "Kronecker":
        values, outside = (
            {name: wide(tensor) * factor for name, tensor in tensors.items()}
            for tensors in (self.eigenvalues, self.outside)
        )
        return Kronecker(self.basis, values, (self.diagonal * factor).entries, outside)

    def plus(self, other: Precision) -> "Kronecker | KroneckerSum | None":
        if isinstance(other, Isotropic):
            more = dict.fromkeys(self.basis, other.scale)
            return self._add(self.diagonal.plus(other), more, more)
        if isinstance(other, Kronecker) and self._shares_basis(other):
            return self._add(self.diagonal.plus(other.diagonal), other.eigenvalues, other.outside)
        if isinstance(other, Kronecker) and self.basis and self.same_layers(other):
            return KroneckerSum((self, other))
        return self._add(self.diagonal.plus(other), {}, {}) if isinstance(other, Diagonal) and not self.basis else None

    def _add(
        self, diagonal: Diagonal | None, inside: Mapping[str, Tensor | float], outside: Mapping[str, Tensor | float]
    ) -> "Kronecker":
        """Add to the curvature in each direction."""
        assert diagonal is not None  # what is added is diagonal or isotropic outside of layers
        values = {name: wide(tensor) + inside[name] for name, tensor in self.eigenvalues.items()}
        return Kronecker(
            self.basis, values, diagonal.entries, {name: wide(t) + outside[name] for name, t in self.outside.items()}
        )

    def _shares_basis(self, other: "Kronecker") -> bool:
        return set(self.basis) == set(other.basis) and all(
            axes.is_same(other.basis[name]) for name, axes in self.basis.items()
        )

    def same_layers(self, other: "Kronecker") -> bool:
        """Return whether both have the same layers, with the same biases."""
        return {name: axes.bias for name, axes in self.basis.items()} == {
            name: axes.bias for name, axes in other.basis.items()
        }

    def log_det(self, like: Params) -> float:
        layers, rest = self.split_names(like)
        own = self.diagonal.log_det({name: like[name] for name in rest})
        inside = sum(float(self.eigenvalues[name].double().log().sum()) for name in layers)
        counts = {name: self.basis[name].outside for name in layers}
        return (
            own
            + inside
            + sum(count * float(self.outside[name].double().log()) for name, count in counts.items() if count)
        )

    def sample(self, like: Params, generator: torch.Generator) -> dict[str, Tensor]:
        layers, rest = self.split_names(like)
        sample = self.diagonal.sample({name: like[name] for name in rest}, generator)
        noise = {
            name: torch.randn(tensor.shape, generator=generator) for name, tensor in like.items() if name not in rest
        }
        for name in layers:
            matrix = self._layer(name, self.matrix(noise, name), lambda part, values: part * values.rsqrt())
            sample |= _unpack(matrix, like, name, self.basis[name].bias)
        return {name: sample[name] for name in like}

    def to_tensors(self) -> dict[str, Tensor]:
        tensors = {f"entries/{name}": tensor for name, tensor in self.diagonal.entries.items()}
        for name, axes in self.basis.items():
            tensors |= {
                f"left/{name}": axes.left,
                f"right/{name}": axes.right,
                f"eigenvalues/{name}": self.eigenvalues[name],
            }
            tensors[f"outside/{name}"] = self.outside[name]
            tensors[f"bias/{name}"] = torch.tensor(list((axes.bias or "").encode()), dtype=torch.uint8)
        return tensors

    @classmethod
    def from_tensors(cls, tensors: Params) -> "Kronecker":
        parts: dict[str, dict[str, Tensor]] = {
            "entries": {},
            "left": {},
            "right": {},
            "eigenvalues": {},
            "outside": {},
            "bias": {},
        }
        for key, tensor in tensors.items():
            part, _, name = key.partition("/")
            parts[part][name] = tensor
        names = {name: bytes(tensor.tolist()).decode() or None for name, tensor in parts["bias"].items()}
        basis = {name: Axes(left, parts["right"][name], names[name]) for name, left in parts["left"].items()}
        Diagonal.checked({f"eigenvalues of {name}": tensor for name, tensor in parts["eigenvalues"].items()})
        Diagonal.checked({f"curvature outside of {name}": tensor for name, tensor in parts["outside"].items()})
        return cls(basis, parts["eigenvalues"], Diagonal.checked(parts["entries"]).entries, parts["outside"])

    def groups(self, names: Sequence[str]) -> list[tuple[str, ...]]:
        groups: list[tuple[str, ...]] = []
        for name in (name for name in names if name not in self._biases or self._biases[name] not in names):
            bias = self.basis[name].bias if name in self.basis else None
            groups.append((name, bias) if bias in names and bias is not None else (name,))
        return groups

    def check(self, like: Params, owner: str) -> None:
        self.diagonal.check(like, owner)

    def restrict(self, piece: Piece) -> "Kronecker":
        layers, rest = self.split_names(piece.names)
        if piece.cut is not None and len(rest) < len(piece.names):
            raise ParamsError(f"a piece cuts through the layer of {piece.names[0]}; ask the precision for its groups")
        entries = self.diagonal.restrict(Piece(rest, piece.cut)).entries
        basis = {name: self.basis[name] for name in layers}
        values, outside = ({name: tensors[name] for name in layers} for tensors in (self.eigenvalues, self.outside))
        return Kronecker(basis, values, entries, outside)


class KroneckerSum(Sum):
    """A sum of Kronecker precisions that have the same layers and different directions.

    Args:
        terms: At least one, all with the same layers.
    """

    terms: tuple[Kronecker, ...]

    def solve(self, params: Params, start: Params | None = None, stop: Stop = EXACT) -> dict[str, Tensor]:
        layers, rest = self.terms[0].split_names(params)
        entries = {
            name: torch.stack([wide(term.diagonal.entries[name]) for term in self.terms]).sum(0) for name in rest
        }
        solution = Diagonal(entries).solve({name: params[name] for name in rest})
        for name in layers:
            bias = self.terms[0].basis[name].bias
            piece = Piece([name] if bias is None else [name, bias])
            own, part, begin = self.restrict(piece), piece.of(params), None if start is None else piece.of(start)
            coordinates = sum(term.eigenvalues[name].numel() for term in self.terms)
            short = coordinates < sum(tensor.numel() for tensor in part.values())
            solution |= (
                own._solve_in_coordinates(name, part, begin, stop) if short else Sum.solve(own, part, begin, stop)
            )
        return {name: solution[name] for name in params}

    def _solve_in_coordinates(self, name: str, params: Params, start: Params | None, stop: Stop) -> dict[str, Tensor]:
        """Solve for one layer, in coordinates."""
        first, bias = self.terms[0], self.terms[0].basis[name].bias
        right = first.matrix(params, name)
        begin = right * 0 if start is None else first.matrix(start, name)
        image = self.apply(_unpack(begin, params, name, bias))
        span = Span(
            [(term.basis[name], term.eigenvalues[name], term.outside[name]) for term in self.terms],
            right - first.matrix(image, name),
        )
        limit = stop.steps or 10 * right.numel()
        moved = conjugate_gradients(span.residual, span.image, span.dot, Stop(stop.tolerance, limit))
        return _unpack(begin + span.matrix(moved), params, name, bias)

    def __mul__(self, factor: float) -> "KroneckerSum":
        return KroneckerSum(term * factor for term in self.terms)

    def plus(self, other: Precision) -> Sum:
        if isinstance(other, KroneckerSum):
            return functools.reduce(operator.add, other.terms, self)
        for index, term in enumerate(self.terms):
            if isinstance(total := term.plus(other), Kronecker):
                return KroneckerSum((*self.terms[:index], total, *self.terms[index + 1 :]))
        fits = isinstance(other, Kronecker) and other.same_layers(self.terms[0])
        return KroneckerSum((*self.terms, other)) if fits else super().plus(other)

    def restrict(self, piece: Piece) -> "KroneckerSum":
        return KroneckerSum(term.restrict(piece) for term in self.terms)


def _unpack(matrix: Tensor, like: Params, name: str, bias: str | None) -> dict[str, Tensor]:
    if bias is None:
        return {name: matrix.reshape(like[name].shape)}
    return {name: matrix[:, :-1].reshape(like[name].shape), bias: matrix[:, -1].reshape(like[bias].shape)}
