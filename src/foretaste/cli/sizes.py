"""Sizes of memory, as people write them."""

import math
import re

import typer

from foretaste.errors import StudyError

__all__ = ["finite", "size"]

_MOST = 2**50  # bytes


def size(text: str, option: str) -> int:
    """Bytes, from a number and a unit.

    Args:
        text: As typed: KiB, MiB, GiB and TiB are powers of 1024 (the short forms K, M, G and T too), kB, MB, GB and TB of 1000.
        option: For errors.

    Raises:
        StudyError: No such thing.

    >>> size("2GiB", "--memory"), size("1.5 MB", "--memory")
    (2147483648, 1500000)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kKMGT]?)(i?B)?", text.strip())
    if found is None or not float(found[1]):
        raise StudyError(f"{option} {text!r} is no size; write a number above 0 and a unit, for example {option} 2GiB")
    number, prefix, unit = float(found[1]), found[2], found[3]
    power = "KMGT".index(prefix.upper()) + 1 if prefix else 0
    bytes_given = number * (1000 if unit == "B" else 1024) ** power
    if bytes_given > _MOST:
        raise StudyError(f"{option} {text[:40]!r} is more than any machine has; give at most 1024TiB")
    return int(bytes_given)


def finite(value: float | None) -> float | None:
    """A number as it was given, unless it is NaN, which is within all bounds.

    Raises:
        typer.BadParameter: It is NaN.

    >>> finite(0.5)
    0.5
    """
    if value is not None and math.isnan(value):
        raise typer.BadParameter("nan is no number; give one")
    return value
