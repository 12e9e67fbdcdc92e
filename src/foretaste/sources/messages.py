"""Messages of chats: roles, texts and calls of tools, checked and put into one form."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from foretaste.errors import DataError

__all__ = ["ROLES", "Message", "learned_messages", "messages_of", "tools_of"]

ROLES = ("system", "developer", "user", "assistant", "tool")

Message = Mapping[str, Any]

_OF_TOOLS = ("name", "tool_call_id")


def messages_of(value: object) -> list[Message]:
    """Check a row's messages and return them: roles and texts, with at least one answer and a message before it.

    A message of the assistant may have ``tool_calls`` in place of a text. Arguments of calls become mappings if they
    are JSON.

    Raises:
        DataError: The messages are wrong; the caller puts "row 3 of FILE" in front of the message.

    >>> messages_of([{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}])[-1]["content"]
    '4'
    >>> messages_of([{"role": "robot", "content": "4"}])
    Traceback (most recent call last):
    ...
    foretaste.errors.DataError: has a message of the role 'robot'; roles are system, developer, user, assistant, tool
    """
    if not isinstance(value, list) or not all(isinstance(message, dict) for message in value):
        raise DataError(f"has {type(value).__name__} where a list of messages, each with role and content, is expected")
    messages = [_checked(message) for message in value]
    if messages and messages[0]["role"] == "assistant":
        raise DataError(
            "begins with a message of the assistant, which has nothing to answer yet; put one of user or system"
            " before it"
        )
    if not any(message["role"] == "assistant" for message in messages):
        raise DataError("has no message of the assistant, so nothing to learn; add one or remove the row")
    return messages


def _checked(message: Mapping[str, Any]) -> Message:
    role, content = message.get("role"), _text_of(message.get("content"))
    if role not in ROLES:
        raise DataError(f"has a message of the role {role!r}; roles are {', '.join(ROLES)}")
    calls = _calls_of(message["tool_calls"]) if message.get("tool_calls") else []
    if calls and role != "assistant":
        raise DataError(f"has a message of {role} with tool_calls; only the assistant calls tools")
    if calls:
        return {"role": role, "content": content if isinstance(content, str) else "", "tool_calls": calls}
    if not isinstance(content, str) or (role == "assistant" and not content.strip()):
        raise DataError(f"has a message of {role} without text in 'content'; fill or remove it")
    more = {key: message[key] for key in _OF_TOOLS if role == "tool" and message.get(key) is not None}
    return {"role": role, "content": content, **more}


def _text_of(content: object) -> object:
    """Join the text of a message whose content is a list of parts; return any other content as it is.

    Raises:
        DataError: A part is not a text.
    """
    if not isinstance(content, list):
        return content
    texts = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else type(part).__name__
        if not isinstance(part, dict) or kind != "text" or not isinstance(part.get("text"), str):
            raise DataError(
                f"has a message with a part of the type {kind!r} in its content; only parts of the type 'text' can be"
                " read"
            )
        texts.append(part["text"])
    return "".join(texts)


def _calls_of(value: object) -> list[Message]:
    """Put calls into the form that chat templates read: a function with its name and its arguments as a mapping."""
    calls: list[Message] = []
    read = _read_json(value)
    for call in read if isinstance(read, list) else [read]:
        function = call.get("function") or call if isinstance(call, dict) else None
        if not isinstance(call, dict) or not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise DataError(
                "has tool_calls that name no function; write each as {type: function, function: {name, arguments}}"
            )
        arguments = _without_gaps(_read_json(function.get("arguments")))
        identity = {"id": call["id"]} if call.get("id") is not None else {}
        calls.append(
            {
                **identity,
                "type": "function",
                "function": {"name": function["name"], "arguments": {} if arguments is None else arguments},
            }
        )
    return calls


def _read_json(value: object) -> object:
    """Read a text that is a JSON object or list; return any other value as it is."""
    if not isinstance(value, str):
        return value
    try:
        read = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return read if isinstance(read, dict | list) else value


def _without_gaps(value: object) -> object:
    """Remove the empty fields of mappings, which Arrow adds wherever other rows have such a field."""
    if isinstance(value, dict):
        return {key: _without_gaps(field) for key, field in value.items() if field is not None}
    return [_without_gaps(part) for part in value] if isinstance(value, list) else value


def tools_of(value: object) -> list[dict[str, Any]] | None:
    """Check a row's tools and return them, or None if there are none.

    Args:
        value: A list of tools, as JSON schemas of functions, or the JSON text of one.

    Raises:
        DataError: It is something else.

    >>> tools_of('[{"type": "function", "function": {"name": "add"}}]')
    [{'type': 'function', 'function': {'name': 'add'}}]
    >>> tools_of("add")
    Traceback (most recent call last):
    ...
    foretaste.errors.DataError: has tools that are not a list of JSON schemas of functions; write them as such a list
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    tools = _without_gaps(_read_json(value))
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise DataError("has tools that are not a list of JSON schemas of functions; write them as such a list")
    return tools or None


def learned_messages(value: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Tell for each message whether the model is to learn it: the assistant's are, except those of ``weight: 0``.

    Args:
        value: A row's messages, which `messages_of` has checked.

    Raises:
        DataError: A weight is neither 0 nor 1, or there is no message to learn.

    >>> question, answer = {"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}
    >>> learned_messages([question, {**answer, "weight": 0}, question, answer])
    [False, False, False, True]
    """
    learned = []
    for message in value:
        weight = message.get("weight")
        if weight not in (None, 0, 1):
            raise DataError(f"has a message of the weight {weight!r}; weights are 0 (not learned) and 1")
        learned.append(message["role"] == "assistant" and weight != 0)
    if not any(learned):
        raise DataError("has the weight 0 at every message of the assistant, so nothing to learn; remove the row")
    return learned
