"""What the preview command does where previews are raced."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from foretaste.errors import RecipeError
from foretaste.lazy import lazy

if TYPE_CHECKING:
    from foretaste.surface import preference
    from foretaste.surface import race as races
    from foretaste.weights import TaskWeights
    from foretaste.workflow import fit as fitting
    from foretaste.workflow import race as racing
    from foretaste.workflow.session import Session
else:
    fitting, racing = lazy("foretaste.workflow.fit"), lazy("foretaste.workflow.race")

__all__ = ["Race", "goal_words", "raced"]

Race = Annotated[
    bool,
    typer.Option("--race", help="Evaluate on a growing part of the data, and stop previews that are surely not the best for --prefer."),
]


def goal_words(race: bool, prefer: str | None, floor: Sequence[str] | None) -> list[str]:
    """The options of a race as words of a command.

    Raises:
        RecipeError: They are given, and nothing is raced.

    >>> goal_words(True, "worst", ["all>=97%"])
    ['--race', '--prefer', 'worst', '--floor', 'all>=97%']
    """
    said = [("--prefer", prefer), *(("--floor", each) for each in floor or ())]
    words = [word for name, value in said if value is not None for word in (name, value)]
    if words and not race:
        raise RecipeError(f"{words[0]} says what a race is about; add --race, or leave it out")
    return ["--race", *words] if race else []


def raced(
    work: "Session",
    methods: Sequence[str],
    points: "Sequence[TaskWeights]",
    wanted: "preference.Preference",
    floors: "Sequence[preference.Floor]",
) -> "list[races.Raced]":
    """Every method's race, for a preference and floors."""
    fitting.fit(work)
    return [racing.race(work, method, points, wanted, floors) for method in methods]
