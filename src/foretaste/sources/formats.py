"""Forms of language rows: which columns a task reads, and rows of other usual forms brought to these.

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


def columns_of(kind: str, named: Mapping[str, str], there: Collection[str], where: str) -> dict[str, str]:
    """Which columns a task reads: those that the recipe names, else the first usual ones that are there.

    Args:
        kind: Name of the kind of model.
        named: By what they are, as the recipe names them.
        there: The file's columns.
        where: The file's place, for errors.

    Raises:
        DataError: None are named, and the usual ones are not there.

    >>> columns_of("causal-lm", {}, ["text", "prompt", "completion"], "a.csv")
    {'prompt': 'prompt', 'completion': 'completion'}
    >>> columns_of("causal-lm", {"prompt": "question"}, ["text", "question", "completion"], "a.csv")
    {'prompt': 'question', 'completion': 'completion'}
    """
    formats = kind_named(kind).formats
    for roles in formats:
        if set(roles) & set(named) if named else set(roles) <= set(there):
            return {role: named.get(role, role) for role in roles}
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
    kind: str, named: Mapping[str, Mapping[str, str]], parts: Mapping[str, Sequence[Part]]
) -> dict[str, dict[str, str]]:
    """Which columns every task reads, which both of its files must have.

    Args:
        kind: Name of the kind of model.
        named: By task, columns by what they are, as the recipe names them.
        parts: By task, its training and its validation rows.

    Raises:
        DataError: Some files lack columns; all of them are listed.
    """
    columns: dict[str, dict[str, str]] = {}
    faults = []
    for task, (train, validation) in parts.items():
        try:
            columns[task] = columns_of(kind, named[task], train.rows.column_names, train.where)
        except DataError as error:
            faults.append((train.field, str(error)))
            continue
        fitting = [roles for roles in kind_named(kind).formats if set(roles) <= set(validation.rows.column_names)]
        both = [roles for roles in fitting if set(roles) <= set(train.rows.column_names)]
        if not named[task] and both:
            columns[task] = {role: role for role in both[0]}
        elif not named[task] and fitting:
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


def standard_rows(kind: str, rows: "datasets.Dataset", named: Mapping[str, str], where: str) -> "datasets.Dataset":
    """Convert ShareGPT and Alpaca rows to a form that this kind of model reads; leave all others as they are.

    Args:
        kind: Name of the kind of model.
        rows: As they were read.
        named: Columns by what they are, as the recipe names them; Alpaca rows of named columns are not converted.
        where: The file's place, for errors.

    Raises:
        DataError: Alpaca rows with a history, which has no place in the template.

    >>> import datasets
    >>> rows = datasets.Dataset.from_list(
    ...     [{"conversations": [{"from": "human", "value": "2 + 2?"}, {"from": "gpt", "value": "4"}]}]
    ... )
    >>> standard_rows("causal-lm", rows, {}, "a.jsonl")["messages"][0]
    [{'role': 'user', 'content': '2 + 2?'}, {'role': 'assistant', 'content': '4'}]
    """
    columns, formats = set(rows.column_names), kind_named(kind).formats
    if ("messages",) in formats and (name := _chat_column(formats, rows, named)) is not None:
        target = name if named else "messages"
        return rows.map(_messages, batched=True, remove_columns=[name], fn_kwargs={"name": name, "target": target})
    usual = any(set(roles) <= columns for roles in formats)
    if named or usual or not {"instruction", "output"} <= columns:
        return rows
    if "history" in columns and any(rows["history"]):
        raise DataError(
            f"{where} holds Alpaca rows with a 'history', which are not supported; write them as messages of role and"
            " content"
        )
    targets = next(roles for roles in formats if len(roles) == 2)
    gone = sorted({"instruction", "input", "output", "history"} & columns)
    return rows.map(_filled_template, batched=True, remove_columns=gone, fn_kwargs={"targets": targets})


def _chat_column(formats: Sequence[tuple[str, ...]], rows: "datasets.Dataset", named: Mapping[str, str]) -> str | None:
    """Find the column of chats with ``from`` and ``value``, or named ``conversations``; None if there is none."""
    usual = any(set(roles) <= set(rows.column_names) for roles in formats)
    name = named.get("messages") if named else None if usual else "conversations"
    if name not in rows.column_names:
        return None
    first = rows[0][name]
    if not isinstance(first, list) or not first or not isinstance(first[0], dict):
        return None
    return name if {"from", "value"} <= set(first[0]) or not named else None


def _messages(batch: Mapping[str, Sequence[object]], name: str, target: str) -> dict[str, list[object]]:
    """Chats as messages of role and content; a ``system`` column comes first."""
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
    """The prompt of one row; a row without an instruction has none, and is named where its texts are read."""
    if not isinstance(instruction, str):
        return None
    if not isinstance(more, str) or not more.strip():
        return f"{_TASK}. {_REQUEST}\n\n### Instruction:\n{instruction}\n\n### Response:\n"
    context = f"{_TASK}, paired with an input that provides further context. {_REQUEST}"
    return f"{context}\n\n### Instruction:\n{instruction}\n\n### Input:\n{more}\n\n### Response:\n"
