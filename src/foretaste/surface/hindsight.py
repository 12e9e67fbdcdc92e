"""Hindsight: what was predicted of each joint run before it was made, beside what it gave."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from foretaste.evaluation import Fidelity
from foretaste.one_line import one_line
from foretaste.surface.outlook import can_predict, select_usable_rows
from foretaste.surface.predict import predict
from foretaste.surface.table import Array, Surface
from foretaste.weights import TaskWeights

__all__ = ["PastPrediction", "coverage", "mean_error", "predict_past_runs"]


@dataclass(frozen=True, eq=False)
class PastPrediction:
    """One joint run, with what was predicted of it beforehand.

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
    def inside_count(self) -> int:
        """How many of the T metrics are in their interval."""
        return int(((self.real >= self.low) & (self.real <= self.high)).sum())


def predict_past_runs(surface: Surface, most: int = 20) -> list[PastPrediction]:
    """Predict each joint run from the rows made before it.

    Args:
        surface: Rows in the order they were made.
        most: Predict only this many of the last joint runs.

    >>> from foretaste.surface.table import Headline
    >>> from foretaste.evaluation import Evaluation
    >>> from foretaste.simplex import lattice
    >>> rows = [
    ...     Evaluation(w, {t: {"accuracy": w[t] ** 0.5} for t in w}, Fidelity.PREVIEW, "simple")
    ...     for w in lattice("ab", 4)
    ... ]
    >>> surface = Surface({t: Headline("accuracy") for t in "ab"}, (*rows, replace(rows[2], fidelity=Fidelity.JOINT)))
    >>> predictions = predict_past_runs(surface)
    >>> str(predictions[0].weights), predictions[0].real.round(2).tolist(), predictions[0].inside_count
    ('a=0.5,b=0.5', [0.71, 0.71], 2)
    """
    usable = select_usable_rows(surface)
    joint = [
        place for place, row in enumerate(usable.rows) if row.fidelity == Fidelity.JOINT and row.weights.corner is None
    ]
    first = [
        place
        for place in joint
        if all(usable.rows[earlier].weights != usable.rows[place].weights for earlier in joint if earlier < place)
    ]
    predictions = []
    for place in first[-most:]:
        before, row = replace(usable, rows=usable.rows[:place]), usable.rows[place]
        if can_predict(before):
            prediction, real = predict(before, [row.weights]), replace(usable, rows=(row,)).values()[0]
            predictions.append(
                PastPrediction(row.weights, prediction.median[0], prediction.low[0], prediction.high[0], real)
            )
    return predictions


def coverage(predictions: Sequence[PastPrediction]) -> float | None:
    """Share of metrics that were in their interval; None without a joint run.

    >>> coverage([PastPrediction(TaskWeights("a", [1.0]), *(np.array([number]) for number in (0.5, 0.4, 0.6, 0.7)))])
    0.0
    """
    if not predictions:
        return None
    return sum(run.inside_count for run in predictions) / sum(len(run.real) for run in predictions)


def mean_error(predictions: Sequence[PastPrediction]) -> float | None:
    """Mean absolute difference of metrics from what was expected; None without a joint run.

    >>> mean_error([PastPrediction(TaskWeights("a", [1.0]), *(np.array([number]) for number in (0.5, 0.4, 0.6, 0.75)))])
    0.25
    """
    return (
        float(np.mean([np.abs(prediction.real - prediction.expected) for prediction in predictions]))
        if predictions
        else None
    )
