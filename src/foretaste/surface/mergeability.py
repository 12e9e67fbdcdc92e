"""Mergeability: what lies between two tasks' models, on the straight line from one to the other.

With theta_s and theta_t the single-task models, and L the mean of both tasks' validation losses::

    theta(l) = (1 - l) theta_s + l theta_t
    barrier  = max_l [ L(theta(l)) - ((1 - l) L(theta_s) + l L(theta_t)) ]

Simple averaging at weights 1 - l and l gives just theta(l), so that its rows tell all. Where there is a barrier, the
models lie in different basins and merging leaves both. That there is none is not enough: a model that knows one task is
bad at the other, so that L is high at both ends already (digits trained at 30 times their learning rate had no barrier
either, and averages that knew next to nothing). What is *kept* half-way says more: each task's headline metric there,
as a share of what its own model has.

References:
    Frankle et al.: Linear Mode Connectivity and the Lottery Ticket Hypothesis, 2020, https://arxiv.org/abs/1912.05671
    Entezari et al.: The Role of Permutation Invariance in Linear Mode Connectivity of Neural Networks, 2022,
    https://arxiv.org/abs/2110.06296
    Ainsworth et al.: Git Re-Basin: Merging Models modulo Permutation Symmetries, 2023, https://arxiv.org/abs/2209.04836
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import Literal

from foretaste.evaluation import Evaluation
from foretaste.one_line import one_line
from foretaste.readable import Readable
from foretaste.surface.table import Headline, Surface
from foretaste.weights import TaskWeights, corners

__all__ = ["Corner", "Mergeability", "Pair", "Verdict", "corner_of", "pairs_of", "paths"]

Verdict = Literal["sound", "loses", "fails"]

_ALONG = (0.0, 0.25, 0.5, 0.75, 1.0)
_HALF = 0.5
_ROUNDING = 1e-6

# Rules of thumb. In the benchmarks (docs/agreement.md) no pair had a barrier. Where half-way kept .97 and more
# (sentiment), simple previews between the two were .01 to .04 off joint runs; where it kept less (digits .82 to .95,
# translation .56 to .67), .04 to .23. Digits at 30 times the learning rate kept .15 to .46. Of a metric where less is
# better, such as perplexity, other shares count.
_BARRIER = 0.05  # of the line between the ends
_SOUND = {True: 0.97, False: 0.85}  # by whether more is better
_FAILS = {True: 0.5, False: 0.1}
_RISE = 0.2  # of the loss, where a metric has no shares


@dataclass(frozen=True)
class Pair:
    """Two tasks' models and their plain averages.

    Args:
        tasks: s and t.
        shares: l of every average, from 0 to 1.
        losses: L there.
        own: Each task's headline metric by its own model.
        half: Each task's headline metric half-way.
        own_loss: Mean over both tasks of the loss by the task's own model.
        headlines: Of both tasks.
    """

    tasks: tuple[str, str]
    shares: tuple[float, ...]
    losses: tuple[float, ...]
    own: Mapping[str, float]
    half: Mapping[str, float]
    own_loss: float
    headlines: Mapping[str, Headline]

    __repr__ = one_line

    @property
    def barrier(self) -> float:
        """The largest rise above the line between the ends; 0 where there is none."""
        return max(self._rises)

    @property
    def peak(self) -> float:
        """The share l at which the barrier is highest."""
        return self.shares[self._rises.index(self.barrier)]

    @property
    def is_barred(self) -> bool:
        """Whether the barrier is one that counts."""
        return self.barrier > _BARRIER * self._line(self.peak)

    @property
    def _rises(self) -> list[float]:
        rises = [loss - self._line(share) for share, loss in zip(self.shares, self.losses, strict=True)]
        return [math.inf if math.isnan(rise) else rise for rise in rises]

    def _line(self, share: float) -> float:
        return (1 - share) * self.losses[0] + share * self.losses[-1]

    @property
    def half_loss(self) -> float:
        """The mean loss L half-way between the two models."""
        return self.losses[self.shares.index(_HALF)]

    @property
    def shares_kept(self) -> dict[str, float]:
        """The share of its own model's metric that each task keeps half-way, for tasks whose own metric is above 0."""
        better = {task: (self.half[task], self.own[task]) for task in self.tasks}
        ordered = {task: pair if self.headlines[task].higher_is_better else pair[::-1] for task, pair in better.items()}
        return {task: max(few, 0.0) / many for task, (few, many) in ordered.items() if many > 0}

    @property
    def kept(self) -> float | None:
        """The mean of `shares_kept`; None if no task has such a share."""
        return fmean(self.shares_kept.values()) if self.shares_kept else None

    @property
    def verdict(self) -> Verdict:
        """What simple averaging is worth here, by rules of thumb."""
        if self.is_barred or (self.shares_kept and self._lost(_FAILS) > 1):
            return "fails"
        rise = (self.half_loss / max(self.own_loss, _ROUNDING) - 1) / _RISE
        return "sound" if (self._lost(_SOUND) if self.shares_kept else rise) <= 1 else "loses"

    def _lost(self, bounds: Mapping[bool, float]) -> float:
        """The mean loss of the metrics, in units of what may be lost."""
        return fmean(
            (1 - share) / (1 - bounds[self.headlines[task].higher_is_better])
            for task, share in self.shares_kept.items()
        )


@dataclass(frozen=True)
class Corner:
    """Whether a method's preview of one task alone is that task's model.

    Args:
        method: The previews'.
        off: For each task, preview minus its model's own headline metric.
        exact: Whether all metrics and losses are the same, but for rounding.
    """

    method: str
    off: Mapping[str, float]
    exact: bool

    __repr__ = one_line


@dataclass(frozen=True)
class Mergeability(Readable):
    """Whether the tasks' models can be merged at all.

    Args:
        pairs: Of all tasks.
        corners: Of some methods.
    """

    pairs: tuple[Pair, ...]
    corners: tuple[Corner, ...]

    __repr__ = one_line


def paths(tasks: Sequence[str]) -> list[TaskWeights]:
    """The weights that `pairs_of` looks at: corners, and quarters of the way between each two.

    >>> [str(weights) for weights in paths("ab")]
    ['a=1,b=0', 'a=0,b=1', 'a=0.75,b=0.25', 'a=0.5,b=0.5', 'a=0.25,b=0.75']
    """
    between = [_at(tasks, pair, share) for pair in combinations(tasks, 2) for share in _ALONG[1:-1]]
    return [*corners(tasks), *between]


def _at(tasks: Sequence[str], pair: tuple[str, str], share: float) -> TaskWeights:
    return TaskWeights(tasks, [{pair[0]: 1 - share, pair[1]: share}.get(task, 0.0) for task in tasks])


def pairs_of(simple: Surface) -> tuple[Pair, ...]:
    """Every two tasks whose ends and half-way were evaluated, with the quarters where these were too.

    Args:
        simple: Previews by simple averaging.

    >>> from foretaste.evaluation import Fidelity
    >>> rows = [
    ...     Evaluation(w, {t: {"loss": 1 - w[t], "accuracy": w[t] ** 0.5} for t in w}, Fidelity.PREVIEW, "simple")
    ...     for w in paths("ab")
    ... ]
    >>> (pair,) = pairs_of(Surface({t: Headline("accuracy") for t in "ab"}, tuple(rows)))
    >>> pair.losses, pair.barrier, round(pair.kept, 2), pair.verdict
    ((0.5, 0.5, 0.5, 0.5, 0.5), 0.0, 0.71, 'loses')
    """
    pairs = [_pair(simple, pair) for pair in combinations(simple.tasks, 2)]
    return tuple(pair for pair in pairs if pair is not None)


def _pair(simple: Surface, tasks: tuple[str, str]) -> Pair | None:
    rows = {share: simple.at(_at(simple.tasks, tasks, share)) for share in _ALONG}
    evaluated = {share: row for share, row in rows.items() if row is not None}
    if not {0.0, _HALF, 1.0} <= set(evaluated):
        return None
    alone = {tasks[0]: evaluated[0.0], tasks[1]: evaluated[1.0]}
    heads = {task: simple.headlines[task] for task in tasks}
    return Pair(
        tasks=tasks,
        shares=tuple(evaluated),
        losses=tuple(fmean(row.metrics[task]["loss"] for task in tasks) for row in evaluated.values()),
        own={task: row.metrics[task][heads[task].metric] for task, row in alone.items()},
        half={task: evaluated[_HALF].metrics[task][heads[task].metric] for task in tasks},
        own_loss=fmean(row.metrics[task]["loss"] for task, row in alone.items()),
        headlines=heads,
    )


def corner_of(
    method: str, rows: Sequence[Evaluation], alone: Mapping[str, Mapping[str, float]], heads: Mapping[str, Headline]
) -> Corner:
    """Compare a method's previews at the corners with the tasks' models.

    Args:
        method: Its name.
        rows: Its previews where one task has all the weight.
        alone: Each task's metrics by its own model.
        heads: The tasks' headlines.

    >>> from foretaste.evaluation import Fidelity
    >>> rows = [Evaluation(w, {t: {"accuracy": w[t]} for t in w}, Fidelity.PREVIEW, "mixture") for w in corners("ab")]
    >>> corner_of(
    ...     "mixture", rows, {"a": {"accuracy": 1.0}, "b": {"accuracy": 0.75}}, {t: Headline("accuracy") for t in "ab"}
    ... )
    Corner(method='mixture', off={a: 0, b: 0.25}, exact=False)
    """
    pairs = {task: (row.metrics[task], alone[task]) for row in rows if (task := row.weights.corner) is not None}
    off = {task: previewed[heads[task].metric] - own[heads[task].metric] for task, (previewed, own) in pairs.items()}
    exact = all(_same(number, own[name]) for previewed, own in pairs.values() for name, number in previewed.items())
    return Corner(method, off, exact)


def _same(number: float, other: float) -> bool:
    return number == other or abs(number - other) <= _ROUNDING * max(1.0, abs(other))
