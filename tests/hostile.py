"""Files that somebody made to do harm: mutations of honest ones."""

import copy
import json
import random
from collections.abc import Callable

__all__ = ["mutated_bytes", "mutated_json"]

VALUES: tuple[Callable[[], object], ...] = (
    lambda: None,
    lambda: True,
    lambda: -1,
    lambda: 0,
    lambda: 1.5,
    lambda: float("inf"),
    lambda: float("nan"),
    lambda: 10**30,
    lambda: 2**63,
    lambda: "",
    lambda: "x" * 5000,
    lambda: "../../etc/passwd",
    lambda: "(a+)+$",
    lambda: "a\x00b\n\u202e",
    list,
    dict,
    lambda: [[[[]]]],
    lambda: {"": {"": []}},
    lambda: ["a", 1, None],
    lambda: deep(400),
)
PIECES = (
    *(b"[" * 3000, b"{" * 50, b"9" * 5000, b"\x00", b"\xff\xfe", b"Infinity", b"NaN", b"-", b'"'),
    *(b"&a *a", b"<<: ", b"!!python/object:os.system ", b"!!timestamp ", b"!!int ", b"\n", b": ", b"  - &b [*b]\n"),
)


def deep(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


def mutated_bytes(content: bytes, draw: random.Random) -> bytes:
    """Some bytes flipped, cut, doubled, or put in."""
    for _ in range(draw.randint(1, 4)):
        start, stop = sorted(draw.randint(0, len(content)) for _ in range(2))
        match draw.randint(0, 4):
            case 0:
                content = content[:start] + bytes([draw.randint(0, 255)]) + content[start + 1 :]
            case 1:
                content = content[:start] + content[min(stop, start + 20) :]
            case 2:
                content = content[:start] + content[start : start + 30] * draw.randint(2, 5) + content[start:]
            case 3:
                content = content[:start] + draw.choice(PIECES) + content[start:]
            case _:
                content = content[:stop]
    return content


def mutated_json(value: object, draw: random.Random) -> bytes:
    """Some values or names of a JSON object replaced; now and then its text mutated, too."""
    value = copy.deepcopy(value)
    for _ in range(draw.randint(1, 3)):
        _change(value, draw)
    text = json.dumps(value).encode()
    return mutated_bytes(text, draw) if draw.random() < 0.3 else text


def _change(value: object, draw: random.Random) -> None:
    """Walk to a random place and put something else there."""
    while isinstance(value, dict | list) and value:
        inner: object
        if isinstance(value, dict):
            name = draw.choice(list(value))
            inner, key = value[name], name
        else:
            place = draw.randrange(len(value))
            inner, key = value[place], place
        if not isinstance(inner, dict | list) or not inner or draw.random() < 0.4:
            _replace(value, key, draw)
            return
        value = inner


def _replace(value: dict[str, object] | list[object], key: object, draw: random.Random) -> None:
    chosen = draw.choice(VALUES)()
    if isinstance(value, list):
        assert isinstance(key, int)
        value[key] = chosen
        return
    assert isinstance(key, str)
    match draw.randint(0, 4):
        case 0:
            del value[key]
        case 1:
            value[draw.choice(["x" * 400, "", "__metadata__", key + "x", "(.*)*"])] = value.pop(key)
        case _:
            value[key] = chosen
