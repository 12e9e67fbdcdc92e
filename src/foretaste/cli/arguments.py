"""What a user typed: variables, pairs of a name and a value, and commands to paste."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from foretaste.errors import RecipeError

__all__ = ["again", "pairs", "use_one_thread", "variables"]


def use_one_thread() -> None:
    """Compute on one thread unless the user chose a number: on arrays this small, threads only wait for each other.

    numpy and torch read the number when they are imported, so call this first.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def again(
    command: Sequence[str], study: Path | None, var: Sequence[str] | None, weights: Sequence[str] | None = None
) -> str:
    """Return a command with the options that it needs here, ready to paste."""
    options = [("--study", str(study))] if study else []
    options += [("--var", pair) for pair in var or ()] + [("--weights", text) for text in weights or ()]
    return shlex.join(["foretaste", *command, *(word for option in options for word in option)])


def variables(words: Sequence[str] | None) -> dict[str, str]:
    """Read the values of a recipe's variables."""
    return pairs(words, "--var", "NAME=VALUE", "data=/path/to/data")


def pairs(words: Sequence[str] | None, option: str, form: str, example: str) -> dict[str, str]:
    """Read a repeatable option that has a name and a value.

    Args:
        words: As typed.
        option: Its name, for errors.
        form: How a value looks, for errors.
        example: A good value, for errors.

    Raises:
        RecipeError: A part is missing, or a name is given twice.

    >>> pairs(["a=1"], "--var", "NAME=VALUE", "x=y")
    {'a': '1'}
    """
    values: dict[str, str] = {}
    for pair in words or ():
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise RecipeError(f"{option} {pair!r} is not {form}; write for example {option} {example}")
        if name in values and option != "--var":
            raise RecipeError(f"{option} names {name!r} twice; give each once")
        values[name] = value
    return values
