"""Wording: numbers, shares, durations and lists as a reader meets them, the same in text and on the page."""

import math
from collections.abc import Mapping, Sequence

__all__ = [
    "MISSING",
    "and_more",
    "capitalized",
    "correlation",
    "counted",
    "duration",
    "interval",
    "joined",
    "number",
    "share",
    "shares",
    "signed",
    "span",
    "trimmed",
]

MISSING = "\u2014"  # an em dash

_STILL = 5e-10
_MINUTE, _HOUR = 60, 3600
_MANY, _LARGEST = 8, 6  # weights from which on only the largest are listed


def number(value: float | None) -> str:
    """Write a metric with three decimals; very small and very large ones with two or four digits.

    >>> [number(value) for value in (0.93417, 0.00041, None)]
    ['0.934', '0.00041', '\u2014']
    """
    if value is None or not math.isfinite(value):
        return MISSING
    if abs(value) < _STILL:
        return "0.000"
    if abs(value) < 1e-3:
        return f"{value:.2g}"
    return f"{value:.3f}" if abs(value) < 1e4 else f"{value:.4g}"


def signed(value: float | None) -> str:
    """Write a difference with its sign.

    >>> signed(0.0124), signed(-0.2)
    ('+0.012', '-0.200')
    """
    text = number(value)
    return f"+{text}" if value is not None and text != MISSING and value >= _STILL else text


def span(low: float, high: float) -> str:
    """Write the ends of an interval.

    >>> span(0.5, 0.625)
    '0.500 to 0.625'
    """
    return f"{number(low)} to {number(high)}"


def interval(low: float, high: float) -> str:
    """Write an interval that holds a single joint run with probability 90 %.

    >>> interval(0.5, 0.625)
    '90 % interval 0.500 to 0.625'
    """
    return f"90 % interval {span(low, high)}"


def correlation(value: float | None) -> str:
    """Write a rank correlation with two decimals.

    >>> correlation(0.914), correlation(None)
    ('0.91', '\u2014')
    """
    return MISSING if value is None else f"{value:.2f}"


def share(weight: float) -> str:
    """Write a weight as a percentage.

    >>> share(1 / 3), share(1.0)
    ('33.3%', '100%')
    """
    return f"{100 * weight:.3g}%"


def shares(weights: Mapping[str, float]) -> str:
    """Write weights in one line; of more than eight, the six largest.

    >>> shares({"movies": 0.25, "news": 0.75})
    'movies 25%, news 75%'
    >>> shares({str(number): 0.1 for number in range(10)})
    '0 10%, 1 10%, 2 10%, 3 10%, 4 10%, 5 10%, 4 others 40%'
    """
    if len(weights) <= _MANY:
        return ", ".join(f"{task} {share(weight)}" for task, weight in weights.items())
    largest = sorted(weights.items(), key=lambda pair: -pair[1])
    largest_first = [f"{task} {share(weight)}" for task, weight in largest[:_LARGEST] if weight > 0]
    rest = [weight for _, weight in largest[_LARGEST:] if weight > 0]
    return ", ".join([*largest_first, *([f"{counted(len(rest), 'other')} {share(sum(rest))}"] if rest else [])])


def counted(count: int, noun: str) -> str:
    """Write a number of things.

    >>> counted(1, "joint run"), counted(12, "joint run")
    ('1 joint run', '12 joint runs')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def joined(names: Sequence[str]) -> str:
    """Join names as a sentence does.

    >>> joined(["a"]), joined(["a", "b"]), joined(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def and_more(total: int, limit: int, hint: str = "") -> str:
    """Say how many things a list leaves out; empty where it has all of them.

    Args:
        total: Number of things.
        limit: Most things in the list.
        hint: A phrase that tells where to see the others.

    >>> and_more(14, 12, "--json has all"), and_more(12, 12)
    ('and 2 more; --json has all', '')
    """
    if total <= limit:
        return ""
    return f"and {total - limit} more" + (f"; {hint}" if hint else "")


def capitalized(sentence: str) -> str:
    """Begin a sentence with a capital letter and leave the rest as it is.

    >>> capitalized("the loss of BERT")
    'The loss of BERT'
    """
    return sentence[:1].upper() + sentence[1:]


def duration(seconds: float) -> str:
    """Write seconds in the unit that a reader would use.

    >>> duration(0.42), duration(75), duration(7500)
    ('0.42 s', '1 min 15 s', '2 h 5 min')
    """
    if not math.isfinite(seconds):
        return MISSING
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{seconds:.2g} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"


def trimmed(name: str, length: int = 18) -> str:
    """Cut a name to a length.

    >>> trimmed("sentiment-of-movie-reviews", 10)
    'sentiment\u2026'
    """
    return name if len(name) <= length else name[: length - 1] + "\u2026"
