import pytest

from foretaste.report.rows import coloured, marked

PARTS = [("[user]2 + 2?\n", False), ("4\x1b[31m", True), ("\t!", False)]


def test_what_is_learned_stands_in_brackets() -> None:
    assert marked(PARTS) == "[user]2 + 2?\n⟦4\\x1b[31m⟧\t!"


def test_what_is_learned_has_a_colour() -> None:
    text = coloured(PARTS)
    assert text.plain == "[user]2 + 2?\n4\\x1b[31m\t!"
    (span,) = text.spans
    assert text.plain[span.start : span.end] == "4\\x1b[31m"


@pytest.mark.parametrize("text", ["ä ß 漢字 😀", "a\nb\tc"])
def test_letters_of_all_tongues_stay(text: str) -> None:
    assert marked([(text, False)]) == coloured([(text, False)]).plain == text
