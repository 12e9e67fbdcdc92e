r"""Patterns of module names, as PEFT writes them, matched in bounded time.

A pattern is a regular expression, and one from a file of somebody else may be made so that matching never ends:
``(a+)+b`` tries every way to split a row of ``a``. Python cannot interrupt a match. So the most ways in which a pattern
can be tried on a name are estimated first,

    length ** (1 + repeats) * 2 ** options * product of the groups' alternatives,

and a pattern of more ways than any honest one needs is refused, as are repeated groups, back-references and
look-around.

References:
    PEFT's ``rank_pattern`` and ``alpha_pattern``, https://huggingface.co/docs/peft/package_reference/lora
"""

import math
import re
import warnings
from functools import cache
from itertools import pairwise

from foretaste.errors import DataError

__all__ = ["matches_module"]

_LONGEST = 1000  # characters of a pattern
_MOST_WAYS = 10**8
_TOKEN = re.compile(
    r"\\(?P<escaped>.)|(?P<set>\[\^?\]?(?:\\.|[^\]\\])*\])"
    r"|(?P<special>\(\?(?!:))|(?P<repeat>[*+]|\{[^}]*\})|(?P<other>.)",
    re.DOTALL,
)


def matches_module(pattern: str, name: str) -> bool:
    r"""Whether a pattern matches a module's name, or the end of it after a dot.

    Args:
        pattern: A regular expression.
        name: A module's name.

    Raises:
        DataError: Matching it might never end.
        re.error: It is no regular expression.

    >>> matches_module(r"layers\.[0-3]\.q", "model.layers.2.q"), matches_module("q", "model.layers.2.kq")
    (True, False)
    >>> matches_module("(a+)+b", "a" * 40)
    Traceback (most recent call last):
    ...
    foretaste.errors.DataError: the pattern '(a+)+b' is refused: matching it might never end (it repeats a group); ...
    """
    repeats, choices = _ways(pattern)
    if max(len(name), 2) ** (1 + repeats) * choices > _MOST_WAYS:
        raise _refused(pattern, "it repeats and branches too often")
    try:
        with warnings.catch_warnings(
            action="ignore", category=FutureWarning
        ):  # of sets that may mean something else one day
            return re.fullmatch(rf"(?:.*\.)?(?:{pattern})", name) is not None
    except (OverflowError, RecursionError) as error:
        raise re.error(str(error)) from error


@cache
def _ways(pattern: str) -> tuple[int, int]:
    """How often a pattern repeats without a fixed bound, and between how many choices it branches in all."""
    if len(pattern) > _LONGEST:
        raise _refused(pattern, f"it has more than {_LONGEST} characters")
    tokens = list(_TOKEN.finditer(pattern))
    if any(token["special"] or (token["escaped"] or "").isdigit() for token in tokens):
        raise _refused(pattern, "it looks around or refers back")
    if any(token["repeat"] and before["other"] == ")" for before, token in pairwise(tokens)):
        raise _refused(pattern, "it repeats a group")
    alternatives, closed = [1], 1
    for token in tokens:
        if token["other"] == "(":
            alternatives.append(1)
        elif token["other"] == "|":
            alternatives[-1] += 1
        elif token["other"] == ")" and len(alternatives) > 1:
            closed *= alternatives.pop()
    options = sum(token["other"] == "?" for token in tokens)
    return sum(bool(token["repeat"]) for token in tokens), closed * math.prod(alternatives) * 2**options


def _refused(pattern: str, reason: str) -> DataError:
    advice = "name modules as they are, or write a simpler pattern"
    return DataError(f"the pattern {_shown(pattern)} is refused: matching it might never end ({reason}); {advice}")


def _shown(pattern: str) -> str:
    return repr(pattern if len(pattern) <= 80 else f"{pattern[:77]}...")
