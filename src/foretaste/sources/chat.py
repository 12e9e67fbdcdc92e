"""Chats: messages written by a tokenizer's chat template, with the assistant's answers marked."""

import re
from collections.abc import Mapping, Sequence

from foretaste.errors import DataError
from foretaste.sources.extra import transformers
from foretaste.sources.tokens import Segment

__all__ = ["chat_template", "learned_messages", "mark_answers", "messages_of", "segments"]

_ROLES = ("system", "user", "assistant")
_MARK = re.compile(r"{%-?\s*generation\s*-?%}")

Messages = Sequence[Mapping[str, str]]


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


def messages_of(value: object) -> Messages:
    """Check a row's messages and return them: roles and texts, with at least one answer and a message before it.

    Raises:
        DataError: The messages are wrong; the caller puts "row 3 of FILE" in front of the message.

    >>> messages_of([{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}])[-1]["content"]
    '4'
    >>> messages_of([{"role": "robot", "content": "4"}])
    Traceback (most recent call last):
    ...
    foretaste.errors.DataError: has a message of the role 'robot'; roles are system, user, assistant
    """
    if not isinstance(value, list) or not all(isinstance(message, dict) for message in value):
        raise DataError(f"has {type(value).__name__} where a list of messages, each with role and content, is expected")
    messages = []
    for message in value:
        role, content = message.get("role"), _text_of(message.get("content"))
        if role not in _ROLES:
            raise DataError(f"has a message of the role {role!r}; roles are {', '.join(_ROLES)}")
        if message.get("tool_calls"):
            raise DataError("has a message with tool_calls, which are not supported; write the call into its content")
        if not isinstance(content, str) or (role == "assistant" and not content.strip()):
            raise DataError(f"has a message of {role} without text in 'content'; fill or remove it")
        messages.append({"role": role, "content": content})
    if messages and messages[0]["role"] == "assistant":
        raise DataError(
            "begins with a message of the assistant, which has nothing to answer yet; put one of user or system"
            " before it"
        )
    if not any(message["role"] == "assistant" for message in messages):
        raise DataError("has no message of the assistant, so nothing to learn; add one or remove the row")
    return messages


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


def learned_messages(value: object) -> list[bool]:
    """Tell for each message whether the model is to learn it: the assistant's are, except those of ``weight: 0``.

    Args:
        value: A row's messages, which `messages_of` has checked.

    Raises:
        DataError: A weight is neither 0 nor 1, or there is no message to learn.

    >>> question, answer = {"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}
    >>> learned_messages([question, {**answer, "weight": 0}, question, answer])
    [False, False, False, True]
    """
    assert isinstance(value, list)
    learned = []
    for message in value:
        weight = message.get("weight")
        if weight not in (None, 0, 1):
            raise DataError(f"has a message of the weight {weight!r}; weights are 0 (not learned) and 1")
        learned.append(message["role"] == "assistant" and weight != 0)
    if not any(learned):
        raise DataError("has the weight 0 at every message of the assistant, so nothing to learn; remove the row")
    return learned


def mark_answers(
    tokenizer: "transformers.PreTrainedTokenizerBase", messages: Messages, learned: Sequence[bool] | None = None
) -> tuple[list[int], list[bool]] | None:
    """Return a chat's ids and which are learned, or None if the template does not mark answers (``{% generation %}``).

    Args:
        tokenizer: A tokenizer with a chat template.
        messages: Messages from `messages_of`.
        learned: Flags from `learned_messages`; every answer is learned if left out.

    Raises:
        DataError: The template refuses the messages, or does not mark every answer where only some are learned.
    """
    if not _MARK.search(chat_template(tokenizer)):
        return None
    try:
        encoded = tokenizer.apply_chat_template(
            messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
        )
    except Exception as error:
        raise _refusal(error) from error
    mask = [bool(mark) for mark in encoded["assistant_masks"]]
    answers = [
        counts for counts, mark in zip(learned or [True] * len(messages), messages, strict=True) if _answers(mark)
    ]
    return list(encoded["input_ids"]), _less_unlearned(mask, answers)


def _answers(message: Mapping[str, str]) -> bool:
    return message["role"] == "assistant"


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
    tokenizer: "transformers.PreTrainedTokenizerBase", messages: Messages, learned: Sequence[bool] | None = None
) -> list[Segment]:
    """Split a chat into texts up to its last answer, each with whether it is learned.

    An answer begins after the template's generation prompt, and ends with the text that the template writes after it.

    Args:
        tokenizer: A tokenizer with a chat template.
        messages: Messages from `messages_of`.
        learned: Flags from `learned_messages`; every answer is learned if left out.

    Raises:
        DataError: The template refuses the messages. Or it writes the first of them, with its generation prompt, in
            another way than within the whole chat.
    """
    whole, done = _rendered(tokenizer, messages, ask=False), 0
    parts: list[Segment] = []
    for place, message in enumerate(messages):
        if not _answers(message):
            continue
        before = _rendered(tokenizer, messages[:place], ask=True)
        after = _rendered(tokenizer, messages[: place + 1], ask=False)
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


def _rendered(tokenizer: "transformers.PreTrainedTokenizerBase", messages: Messages, *, ask: bool) -> str:
    try:
        text = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=ask)
    except Exception as error:
        raise _refusal(error) from error
    assert isinstance(text, str)
    return text


def _refusal(error: Exception) -> DataError:
    return DataError(f"is refused by the chat template: {error}")
