"""Results of races: the candidates that stayed, those that stopped, and the gaps between them and the best."""

from collections.abc import Mapping
from dataclasses import dataclass

from foretaste.evaluation import Evaluation
from foretaste.one_line import one_line
from foretaste.readable import ReadableSequence
from foretaste.weights import TaskWeights

__all__ = ["DroppedCandidate", "Gap", "RaceResult", "Races"]


@dataclass(frozen=True)
class Gap:
    """The gap between a candidate and the best one, on the same examples.

    Args:
        behind: The difference.
        low: Lower end of its interval.
        high: Upper end.
    """

    behind: float
    low: float
    high: float


@dataclass(frozen=True)
class DroppedCandidate:
    """A candidate that stopped.

    Args:
        weights: alpha.
        examples: The number of examples that it was evaluated on, over all tasks.
        value: The value of the preference on them.
        gap: The gap between it and the leader.
        missing: Whether it stopped because it misses the floors, whatever its value.
    """

    weights: TaskWeights
    examples: int
    value: float
    gap: Gap
    missing: bool = False

    __repr__ = one_line


@dataclass(frozen=True)
class RaceResult:
    """The result of a race.

    Args:
        method: The previews' method.
        rows: A row for each candidate that was evaluated on all examples.
        dropped: The other candidates, in the order in which they stopped.
        best: The weights that are chosen among the rows.
        gaps: The gap of each row's weights to the best, with an interval for other examples of the same kind.
        evaluated: The number of evaluations of single examples.
        whole: That number if every candidate had been evaluated on all examples.
        reason: Why no race was possible; empty where there was one.
    """

    method: str
    rows: tuple[Evaluation, ...]
    dropped: tuple[DroppedCandidate, ...]
    best: TaskWeights
    gaps: Mapping[TaskWeights, Gap]
    evaluated: int
    whole: int
    reason: str = ""

    __repr__ = one_line

    @property
    def undecided(self) -> tuple[TaskWeights, ...]:
        """The weights that are too close to the best to call."""
        return tuple(weights for weights, gap in self.gaps.items() if weights != self.best and gap.low <= 0)


class Races(ReadableSequence[RaceResult]):
    """The races of several methods, in order."""

    def __repr__(self) -> str:
        return f"Races({', '.join(race.method for race in self)})"
