r"""Patterns of module names, as PEFT writes them, matched in bounded time.

A pattern is a regular expression. In somebody else's file it may be written so that matching never ends: ``(a+)+b``
tries every way to split a run of ``a``. Python cannot interrupt a match. So the number of ways to match a name is
bounded first, by

    length ** (1 + repeats) * 2 ** options * product of the groups' alternatives,

and a pattern with more ways than any useful one is refused. So are repeated groups, back-references and look-around.

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

_LONGEST = 1000  # bound of a pattern's characters
_MOST_WAYS = 10**8
_TOKEN = re.compile(
    r"\\(?P<escaped>.)|(?P<set>\[\^?\]?(?:\\.|[^\]\\])*\])"
    r"|(?P<special>\(\?(?!:))|(?P<repeat>[*+]|\{[^}]*\})|(?P<other>.)",
    re.DOTALL,
)


def matches_module(pattern: str, name: str) -> bool:
    r"""Tell whether a pattern matches a module's name, or the end of it after a dot.

    Args:
        pattern: A regular expression.
        name: A module's name.

    Raises:
        DataError: Matching might never end.
        re.error: The pattern is not a regular expression.

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
        ):  # Python warns of sets that may change their meaning
            return re.fullmatch(rf"(?:.*\.)?(?:{pattern})", name) is not None
    except (OverflowError, RecursionError) as error:
        raise re.error(str(error)) from error


@cache
def _ways(pattern: str) -> tuple[int, int]:
    """Count a pattern's repeats without a fixed bound, and the product of its choices."""
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
    return DataError(f"the pattern {_quote(pattern)} is refused: matching it might never end ({reason}); {advice}")


def _quote(pattern: str) -> str:
    return repr(pattern if len(pattern) <= 80 else f"{pattern[:77]}...")
