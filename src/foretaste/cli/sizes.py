"""Numbers that options take: sizes of memory as people write them, and finite ones."""

import math
import re

import typer

from foretaste.errors import StudyError

__all__ = ["finite", "size"]

_MOST = 2**50  # bytes


def size(text: str, option: str) -> int:
    """Read a number of bytes from a number and a unit.

    Args:
        text: As typed: KiB, MiB, GiB and TiB are powers of 1024 (the short forms K, M, G and T too), kB, MB, GB and TB
            of 1000.
        option: Its name, for errors.

    Raises:
        StudyError: The text is not a size, or too large.

    >>> size("2GiB", "--memory"), size("1.5 MB", "--memory")
    (2147483648, 1500000)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kKMGT]?)(i?B)?", text.strip())
    if match is None or not float(match[1]):
        raise StudyError(
            f"{option} {text!r} is not a size; write a number above 0 and a unit, for example {option} 2GiB"
        )
    number, prefix, unit = float(match[1]), match[2], match[3]
    power = "KMGT".index(prefix.upper()) + 1 if prefix else 0
    bytes_given = number * (1000 if unit == "B" else 1024) ** power
    if bytes_given > _MOST:
        raise StudyError(f"{option} {text[:40]!r} is more than any machine has; give at most 1024TiB")
    return int(bytes_given)


def finite(value: float | None) -> float | None:
    """Return a number unless it is NaN, which would pass all bounds.

    Raises:
        typer.BadParameter: It is NaN.

    >>> finite(0.5)
    0.5
    """
    if value is not None and math.isnan(value):
        raise typer.BadParameter("nan is not a number; give one")
    return value
