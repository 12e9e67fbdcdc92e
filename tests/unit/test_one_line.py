from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from foretaste.one_line import one_line


@dataclass
class Anything:
    value: object
    __repr__ = one_line


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "None"),
        (0.1 + 0.2, "0.3"),
        ("x" * 100, f"'{'x' * 40}...'"),
        (Path("a/b"), "a/b"),
        (torch.zeros(2, 3), "Tensor[2, 3]"),
        (np.zeros(4), "ndarray[4]"),
        ({"a": torch.zeros(2), "b": torch.zeros(1)}, "{a, b}"),
        ({str(place): "x" for place in range(9)}, "{0, 1, 2, 3, and 5 more}"),
        (["a", "b"], "['a', 'b']"),
        ([torch.zeros(1)] * 7, "7 Tensor"),
        ([1, "a"] * 9, "18 values"),
        (len, "len"),
        (Anything(1), "Anything"),
    ],
)
def test_every_kind_of_value_is_short(value: object, expected: str) -> None:
    assert repr(Anything(value)) == f"Anything(value={expected})"


def test_many_fields_are_cut() -> None:
    @dataclass
    class Many:
        a: str = "x" * 100
        b: str = "y" * 100
        c: str = "z" * 100
        d: str = "z" * 100
        e: str = "z" * 100
        __repr__ = one_line

    assert len(repr(Many())) < 200
    assert repr(Many()).endswith("...)")
