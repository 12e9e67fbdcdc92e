"""Gaussians over params; the structure is in the precision."""

import math
from dataclasses import dataclass

from foretaste.one_line import one_line
from foretaste.params import Params, wide
from foretaste.posterior.precision import Precision

__all__ = ["Gaussian"]


@dataclass(frozen=True)
class Gaussian:
    """The Gaussian distribution ``N(mean, precision^-1)`` over params.

    Args:
        mean: Params of any floating type.
        precision: Operator on the same names and shapes.
    """

    mean: Params
    precision: Precision

    __repr__ = one_line

    def log_density(self, at: Params) -> float:
        """Compute ``log N(at; mean, precision^-1)`` with the normalising constant.

        >>> import torch
        >>> from foretaste.posterior.isotropic import Isotropic
        >>> round(Gaussian({"w": torch.zeros(1)}, Isotropic(1.0)).log_density({"w": torch.zeros(1)}), 4)
        -0.9189
        """
        entries = sum(tensor.numel() for tensor in self.mean.values())
        return 0.5 * (self.precision.log_det(self.mean) - self.square(at) - entries * math.log(2 * math.pi))

    def square(self, at: Params) -> float:
        """Compute ``(at - mean)' precision (at - mean)``, the squared distance that the precision measures.

        >>> import torch
        >>> from foretaste.posterior.isotropic import Isotropic
        >>> Gaussian({"w": torch.zeros(1)}, Isotropic(2.0)).square({"w": torch.tensor([3.0])})
        18.0
        """
        offset = {name: wide(at[name]) - wide(mean) for name, mean in self.mean.items()}
        image = self.precision.apply(offset)
        return math.fsum(float((offset[name].double() * image[name].double()).sum()) for name in offset)
