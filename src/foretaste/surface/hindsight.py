"""Hindsight: what was expected of each joint run before it was made, beside what it gave."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from foretaste.evaluation import Fidelity
from foretaste.one_line import one_line
from foretaste.surface.outlook import tellable, usable
from foretaste.surface.predict import predict
from foretaste.surface.table import Array, Surface
from foretaste.weights import TaskWeights

__all__ = ["Foretold", "coverage", "foretold", "mean_error"]


@dataclass(frozen=True, eq=False)
class Foretold:
    """One joint run.

    Args:
        weights: alpha.
        expected: `[T]`, the headline metrics expected of it.
        low: `[T]`, lower ends of their 90 % intervals.
        high: `[T]`, upper ends.
        real: `[T]`, what it gave.
    """

    weights: TaskWeights
    expected: Array
    low: Array
    high: Array
    real: Array

    __repr__ = one_line

    @property
    def inside(self) -> int:
        """How many of the T metrics are in their interval."""
        return int(((self.real >= self.low) & (self.real <= self.high)).sum())


def foretold(surface: Surface, most: int = 20) -> list[Foretold]:
    """Predict each joint run from the rows made before it.

    Args:
        surface: Rows in the order they were made.
        most: Only the last so many joint runs.

    >>> from foretaste.surface.table import Headline
    >>> from foretaste.evaluation import Evaluation
    >>> from foretaste.weights import lattice
    >>> rows = [Evaluation(w, {t: {"accuracy": w[t] ** 0.5} for t in w}, Fidelity.PREVIEW, "simple") for w in lattice("ab", 4)]
    >>> found = foretold(Surface({t: Headline("accuracy") for t in "ab"}, (*rows, replace(rows[2], fidelity=Fidelity.JOINT))))
    >>> str(found[0].weights), found[0].real.round(2).tolist(), found[0].inside
    ('a=0.5,b=0.5', [0.71, 0.71], 2)
    """
    told = usable(surface)
    joint = [place for place, row in enumerate(told.rows) if row.fidelity == Fidelity.JOINT and row.weights.corner is None]
    first = [place for place in joint if all(told.rows[other].weights != told.rows[place].weights for other in joint if other < place)]
    found = []
    for place in first[-most:]:
        before, row = replace(told, rows=told.rows[:place]), told.rows[place]
        if tellable(before):
            seen, real = predict(before, [row.weights]), replace(told, rows=(row,)).values()[0]
            found.append(Foretold(row.weights, seen.median[0], seen.low[0], seen.high[0], real))
    return found


def coverage(found: Sequence[Foretold]) -> float | None:
    """Share of metrics that were in their interval; None without a joint run.

    >>> coverage([Foretold(TaskWeights("a", [1.0]), *(np.array([number]) for number in (0.5, 0.4, 0.6, 0.7)))])
    0.0
    """
    return sum(each.inside for each in found) / sum(len(each.real) for each in found) if found else None


def mean_error(found: Sequence[Foretold]) -> float | None:
    """Mean absolute difference of metrics from what was expected; None without a joint run.

    >>> mean_error([Foretold(TaskWeights("a", [1.0]), *(np.array([number]) for number in (0.5, 0.4, 0.6, 0.75)))])
    0.25
    """
    return float(np.mean([np.abs(each.real - each.expected) for each in found])) if found else None
