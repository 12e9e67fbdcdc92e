"""One line for any value: what a notebook or a debugger shows of an object that holds tensors, rows or whole studies."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path

__all__ = ["one_line"]

_LONGEST = 180  # characters of a whole line
_WORD = 40  # of a text within it
_FEW = 4  # names that are listed


def one_line(value: object) -> str:
    """A dataclass in one line: tensors by their shape, mappings by their keys, sequences by their length.

    Meant as ``__repr__ = one_line`` in the class.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Pair:
    ...     name: str
    ...     rows: list[int]
    ...     by_task: dict[str, float]
    ...     __repr__ = one_line
    >>> Pair("news", [1, 2, 3], {"a": 0.5, "b": 1.0})
    Pair(name='news', rows=[1, 2, 3], by_task={a: 0.5, b: 1})
    """
    assert is_dataclass(value)
    parts: list[str] = []
    length = len(type(value).__name__) + 2
    for each in fields(value):
        part = f"{each.name}={_short(getattr(value, each.name))}"
        length += len(part) + 2
        if length > _LONGEST:
            return f"{type(value).__name__}({', '.join([*parts, '...'])})"
        parts.append(part)
    return f"{type(value).__name__}({', '.join(parts)})"


def _short(value: object) -> str:
    if value is None or isinstance(value, bool | int | Enum):
        return str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str):
        text = value if len(value) <= _WORD else f"{value[:_WORD]}..."
        return repr(text)
    if isinstance(value, Path):
        return str(value)
    shape = getattr(value, "shape", None)
    if shape is not None:
        return f"{type(value).__name__}{list(shape)}"
    if isinstance(value, Mapping):
        return _mapping(value)
    if isinstance(value, Sequence | Set):
        return _sequence(value)
    return type(value).__name__ if not callable(value) or isinstance(value, type) else getattr(value, "__name__", type(value).__name__)


def _mapping(value: Mapping[object, object]) -> str:
    if all(isinstance(each, float | int) for each in value.values()) and len(value) <= _FEW:
        return "{" + ", ".join(f"{key}: {_short(each)}" for key, each in value.items()) + "}"
    names = [str(key)[:_WORD] for _, key in zip(range(_FEW), value, strict=False)]
    return "{" + ", ".join([*names, *([f"and {len(value) - _FEW} more"] if len(value) > _FEW else [])]) + "}"


def _sequence(value: Sequence[object] | Set[object]) -> str:
    kinds = {type(each).__name__ for each in value}
    if len(value) <= _FEW and kinds <= {"str", "int", "float"}:
        return "[" + ", ".join(_short(each) for each in value) + "]"
    return f"{len(value)} {kinds.pop() if len(kinds) == 1 else 'values'}"
