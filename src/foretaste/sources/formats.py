"""Forms of language rows: which columns a task reads, and how rows of other usual forms are converted.

ShareGPT rows (``conversations`` of ``from`` and ``value``) become ``messages``. Alpaca rows (``instruction``,
``input``, ``output``) become a prompt and its completion, by Alpaca's own template.

References:
    Taori and others: Stanford Alpaca: An Instruction-following LLaMA model, 2023,
    https://github.com/tatsu-lab/stanford_alpaca
"""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from foretaste.errors import DataError
from foretaste.sources.data import Part, check_columns, refuse
from foretaste.sources.kinds import kind_named

if TYPE_CHECKING:
    from foretaste.sources.extra import datasets

__all__ = ["columns_of", "shared_columns", "standard_rows"]

_ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "assistant": "assistant",
    "system": "system",
}
_TASK = "Below is an instruction that describes a task"
_REQUEST = "Write a response that appropriately completes the request."


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
    for roles in formats:
        if set(roles) & set(recipe_columns) if recipe_columns else set(roles) <= set(there):
            return {role: recipe_columns.get(role, role) for role in roles}
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


def standard_rows(
    kind: str, rows: "datasets.Dataset", recipe_columns: Mapping[str, str], where: str
) -> "datasets.Dataset":
    """Convert ShareGPT and Alpaca rows to a form that this kind of model reads; leave all others as they are.

    Args:
        kind: Name of the kind of model.
        rows: The rows of a file.
        recipe_columns: The columns that the recipe names, by role; with any, Alpaca rows are not converted.
        where: The file's path or hub id, for errors.

    Raises:
        DataError: Alpaca rows have a history, for which the template has no place.

    >>> import datasets
    >>> rows = datasets.Dataset.from_list(
    ...     [{"conversations": [{"from": "human", "value": "2 + 2?"}, {"from": "gpt", "value": "4"}]}]
    ... )
    >>> standard_rows("causal-lm", rows, {}, "a.jsonl")["messages"][0]
    [{'role': 'user', 'content': '2 + 2?'}, {'role': 'assistant', 'content': '4'}]
    """
    columns, formats = set(rows.column_names), kind_named(kind).formats
    if ("messages",) in formats and (name := _chat_column(formats, rows, recipe_columns)) is not None:
        target = name if recipe_columns else "messages"
        return rows.map(_messages, batched=True, remove_columns=[name], fn_kwargs={"name": name, "target": target})
    usual = any(set(roles) <= columns for roles in formats)
    if recipe_columns or usual or not {"instruction", "output"} <= columns:
        return rows
    if "history" in columns and any(rows["history"]):
        raise DataError(
            f"{where} holds Alpaca rows with a 'history', which are not supported; write them as messages of role and"
            " content"
        )
    targets = next(roles for roles in formats if len(roles) == 2)
    gone = sorted({"instruction", "input", "output", "history"} & columns)
    return rows.map(_filled_template, batched=True, remove_columns=gone, fn_kwargs={"targets": targets})


def _chat_column(
    formats: Sequence[tuple[str, ...]], rows: "datasets.Dataset", recipe_columns: Mapping[str, str]
) -> str | None:
    """Find the column of chats with ``from`` and ``value``, or called ``conversations``; None if there is none."""
    usual = any(set(roles) <= set(rows.column_names) for roles in formats)
    name = recipe_columns.get("messages") if recipe_columns else None if usual else "conversations"
    if name not in rows.column_names:
        return None
    first = rows[0][name]
    if not isinstance(first, list) or not first or not isinstance(first[0], dict):
        return None
    return name if {"from", "value"} <= set(first[0]) or not recipe_columns else None


def _messages(batch: Mapping[str, Sequence[object]], name: str, target: str) -> dict[str, list[object]]:
    """Convert chats to messages of role and content; a ``system`` column comes first."""
    systems = batch.get("system") or [None] * len(batch[name])
    return {target: [_chat(chat, system) for chat, system in zip(batch[name], systems, strict=True)]}


def _chat(chat: object, system: object) -> object:
    if not isinstance(chat, list):
        return chat
    start = [{"role": "system", "content": system}] if isinstance(system, str) and system.strip() else []
    return start + [_message(message) if isinstance(message, dict) else message for message in chat]


def _message(message: Mapping[str, object]) -> dict[str, object]:
    sender = message.get("from", message.get("role"))
    role = _ROLES.get(sender, sender) if isinstance(sender, str) else sender
    rest = {key: value for key, value in message.items() if key not in ("from", "value", "role", "content")}
    return {"role": role, "content": message.get("value", message.get("content")), **rest}


def _filled_template(batch: Mapping[str, Sequence[object]], targets: tuple[str, ...]) -> dict[str, list[object]]:
    inputs = batch.get("input") or [None] * len(batch["instruction"])
    prompts = [_prompt(*pair) for pair in zip(batch["instruction"], inputs, strict=True)]
    return {targets[0]: prompts, targets[1]: list(batch["output"])}


def _prompt(instruction: object, more: object) -> object:
    """Write the prompt of one row; None without an instruction, which is an error where texts are read."""
    if not isinstance(instruction, str):
        return None
    if not isinstance(more, str) or not more.strip():
        return f"{_TASK}. {_REQUEST}\n\n### Instruction:\n{instruction}\n\n### Response:\n"
    context = f"{_TASK}, paired with an input that provides further context. {_REQUEST}"
    return f"{context}\n\n### Instruction:\n{instruction}\n\n### Input:\n{more}\n\n### Response:\n"
