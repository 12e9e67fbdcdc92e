"""Task weights: points of the simplex ``{alpha : alpha_t >= 0, sum_t alpha_t = 1}``."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise

import numpy as np

from foretaste.errors import WeightsError

__all__ = [
    "TaskWeights",
    "corners",
    "covering",
    "dirichlet",
    "inside",
    "lattice",
    "lattice_near",
    "reaches_inside",
    "spread",
    "uniform",
]


_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False, repr=False)
class TaskWeights(Mapping[str, float]):
    """How much each task weighs: a named point of the simplex.

    Args:
        names: The tasks, in the study's order.
        values: One weight per task; each at least 0, together 1 (to 1e-6).

    Raises:
        WeightsError: A name twice, a negative or non-finite weight, or a sum other than 1.

    >>> TaskWeights(("movies", "news"), (0.25, 0.75))["news"]
    0.75
    >>> TaskWeights(("movies", "news"), (0.5, 0.6))
    Traceback (most recent call last):
    ...
    foretaste.errors.WeightsError: weights movies=0.5,news=0.6 sum to 1.1, not 1; divide each by 1.1
    """

    names: tuple[str, ...]
    shares: tuple[float, ...]

    def __init__(self, names: Sequence[str], values: Sequence[float]) -> None:
        object.__setattr__(self, "names", tuple(names))
        object.__setattr__(self, "shares", tuple(float(value) + 0.0 for value in values))  # no -0.0
        self._check()

    def _check(self) -> None:
        if not self.names or len(self.names) != len(self.shares):
            listing = f"{len(self.names)} tasks and {len(self.shares)} weights"
            raise WeightsError(f"weights need one number per task; found {listing}")
        if len(set(self.names)) != len(self.names):
            raise WeightsError(f"a task is named twice in the weights: {', '.join(self.names)}")
        for name, value in self.items():
            if not math.isfinite(value) or value < 0:
                raise WeightsError(f"weight of task {name!r} is {value}; it must be a finite number of at least 0")
        total = math.fsum(self.shares)
        if abs(total - 1) > _TOLERANCE:
            raise WeightsError(f"weights {self.key} sum to {total:.6g}, not 1; divide each by {total:.6g}")

    def __getitem__(self, name: str) -> float:
        if name not in self.names:
            raise WeightsError(f"no task {name!r} in the weights; the tasks are {', '.join(self.names)}")
        return self.shares[self.names.index(name)]

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def get(self, name: str, default: float | None = None) -> float | None:  # type: ignore[override]  # of numbers
        """The task's weight, or something else where there is no such task."""
        return self[name] if name in self.names else default

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TaskWeights) and self.key == other.key

    def __str__(self) -> str:
        return self.key

    def __repr__(self) -> str:
        return f"TaskWeights({self.key})"

    @cached_property
    def key(self) -> str:
        """The weights as text, equal for equal weights: ``movies=0.5,news=0.5``."""
        pairs = zip(self.names, self.shares, strict=True)
        return ",".join(f"{name}={round(value, 9):.9g}" for name, value in pairs)

    @cached_property
    def corner(self) -> str | None:
        """The one task that has all the weight, or None.

        >>> corners(["movies", "news"])[1].corner
        'news'
        """
        return next((name for name, value in self.items() if value == 1.0), None)

    @classmethod
    def parse(cls, text: str, tasks: Sequence[str]) -> "TaskWeights":
        """Read ``movies=0.5,news=0.5``; a task that is left out weighs 0.

        Args:
            text: Comma-separated ``task=weight`` pairs, or ``uniform``.
            tasks: The study's tasks, in order.

        Raises:
            WeightsError: An unknown or repeated task, or something that is not a number.

        >>> TaskWeights.parse("news=1", ["movies", "news"]).key
        'movies=0,news=1'
        """
        if text.strip() == "uniform":
            return uniform(tasks)
        shares = dict.fromkeys(tasks, 0.0)
        names: set[str] = set()
        for part in text.split(","):
            name, sign, number = (piece.strip() for piece in part.partition("="))
            if not sign:
                raise WeightsError(
                    f"weights {text!r} are not understood at {part!r}; write for example {[*tasks, 'news'][0]}=1, or"
                    " uniform"
                )
            if name not in shares:
                raise WeightsError(f"unknown task {name!r} in weights {text!r}; the tasks are {', '.join(tasks)}")
            if name in names:
                raise WeightsError(f"task {name!r} is given twice in weights {text!r}")
            names.add(name)
            try:
                shares[name] = float(number)
            except ValueError:
                message = f"weight of task {name!r} in {text!r} is {number!r}; write a number, for example {name}=0.5"
                raise WeightsError(message) from None
        return cls(tuple(shares), tuple(shares.values()))


def uniform(tasks: Sequence[str]) -> TaskWeights:
    """Every task weighs the same.

    >>> uniform(["a", "b"]).key
    'a=0.5,b=0.5'
    """
    return TaskWeights(tasks, [1 / max(len(tasks), 1)] * len(tasks))


def corners(tasks: Sequence[str]) -> list[TaskWeights]:
    """One task has all the weight, for each task.

    >>> [str(corner) for corner in corners(["a", "b"])]
    ['a=1,b=0', 'a=0,b=1']
    """
    return [TaskWeights(tasks, [float(name == task) for name in tasks]) for task in tasks]


def lattice(tasks: Sequence[str], resolution: int) -> list[TaskWeights]:
    """All weights that are multiples of ``1 / resolution``.

    Args:
        tasks: T task names.
        resolution: n; at least 1.

    Returns:
        ``C(n + T - 1, T - 1)`` points, corners included.

    Raises:
        WeightsError: No task, or a resolution below 1.

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
    """The finest resolution whose lattice has at most ``points`` points (at least 1).

    >>> lattice_near(["a", "b", "c"], 70)
    10
    """
    resolution = 1
    while len(tasks) > 1 and math.comb(resolution + len(tasks), len(tasks) - 1) <= points:
        resolution += 1
    return resolution


def covering(tasks: Sequence[str], points: int) -> list[TaskWeights]:
    """Weights all over the simplex, its inside included: a lattice, if one of so many points reaches the inside.

    A lattice of T tasks has no point at which all of them weigh something until its resolution is T. With more than
    three tasks and too few points for that, half of the points at most are a coarser lattice, and the others are spread
    over the inside.

    Args:
        tasks: T task names.
        points: At most so many, but at least the corners.

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
    """Tell whether a lattice stands for the whole simplex: some point weighs all tasks, or there are few tasks.

    >>> reaches_inside("abcd", 3), reaches_inside("abcd", 4), reaches_inside("abc", 1)
    (False, True, True)
    """
    return len(tasks) <= 3 or resolution >= len(tasks)


def inside(tasks: Sequence[str], count: int) -> list[TaskWeights]:
    """Points at which every task weighs something, spread evenly over the simplex and always the same.

    The points ``x`` of a Sobol sequence become weights ``log(1 - x_t) / sum_s log(1 - x_s)``, which are uniform over
    the simplex where the ``x`` are uniform over the cube.

    Args:
        tasks: T task names, three or more.
        count: How many; more begin with the same ones.

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
    """Independent draws from the symmetric Dirichlet distribution.

    Args:
        tasks: T task names.
        count: How many draws.
        generator: Source of randomness.
        concentration: 1 is uniform over the simplex; less favours its faces.

    >>> len(dirichlet(["a", "b"], 3, np.random.default_rng(0)))
    3
    """
    draws = generator.dirichlet([concentration] * len(tasks), size=count)
    return [TaskWeights(tasks, draw / draw.sum()) for draw in draws]


def spread(points: Sequence[TaskWeights], count: int) -> list[TaskWeights]:
    """Choose ``count`` of the points, far from each other, beginning at the most central one.

    The farthest-point rule of Gonzalez (1985): each next point has the largest distance to
    those chosen; ties go to the earlier point.

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
