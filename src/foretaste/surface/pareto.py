"""The Pareto front: points that no other point beats in every task."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from foretaste.surface.table import Array, Surface

__all__ = ["front", "hypervolume", "is_efficient"]


def is_efficient(values: Array) -> NDArray[np.bool_]:
    """Which rows are not dominated.

    A row dominates another if it is at least as good in every column and better in one; of equal
    rows all or none are efficient.

    Args:
        values: `[N, T]`, more is better.

    Returns:
        `[N]`.

    >>> is_efficient(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.5]])).tolist()
    [True, True, False]
    """
    at_least = np.ones((len(values), len(values)), dtype=np.bool_)
    for column in values.T:
        at_least &= column[:, None] >= column[None, :]
    return np.asarray(
        ~(at_least & ~at_least.T).any(axis=0)
    )  # at least as good, and not the other way round: better somewhere


def front(surface: Surface) -> Surface:
    """The surface's efficient rows, by headline metrics.

    >>> from foretaste.surface.table import Headline
    >>> from foretaste.evaluation import Evaluation, Fidelity
    >>> from foretaste.weights import uniform
    >>> metrics = [{"a": {"accuracy": 0.9}, "b": {"accuracy": 0.8}}, {"a": {"accuracy": 0.7}, "b": {"accuracy": 0.8}}]
    >>> rows = tuple(Evaluation(uniform("ab"), metrics, Fidelity.PREVIEW, "simple") for metrics in metrics)
    >>> front(Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, rows)).values()
    array([[0.9, 0.8]])
    """
    if not surface.rows:
        return surface
    keep = is_efficient(surface.values() * surface.signs)
    return replace(surface, rows=tuple(row for row, is_kept in zip(surface.rows, keep, strict=True) if is_kept))


def hypervolume(values: Array, reference: Array) -> float:
    """Volume between a reference and everything that some row is at least as good as.

    Exact, by slicing along the first column; for up to a few hundred rows of few columns.

    Args:
        values: `[N, T]`, more is better.
        reference: `[T]`; rows count as far as they are better than it in every column.

    References:
        Zitzler, Thiele: Multiobjective Optimization Using Evolutionary Algorithms: A Comparative Case
        Study, 1998, https://doi.org/10.1007/BFb0056872

    >>> hypervolume(np.array([[2.0, 1.0], [1.0, 2.0]]), np.zeros(2))
    3.0
    """
    above = np.unique(values[(values > reference).all(axis=1)] - reference, axis=0)
    if not len(above):
        return 0.0
    if above.shape[1] == 1:
        return float(above.max())
    above = above[is_efficient(above)]
    above = above[np.argsort(-above[:, 0])]
    below = np.append(above[1:, 0], 0.0)
    nothing = np.zeros(above.shape[1] - 1)
    slices = (
        (high - low, above[: place + 1, 1:]) for place, (high, low) in enumerate(zip(above[:, 0], below, strict=True))
    )
    return float(sum(depth * hypervolume(part, nothing) for depth, part in slices if depth > 0))
