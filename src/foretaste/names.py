"""Names of tasks: one rule for recipes, imports and Python."""

from foretaste.errors import TaskError

__all__ = ["check_name"]

_LONGEST = 64
_FORBIDDEN = set(",=/\\.<>+;:*?|\"'`$!&")
_RESERVED = ("all", "uniform", "mean", "worst", "knee", "front", "joint", "base", "(base)")
_ADVICE = "use letters, digits, - and _"


def check_name(name: str) -> None:
    """Check a task's name: it stands in weights, preferences, floors, file names, names of tensors and tables.

    Args:
        name: Of at most 64 printable characters without white space, and no word that means something else in weights or floors.

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
        raise TaskError(f"the task name {name[:20]!a}... has {len(name)} characters, more than {_LONGEST}; choose a shorter one")
    wrong = next((each for each in name if each in _FORBIDDEN or each.isspace() or not each.isprintable()), None)
    if wrong is not None:
        raise TaskError(f"the task name {name!a} has {wrong!a}; {_ADVICE}")
    if name.startswith("-"):
        raise TaskError(f"the task name {name!r} begins with '-', as options do; {_ADVICE}")
    if name in _RESERVED:
        raise TaskError(f"the task name {name!r} means something else in weights, preferences, floors or commands; choose another")
