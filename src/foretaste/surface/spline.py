"""Interpolation between scattered weightings: exact where values are known, and quick to evaluate anywhere else.

The linear radial spline in the roots of the weights, in which what tasks give is smooth near the faces of the simplex,
and in whether they have any weight, because what they give without one is not what they give with a little::

    f(alpha) = d + sum_i c_i |x(alpha) - x(alpha_i)|          sum_i c_i = 0          x(alpha) = (sqrt(alpha), [alpha =
    0])

References:
    Duchon: Splines Minimizing Rotation-Invariant Semi-Norms in Sobolev Spaces, 1977, https://doi.org/10.1007/BFb0086566
"""

from dataclasses import dataclass

import numpy as np

from foretaste.one_line import one_line
from foretaste.surface.table import Array

__all__ = ["Spline", "places_of"]


@dataclass(frozen=True)
class Spline:
    """Values at N weightings, and between.

    Args:
        places: `[N, 2 T]`, x of the weights.
        coefficients: c, `[N, K]`.
        constants: d, `[K]`.

    >>> spline = Spline.through(np.eye(2), np.array([[0.0], [1.0]]))
    >>> spline.at(np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])).round(3).ravel() + 0
    array([0. , 0.5, 1. ])
    """

    places: Array
    coefficients: Array
    constants: Array

    __repr__ = one_line

    @classmethod
    def through(cls, points: Array, values: Array) -> "Spline":
        """Fit the spline that has these values.

        Args:
            points: `[N, T]` weights, no two alike.
            values: `[N, K]`.
        """
        places, count = places_of(points), len(points)
        system = np.ones((count + 1, count + 1))
        system[:count, :count], system[count, count] = _distances(places, places), 0.0
        solved = np.linalg.solve(system, np.concatenate([values, np.zeros((1, values.shape[1]))]))
        return cls(places, solved[:count], solved[count])

    def at(self, points: Array) -> Array:
        """`[P, K]` at weights `[P, T]`."""
        return np.asarray(_distances(places_of(points), self.places) @ self.coefficients + self.constants)


def places_of(points: Array) -> Array:
    """Compute the coordinates x, `[N, 2 T]`, from weights `[N, T]`.

    >>> places_of(np.array([[0.25, 0.75, 0.0]])).round(3)
    array([[0.5  , 0.866, 0.   , 0.   , 0.   , 1.   ]])
    """
    return np.concatenate([np.sqrt(points), np.asarray(points == 0, dtype=np.float64)], axis=1)


def _distances(left: Array, right: Array) -> Array:
    return np.asarray(np.linalg.norm(left[:, None] - right, axis=-1))
