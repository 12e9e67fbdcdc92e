"""Numbers and durations as text."""

import math

import pytest

from foretaste.document.wording import (
    MISSING,
    and_more,
    capitalized,
    counted,
    duration,
    joined,
    number,
    share,
    shares,
    signed,
    trimmed,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.93417, "0.934"),
        (0.0, "0.000"),
        (-1e-17, "0.000"),
        (0.00041, "0.00041"),
        (-2.5, "-2.500"),
        (123456.0, "1.235e+05"),
        (None, MISSING),
    ],
)
def test_number(value: float | None, text: str) -> None:
    assert number(value) == text


def test_a_number_that_is_not_finite_is_missing() -> None:
    assert number(math.nan) == number(math.inf) == signed(math.nan) == duration(math.nan) == MISSING


def test_a_difference_has_its_sign() -> None:
    assert [signed(value) for value in (0.01, -0.01, 0.0, None)] == ["+0.010", "-0.010", "0.000", MISSING]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.414, "0.41 s"), (59.6, "1 min 0 s"), (75, "1 min 15 s"), (3600, "1 h 0 min")]
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_shares_counts_and_names() -> None:
    assert share(2 / 3) == "66.7%"
    assert shares({"a": 0.0, "b": 1.0}) == "a 0%, b 100%"
    assert (counted(0, "row"), counted(1, "row")) == ("0 rows", "1 row")
    assert trimmed("abcdef", 6) == "abcdef"
    assert (joined([]), joined(["a", "b", "c"])) == ("", "a, b and c")
    assert (and_more(3, 3), and_more(5, 3), and_more(5, 3, "ask")) == ("", "and 2 more", "and 2 more; ask")
    assert capitalized("") == ""
    assert trimmed("abcdefg", 6) == "abcde\u2026"
