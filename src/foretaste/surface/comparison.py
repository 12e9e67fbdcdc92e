"""Comparison: ways to choose weights beside each other, each held against the same joint runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isnan
from typing import Literal

from foretaste.one_line import one_line
from foretaste.readable import Readable
from foretaste.surface.agreement import Agreement
from foretaste.surface.table import Surface
from foretaste.weights import TaskWeights

__all__ = ["Comparison", "Kind", "MethodComparison", "Regret", "regret_of"]

Kind = Literal["preview", "sharpened", "control"]


@dataclass(frozen=True)
class MethodComparison:
    """One method, how near it comes, and what it takes.

    Costs are in joint runs, evaluation left out: every weighting of every method needs the same one.

    Args:
        agreement: With the joint runs.
        title: What it is.
        kind: Previews, previews with a few joint steps, or a control that others are judged by.
        once: Cost before the first weighting: all its runs and estimates, also those it shares with others.
        each: Cost of one more weighting.
    """

    agreement: Agreement
    title: str
    kind: Kind
    once: float
    each: float

    __repr__ = one_line

    @property
    def method(self) -> str:
        """The name of the method."""
        return self.agreement.method


@dataclass(frozen=True)
class Regret:
    """What weights give up against the best of the compared ones; below 0 where they are better than all of these.

    Args:
        mean: Of the mean over tasks.
        worst: Of the worst task.
    """

    mean: float
    worst: float


@dataclass(frozen=True)
class Comparison(Readable):
    """Methods beside each other.

    Args:
        methods: In the order shown; at least one of them makes previews.
        rivals: By name, weights that are taken without any preview.
        joint_seconds: What one joint run takes.
    """

    methods: tuple[MethodComparison, ...]
    rivals: Mapping[str, Regret]
    joint_seconds: float

    __repr__ = one_line

    @property
    def best(self) -> str:
        """The preview method of least regret; of several, the one with the least error."""
        previews = [method for method in self.methods if method.kind == "preview"] or self.methods
        return min(
            previews, key=lambda method: (_or_inf(method.agreement.regret_mean), _or_inf(method.agreement.mean_error))
        ).method


def _or_inf(number: float) -> float:
    return inf if isnan(number) else number


def regret_of(joint: Surface, points: Sequence[TaskWeights], weights: TaskWeights) -> Regret:
    """Compute what weights give up against the best of some weightings, by joint finetuning.

    Args:
        joint: Joint runs; at all of these weightings.
        points: The weightings compared.
        weights: The weights chosen instead.

    >>> from foretaste.surface.table import Headline
    >>> from foretaste.evaluation import Evaluation, Fidelity
    >>> from foretaste.weights import corners, uniform
    >>> points, middle = corners("ab"), uniform("ab")
    >>> rows = [
    ...     Evaluation(w, {t: {"accuracy": w[t] ** 2} for t in w}, Fidelity.JOINT, "joint") for w in [*points, middle]
    ... ]
    >>> regret_of(Surface({t: Headline("accuracy") for t in "ab"}, tuple(rows)), points, middle)
    Regret(mean=0.25, worst=-0.25)
    """
    values, at = joint.oriented(), [row.weights for row in joint.rows]
    compared, reached = values[[at.index(point) for point in points]], values[at.index(weights)]
    return Regret(float(compared.mean(1).max() - reached.mean()), float(compared.min(1).max() - reached.min()))
