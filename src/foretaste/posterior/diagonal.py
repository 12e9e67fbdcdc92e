"""Diagonal precision: one number per entry, ``S = diag(h)``."""

from collections.abc import Sequence

import torch
from torch import Tensor

from foretaste.errors import ParamsError
from foretaste.params import Params, shape_of, wide
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.precision import Piece, Precision

__all__ = ["Diagonal"]


class Diagonal(Precision):
    """``S = diag(h)``: what Hessian-weighted (Fisher) merging assumes.

    Args:
        entries: h by name, in the shapes of the params; each at least 0. `checked` makes sure of that.

    >>> Diagonal({"w": torch.tensor([2.0, 4.0])}).solve({"w": torch.ones(2)})
    {'w': tensor([0.5000, 0.2500])}
    """

    structure = "diagonal"

    def __init__(self, entries: Params) -> None:
        self.entries = entries

    @classmethod
    def checked(cls, entries: Params) -> "Diagonal":
        """Check the entries, then make a diagonal of them.

        Raises:
            ParamsError: A negative, NaN or infinite entry; its tensor is named.
        """
        for name, tensor in entries.items():
            if tensor.numel() and not (bool(torch.isfinite(tensor).all()) and float(tensor.min()) >= 0):
                raise ParamsError(
                    f"curvature of {name} has negative or non-finite entries; estimate it again in float32"
                )
        return cls(entries)

    def apply(self, params: Params) -> dict[str, Tensor]:
        return {name: self._entries(name) * wide(tensor) for name, tensor in params.items()}

    def solve(self, params: Params) -> dict[str, Tensor]:
        return {name: wide(tensor) / self._entries(name) for name, tensor in params.items()}

    def _entries(self, name: str) -> Tensor:
        self._require(name)
        return wide(self.entries[name])

    def _require(self, *names: str) -> None:
        for name in names:
            if name not in self.entries:
                raise ParamsError(
                    f"the diagonal precision has no entries for {name}; estimate the site on the same model"
                )

    def __mul__(self, factor: float) -> "Diagonal":
        return Diagonal({name: wide(tensor) * factor for name, tensor in self.entries.items()})

    def plus(self, other: Precision) -> "Diagonal | None":
        if isinstance(other, Isotropic):
            return Diagonal({name: wide(tensor) + other.scale for name, tensor in self.entries.items()})
        if isinstance(other, Diagonal):
            return Diagonal({name: wide(tensor) + other._entries(name) for name, tensor in self.entries.items()})
        return None

    def log_det(self, like: Params) -> float:
        return sum(float(self._entries(name).double().log().sum()) for name in like)

    def sample(self, like: Params, generator: torch.Generator) -> dict[str, Tensor]:
        noise = {name: torch.randn(tensor.shape, generator=generator) for name, tensor in like.items()}
        return {name: tensor * self._entries(name).rsqrt() for name, tensor in noise.items()}

    def to_tensors(self) -> dict[str, Tensor]:
        return dict(self.entries)

    @classmethod
    def from_tensors(cls, tensors: Params) -> "Diagonal":
        return cls.checked(tensors)

    def groups(self, names: Sequence[str]) -> None:
        return None

    def check(self, like: Params, owner: str) -> None:
        for name in self.entries:
            if name in like and (shape := shape_of(self.entries, name)) != (own := shape_of(like, name)):
                raise ParamsError(
                    f"the curvature of {owner} has shape {list(shape)} in {name}, the parameter {list(own)}; give both"
                    " one shape"
                )

    def restrict(self, piece: Piece) -> "Diagonal":
        self._require(*piece.names)
        return Diagonal({name: wide(tensor) for name, tensor in piece.of(self.entries).items()})
