"""Values that are the same but for rounding: sums over threads are added up in another order on another day."""

import math

__all__ = ["is_near"]


def is_near(one: object, other: object, tolerance: float = 1e-6) -> bool:
    """Whether two JSON values have the same shape and texts, and numbers that differ by rounding alone.

    >>> is_near({"a": [1.0, "x"]}, {"a": [1.0 + 1e-12, "x"]}), is_near({"a": 1.0}, {"a": 1.1}), is_near([1], [1, 2])
    (True, False, False)
    """
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(is_near(one[key], other[key], tolerance) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(
            is_near(left, right, tolerance) for left, right in zip(one, other, strict=True)
        )
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)
    return one == other
