"""Candidates where many things are mixed: a lattice of so many weights is all corners and edges.

Candidates are scattered instead: averages of the best rows, draws around the best rows, and draws around equal weights.
Each is rounded to tenths of a percent. The draws are the same in every process.

References:
    Liu and others: RegMix: Data Mixture as Regression for Language Model Pre-training, 2024,
    https://arxiv.org/abs/2407.01492, which averages the best of many simulated mixtures
"""

from collections.abc import Sequence

import numpy as np

from foretaste.evaluation import Fidelity
from foretaste.surface.table import Array, Surface
from foretaste.weights import TaskWeights

__all__ = ["best_rows", "best_weights", "round_weights", "scatter"]

_BEST = 8  # rows that count as the best
_AVERAGED = (2, 4, 8, 16, 32)  # best rows whose weights are averaged
_CLOSENESS = (30.0, 200.0)  # sums of the Dirichlet parameters around a row
_DRAWS = 6  # around each row, for each closeness
_EVEN = ((1.0, 60), (5.0, 40))  # concentrations around equal weights, and how many draws
_UNITS = 1000  # weights are multiples of 1 / 1000
_LEAST = 0.02  # Dirichlet parameter of what has no weight: it seldom gets any


def scatter(surface: Surface, seed: int = 0) -> list[TaskWeights]:
    """Scatter candidates around the best rows and around equal weights.

    Args:
        surface: Rows, with every task's headline metric; any number.
        seed: The same seed gives the same candidates.

    >>> from foretaste.surface.table import Headline
    >>> names = [f"domain-{number}" for number in range(17)]
    >>> points = scatter(Surface({name: Headline("loss", False) for name in names}, ()))
    >>> len(points), round(sum(points[0].values()), 9)
    (100, 1.0)
    """
    generator, names = np.random.default_rng(seed), surface.weight_names
    centers = best_rows(surface)
    averages = [ranking[:count].mean(0) for ranking in centers for count in _AVERAGED if count <= len(ranking)]
    tops = [row for ranking in centers for row in ranking[:_BEST]]
    around = [
        generator.dirichlet(np.maximum(closeness * center, _LEAST), _DRAWS)
        for center in tops
        for closeness in _CLOSENESS
    ]
    even = [generator.dirichlet(np.full(len(names), concentration), count) for concentration, count in _EVEN]
    least = 1 if surface.has_private_heads else 0
    shares = [*averages, *(draw for draws in (*around, *even) for draw in draws)]
    return list(dict.fromkeys(round_weights(names, share, least) for share in shares))


def best_rows(surface: Surface) -> list[Array]:
    """Rank the weights of the rows by the mean over tasks and by the worst task, `[N, D]` each, the best first.

    Only joint runs count where there are more of them than names; otherwise all rows do.

    >>> from foretaste.surface.table import Headline
    >>> best_rows(Surface({"a": Headline("accuracy")}, ()))
    []
    """
    joint = surface.where(Fidelity.JOINT)
    chosen = (joint if len(joint.rows) > len(surface.weight_names) else surface).averaged()
    if not chosen.rows:
        return []
    values = chosen.oriented()
    spread = np.maximum(values.std(0), 1e-12)
    scaled = (values - values.mean(0)) / spread
    alphas = chosen.alphas()
    return [alphas[np.argsort(-measure, kind="stable")] for measure in (scaled.mean(1), scaled.min(1))]


def best_weights(surface: Surface) -> list[TaskWeights]:
    """List the weights of the best eight rows for the mean, the worst task and each task.

    Args:
        surface: Rows with every task's headline metric; any number.

    >>> from foretaste.surface.table import Headline
    >>> best_weights(Surface({"a": Headline("accuracy")}, ()))
    []
    """
    if not surface.rows:
        return []
    values = surface.oriented()
    measures = [values.mean(1), values.min(1), *values.T]
    return [
        surface.rows[place].weights
        for scores in measures
        for place in np.argsort(-scores, kind="stable")[:_BEST].tolist()
    ]


def round_weights(names: Sequence[str], shares: Array, least: int = 0) -> TaskWeights:
    """Round weights to multiples of 0.001 that still add up to 1.

    Args:
        names: What is mixed.
        shares: `[D]`, at least 0, together 1.
        least: The least number of thousandths.

    >>> round_weights(["a", "b", "c"], np.array([0.33333, 0.33333, 0.33334])).key
    'a=0.333,b=0.333,c=0.334'
    """
    exact = np.asarray(shares) * _UNITS
    whole = np.maximum(np.floor(exact), least)
    order = np.argsort(whole - exact, kind="stable")
    for place in order[: max(0, round(_UNITS - whole.sum()))]:
        whole[place] += 1
    whole[int(whole.argmax())] += _UNITS - whole.sum()
    return TaskWeights(names, (whole / _UNITS).tolist())
