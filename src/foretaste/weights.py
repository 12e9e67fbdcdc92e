"""Task weights: points of the simplex ``{alpha : alpha_t >= 0, sum_t alpha_t = 1}``."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from foretaste.errors import WeightsError

__all__ = ["TaskWeights", "corners", "even_rows", "row_shares", "uniform"]

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

    # Mapping's get is typed for numbers alone.
    def get(self, name: str, default: float | None = None) -> float | None:  # type: ignore[override]
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

    @classmethod
    def read(cls, weights: "str | Mapping[str, float]", tasks: Sequence[str]) -> "TaskWeights":
        """Read weights as text, as a mapping, or as they are; a task that is left out weighs 0.

        Args:
            weights: Text as for `parse`, or weights by task.
            tasks: The study's tasks, in order.

        Raises:
            WeightsError: An unknown task, or numbers that are not weights.

        >>> TaskWeights.read({"news": 1.0}, ["movies", "news"]).key
        'movies=0,news=1'
        """
        if isinstance(weights, str):
            return cls.parse(weights, tasks)
        if unknown := [name for name in weights if name not in tasks]:
            raise WeightsError(f"unknown task {unknown[0]!r} in the weights; the tasks are {', '.join(tasks)}")
        return cls(tasks, [weights.get(name) or 0.0 for name in tasks])


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


def even_rows(weights: Mapping[str, float], batch_size: int) -> dict[str, int]:
    """Divide the rows of a batch evenly among the tasks that have weight; the first ones get what is left over.

    Args:
        weights: alpha.
        batch_size: Rows of a batch, of all tasks together.

    >>> even_rows({"a": 0.5, "b": 0.0, "c": 0.5}, 5)
    {'a': 3, 'b': 0, 'c': 2}
    """
    active = [task for task, weight in weights.items() if weight > 0]
    rows, more = divmod(batch_size, len(active))
    return {**dict.fromkeys(weights, 0), **{task: rows + (place < more) for place, task in enumerate(active)}}


def row_shares(weights: Mapping[str, float], units: Mapping[str, float]) -> dict[str, float]:
    """Return the share of the rows that gives each task its weight: ``p_t`` proportional to ``alpha_t / u_t``.

    Args:
        weights: alpha.
        units: u, the mean number of units in a row of each task: 1, or label tokens.

    >>> row_shares({"a": 0.5, "b": 0.5}, {"a": 10.0, "b": 30.0})
    {'a': 0.75, 'b': 0.25}
    """
    odds = {name: weight / units[name] for name, weight in weights.items()}
    total = sum(odds.values())
    return {name: value / total for name, value in odds.items()}
