"""Rows of language models for people: their text, with what is learned marked."""

from collections.abc import Sequence

from rich.text import Text

__all__ = ["coloured", "marked"]

_LEARNED = "green underline"


def marked(parts: Sequence[tuple[str, bool]]) -> str:
    """Put what is learned into brackets.

    Args:
        parts: Texts in order, each with whether the model learns it.

    >>> marked([("2 + 2?", False), ("4", True)])
    '2 + 2?⟦4⟧'
    """
    return "".join(f"⟦{_visible(text)}⟧" if learned else _visible(text) for text, learned in parts)


def coloured(parts: Sequence[tuple[str, bool]]) -> Text:
    """Make a text for terminals with colours, in which what is learned is green and underlined.

    Args:
        parts: Texts in order, each with whether the model learns it.

    >>> coloured([("2 + 2?", False), ("4", True)]).spans
    [Span(6, 7, 'green underline')]
    """
    return Text.assemble(*((_visible(text), _LEARNED) if learned else _visible(text) for text, learned in parts))


def _visible(text: str) -> str:
    """Write control characters, which a terminal would obey, as Python does; line breaks and tabs stay."""
    return "".join(char if char.isprintable() or char in "\n\t" else repr(char)[1:-1] for char in text)
