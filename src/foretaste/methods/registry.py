"""Find methods by name, and check that they can be used."""

from collections.abc import Sequence
from functools import cache
from importlib import import_module

from foretaste.errors import RecipeError
from foretaste.method_table import METHOD_TABLE
from foretaste.methods.method import Method
from foretaste.methods.predictive import without_params
from foretaste.outputs import check_mixable
from foretaste.sources.space import OWN, Space
from foretaste.task import Task

__all__ = ["check_methods", "estimates_curvature", "find_method", "fits", "last_with_params", "require_params"]


@cache
def find_method(name: str) -> Method:
    """Find the method of this name.

    Raises:
        RecipeError: The method's row names a class that is not a `Method`.

    >>> find_method("diagonal")
    Diagonal('diagonal')
    """
    module, _, cls = METHOD_TABLE[name].implementation.partition(":")
    method = getattr(import_module(module), cls)()
    if not isinstance(method, Method):
        raise RecipeError(f"{METHOD_TABLE[name].implementation} is not a foretaste.methods.method.Method")
    return method


def check_methods(methods: Sequence[str], tasks: Sequence[Task], space: Space = OWN) -> None:
    """Check, before any work, that these methods can preview these tasks.

    Args:
        methods: The methods' names.
        tasks: The tasks.
        space: The coordinates in which the tasks' models are merged.

    Raises:
        RecipeError: A method's curvature does not live in these coordinates.
        TaskError: A method mixes predictions, and a task's headline metric does not follow from predictions.

    >>> check_methods(["simple", "predictive"], [])
    """
    for method in methods:
        if not fits(method, space):
            raise RecipeError(
                f"method {method} learns a curvature of the trained params, and models trained by LoRA are merged by"
                " the updates of their weights; take simple, diagonal, kronecker or anchored"
                if METHOD_TABLE[method].coordinates == "trained"
                else f"method {method} is for models trained by LoRA (finetune: {{method: lora}}); take simple"
            )
    if not all(METHOD_TABLE[method].has_params for method in methods):
        check_mixable(tasks)


def fits(method: str, space: Space) -> bool:
    """Tell whether a method can merge in these coordinates.

    Args:
        method: The method's name.
        space: The coordinates.

    >>> fits("lowrank", OWN), fits("factors", OWN)
    (True, False)
    """
    coordinates = METHOD_TABLE[method].coordinates
    return coordinates == "any" or (coordinates == "trained") == (space.name == OWN.name)


def estimates_curvature(methods: Sequence[str], space: Space) -> bool:
    """Tell whether a study estimates curvature: always, but where it would be as large as the weights for no use.

    Args:
        methods: The recipe's methods.
        space: The coordinates in which the tasks' models are merged.

    >>> estimates_curvature(["simple"], OWN)
    True
    """
    return space.name == OWN.name or any(METHOD_TABLE[method].has_curvature for method in methods)


def require_params(method: str) -> None:
    """Check that previews by a method have params.

    Args:
        method: The method's name.

    Raises:
        RecipeError: They have no params.

    >>> require_params("diagonal")
    """
    if not METHOD_TABLE[method].has_params:
        raise without_params(method)


def last_with_params(methods: Sequence[str]) -> str:
    """Find the last method whose previews have params.

    Args:
        methods: The methods' names, at least one.

    Raises:
        RecipeError: No method's previews have params.

    >>> last_with_params(["simple", "diagonal", "predictive"])
    'diagonal'
    """
    names = [name for name in methods if METHOD_TABLE[name].has_params]
    if not names:
        raise without_params(methods[-1])
    return names[-1]
