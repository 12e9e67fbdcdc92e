"""JSON from files and requests of others: every fault of it is a `ValueError`."""

import json
from collections import Counter
from collections.abc import Sequence

__all__ = ["parse_json"]


def parse_json(text: str | bytes, *, strict: bool = False) -> object:
    """The value of a JSON text.

    Args:
        text: JSON; as bytes in UTF-8.
        strict: Whether ``NaN``, ``Infinity`` and a name that an object has twice are refused, as the standard allows.

    Raises:
        ValueError: It is no JSON, is nested too deeply, or has a number of too many digits.

    >>> parse_json('{"a": [1]}')
    {'a': [1]}
    >>> parse_json("[" * 100_000)
    Traceback (most recent call last):
    ...
    ValueError: it is nested too deeply
    """
    try:
        if strict:
            return json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise ValueError(f"{counts.most_common(1)[0][0]} appears twice")
    return values


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is no number")
