"""Rows of language data as tokens: chats, prompts and completions, whole texts, sources and targets."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from foretaste.errors import DataError
from foretaste.sources.chat import mark_answers, segments, suit_template
from foretaste.sources.data import column
from foretaste.sources.extra import datasets
from foretaste.sources.forms import form_name
from foretaste.sources.messages import learned_messages, messages_of, tools_of
from foretaste.sources.tokens import EncodedRows, Row, Tokens, answer_of

__all__ = ["encode_rows"]

_MAY_LACK = "tools"


def encode_rows(
    rows: "datasets.Dataset", columns: Mapping[str, str], where: str, tokens: Tokens, form: str = ""
) -> EncodedRows:
    """Turn all rows of a file into examples of token ids.

    Args:
        rows: The rows.
        columns: Column names by role.
        where: The file's path or hub id, for errors.
        tokens: The tokenizer with its limits.
        form: The name of the form that the rows had in the file; that of the columns if left out.

    Raises:
        DataError: A row cannot be used; it is named.
    """
    values = {
        role: list(rows[name]) if role == _MAY_LACK and name in rows.column_names else column(rows, name, where)
        for role, name in columns.items()
    }
    make: Callable[..., Row] = _chat if "messages" in columns else _pair if "source" in columns else _text
    coded = []
    for place in range(len(rows)):
        try:
            coded.append(make(tokens, columns, {role: column_values[place] for role, column_values in values.items()}))
        except DataError as error:
            raise DataError(f"row {place + 1} of {where} {error}") from error.__cause__
    return EncodedRows(coded, form or form_name(list(columns)), tokens.tokenizer)


def _chat(tokens: Tokens, columns: Mapping[str, str], row: Mapping[str, object]) -> Row:
    chat, tools = messages_of(row["messages"]), tools_of(row.get("tools"))
    assert isinstance(row["messages"], list)
    learned = learned_messages(row["messages"])
    messages, moved = suit_template(tokens.tokenizer, chat, tools)
    marked_ids = mark_answers(tokens.tokenizer, messages, learned, tools)
    ids, counts = marked_ids or tokens.encode(segments(tokens.tokenizer, messages, learned, tools), whole=False)
    answer = next(message for message, counts in zip(reversed(messages), reversed(learned), strict=True) if counts)
    reference = answer["content"]
    if "tool_calls" in answer:  # the template alone knows how a call is written
        reference = str(tokens.tokenizer.decode(ids[answer_of(counts)], skip_special_tokens=True))
    masked = any(
        message["role"] == "assistant" and not counts for message, counts in zip(messages, learned, strict=True)
    )
    return replace(tokens.causal_row(ids, counts, reference), masked=masked, moved=moved)


def _text(tokens: Tokens, columns: Mapping[str, str], row: Mapping[str, object]) -> Row:
    texts = {role: _checked_text(value, columns[role], empty=role == "prompt") for role, value in row.items()}
    spelled = tokens.encode([(text, role != "prompt") for role, text in texts.items()], whole=True)
    return tokens.causal_row(*spelled, texts.get("completion"))


def _pair(tokens: Tokens, columns: Mapping[str, str], row: Mapping[str, object]) -> Row:
    return tokens.translation_row(
        *(_checked_text(row[role], columns[role], empty=role == "source") for role in ("source", "target"))
    )


def _checked_text(value: object, name: str, *, empty: bool) -> str:
    if not isinstance(value, str):
        raise DataError(f"has {type(value).__name__} in column {name!r} where a text is expected; name a text column")
    if not empty and not value.strip():
        raise DataError(f"has no text in column {name!r}; fill or remove it")
    return value
