"""JSON of records: what machines read."""

import math
from collections.abc import Mapping
from enum import Enum

__all__ = ["plain"]


def plain(value: object) -> object:
    """Turn a record into what `json.dumps` takes; NaN and infinity become None.

    >>> plain({"a": (1.0, float("nan"))})
    {'a': [1.0, None]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return str(value) if isinstance(value, Enum) else value
