"""How the preview command races previews."""

from collections.abc import Sequence
from typing import Annotated

import typer

from foretaste.errors import RecipeError

__all__ = ["Race", "goal_words"]

Race = Annotated[
    bool,
    typer.Option(
        "--race",
        help=(
            "Evaluate on growing parts of the data, and stop early what is almost certainly not the best for --prefer."
        ),
    ),
]


def goal_words(race: bool, prefer: str | None, floor: Sequence[str] | None) -> list[str]:
    """Return the options of a race as words of a command.

    Raises:
        RecipeError: Options are given without a race.

    >>> goal_words(True, "worst", ["all>=97%"])
    ['--race', '--prefer', 'worst', '--floor', 'all>=97%']
    """
    options = [("--prefer", prefer), *(("--floor", bound) for bound in floor or ())]
    words = [word for name, value in options if value is not None for word in (name, value)]
    if words and not race:
        raise RecipeError(f"{words[0]} only matters in a race; add --race, or leave it out")
    return ["--race", *words] if race else []
