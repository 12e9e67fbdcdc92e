"""Previews of one fidelity and method over the whole simplex, as a Gaussian process."""

from dataclasses import dataclass
from itertools import product

import numpy as np

from foretaste.one_line import one_line
from foretaste.surface.gaussian_process import Conditioned, Kernel, Places
from foretaste.surface.table import Array

__all__ = ["PreviewValues", "Previews"]

_SMOOTHERS = tuple(product((0.2, 0.5), (0.4, 1.2), (0.03, 0.2)))  # power, reach and noise of previews over the simplex

PreviewValues = tuple[Array, Array]  # `[M, T]` values and `[M]` variances of previews at M places


@dataclass(frozen=True)
class Previews:
    """The previews of one fidelity and method over the whole simplex: a Gaussian process through their rows.

    Args:
        name: The name of fidelity and method.
        center: `[T]`, the mean of the values.
        alphas: `[N, T]`, the weightings with a row.
        process: The process given the `[N, T]` values, less the center.
        power: The power of the coordinates.
        reach: The reach of the kernel.
        credit: How far the previews are trusted beside others before any joint run.
        is_merged: Whether they are merged models, which are exact at the corners.
    """

    name: str
    center: Array
    alphas: Array
    process: Conditioned
    power: float
    reach: float
    credit: float = 1.0
    is_merged: bool = True

    __repr__ = one_line

    @classmethod
    def through(
        cls, name: str, alphas: Array, values: Array, credit: float = 1.0, *, is_merged: bool = True
    ) -> "Previews":
        """Fit the smoothest process that predicts each row well from the others.

        Args:
            name: The name of fidelity and method.
            alphas: `[N, T]`, the weightings with a row.
            values: `[N, T]`, their values.
            credit: How far the previews are trusted beside others before any joint run.
            is_merged: Whether they are merged models, which are exact at the corners.

        >>> alphas = np.array([[1.0, 0.0], [0.8, 0.2], [0.5, 0.5], [0.2, 0.8], [0.0, 1.0]])
        >>> Previews.through("simple", alphas, alphas).at(np.array([[0.6, 0.4]]))[0].round(1)
        array([[0.6, 0.4]])
        """
        center = values.mean(0)
        candidates = []
        for power, reach, noise in _SMOOTHERS:
            places = _places(alphas, power)
            process = Conditioned.on(
                Kernel(1.0, reach, reach).between(places, places), np.full(len(alphas), noise**2), values - center
            )
            candidates.append(
                (float(process.densities().sum()), cls(name, center, alphas, process, power, reach, credit, is_merged))
            )
        return max(candidates, key=lambda pair: pair[0])[1]

    def at(self, alphas: Array) -> tuple[Array, Array]:
        """Predict `[M, T]` values and `[M]` variances at M weightings."""
        kernel, places = Kernel(1.0, self.reach, self.reach), _places(alphas, self.power)
        mean, covariance = self.process.at(
            kernel.between(places, _places(self.alphas, self.power)), kernel.between(places, places)
        )
        return mean + self.center, np.maximum(np.diag(covariance), 0.0)


def _places(alphas: Array, power: float) -> Places:
    return Places(alphas, 0, np.zeros(len(alphas)), power)
