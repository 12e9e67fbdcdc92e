"""Wording: numbers, shares and durations as a reader meets them, the same in text and on the page."""

import math
from collections.abc import Mapping

__all__ = ["MISSING", "counted", "duration", "number", "share", "shares", "signed", "span", "trimmed"]

MISSING = "\u2014"  # an em dash

_STILL = 5e-10
_MINUTE, _HOUR = 60, 3600


def number(value: float | None) -> str:
    """A metric with three decimals; very small and very large ones with two or four digits.

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
    """A difference, with its sign.

    >>> signed(0.0124), signed(-0.2)
    ('+0.012', '-0.200')
    """
    text = number(value)
    return f"+{text}" if value is not None and text != MISSING and value >= _STILL else text


def span(low: float, high: float) -> str:
    """An interval, in as many digits as its ends.

    >>> span(0.5, 0.625)
    '0.500 to 0.625'
    """
    return f"{number(low)} to {number(high)}"


def share(weight: float) -> str:
    """A weight as a percentage.

    >>> share(1 / 3), share(1.0)
    ('33.3%', '100%')
    """
    return f"{100 * weight:.3g}%"


def shares(weights: Mapping[str, float]) -> str:
    """Weights in one line.

    >>> shares({"movies": 0.25, "news": 0.75})
    'movies 25%, news 75%'
    """
    return ", ".join(f"{task} {share(weight)}" for task, weight in weights.items())


def counted(count: int, noun: str) -> str:
    """A number of things.

    >>> counted(1, "joint run"), counted(12, "joint run")
    ('1 joint run', '12 joint runs')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def duration(seconds: float) -> str:
    """Seconds, in the unit a reader would use.

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
    """A name that fits on an axis.

    >>> trimmed("sentiment-of-movie-reviews", 10)
    'sentiment\u2026'
    """
    return name if len(name) <= length else name[: length - 1] + "\u2026"
