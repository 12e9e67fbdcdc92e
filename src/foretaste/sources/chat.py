"""Chats: messages written by a tokenizer's chat template, with the assistant's answers marked."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from foretaste.errors import DataError
from foretaste.sources.extra import transformers
from foretaste.sources.messages import Message
from foretaste.sources.tokens import Segment

__all__ = ["chat_template", "mark_answers", "reads_tools", "segments", "suit_template"]

_ROLES = {"developer": "system"}
_MARK = re.compile(r"{%-?\s*generation\s*-?%}")
_TOOLS = re.compile(r"\btools\b")

Messages = Sequence[Message]
Tools = Sequence[Mapping[str, Any]] | None


def chat_template(tokenizer: "transformers.PreTrainedTokenizerBase") -> str:
    """Return a tokenizer's chat template.

    Raises:
        DataError: The tokenizer has no chat template.

    >>> from tokenizers import Tokenizer
    >>> from tokenizers.models import WordLevel
    >>> made = transformers.PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"a": 0}, unk_token="a")))
    >>> chat_template(made)
    Traceback (most recent call last):
    ...
    foretaste.errors.DataError: the tokenizer has no chat template; put one ...
    """
    try:
        template = tokenizer.get_chat_template()
    except ValueError as error:
        raise DataError(
            "the tokenizer has no chat template; put one in the checkpoint's chat_template.jinja, or give the data "
            "as columns 'prompt' and 'completion'"
        ) from error
    assert isinstance(template, str)
    return template


def reads_tools(template: str) -> bool:
    """Tell whether a chat template writes the tools that it is given.

    >>> reads_tools("{% if tools %}{{ tools | tojson }}{% endif %}"), reads_tools("{{ messages[0].content }}")
    (True, False)
    """
    return bool(_TOOLS.search(template))


def suit_template(
    tokenizer: "transformers.PreTrainedTokenizerBase", messages: Messages, tools: Tools = None
) -> tuple[Messages, bool]:
    """Write messages as a chat template reads them.

    Where the template does not know the role ``developer``, its messages become those of ``system``. Where it does not
    take the arguments of a tool's call as a mapping, they become JSON.

    Args:
        tokenizer: A tokenizer with a chat template.
        messages: Messages from `messages_of`.
        tools: Tools from `tools_of`.

    Returns:
        The messages, and whether those of the developer have become the system's.

    Raises:
        DataError: The template refuses the messages, or leaves calls of tools out.
    """
    by_developer = [message["content"].strip() for message in messages if message["role"] == "developer"]
    functions = [call["function"]["name"] for message in messages for call in message.get("tool_calls", ())]
    if not by_developer and not functions:
        return messages, False
    refusal: DataError | None = None
    for variant, moved in _variants(messages):
        try:
            text = _rendered(tokenizer, variant, tools, ask=False)
        except DataError as error:
            refusal = refusal or error
            continue
        if not all(name in text for name in functions):
            refusal = refusal or DataError(
                "has tool_calls, which the chat template leaves out; use a template that writes them, or write the"
                " calls into the messages' content"
            )
        elif all(content in text for content in by_developer):
            return variant, moved
    raise refusal or DataError(
        "has a message of the role 'developer', which the chat template leaves out, and 'system' too; make it part of"
        " the user's message"
    )


def _variants(messages: Messages) -> Iterator[tuple[Messages, bool]]:
    """Yield the messages in the ways that templates may read them, the usual ones first."""
    for as_json in (False, True):
        written = [_with_json(message) for message in messages] if as_json else list(messages)
        yield written, False
        yield (
            [{**message, "role": "system"} if message["role"] == "developer" else message for message in written],
            True,
        )


def _with_json(message: Message) -> Message:
    if "tool_calls" not in message:
        return message
    calls = []
    for call in message["tool_calls"]:
        function, arguments = call["function"], call["function"]["arguments"]
        text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        calls.append({**call, "function": {**function, "arguments": text}})
    return {**message, "tool_calls": calls}


def mark_answers(
    tokenizer: "transformers.PreTrainedTokenizerBase",
    messages: Messages,
    learned: Sequence[bool] | None = None,
    tools: Tools = None,
) -> tuple[list[int], list[bool]] | None:
    """Return a chat's ids and which are learned, or None if the template does not mark answers (``{% generation %}``).

    Args:
        tokenizer: A tokenizer with a chat template.
        messages: Messages from `messages_of`.
        learned: Flags from `learned_messages`; every answer is learned if left out.
        tools: Tools from `tools_of`.

    Raises:
        DataError: The template refuses the messages, or does not mark every answer where only some are learned.
    """
    if not _MARK.search(chat_template(tokenizer)):
        return None
    try:
        encoded = tokenizer.apply_chat_template(
            list(messages), tools, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
        )
    except Exception as error:
        raise _refusal(error) from error
    mask = [bool(mark) for mark in encoded["assistant_masks"]]
    answers = [
        counts for counts, mark in zip(learned or [True] * len(messages), messages, strict=True) if _answers(mark)
    ]
    return list(encoded["input_ids"]), _less_unlearned(mask, answers)


def _answers(message: Message) -> bool:
    return bool(message["role"] == "assistant")


def _less_unlearned(mask: list[bool], learned: Sequence[bool]) -> list[bool]:
    """Remove the answers that are not learned from the mask of all answers; each answer is one run of the mask."""
    if all(learned):
        return mask
    starts = [place for place, inside in enumerate(mask) if inside and (place == 0 or not mask[place - 1])]
    if len(starts) != len(learned):
        raise DataError(
            f"has {len(learned)} messages of the assistant, of which the chat template marks {len(starts)} apart, so"
            " that those of weight 0 cannot be told from the others; end every answer in the template outside of {%"
            " generation %}"
        )
    answer = [sum(start <= place for start in starts) - 1 for place in range(len(mask))]
    return [inside and learned[which] for inside, which in zip(mask, answer, strict=True)]


def segments(
    tokenizer: "transformers.PreTrainedTokenizerBase",
    messages: Messages,
    learned: Sequence[bool] | None = None,
    tools: Tools = None,
) -> list[Segment]:
    """Split a chat into texts up to its last answer, each with whether it is learned.

    An answer begins after the template's generation prompt, and ends with the text that the template writes after it.

    Args:
        tokenizer: A tokenizer with a chat template.
        messages: Messages from `messages_of`.
        learned: Flags from `learned_messages`; every answer is learned if left out.
        tools: Tools from `tools_of`.

    Raises:
        DataError: The template refuses the messages. Or it writes the first of them, with its generation prompt, in
            another way than within the whole chat.
    """
    whole, done = _rendered(tokenizer, messages, tools, ask=False), 0
    parts: list[Segment] = []
    for place, message in enumerate(messages):
        if not _answers(message):
            continue
        before = _rendered(tokenizer, messages[:place], tools, ask=True)
        after = _rendered(tokenizer, messages[: place + 1], tools, ask=False)
        if not (whole.startswith(before) and whole.startswith(after) and done <= len(before) < len(after)):
            raise DataError(
                "does not suit the chat template: what it writes up to an answer is not how the whole chat begins; "
                "mark the answers in the template with {% generation %}, or give columns 'prompt' and 'completion'"
            )
        parts += [
            (whole[done : len(before)], False),
            (whole[len(before) : len(after)], learned is None or learned[place]),
        ]
        done = len(after)
    return parts


def _rendered(tokenizer: "transformers.PreTrainedTokenizerBase", messages: Messages, tools: Tools, *, ask: bool) -> str:
    try:
        text = tokenizer.apply_chat_template(list(messages), tools, tokenize=False, add_generation_prompt=ask)
    except Exception as error:
        raise _refusal(error) from error
    assert isinstance(text, str)
    return text


def _refusal(error: Exception) -> DataError:
    return DataError(f"is refused by the chat template: {error}")
