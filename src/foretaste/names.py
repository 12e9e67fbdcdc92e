"""Names: the rule for those of tasks, and how many of a list a sentence has."""

from collections.abc import Iterable, Sequence

from foretaste.errors import TaskError

__all__ = ["check_name", "first_faults", "first_few"]

_LONGEST = 64
_FORBIDDEN = set(",=/\\.<>+;:*?|\"'`$!&")
_RESERVED = ("all", "uniform", "mean", "worst", "knee", "front", "joint", "base", "(base)")
_ADVICE = "use letters, digits, - and _"


def check_name(name: str) -> None:
    """Check a task's name: it stands in weights, preferences, floors, file names, names of tensors and tables.

    Args:
        name: Of at most 64 printable characters without white space, and no word that means something else in weights
            or floors.

    Raises:
        TaskError: It cannot be used; the message says why, with the name as plain text.

    >>> check_name("news-2")
    >>> check_name("news=old")
    Traceback (most recent call last):
    ...
    foretaste.errors.TaskError: the task name 'news=old' has '='; use letters, digits, - and _
    """
    if not name:
        raise TaskError(f"a task has an empty name; {_ADVICE}")
    if len(name) > _LONGEST:
        raise TaskError(
            f"the task name {name[:20]!a}... has {len(name)} characters, more than {_LONGEST}; choose a shorter one"
        )
    wrong = next(
        (
            character
            for character in name
            if character in _FORBIDDEN or character.isspace() or not character.isprintable()
        ),
        None,
    )
    if wrong is not None:
        raise TaskError(f"the task name {name!a} has {wrong!a}; {_ADVICE}")
    if name.startswith("-"):
        raise TaskError(f"the task name {name!r} begins with '-', as options do; {_ADVICE}")
    if name in _RESERVED:
        raise TaskError(
            f"the task name {name!r} means something else in weights, preferences, floors or commands; choose another"
        )


def first_few(items: Iterable[str], most: int = 6, *, separator: str = ", ", kind: str = "") -> str:
    """List the first items, and count the others.

    Args:
        items: Names, or faults.
        most: How many are listed.
        separator: Stands between items.
        kind: What the others are called after "and N more".

    >>> first_few(["a", "b", "c"], 2)
    'a, b and 1 more'
    >>> first_few(["a is missing", "b is missing"], separator="; ")
    'a is missing; b is missing'
    """
    items = list(items)
    more = f" and {len(items) - most} more{kind and ' ' + kind}" if len(items) > most else ""
    return separator.join(items[:most]) + more


def first_faults(faults: Sequence[str], most: int) -> list[str]:
    """Return the first faults, and a last one that counts the others.

    Args:
        faults: Sentences that are alike.
        most: How many are kept.

    >>> first_faults(["a is missing", "b is missing", "c is missing"], 1)
    ['a is missing', 'and 2 more like it']
    """
    return [*faults[:most], f"and {len(faults) - most} more like it"] if len(faults) > most else list(faults)
