"""The weightings of a study: those that are previewed, and those of its joint runs."""

import math
from collections.abc import Mapping, Sequence

from foretaste.bounds import POINTS
from foretaste.errors import WeightsError
from foretaste.plan import Recipe
from foretaste.simplex import covering, inside, lattice, lattice_near, spread
from foretaste.sources.problem import Problem
from foretaste.weights import TaskWeights, uniform

__all__ = ["Points", "Weighting", "grid", "joint_points", "read_points"]

Weighting = str | Mapping[str, float]
Points = int | Weighting | Sequence[Weighting]

_FINEST = 40  # lattice resolution, where the joint runs ask for many points
_LARGEST = 50_000  # points of a lattice; a finer one of many tasks takes minutes to list


def grid(recipe: Recipe, problem: Problem) -> list[TaskWeights]:
    """List the weightings to preview: a lattice of the size asked for, uniform weights, the joint runs' weights.

    >>> from foretaste.recipe import parse
    >>> recipe = parse("{name: a, model: {source: digits}, preview: {points: 3}, joint: {points: 1}}")
    >>> from foretaste.sources.digits import digits
    >>> [str(weights) for weights in grid(recipe, digits())][-2:]
    ['low=0,mid=0,high=1', 'low=0.333333333,mid=0.333333333,high=0.333333333']
    """
    points = covering(problem.names, recipe.preview.points)
    return list(dict.fromkeys([*points, uniform(problem.names), *joint_points(recipe, problem)]))


def joint_points(recipe: Recipe, problem: Problem) -> list[TaskWeights]:
    """The weightings of the joint runs, far from each other.

    Corners are left out: there a preview is exact by law. So are the simplex's faces where tasks
    have heads of their own, since a joint run without a task never trains its head.

    >>> from foretaste.recipe import parse
    >>> recipe = parse("{name: a, model: {source: digits}, preview: {points: 6}, joint: {points: 2}}")
    >>> from foretaste.sources.digits import digits
    >>> [str(weights) for weights in joint_points(recipe, digits())]
    ['low=0.333333333,mid=0.333333333,high=0.333333333', 'low=0.5,mid=0.5,high=0']
    """
    names = problem.names
    private = problem.has_private_heads
    points: list[TaskWeights] = []
    first = max(lattice_near(names, recipe.preview.points), len(names) if private else 1)  # none is inside before
    for resolution in range(first, max(first, _FINEST) + 1):
        if math.comb(resolution + len(names) - 1, len(names) - 1) > _LARGEST:
            points = inside(names, recipe.joint.points)
            break
        points = [w for w in lattice(names, resolution) if w.corner is None and (not private or min(w.values()) > 0)]
        if len(points) >= recipe.joint.points:
            break
    return spread(list(dict.fromkeys([uniform(names), *points])), recipe.joint.points)


def read_points(points: Points | None, recipe: Recipe, problem: Problem) -> list[TaskWeights]:
    """Read weightings as commands and notebooks give them.

    Args:
        points: Weights, one or several: as text, by task, or as `TaskWeights`. A number asks for about so many all over
            the simplex, and None for as many as the recipe says; see `grid`.
        recipe: The recipe.
        problem: Its model and tasks.

    Raises:
        WeightsError: Weights cannot be read, or there are too few or too many points.

    >>> from foretaste.recipe import parse
    >>> from foretaste.sources.digits import digits
    >>> recipe = parse("{name: a, model: {source: digits}}")
    >>> [str(weights) for weights in read_points("low=0.5,mid=0.5", recipe, digits())]
    ['low=0.5,mid=0.5,high=0']
    """
    if isinstance(points, str | Mapping):
        return [TaskWeights.read(points, problem.names)]
    if points is not None and not isinstance(points, int):
        return [TaskWeights.read(weights, problem.names) for weights in points]
    if points is None:
        return grid(recipe, problem)
    if not 2 <= points <= POINTS:
        raise WeightsError(f"points is {points}; give from 2 to {POINTS}, or weights")
    size = recipe.preview.model_copy(update={"points": points})
    return grid(recipe.model_copy(update={"preview": size}), problem)
