"""A race evaluates candidates on growing parts of the same examples, and drops those that are surely not the best.

All candidates see a task's N examples in one random order. After the first m of them, the race compares a candidate c
with the leader, by the preference on the same examples. c stops where ::

    d_c = u(leader) - u(c) > q_c s_c

s_c is the standard deviation of d_c, from a bootstrap over examples that all candidates share, so that the preference
can be anything. It is shrunk by ``sqrt(1 - m / N)``, since the question is about these N examples only. q_c is the
quantile of ``max_b (z_b - z_c) / s_bc`` over all candidates b, where z has Student's distribution with the bootstrap's
covariance. So at each comparison, the candidate that is best on all N examples stops with at most that comparison's
probability, whichever leads. Floors are compared in the same way.

References:
    Maron, Moore: Hoeffding Races: Accelerating Model Selection Search for Classification and Function Approximation,
    Advances in Neural Information Processing Systems 6, 1993
    Hothorn, Bretz, Westfall: Simultaneous Inference in General Parametric Models, 2008,
    https://doi.org/10.1002/bimj.200810425
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from foretaste.one_line import one_line
from foretaste.surface.preference import Floor, Preference
from foretaste.surface.table import Array, Headline, oriented

__all__ = ["ERROR", "Flags", "Goal", "Standing", "Tally", "compare_candidates"]

Flags = NDArray[np.bool_]

ERROR = 0.05  # probability that the best candidate stops, over all comparisons together
_DRAWS = 1000  # of the examples
_VECTORS = 4000  # for the quantiles
_SURE = 3.0  # standard deviations by which a leader keeps floors
_SMALLEST = 1e-9
_LARGEST = 700.0  # its exponential is near the largest float


@dataclass(frozen=True)
class Tally:
    """The sums over the examples so far whose ratio is one task's headline metric.

    Args:
        added: `[A, m]`, the numerator's terms for each of A candidates.
        counts: `[m]`, the denominator's terms, the same for all candidates.
        whole: N, the number of all examples.
        exponential: Whether the metric is the ratio's exponential.

    >>> Tally(np.array([[1.0, 0.0], [1.0, 1.0]]), np.ones(2), 4).metric(np.ones((1, 2)))
    array([[0.5, 1. ]])
    """

    added: Array
    counts: Array
    whole: int
    exponential: bool = False

    __repr__ = one_line

    def metric(self, drawn: Array) -> Array:
        """Compute the metric, `[R, A]`, from how often each example is drawn, `[R, m]`."""
        ratio = (drawn @ self.added.T) / np.maximum(drawn @ self.counts, _SMALLEST)[:, None]
        return np.exp(np.minimum(ratio, _LARGEST)) if self.exponential else ratio


@dataclass(frozen=True)
class Goal:
    """The goal of a race.

    Args:
        headlines: Headline metrics by task.
        preference: The preference to maximise; a knee has its ends already.
        floors: The floors that must hold.
        singles: Each task's headline metric by its single-task model, for relative floors.
    """

    headlines: Mapping[str, Headline]
    preference: Preference
    floors: Sequence[Floor] = ()
    singles: Mapping[str, float] = field(default_factory=dict)

    __repr__ = one_line

    def measures(self, values: Array) -> Array:
        """Compute what is compared, `[..., A]`, from headline metrics `[..., A, T]`.

        With floors it is `[..., 2 A]`: the second half is the distance to the tightest floor.

        >>> goal = Goal({"a": Headline("accuracy")}, Preference("mean", {}), [Floor("all", 0.75, False)])
        >>> goal.measures(np.array([[0.5], [1.0]]))
        array([ 0.5 ,  1.  , -0.25,  0.25])
        """
        columns = [self.preference.of(oriented(values, self.headlines))]
        room = [
            head.sign * (values[..., column] - floor.of(task, head, self.singles))
            for floor in self.floors
            for column, (task, head) in enumerate(self.headlines.items())
            if floor.task in ("all", task)
        ]
        return np.concatenate([*columns, *([np.min(room, axis=0)] if room else [])], axis=-1)


@dataclass(frozen=True)
class Standing:
    """The standing of candidates after a comparison.

    Args:
        values: `[A]`, the value of the preference so far.
        leader: The place of the candidate that the others are compared with.
        behind: `[A]`, the gap between the leader and each candidate.
        low: `[A]`, the lower end of the gap's interval.
        high: `[A]`, the upper end of the gap's interval.
        beaten: `[A]`, the candidates that are surely not the best.
        missing: `[A]`, those of them that are beaten because they miss the floors.
    """

    values: Array
    leader: int
    behind: Array
    low: Array
    high: Array
    beaten: Flags
    missing: Flags

    __repr__ = one_line


def compare_candidates(
    tallies: Mapping[str, Tally],
    goal: Goal,
    level: float,
    *,
    eligible: Sequence[bool] | None = None,
    leader: int | None = None,
    beyond: bool = False,
    seed: int = 0,
) -> Standing:
    """Compare candidates with the leader, on the examples seen so far.

    Args:
        tallies: A tally for each task, in the goal's order; all of the same A candidates.
        goal: The goal of the race.
        level: The probability that the best of them is called beaten.
        eligible: The candidates that may lead; all if left out.
        leader: The leader; the best so far if left out.
        beyond: Whether intervals are for other examples of the same kind, in place of all of these.
        seed: The seed of the draws.

    >>> tally = Tally(np.array([[1.0] * 40, [0.0] * 40, [1.0] * 40]), np.ones(40), 80)
    >>> standing = compare_candidates({"a": tally}, Goal({"a": Headline("accuracy")}, Preference("mean", {})), 0.05)
    >>> standing.leader, standing.beaten
    (0, array([False,  True, False]))
    """
    random, count = np.random.default_rng(seed), len(next(iter(tallies.values())).added)
    now = np.stack([tally.metric(np.ones((1, len(tally.counts))))[0] for tally in tallies.values()], -1)
    shrunk = now + np.stack([_deviations(tally, random, beyond) for tally in tallies.values()], -1)
    measured = goal.measures(now)
    covariance = np.cov(goal.measures(shrunk).T).reshape(len(measured), len(measured))
    single, pair = _spreads(covariance)
    fewest = min(len(tally.counts) for tally in tallies.values())
    quantiles = _quantiles(_student(covariance, fewest - 1, random), single, pair, count, level)
    if leader is None:
        leader = _leader(measured, single, count, [True] * count if eligible is None else eligible)
    behind, reach = measured[leader] - measured[:count], quantiles * pair[:count, leader]
    outdone, missing = _beaten(measured, single, pair, quantiles, leader)
    return Standing(
        measured[:count], leader, behind, behind - reach, behind + reach, outdone | missing, missing & ~outdone
    )


def _deviations(tally: Tally, random: np.random.Generator, beyond: bool) -> Array:
    """Draw how much the metric on all examples may differ from the metric so far, `[R, A]`."""
    size = len(tally.counts)
    drawn = random.multinomial(size, np.full(size, 1 / size), _DRAWS).astype(float)
    shrink = 1.0 if beyond else np.sqrt(max(0.0, 1 - size / tally.whole))
    return np.asarray(
        shrink * np.sqrt(size / max(size - 1, 1)) * (tally.metric(drawn) - tally.metric(np.ones((1, size))))
    )


def _spreads(covariance: Array) -> tuple[Array, Array]:
    """Compute standard deviations of each measure `[D]` and of each difference `[D, D]`; rounding counts as 0."""
    own = np.diag(covariance)
    squared = own[:, None] + own - 2 * covariance
    squared[squared <= _SMALLEST * (own[:, None] + own)] = 0.0
    return np.sqrt(own), np.sqrt(squared)


def _student(covariance: Array, freedom: int, random: np.random.Generator) -> Array:
    """Draw `[Q, D]` from Student's distribution, since the spreads of few examples are uncertain too."""
    sizes, axes = np.linalg.eigh(covariance)
    normal = random.standard_normal((_VECTORS, len(sizes))) @ (axes * np.sqrt(np.maximum(sizes, 0))).T
    return np.asarray(normal * np.sqrt(max(freedom, 1) / random.chisquare(max(freedom, 1), (_VECTORS, 1))))


def _quantiles(drawn: Array, single: Array, pair: Array, count: int, level: float) -> Array:
    """Compute q_c of every candidate, `[A]`, over all comparisons that it is in."""
    quantiles = np.empty(count)
    for place in range(count):
        most = _over(drawn[:, :count] - drawn[:, [place]], pair[:count, place])
        if len(single) > count:
            room, own = drawn[:, count:], count + place
            least = _over(-drawn[:, [own]], single[[own]])
            most = np.max(
                [most, _over(room - drawn[:, [own]], pair[count:, own]), _over(room, single[count:]), least], axis=0
            )
        quantiles[place] = np.quantile(most, 1 - level)
    return quantiles


def _over(drawn: Array, spread: Array) -> Array:
    """Compute the largest of the columns that vary, `[Q]`, each in units of its spread."""
    varied = spread > 0
    return np.asarray((drawn[:, varied] / spread[varied]).max(1, initial=0.0))


def _leader(measured: Array, single: Array, count: int, eligible: Sequence[bool]) -> int:
    """Find the best among those that surely keep the floors; where none does, among those that miss them least."""
    missing = np.zeros(count)
    if len(measured) > count:
        room = measured[count:]
        missing = np.where(room > _SURE * single[count:], -1.0, np.maximum(0.0, -room))
    return int(np.lexsort((-measured[:count], np.where(eligible, missing, np.inf)))[0])


def _beaten(measured: Array, single: Array, pair: Array, quantiles: Array, leader: int) -> tuple[Flags, Flags]:
    """Find the candidates that are surely behind a leader that surely keeps the floors, `[A]`.

    Find those that surely miss the floors by more than the leader, too, `[A]`.
    """
    count = len(quantiles)
    outdone = measured[leader] - measured[:count] > quantiles * pair[:count, leader]
    missing = np.zeros(count, dtype=bool)
    if len(measured) > count:
        room, own = measured[count:], single[count:]
        outdone = outdone & (room[leader] > quantiles * own[leader])
        missing = (room[leader] - room > quantiles * pair[count:, count + leader]) & (room < -quantiles * own)
    others = np.arange(count) != leader
    return np.asarray(outdone & others), np.asarray(missing & others)
