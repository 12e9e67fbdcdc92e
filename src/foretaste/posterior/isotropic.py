"""Isotropic precision: one number for every entry, ``S = s I``."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from foretaste.errors import ParamsError
from foretaste.params import Params, wide
from foretaste.posterior.precision import Piece, Precision

__all__ = ["Isotropic"]


class Isotropic(Precision):
    """``S = s I``: the precision that simple averaging assumes of every task.

    Args:
        scale: s; at least 0 and finite (0 is the flat site, definite only with a prior).

    Raises:
        ParamsError: A negative or non-finite scale.

    >>> Isotropic(2.0).solve({"w": torch.tensor([4.0])})
    {'w': tensor([2.])}
    """

    structure = "isotropic"

    def __init__(self, scale: float) -> None:
        if not math.isfinite(scale) or scale < 0:
            raise ParamsError(f"a precision is a finite number of at least 0, not {scale}")
        self.scale = float(scale)

    def apply(self, params: Params) -> dict[str, Tensor]:
        return {name: wide(tensor) * self.scale for name, tensor in params.items()}

    def solve(self, params: Params) -> dict[str, Tensor]:
        if self.scale == 0:
            raise ParamsError("a precision of 0 cannot be solved; give the prior a precision above 0")
        return {name: wide(tensor) / self.scale for name, tensor in params.items()}

    def __mul__(self, factor: float) -> "Isotropic":
        return Isotropic(self.scale * factor)

    def plus(self, other: Precision) -> "Isotropic | None":
        return Isotropic(self.scale + other.scale) if isinstance(other, Isotropic) else None

    def log_det(self, like: Params) -> float:
        entries = sum(tensor.numel() for tensor in like.values())
        return entries * math.log(self.scale) if self.scale else -math.inf

    def sample(self, like: Params, generator: torch.Generator) -> dict[str, Tensor]:
        noise = {name: torch.randn(tensor.shape, generator=generator) for name, tensor in like.items()}
        return {name: tensor / math.sqrt(self.scale) for name, tensor in noise.items()}

    def to_tensors(self) -> dict[str, Tensor]:
        return {"scale": torch.tensor(self.scale, dtype=torch.float64)}

    @classmethod
    def from_tensors(cls, tensors: Params) -> "Isotropic":
        return cls(float(tensors["scale"]))

    def groups(self, names: Sequence[str]) -> None:
        return None

    def check(self, like: Params, owner: str) -> None:
        """Accept every shape: one number fits all."""

    def restrict(self, piece: Piece) -> "Isotropic":
        return self
