"""Gaussian processes over the simplex: what a function is, given some of its values.

With ``x = alpha ** power``, d the difference of two points and t the task looked at, the covariance of two values is::

    offset^2 + slope^2 p p' + quadratic^2 (1 + sqrt(alpha) . sqrt(alpha'))^2 / 4
      + size^2 exp(-(d_t / own)^2 / 2 - sum_(s != t) (d_s / others)^2 / 2)
      + absent^2 exp(-sum_(s != t) (d_s / 2)^2 / 2)    where neither point gives the task any weight

and p is a preview. Joint finetuning changes at the faces of the simplex, where a task loses its last weight, more
than anywhere else: a small power spreads out what is near them, and a task that is not trained on at all has a function
of its own, which what is known of it elsewhere says nothing of.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from foretaste.one_line import one_line
from foretaste.surface.table import Array

__all__ = ["Conditioned", "Kernel", "Places"]

_FAR = 2.0  # nearly the whole of a face


@dataclass(frozen=True, eq=False)
class Places:
    """Points of the simplex as one task sees them.

    Args:
        alphas: `[N, T]` weights.
        task: Column of the weight of the task looked at; None if it is none of those that are mixed.
        preview: `[N]`, what a preview says there, around 0; zeros without one.
        power: Of the coordinates.
    """

    alphas: Array
    task: int | None
    preview: Array
    power: float = 0.2

    __repr__ = one_line


@dataclass(frozen=True)
class Kernel:
    """Covariance of values at two places; the module's formula.

    Args:
        size: Standard deviation of what neither preview nor polynomial explain.
        own: How far it reaches along the task's own coordinate.
        others: How far it reaches along the coordinates of other tasks.
        offset: Standard deviation of a constant.
        slope: Standard deviation of the factor on the preview, around 1 if the preview is the mean.
        quadratic: Standard deviation of a polynomial of second degree.
        absent: Standard deviation of the extra part where the task has no weight.
    """

    size: float
    own: float
    others: float
    offset: float = 0.0
    slope: float = 0.0
    quadratic: float = 0.0
    absent: float = 0.0

    def between(self, left: Places, right: Places) -> Array:
        """Covariance `[N, M]` of the values at two sets of places.

        >>> corners = Places(np.eye(2), 0, np.zeros(2))
        >>> Kernel(2.0, 1.0, 1.0).between(corners, corners).round(2)
        array([[4.  , 1.47],
               [1.47, 4.  ]])
        """
        return _covariance(self, left, right)


@dataclass(frozen=True)
class Conditioned:
    """A Gaussian process with mean 0, given noisy values of one function or of several.

    Args:
        inverse: `[N, N]`, of the values' covariance, noise included.
        values: `[N]` or `[N, K]`.

    References:
        Rasmussen, Williams: Gaussian Processes for Machine Learning, 2006, https://gaussianprocess.org/gpml,
        equations 2.23, 2.24 and 5.12

    >>> conditioned = Conditioned.on(np.eye(2), np.ones(2), np.array([1.0, -1.0]))
    >>> conditioned.at(np.array([[1.0, 0.0]]), np.eye(1))
    (array([0.5]), array([[0.5]]))
    """

    inverse: Array
    values: Array

    __repr__ = one_line

    @classmethod
    def on(cls, covariance: Array, noise: Array, values: Array) -> "Conditioned":
        """Given `[N]` or `[N, K]` values with this covariance `[N, N]`, and variances of noise `[N]`."""
        return cls(np.asarray(np.linalg.inv(covariance + np.diag(noise)), dtype=np.float64), values)

    def left_out(self) -> tuple[Array, Array]:
        """Mean, as `values`, and variance `[N]` of each value given all others."""
        variance = 1 / np.diag(self.inverse)
        return self.values - (self.inverse @ self.values) * (
            variance if self.values.ndim == 1 else variance[:, None]
        ), variance

    def densities(self) -> Array:
        """Logarithm of each value's probability density given all others; as `values`."""
        mean, variance = self.left_out()
        variance = variance if self.values.ndim == 1 else variance[:, None]
        return np.asarray(-((self.values - mean) ** 2) / (2 * variance) - np.log(2 * np.pi * variance) / 2)

    def at(self, cross: Array, prior: Array) -> tuple[Array, Array]:
        """Mean `[M]` or `[M, K]` and covariance `[M, M]` elsewhere.

        Args:
            cross: `[M, N]`, covariance with the values.
            prior: `[M, M]`.
        """
        gain = cross @ self.inverse
        return gain @ self.values, prior - gain @ cross.T


@lru_cache(maxsize=4)  # predictors that follow each other often differ in their noise alone
def _covariance(kernel: Kernel, left: Places, right: Places) -> Array:
    own, others = _squares(left, right)
    smooth = np.exp(-own / (2 * kernel.own**2) - others / (2 * kernel.others**2))
    covariance = kernel.size**2 * smooth + kernel.offset**2
    if kernel.slope:
        covariance += kernel.slope**2 * np.outer(left.preview, right.preview)
    if kernel.quadratic:
        covariance += kernel.quadratic**2 * (1 + np.sqrt(left.alphas) @ np.sqrt(right.alphas).T) ** 2 / 4
    if kernel.absent and left.task is not None:
        without = np.outer(left.alphas[:, left.task] == 0, right.alphas[:, right.task] == 0)
        covariance += kernel.absent**2 * without * np.exp(-others / (2 * _FAR**2))
    covariance.flags.writeable = False
    return np.asarray(covariance)


@lru_cache(maxsize=4)  # many kernels look at the same places
def _squares(left: Places, right: Places) -> tuple[Array, Array]:
    """`[N, M]` squared distances along the task's own coordinate, and along all others."""
    mine, theirs = left.alphas**left.power, right.alphas**right.power
    squares = [(mine[:, None, task] - theirs[None, :, task]) ** 2 for task in range(mine.shape[1])]
    nothing = np.zeros_like(squares[0])
    if left.task is None:
        return nothing, np.sum(squares, axis=0)
    return squares[left.task], np.sum(squares[: left.task] + squares[left.task + 1 :], axis=0) + nothing
