"""Patterns of module names end, whoever wrote them."""

import re
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretaste.errors import DataError
from foretaste.sources.patterns import matches_module


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("q", "model.layers.0.q", True),
        ("q", "model.layers.0.kq", False),
        (r"layers\.[0-3]\.(q|v)_proj", "model.layers.3.v_proj", True),
        (r"layers\.[0-3]\.(q|v)_proj", "model.layers.4.v_proj", False),
        (r"model\.layers\.\d+\.self_attn\..*", "model.layers.12.self_attn.q_proj", True),
        (r".*\.q", "model.q", True),
        (r"(?:a|b)?c", "x.c", True),
        (r"[^]x]+", "abc", True),
    ],
)
def test_honest_patterns(pattern: str, name: str, matches: bool) -> None:
    assert matches_module(pattern, name) is matches
    assert (re.fullmatch(rf"(?:.*\.)?(?:{pattern})", name) is not None) is matches  # as PEFT matches them


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "(a+)+b",
            "(a|a)*b",
            "(a*)*",
            "(.*)(.*)(.*)(.*)(.*)x",
            "(a?){30}a",
            "a?" * 30 + "a" * 30,
            "(a|aa)" * 30,
            r"(a)\1",
        ),
        *("(?=a)a", "(?P<n>a)", "a" * 2000, ".*" * 20, "a{0,30}" * 9, "(a|(a|a)*)b"),
    ],
)
def test_patterns_that_might_never_end(pattern: str) -> None:
    start = time.monotonic()
    with pytest.raises(DataError, match="is refused: matching it might never end"):
        matches_module(pattern, "a" * 200)
    assert time.monotonic() - start < 1


@pytest.mark.parametrize("pattern", ["(", "[", "*", "a{2,1}", "(?:", "a(?:b"])
def test_what_is_no_pattern(pattern: str) -> None:
    with pytest.raises(re.error):
        matches_module(pattern, "a")


@settings(max_examples=300, deadline=None)
@given(pattern=st.text("ab.*+?|()[]^{}\\01,:=", max_size=25), name=st.text("ab.", min_size=1, max_size=60))
def test_any_pattern_ends(pattern: str, name: str) -> None:
    start = time.monotonic()
    with suppress(DataError, re.error):
        matches_module(pattern, name)
    assert time.monotonic() - start < 5
