"""The engine that a recipe or an option asks for."""

from foretaste.engines.engine import Engine
from foretaste.engines.here import Here
from foretaste.engines.pool import Pool
from foretaste.plan import Recipe

__all__ = ["engine_for"]


def engine_for(recipe: Recipe, workers: int | None = None) -> Engine:
    """The engine for a number of workers.

    Args:
        recipe: Says how many, under ``resources``.
        workers: How many instead; the recipe's if left out.

    >>> from foretaste.recipe import parse
    >>> recipe = parse("{name: a, model: {source: digits}, resources: {workers: 2}}")
    >>> engine_for(recipe), engine_for(recipe, 1)
    (Pool(2), Here())
    """
    count = recipe.resources.workers if workers is None else workers
    return Here() if count == 1 else Pool(count)
