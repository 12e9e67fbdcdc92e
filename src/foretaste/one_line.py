"""One line for any value that holds tensors, rows or whole studies, as a notebook or a debugger shows it."""

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
    for field in fields(value):
        part = f"{field.name}={_short(getattr(value, field.name))}"
        length += len(part) + 2
        if length > _LONGEST:
            return f"{type(value).__name__}({', '.join([*parts, '...'])})"
        parts.append(part)
    return f"{type(value).__name__}({', '.join(parts)})"


def _short(value: object) -> str:
    shape = getattr(value, "shape", None)
    match value:
        case None | bool() | int() | Enum() | Path():
            text = str(value)
        case float():
            text = f"{value:.6g}"
        case str():
            text = repr(value if len(value) <= _WORD else f"{value[:_WORD]}...")
        case _ if shape is not None:
            text = f"{type(value).__name__}{list(shape)}"
        case Mapping():
            text = _mapping(value)
        case Sequence() | Set():
            text = _sequence(value)
        case _:
            text = getattr(value, "__name__", type(value).__name__)
    return text


def _mapping(value: Mapping[object, object]) -> str:
    if all(isinstance(item, float | int) for item in value.values()) and len(value) <= _FEW:
        return "{" + ", ".join(f"{key}: {_short(item)}" for key, item in value.items()) + "}"
    names = [str(key)[:_WORD] for _, key in zip(range(_FEW), value, strict=False)]
    return "{" + ", ".join([*names, *([f"and {len(value) - _FEW} more"] if len(value) > _FEW else [])]) + "}"


def _sequence(value: Sequence[object] | Set[object]) -> str:
    kinds = {type(item).__name__ for item in value}
    if len(value) <= _FEW and kinds <= {"str", "int", "float"}:
        return "[" + ", ".join(_short(item) for item in value) + "]"
    return f"{len(value)} {kinds.pop() if len(kinds) == 1 else 'values'}"
