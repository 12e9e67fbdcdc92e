"""Preferences and floors, as commands and notebooks give them."""

from collections.abc import Mapping, Sequence

from foretaste.plan import Recommend
from foretaste.surface.preference import Floor, Preference

__all__ = ["Floors", "Prefer", "goal_texts", "read_floors", "read_goal", "read_preference"]

Prefer = str | Mapping[str, float] | Preference
Floors = str | Sequence[str | Floor]


def read_goal(
    prefer: Prefer | None,
    floors: Floors | None,
    own: Recommend,
    tasks: Sequence[str],
    criteria: Sequence[str] = (),
) -> tuple[Preference, list[Floor]]:
    """Read a preference and floors; what is left out is the recipe's.

    Args:
        prefer: Text such as ``worst`` or ``movies=2,news=1``, numbers by task, or a preference.
        floors: Texts such as ``news>=0.85`` or ``all>=97%``, or floors.
        own: The recipe's preference and floors.
        tasks: Names of the tasks.
        criteria: Other metrics that may be named, as in ``code:pass@10>=0.4``; see `foretaste.surface.criteria`.

    Raises:
        WeightsError: The preference or a floor cannot be read.

    >>> preference, floors = read_goal(None, "a>=0.8", Recommend(), ["a", "b"])
    >>> preference.kind, [str(floor) for floor in floors]
    ('mean', ['a>=0.8'])
    """
    return (
        read_preference(own.prefer if prefer is None else prefer, tasks, criteria),
        read_floors(own.floors if floors is None else floors, [*tasks, *criteria]),
    )


def goal_texts(prefer: Prefer, floors: Floors) -> list[str]:
    """Write a preference and floors as a user types them, whatever they were given as.

    >>> goal_texts({"a": 2, "b": 1}, ["all>=97%", Floor("a", 0.5, relative=False)])
    ['a=2,b=1', 'all>=97%', 'a>=0.5']
    """
    texts = [floors] if isinstance(floors, str) else floors
    bounds = [bound if isinstance(bound, str) else f"{bound.task}>={bound.bound}" for bound in texts]
    return [_preference_text(prefer), *bounds]


def _preference_text(prefer: Prefer) -> str:
    if isinstance(prefer, str):
        return prefer
    pairs = prefer.importance if isinstance(prefer, Preference) else prefer
    return ",".join(f"{name}={number}" for name, number in pairs.items())


def read_preference(prefer: Prefer, tasks: Sequence[str], criteria: Sequence[str] = ()) -> Preference:
    """Read a preference: text, numbers by task, or a preference itself.

    Raises:
        WeightsError: The preference cannot be read.

    >>> read_preference({"a": 2, "b": 2}, ["a", "b"]).importance
    {'a': 0.5, 'b': 0.5}
    """
    if isinstance(prefer, Preference):
        return prefer
    return Preference.parse(_preference_text(prefer), tasks, criteria)


def read_floors(floors: Floors, tasks: Sequence[str]) -> list[Floor]:
    """Read floors: one text, or several texts or floors.

    Raises:
        WeightsError: A floor cannot be read.

    >>> read_floors(["all>=97%"], ["a", "b"])
    [Floor(task='all', bound=0.97, relative=True)]
    """
    texts = [floors] if isinstance(floors, str) else floors
    return [floor if isinstance(floor, Floor) else Floor.parse(floor, tasks) for floor in texts]
