"""Every fault of a JSON text is a ValueError."""

import pytest

from foretaste.json_text import parse_json


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"a":' * 100_000, "9" * 5000, b"\xff", "nan", "{'a': 1}"])
def test_what_is_no_json(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)


def test_what_the_standard_does_not_allow() -> None:
    faults = {
        "[Infinity]": "Infinity is no number",
        '{"a": NaN}': "NaN is no number",
        '{"a": 1, "b": 2, "a": 3}': "a appears twice",
    }
    for text, reason in faults.items():
        with pytest.raises(ValueError, match=reason):
            parse_json(text, strict=True)
        parse_json(text)
    assert parse_json('{"a": {"a": 1}}', strict=True) == {"a": {"a": 1}}
