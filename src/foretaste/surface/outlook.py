"""Outlook: what joint finetuning may give at candidate weightings, as many possible surfaces.

Whatever is wanted of the tasks' metrics (a mean, the worst, floors, the front) is computed on each possible surface:
its distribution is the answer. What a further run would teach follows from how values at two weightings vary together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import isfinite, nan
from typing import Protocol

import numpy as np

from foretaste.evaluation import Evaluation, Fidelity
from foretaste.one_line import one_line
from foretaste.simplex import lattice, lattice_near, spread
from foretaste.surface.pareto import is_efficient
from foretaste.surface.predict import Predictor, fit_predictor
from foretaste.surface.prediction import Prediction
from foretaste.surface.preference import Floor, shortfalls
from foretaste.surface.scatter import best_weights, scatter
from foretaste.surface.table import Array, Surface
from foretaste.weights import TaskWeights, uniform

__all__ = [
    "Beliefs",
    "Objective",
    "Outlook",
    "can_predict",
    "candidates",
    "choosable_weights",
    "evaluated_weights",
    "outlook",
    "select_usable_rows",
]

_DRAWS, _FRONTS = 1000, 200
_LATTICE, _FEW_NAMES = 200, 4
_MOST = 300  # evaluated weightings that are looked at closely
_PENALTY, _VOLUMES, _FEW_TASKS = 10.0, 100, 8
_POINTS, _LEAST = 2000, 1e-12


def candidates(surface: Surface) -> list[TaskWeights]:
    """List weightings to choose among: about 200 over the simplex, and those evaluated that can be trained jointly.

    Up to four names these are a lattice's; more are scattered (`foretaste.surface.scatter`).

    >>> from foretaste.surface.table import Headline
    >>> len(candidates(Surface({task: Headline("accuracy") for task in "abc"}, ())))
    190
    """
    names = surface.weight_names
    fine = lattice(names, lattice_near(names, _LATTICE)) if len(names) <= _FEW_NAMES else scatter(surface)
    points = dict.fromkeys([uniform(names), *evaluated_weights(surface), *fine])
    return [weights for weights in points if not surface.has_private_heads or min(weights.values()) > 0]


def select_usable_rows(surface: Surface, method: str | None = None) -> Surface:
    """Select the rows that have every task's headline metric as a finite number.

    Args:
        surface: Any rows.
        method: Leave out previews by others, and those sharpened from others.

    >>> from foretaste.surface.table import Headline
    >>> from foretaste.evaluation import Evaluation
    >>> from foretaste.weights import uniform
    >>> row = Evaluation(uniform("a"), {"a": {"accuracy": float("nan")}}, Fidelity.PREVIEW, "simple")
    >>> select_usable_rows(Surface({"a": Headline("accuracy")}, (row,))).rows
    ()
    """
    return replace(
        surface,
        rows=tuple(
            row
            for row in surface.rows
            if (method is None or row.fidelity == Fidelity.JOINT or row.method == method)
            and all(
                isfinite(row.metrics.get(task, {}).get(head.metric, nan)) for task, head in surface.headlines.items()
            )
        ),
    )


def evaluated_weights(surface: Surface) -> list[TaskWeights]:
    """List the weightings that were evaluated in any way and that can be trained jointly.

    Of more than 300 these are 300 that are far from each other, those with a joint run, corners, and the best rows of
    each kind for the mean, the worst task and each single task; others are so near to one of them that nobody can tell
    the difference. Of more than 300 joint runs only those count that are among these.

    >>> from foretaste.surface.table import Headline
    >>> from foretaste.evaluation import Evaluation
    >>> from foretaste.weights import uniform
    >>> row = Evaluation(uniform("ab"), {}, Fidelity.PREVIEW, "simple")
    >>> evaluated_weights(Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, (row, row)))
    [TaskWeights(a=0.5,b=0.5)]
    """
    rows = surface.trainable().rows
    points = list(dict.fromkeys(row.weights for row in rows))
    if len(points) <= _MOST:
        return points
    joint = {row.weights for row in rows if row.fidelity == Fidelity.JOINT}
    chosen = {row.weights for row in rows if row.weights.corner} | (joint if len(joint) <= _MOST else set())
    for group in _by_kind(rows):
        chosen |= set(best_weights(select_usable_rows(replace(surface, rows=group))))
    chosen |= set(spread(points, _MOST))
    return [weights for weights in points if weights in chosen]


def _by_kind(rows: Sequence[Evaluation]) -> list[tuple[Evaluation, ...]]:
    groups: dict[tuple[Fidelity, str], list[Evaluation]] = {}
    for row in rows:
        groups.setdefault((row.fidelity, row.label), []).append(row)
    return [tuple(group) for group in groups.values()]


def choosable_weights(surface: Surface) -> list[TaskWeights]:
    """List the weightings that may be recommended: the evaluated ones, or all candidates if runs are made elsewhere.

    >>> from foretaste.surface.table import Headline
    >>> len(choosable_weights(Surface({"a": Headline("loss")}, (), is_from_outside=True)))
    1
    """
    return candidates(surface) if surface.is_from_outside else evaluated_weights(surface)


def can_predict(surface: Surface) -> bool:
    """Tell whether there is enough to predict from: a joint run, a corner, or previews of more weights than tasks.

    >>> from foretaste.surface.table import Headline
    >>> can_predict(Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, ()))
    False
    """
    points = evaluated_weights(surface)
    return bool(
        points and (surface.singles() or surface.where(Fidelity.JOINT).rows or len(points) > len(surface.weight_names))
    )


class Objective(Protocol):
    """What turns metrics into one number; a `Preference`, for example."""

    def of(self, values: Array) -> Array:
        """`[...]` from oriented headline values `[..., T]`."""


@dataclass(frozen=True)
class Beliefs:
    """One number at N weightings, as normally distributed.

    Args:
        mean: `[N]`.
        covariance: `[N, N]`.
        noise: `[N]`, variance that a single joint run adds.
    """

    mean: Array
    covariance: Array
    noise: Array

    __repr__ = one_line


@dataclass(frozen=True, eq=False)
class Outlook:
    """Possible surfaces at N weightings.

    Args:
        surface: What is known.
        points: N weightings.
        predictor: From what is known; predicts anywhere else.
        prediction: At the points.
        draws: `[S, N, T]` headline metrics, without the noise of single runs.
        measured: The same as single runs would measure them.
    """

    surface: Surface
    points: tuple[TaskWeights, ...]
    predictor: Predictor
    prediction: Prediction
    draws: Array
    measured: Array

    __repr__ = one_line

    @cached_property
    def singles(self) -> dict[str, float]:
        """Each task's headline metric by its single-task model."""
        return {
            task: row.metrics[task][self.surface.headlines[task].metric] for task, row in self.surface.singles().items()
        }

    @cached_property
    def places(self) -> dict[TaskWeights, int]:
        """Where each weighting is."""
        return {weights: place for place, weights in enumerate(self.points)}

    def values(self, preference: Objective, *, measured: bool = False) -> Array:
        """`[S, N]`: what a preference gives on each possible surface; more is better."""
        return preference.of(self.surface.oriented(self.measured if measured else self.draws))

    def shortfalls(self, floors: Sequence[Floor], *, measured: bool = False) -> Array:
        """`[S, N, F]`: how far each floor is missed on each possible surface."""
        return shortfalls(floors, self.surface.headlines, self.singles, self.measured if measured else self.draws)

    def chances(self, floors: Sequence[Floor]) -> Array:
        """`[N, F]`: probability that a joint run keeps each floor."""
        return np.asarray((self.shortfalls(floors, measured=True) <= 0).mean(0))

    def beliefs(self, preference: Objective, floors: Sequence[Floor] = ()) -> Beliefs:
        """What is believed of a preference.

        Where floors are missed, ten times as much is taken off, at most the range of values.
        """
        utility, single = (self._utility(preference, floors, measured) for measured in (False, True))
        centred = utility - utility.mean(0)
        return Beliefs(utility.mean(0), centred.T @ centred / max(len(utility) - 1, 1), (single - utility).var(0))

    def most_to_gain(self, preference: Objective, floors: Sequence[Floor] = ()) -> float:
        """What knowing every weighting would add to the value that is chosen: no run can be expected to add more."""
        utility = self._utility(preference, floors, False)
        return float(utility.max(1).mean() - utility.mean(0).max())

    def _utility(self, preference: Objective, floors: Sequence[Floor], measured: bool) -> Array:
        most = float(np.ptp(self.values(preference).mean(0)))
        missed = self.shortfalls(floors, measured=measured).sum(-1)
        return np.asarray(self.values(preference, measured=measured) - np.minimum(_PENALTY * missed, most))

    @cached_property
    def on_front(self) -> Array:
        """`[N]`: probability that no other of the N weightings is better in every task."""
        efficient = [is_efficient(values) for values in self.draws[:_FRONTS] * self.surface.signs]
        return np.asarray(np.mean(efficient, axis=0))

    @cached_property
    def hypervolume(self) -> tuple[float, float, float]:
        """Share of what could be gained that some weighting has: as expected, and its 90 % interval.

        The box between each task's worst and best expected metric, and how much of it is worse than some weighting in
        every task; by 2000 points at random, the same for all possible surfaces, for any number of tasks.
        """
        medians = self.surface.oriented(self.prediction.median)
        low, span = medians.min(0), np.maximum(np.ptp(medians, axis=0), _LEAST)
        inside, shares = np.random.default_rng(0).random((_POINTS, len(low))), []
        count = _VOLUMES if len(low) <= _FEW_TASKS else _VOLUMES // 10
        for values in (self.surface.oriented(self.draws[:count]) - low) / span:
            front = values[is_efficient(values)]
            dominated = np.ones((len(front), _POINTS), dtype=np.bool_)
            for column, edges in zip(front.T, inside.T, strict=True):
                dominated &= column[:, None] >= edges
            shares.append(float(dominated.any(0).mean()))
        return float(np.mean(shares)), *np.quantile(shares, (0.05, 0.95)).tolist()

    @cached_property
    def joint(self) -> dict[TaskWeights, Mapping[str, float]]:
        """Weightings with a joint run, and its headline metrics."""
        rows = self.surface.where(Fidelity.JOINT).averaged()
        values = rows.values().tolist()
        return {
            row.weights: dict(zip(rows.tasks, metrics, strict=True))
            for row, metrics in zip(rows.rows, values, strict=True)
        }


def outlook(surface: Surface, points: Sequence[TaskWeights] | None = None, seed: int = 0) -> Outlook:
    """Predict joint finetuning, and draw possible surfaces.

    Args:
        surface: All rows there are.
        points: Where; `candidates` if left out.
        seed: Of the draws.

    Raises:
        StudyError: Nothing to predict from; see `foretaste.surface.predict.fit_predictor`.

    >>> from foretaste.surface.table import Headline
    >>> from foretaste.evaluation import Evaluation
    >>> from foretaste.simplex import lattice
    >>> rows = [
    ...     Evaluation(w, {t: {"accuracy": w[t] ** 0.5} for t in w}, Fidelity.PREVIEW, "simple")
    ...     for w in lattice("ab", 4)
    ... ]
    >>> prediction = outlook(Surface({t: Headline("accuracy") for t in "ab"}, tuple(rows)))
    >>> prediction.draws.shape, len(prediction.points)
    ((1000, 203, 2), 203)
    """
    weightings = tuple(candidates(surface) if points is None else points)
    predictor = fit_predictor(surface)
    prediction = predictor.at(weightings)
    return Outlook(surface, weightings, predictor, prediction, *prediction.draw_both(_DRAWS, seed))
