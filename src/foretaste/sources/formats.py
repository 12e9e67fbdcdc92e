"""Columns of language rows: which of a file's columns a task reads."""

from collections.abc import Collection, Mapping, Sequence

from foretaste.errors import DataError
from foretaste.sources.data import Part, check_columns, refuse
from foretaste.sources.kinds import kind_named

__all__ = ["columns_of", "shared_columns"]

_TOOLS = "tools"


def columns_of(kind: str, recipe_columns: Mapping[str, str], there: Collection[str], where: str) -> dict[str, str]:
    """Choose the columns that a task reads: those that the recipe names, or the first usual ones in the file.

    Args:
        kind: Name of the kind of model.
        recipe_columns: The columns that the recipe names, by role.
        there: The file's columns.
        where: The file's path or hub id, for errors.

    Raises:
        DataError: The recipe names no columns, and the file has none of the usual ones.

    >>> columns_of("causal-lm", {}, ["text", "prompt", "completion"], "a.csv")
    {'prompt': 'prompt', 'completion': 'completion'}
    >>> columns_of("causal-lm", {"prompt": "question"}, ["text", "question", "completion"], "a.csv")
    {'prompt': 'question', 'completion': 'completion'}
    """
    formats = kind_named(kind).formats
    names = {role: name for role, name in recipe_columns.items() if role != _TOOLS}
    for roles in formats:
        if set(roles) & set(names) if names else set(roles) <= set(there):
            tools = (_TOOLS,) if _has_tools(kind, roles, recipe_columns, there) else ()
            return {role: recipe_columns.get(role, role) for role in (*roles, *tools)}
    if {"chosen", "rejected"} <= set(there):
        raise DataError(
            f"{where} holds preference rows (a chosen and a rejected answer), which are not supported yet; to learn the"
            " chosen answers alone, name their column, as in 'completion: chosen', or 'messages: chosen' where it"
            " holds whole chats"
        )
    usual = ", or ".join(" and ".join(roles) for roles in formats)
    example = ", ".join(f"{role}: YOUR_COLUMN" for role in formats[-1])
    raise DataError(
        f"{where} has none of the columns {usual}; it has {', '.join(there)}; name yours in the task, as in {example}"
    )


def _has_tools(kind: str, roles: Sequence[str], recipe_columns: Mapping[str, str], there: Collection[str]) -> bool:
    """Tell whether chats come with a column of tools."""
    reads = _TOOLS in kind_named(kind).columns and "messages" in roles
    return reads and (_TOOLS in recipe_columns or _TOOLS in there)


def shared_columns(
    kind: str, recipe_columns: Mapping[str, Mapping[str, str]], parts: Mapping[str, Sequence[Part]]
) -> dict[str, dict[str, str]]:
    """Choose the columns that every task reads; both of a task's files must have them.

    Args:
        kind: Name of the kind of model.
        recipe_columns: By task, the columns that the recipe names, by role.
        parts: By task, the training and the validation rows.

    Raises:
        DataError: Files lack columns; all missing columns are listed.
    """
    columns: dict[str, dict[str, str]] = {}
    faults = []
    for task, (train, validation) in parts.items():
        try:
            columns[task] = columns_of(kind, recipe_columns[task], train.rows.column_names, train.where)
        except DataError as error:
            faults.append((train.field, str(error)))
            continue
        fitting = [roles for roles in kind_named(kind).formats if set(roles) <= set(validation.rows.column_names)]
        both = [roles for roles in fitting if set(roles) <= set(train.rows.column_names)]
        if not recipe_columns[task] and both:
            columns[task] = {role: role for role in both[0]}
            if _has_tools(kind, both[0], {}, [*train.rows.column_names, *validation.rows.column_names]):
                columns[task][_TOOLS] = _TOOLS
        elif not recipe_columns[task] and fitting:
            ours, theirs = (" and ".join(roles) for roles in (columns.pop(task), fitting[0]))
            faults.append(
                (
                    train.field,
                    f"{train.where} has {ours}, and {validation.where} has {theirs}; "
                    "both files of a task need the same columns",
                )
            )
    refuse(faults)
    check_columns((part, list(columns[task].values())) for task, roles in parts.items() for part in roles)
    return columns
