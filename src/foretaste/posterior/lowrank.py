"""Diagonal plus low rank: ``S = diag(d) + V' diag(s) V`` with few directions V and signs s.

Secants of a run give curvature of this form (`foretaste.estimate.secant`): every entry has a number of its
own, and a few directions through all params have more or less than that. A small matrix gives the inverse
(Woodbury) and the determinant (matrix determinant lemma)::

    S^-1 x = D^-1 x - D^-1 V' (diag(s)^-1 + V D^-1 V')^-1 V D^-1 x
    log|S| = log|D| + log|diag(s)^-1 + V D^-1 V'| + log|diag(s)|

Ranks add up in sums.

References:
    Woodbury: Inverting Modified Matrices, 1950.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from foretaste.errors import ParamsError
from foretaste.params import Params, wide
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.precision import Piece, Precision, flat, unflat

__all__ = ["LowRank"]


class LowRank(Precision):
    """``S = diag(d) + sum_i s_i v_i v_i'``; positive definite together with its prior.

    Args:
        entries: d by name, in the shapes of the params; each at least 0.
        vectors: v by name, `[rank, *shape]`.
        scales: s, `[rank]`; may be negative, never 0.

    >>> LowRank({"w": torch.ones(2)}, {"w": torch.tensor([[1.0, 1.0]])}, torch.tensor([1.0])).solve(
    ...     {"w": torch.tensor([3.0, 0.0])}
    ... )
    {'w': tensor([ 2., -1.])}
    """

    structure = "lowrank"

    def __init__(self, entries: Params, vectors: Params, scales: Tensor) -> None:
        self.diagonal = Diagonal(entries)
        self.vectors = vectors
        self.scales = scales

    def apply(self, params: Params) -> dict[str, Tensor]:
        own = self.diagonal.apply(params)
        weights = self.scales.double() * self._along(params)
        return {name: own[name] + self._combine(weights, name, own[name]) for name in params}

    def solve(self, params: Params) -> dict[str, Tensor]:
        own = self.diagonal.solve(params)
        weights = torch.linalg.solve(self._small_matrix(params), self._along(own))
        back = self.diagonal.solve({name: self._combine(weights, name, tensor) for name, tensor in own.items()})
        return {name: own[name] - back[name] for name in params}

    def _along(self, params: Params) -> Tensor:
        """`[rank]`: the params' product with every direction, in float64."""
        total = torch.zeros(len(self.scales), dtype=torch.float64, device=self.scales.device)
        for name, tensor in params.items():
            total += (self._rows(name) @ tensor.reshape(-1).double()).to(total.device)
        return total

    def _vectors(self, name: str) -> Tensor:
        if name not in self.vectors:
            raise ParamsError(
                f"the low-rank precision has no directions for {name}; estimate the site on the same model"
            )
        return self.vectors[name]

    def _rows(self, name: str) -> Tensor:
        vectors = self._vectors(name)
        return vectors.reshape(len(vectors), math.prod(vectors.shape[1:])).double()

    def _combine(self, weights: Tensor, name: str, like: Tensor) -> Tensor:
        return (weights.to(self.vectors[name].device) @ self._rows(name)).reshape(like.shape).to(like.dtype)

    def _small_matrix(self, like: Params) -> Tensor:
        """``diag(s)^-1 + V D^-1 V'``, `[rank, rank]`."""
        total = torch.diag(1 / self.scales.double())
        for name, entries in self.diagonal.restrict(Piece(like)).entries.items():
            rows = self._rows(name)
            total = total + (rows / entries.reshape(1, -1).double()) @ rows.T
        return total

    def __mul__(self, factor: float) -> "LowRank":
        entries = (self.diagonal * factor).entries
        if factor == 0:
            return LowRank(entries, {name: tensor[:0] for name, tensor in self.vectors.items()}, self.scales[:0])
        return LowRank(entries, self.vectors, self.scales * factor)

    def plus(self, other: Precision) -> "LowRank | None":
        if isinstance(other, Isotropic | Diagonal):
            total = self.diagonal.plus(other)
            return None if total is None else LowRank(total.entries, self.vectors, self.scales)
        if isinstance(other, LowRank):
            total = self.diagonal.plus(other.diagonal)
            vectors = {name: torch.cat([tensor, other.vectors[name]]) for name, tensor in self.vectors.items()}
            return None if total is None else LowRank(total.entries, vectors, torch.cat([self.scales, other.scales]))
        return None

    def log_det(self, like: Params) -> float:
        small = torch.linalg.slogdet(self._small_matrix(like)).logabsdet
        return self.diagonal.log_det(like) + float(small + self.scales.double().abs().log().sum())

    def sample(self, like: Params, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw with ``W = V D^-1/2``: the root of ``S = D^1/2 (1 + W' s W) D^1/2`` needs only W's row space."""
        noise = {
            name: torch.randn(tensor.shape, generator=generator, dtype=torch.float64) for name, tensor in like.items()
        }
        roots = {name: entries.double().sqrt() for name, entries in self.diagonal.restrict(Piece(like)).entries.items()}
        rows = torch.cat([self._rows(name) / roots[name].reshape(1, -1) for name in like], dim=1)
        basis, triangle = torch.linalg.qr(rows.T)
        values, turn = torch.linalg.eigh(triangle @ torch.diag(self.scales.double()) @ triangle.T)
        basis = basis @ turn
        draw = flat(noise)
        draw = draw + basis @ (((1 + values).rsqrt() - 1) * (basis.T @ draw))
        sample = unflat(draw, noise)
        return {name: (sample[name] / roots[name]).to(wide(like[name]).dtype) for name in like}

    def to_tensors(self) -> dict[str, Tensor]:
        vectors = {f"vectors/{name}": tensor for name, tensor in self.vectors.items()}
        return (
            {f"entries/{name}": tensor for name, tensor in self.diagonal.entries.items()}
            | vectors
            | {"scales": self.scales}
        )

    @classmethod
    def from_tensors(cls, tensors: Params) -> "LowRank":
        parts: dict[str, dict[str, Tensor]] = {"entries": {}, "vectors": {}, "scales": {}}
        for key, tensor in tensors.items():
            part, _, name = key.partition("/")
            parts[part][name] = tensor
        return cls(Diagonal.checked(parts["entries"]).entries, parts["vectors"], parts["scales"][""])

    def groups(self, names: Sequence[str]) -> list[tuple[str, ...]]:
        together = tuple(name for name in names if name in self.vectors)
        return [group for group in (together, *((name,) for name in names if name not in self.vectors)) if group]

    def check(self, like: Params, owner: str) -> None:
        self.diagonal.check(like, owner)

    def restrict(self, piece: Piece) -> "LowRank":
        if piece.cut is not None:
            raise ParamsError("a low-rank precision couples all entries of a tensor; a piece cannot cut through one")
        return LowRank(
            self.diagonal.restrict(piece).entries, {name: self._vectors(name) for name in piece.names}, self.scales
        )
