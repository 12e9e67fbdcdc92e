"""A prediction: what joint runs are expected to give at some weightings, with intervals and possible surfaces."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np

from foretaste.one_line import one_line
from foretaste.surface.scales import Scale
from foretaste.surface.table import Array
from foretaste.weights import TaskWeights

__all__ = ["Prediction"]

_QUANTILE = NormalDist().inv_cdf(0.95)


@dataclass(frozen=True)
class Prediction:
    """One metric of T tasks at N weightings, as a joint run would measure it.

    Args:
        weights: N of them.
        scales: Of each task's metric.
        means: `[N, T]`, on these scales.
        covariances: `[T, N, N]`, on these scales, without the noise of a single run.
        noises: `[T]`, standard deviation of a single run on these scales.
        common: `[T]`, correlation of each task's errors with what all tasks have in common: 1 or -1 before any joint
            run.
        shares: For each task, how much each predictor counts, the most important first.
        errors: For each task, mean absolute error when each joint run is left out; None without one.
        basis: What the prediction rests on.
        doubts: By method, `[N, T]`: the share of the variance that a preview by it at the weighting itself would take
            away.
    """

    weights: tuple[TaskWeights, ...]
    scales: tuple[Scale, ...]
    means: Array
    covariances: Array
    noises: Array
    common: Array
    shares: Mapping[str, Mapping[str, float]]
    errors: Mapping[str, float | None]
    basis: str
    doubts: Mapping[str, Array]

    __repr__ = one_line

    @property
    def median(self) -> Array:
        """`[N, T]`: a joint run is as likely above as below."""
        return self._quantile(0.0)

    @property
    def low(self) -> Array:
        """`[N, T]`: lower end of the interval that has a joint run with probability 90 %."""
        return self._quantile(-_QUANTILE)

    @property
    def high(self) -> Array:
        """`[N, T]`: upper end of the interval that has a joint run with probability 90 %."""
        return self._quantile(_QUANTILE)

    def _quantile(self, deviations: float) -> Array:
        spread = np.sqrt(np.diagonal(self.covariances, axis1=1, axis2=2).T + self.noises**2)
        return _backward(self.scales, self.means + deviations * spread)

    @cached_property
    def _roots(self) -> list[Array]:
        """The symmetric root `[N, N]` of each task's covariance."""
        decompositions = [np.linalg.eigh(covariance) for covariance in self.covariances]
        return [vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T for values, vectors in decompositions]

    def draw(self, count: int, seed: int = 0, *, measured: bool = False) -> Array:
        """`[S, N, T]`: possible surfaces, for the distribution of anything that is computed from one.

        Args:
            count: How many.
            seed: The same seed gives the same surfaces.
            measured: Whether each value has the noise of a single run.
        """
        return self.draw_both(count, seed)[1 if measured else 0]

    def draw_both(self, count: int, seed: int = 0) -> tuple[Array, Array]:
        """`[S, N, T]` twice: possible surfaces, and the same surfaces with the noise of single runs.

        Args:
            count: How many.
            seed: The same seed gives the same surfaces.
        """
        generator = np.random.default_rng(seed)
        shared = generator.standard_normal((count, len(self.weights)))
        surfaces, measured = [], []
        parts = zip(self.scales, self.means.T, self._roots, self.noises, self.common, strict=True)
        for scale, mean, root, noise, common in parts:
            own, single = generator.standard_normal((2, *shared.shape))
            numbers = mean + (common * shared + np.sqrt(1 - common**2) * own) @ root
            surfaces.append(scale.backward(numbers))
            measured.append(scale.backward(numbers + noise * single))
        return np.stack(surfaces, axis=-1), np.stack(measured, axis=-1)


def _backward(scales: Sequence[Scale], numbers: Array) -> Array:
    """Turn `[..., T]` numbers on the scales into metrics."""
    return np.stack([scale.backward(numbers[..., task]) for task, scale in enumerate(scales)], axis=-1)
