"""Sets of points all over the simplex of task weights: lattices, spread points and draws."""

import math
from collections.abc import Sequence
from itertools import combinations, pairwise

import numpy as np

from foretaste.errors import WeightsError
from foretaste.weights import TaskWeights

__all__ = ["covering", "dirichlet", "inside", "lattice", "lattice_near", "reaches_inside", "spread"]


def lattice(tasks: Sequence[str], resolution: int) -> list[TaskWeights]:
    """List all weights that are multiples of ``1 / resolution``.

    Args:
        tasks: T task names.
        resolution: n; at least 1.

    Returns:
        ``C(n + T - 1, T - 1)`` points, corners included.

    Raises:
        WeightsError: There is no task, or the resolution is below 1.

    >>> len(lattice(["a", "b", "c"], 10))
    66
    """
    if not tasks:
        raise WeightsError("a lattice needs at least one task")
    if resolution < 1:
        raise WeightsError(f"the lattice needs a resolution of at least 1, not {resolution}")
    count = len(tasks)
    points = []
    for bars in combinations(range(resolution + count - 1), count - 1):
        edges = (-1, *bars, resolution + count - 1)
        parts = [right - left - 1 for left, right in pairwise(edges)]
        points.append(TaskWeights(tasks, [part / resolution for part in parts]))
    return points[::-1]


def lattice_near(tasks: Sequence[str], points: int) -> int:
    """Find the finest resolution, at least 1, whose lattice has at most ``points`` points.

    >>> lattice_near(["a", "b", "c"], 70)
    10
    """
    resolution = 1
    while len(tasks) > 1 and math.comb(resolution + len(tasks), len(tasks) - 1) <= points:
        resolution += 1
    return resolution


def covering(tasks: Sequence[str], points: int) -> list[TaskWeights]:
    """List weights all over the simplex and its inside: a lattice, if a lattice of so many points reaches the inside.

    A lattice of T tasks has a point at which all tasks have weight only from resolution T on. With more than three
    tasks and too few points for that, at most half of the points are a coarser lattice, and the others are spread over
    the inside.

    Args:
        tasks: T task names.
        points: At most so many points, but at least the corners.

    >>> [len(covering("abc"[:count], 66)) for count in (2, 3)], len(covering("abcdefghijkl", 66))
    ([66, 66], 66)
    >>> sum(min(weights.values()) > 0 for weights in covering("abcdefghijkl", 66))
    54
    """
    resolution = lattice_near(tasks, points)
    if reaches_inside(tasks, resolution):
        return lattice(tasks, resolution)
    coarse = lattice(tasks, lattice_near(tasks, points // 2))
    return [*coarse, *inside(tasks, max(0, points - len(coarse)))]


def reaches_inside(tasks: Sequence[str], resolution: int) -> bool:
    """Return whether a lattice stands for the whole simplex: all tasks have weight somewhere, or there are few tasks.

    >>> reaches_inside("abcd", 3), reaches_inside("abcd", 4), reaches_inside("abc", 1)
    (False, True, True)
    """
    return len(tasks) <= 3 or resolution >= len(tasks)


def inside(tasks: Sequence[str], count: int) -> list[TaskWeights]:
    """List points at which every task has weight, evenly over the simplex and always the same.

    The points ``x`` of a Sobol sequence become weights ``log(1 - x_t) / sum_s log(1 - x_s)``, which are uniform over
    the simplex where the ``x`` are uniform over the cube.

    Args:
        tasks: T task names, three or more.
        count: The number of points; a longer list begins with the same ones.

    References:
        Sobol: On the distribution of points in a cube and the approximate evaluation of integrals, 1967,
        https://doi.org/10.1016/0041-5553(67)90144-9

    >>> [str(weights) for weights in inside(["a", "b", "c"], 2)]
    ['a=0.706695053,b=0.146652474,c=0.146652474', 'a=0.09400543,b=0.452997285,c=0.452997285']
    """
    from scipy.stats.qmc import Sobol

    draws = Sobol(len(tasks), scramble=False).random_base2(math.ceil(math.log2(count + 2)))
    sizes = -np.log1p(-draws[2 : count + 2])  # the first is the origin, the second has equal weights
    return [TaskWeights(tasks, size / size.sum()) for size in sizes]


def dirichlet(
    tasks: Sequence[str], count: int, generator: np.random.Generator, concentration: float = 1.0
) -> list[TaskWeights]:
    """Draw independently from the symmetric Dirichlet distribution.

    Args:
        tasks: T task names.
        count: The number of draws.
        generator: The source of randomness.
        concentration: 1 is uniform over the simplex; less favours its faces.

    >>> len(dirichlet(["a", "b"], 3, np.random.default_rng(0)))
    3
    """
    draws = generator.dirichlet([concentration] * len(tasks), size=count)
    return [TaskWeights(tasks, draw / draw.sum()) for draw in draws]


def spread(points: Sequence[TaskWeights], count: int) -> list[TaskWeights]:
    """Choose ``count`` of the points, far from each other, beginning at the most central one.

    This is the farthest-point rule of Gonzalez (1985): each next point has the largest distance to the chosen ones.
    Ties go to the earlier point.

    Args:
        points: The points to choose from.
        count: The number of points to choose.

    >>> [str(w) for w in spread(lattice(["a", "b"], 4), 3)]
    ['a=0.5,b=0.5', 'a=1,b=0', 'a=0,b=1']
    """
    if not points or count < 1:
        return []
    grid = np.array([list(point.values()) for point in points])
    order = [int(np.argmin(np.linalg.norm(grid - 1 / grid.shape[1], axis=1)))]
    distance = np.linalg.norm(grid - grid[order[0]], axis=1)
    while len(order) < min(count, len(points)):
        order.append(int(np.argmax(np.round(distance, 9))))
        distance = np.minimum(distance, np.linalg.norm(grid - grid[order[-1]], axis=1))
    return [points[index] for index in order]
