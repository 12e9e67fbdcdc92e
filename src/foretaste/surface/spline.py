"""Interpolation between scattered weightings: exact where values are known, and quick to evaluate anywhere else.

The linear radial spline in the roots of the weights, in which what tasks give is smooth near the faces of the simplex::

    f(alpha) = d + sum_i c_i |sqrt(alpha) - sqrt(alpha_i)|          sum_i c_i = 0

References:
    Duchon: Splines Minimizing Rotation-Invariant Semi-Norms in Sobolev Spaces, 1977, https://doi.org/10.1007/BFb0086566
"""

from dataclasses import dataclass

import numpy as np

from foretaste.surface.table import Array

__all__ = ["Spline"]


@dataclass(frozen=True)
class Spline:
    """Values at N weightings, and between.

    Args:
        roots: `[N, T]`, of the weights.
        coefficients: c, `[N, K]`.
        constants: d, `[K]`.

    >>> spline = Spline.through(np.eye(2), np.array([[0.0], [1.0]]))
    >>> spline.at(np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])).round(3).ravel() + 0
    array([0. , 0.5, 1. ])
    """

    roots: Array
    coefficients: Array
    constants: Array

    @classmethod
    def through(cls, points: Array, values: Array) -> "Spline":
        """The one that has these values.

        Args:
            points: `[N, T]` weights, no two alike.
            values: `[N, K]`.
        """
        roots, count = np.sqrt(points), len(points)
        system = np.ones((count + 1, count + 1))
        system[:count, :count], system[count, count] = _distances(roots, roots), 0.0
        solved = np.linalg.solve(system, np.concatenate([values, np.zeros((1, values.shape[1]))]))
        return cls(roots, solved[:count], solved[count])

    def at(self, points: Array) -> Array:
        """`[P, K]` at weights `[P, T]`."""
        return np.asarray(_distances(np.sqrt(points), self.roots) @ self.coefficients + self.constants)


def _distances(left: Array, right: Array) -> Array:
    return np.asarray(np.linalg.norm(left[:, None] - right, axis=-1))
