"""A search's budget, its progress and its result."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from foretaste.bounds import POINTS
from foretaste.errors import WeightsError
from foretaste.one_line import one_line
from foretaste.readable import Readable
from foretaste.surface.hindsight import PastPrediction
from foretaste.surface.propose import Proposal
from foretaste.surface.recommend import Recommendation
from foretaste.weights import TaskWeights

__all__ = ["FRONT", "Budget", "Progress", "SearchResult"]

FRONT = "front"  # the preference for the whole front


@dataclass(frozen=True)
class Budget:
    """How much may be evaluated in all, earlier rows of the study included.

    Args:
        joint: Joint runs, corners aside.
        previews: Previews, of all methods together.
        sharpened: Previews sharpened by a tenth of a joint run's steps.
    """

    joint: int = 5
    previews: int = 100
    sharpened: int = 0

    @classmethod
    def parse(cls, text: str) -> "Budget":
        """Read ``joint=5,previews=100,sharpened=10``; of what is left out and costs training there is none.

        Raises:
            WeightsError: Something else.

        >>> Budget.parse("joint=3"), Budget.parse("previews=50")
        (Budget(joint=3, previews=100, sharpened=0), Budget(joint=0, previews=50, sharpened=0))
        """
        names = asdict(cls())
        numbers: dict[str, int] = {}
        for part in text.split(","):
            name, _, number = (piece.strip() for piece in part.partition("="))
            if name not in names or name in numbers or not number.isdecimal():
                raise WeightsError(
                    f"budget {text!r} is not understood at {part!r}; write for example"
                    " joint=5,previews=100,sharpened=10"
                )
            if len(number) > len(str(POINTS)) or int(number) > POINTS:
                raise WeightsError(f"budget {name} {number[:20]} is too large; give at most {POINTS}")
            numbers[name] = int(number)
        return cls(**{"joint": 0, **numbers})

    def __str__(self) -> str:
        return ",".join(f"{name}={number}" for name, number in asdict(self).items())


@dataclass(frozen=True)
class Progress:
    """How far a search is.

    Args:
        recommendation: The best so far.
        spent: Of the budget.
        next: What is evaluated next; empty at the end.
    """

    recommendation: Recommendation
    spent: Budget
    next: tuple[Proposal, ...]

    __repr__ = one_line


@dataclass(frozen=True)
class SearchResult(Readable):
    """The result of a search.

    Args:
        recommendation: The best weights, with a joint run where the budget allowed one.
        spent: Of the budget.
        stopped: Why it ended, as a sentence.
        failed: Evaluations that failed, and why.
        past_predictions: Each joint run beside what had been expected of it.
    """

    recommendation: Recommendation
    spent: Budget
    stopped: str
    failed: Mapping[str, str]
    past_predictions: tuple[PastPrediction, ...]

    def __repr__(self) -> str:
        return f"SearchResult({self.recommendation!r}, stopped because {self.stopped})"

    @property
    def weights(self) -> TaskWeights:
        """The recommended weights."""
        return self.recommendation.weights
