"""Forms of language rows: rows of usual forms become those that a kind of model reads.

ShareGPT rows (``conversations`` of ``from`` and ``value``) become ``messages``, and so do TRL's prompts and completions
that are lists of messages. Alpaca rows (``instruction``, ``input``, ``output``) become a prompt and its completion, by
Alpaca's own template.

References:
    Taori and others: Stanford Alpaca: An Instruction-following LLaMA model, 2023,
    https://github.com/tatsu-lab/stanford_alpaca
    Dataset formats of TRL, https://huggingface.co/docs/trl/dataset_formats
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from foretaste.errors import DataError
from foretaste.one_line import one_line
from foretaste.sources.kinds import kind_named

if TYPE_CHECKING:
    from foretaste.sources.extra import datasets

__all__ = ["StandardRows", "form_name", "standard_rows"]

_ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "assistant": "assistant",
    "function_call": "assistant",
    "system": "system",
    "observation": "tool",
}
_TASK = "Below is an instruction that describes a task"
_REQUEST = "Write a response that appropriately completes the request."
_NAMES = {
    ("messages",): "chats",
    ("messages", "tools"): "chats with tools",
    ("prompt", "completion"): "prompts and completions",
    ("source", "target"): "sources and targets",
    ("text",): "whole texts",
}


@dataclass(frozen=True)
class StandardRows:
    """Rows in a form that a kind of model reads.

    Args:
        rows: The rows.
        columns: The columns that the recipe names, by role, as they are called now.
        form: The name of the form that the rows had; empty if their columns say it.
        converted: Whether they have another form than in the file.
        joined: The file's columns of messages that were joined into one.
    """

    rows: "datasets.Dataset"
    columns: Mapping[str, str]
    form: str = ""
    converted: bool = False
    joined: tuple[str, ...] = ()

    __repr__ = one_line


def form_name(roles: Sequence[str]) -> str:
    """Name the form of rows by the roles of the columns that are read.

    >>> form_name(["messages"])
    'chats'
    """
    return _NAMES.get(tuple(roles), " and ".join(roles))


def standard_rows(kind: str, rows: "datasets.Dataset", recipe_columns: Mapping[str, str], where: str) -> StandardRows:
    """Convert ShareGPT, Alpaca and TRL's rows to a form that this kind of model reads; leave all others as they are.

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
    >>> standard_rows("causal-lm", rows, {}, "a.jsonl").rows["messages"][0]
    [{'role': 'user', 'content': '2 + 2?'}, {'role': 'assistant', 'content': '4'}]
    """
    columns, formats = set(rows.column_names), kind_named(kind).formats
    if ("messages",) in formats and (name := _chat_column(formats, rows, recipe_columns)) is not None:
        target = name if recipe_columns else "messages"
        sharegpt = "from" in rows[0][name][0]
        chats = rows.map(_messages, batched=True, remove_columns=[name], fn_kwargs={"name": name, "target": target})
        return StandardRows(chats, recipe_columns, "ShareGPT chats" if sharegpt else "", converted=True)
    if ("messages",) in formats and (pair := _message_columns(rows, recipe_columns)) is not None:
        chats = rows.map(_joined, batched=True, remove_columns=list(pair), fn_kwargs={"pair": pair})
        return StandardRows(chats, {}, "prompts and completions of messages", converted=True, joined=pair)
    usual = any(set(roles) <= columns for roles in formats)
    if recipe_columns or usual or not {"instruction", "output"} <= columns:
        return StandardRows(rows, recipe_columns)
    if "history" in columns and any(rows["history"]):
        raise DataError(
            f"{where} holds Alpaca rows with a 'history', which are not supported; write them as messages of role and"
            " content"
        )
    targets = next(roles for roles in formats if len(roles) == 2)
    gone = sorted({"instruction", "input", "output", "history"} & columns)
    filled = rows.map(_filled_template, batched=True, remove_columns=gone, fn_kwargs={"targets": targets})
    return StandardRows(filled, recipe_columns, "Alpaca rows", converted=True)


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


def _message_columns(rows: "datasets.Dataset", recipe_columns: Mapping[str, str]) -> tuple[str, str] | None:
    """Find the columns of prompts and completions if they hold lists of messages; None if there are none."""
    others = {"messages", "text"}
    if others & set(recipe_columns) or (not recipe_columns and "messages" in rows.column_names):
        return None
    prompt, completion = (recipe_columns.get(role, role) for role in ("prompt", "completion"))
    if not {prompt, completion} <= set(rows.column_names):
        return None
    first = rows[0]
    return (prompt, completion) if all(_is_chat(first[name]) for name in (prompt, completion)) else None


def _is_chat(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(message, dict) for message in value)


def _joined(batch: Mapping[str, Sequence[object]], pair: tuple[str, str]) -> dict[str, list[object]]:
    """Join prompts and completions; answers in a prompt are not learned."""
    pairs = zip(*(batch[name] for name in pair), strict=True)
    return {"messages": [[*map(_unlearned, _list_of(prompt)), *_list_of(completion)] for prompt, completion in pairs]}


def _list_of(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _unlearned(message: object) -> object:
    return {**message, "weight": 0} if isinstance(message, dict) and message.get("role") == "assistant" else message


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
    content = message.get("value", message.get("content"))
    if sender == "function_call":  # as LLaMA-Factory writes the calls of tools
        return {"role": role, "content": "", "tool_calls": content, **rest}
    return {"role": role, "content": content, **rest}


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
