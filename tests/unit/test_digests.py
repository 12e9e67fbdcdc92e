from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from foretaste.digests import digest
from laws import HARD, normal


class TestDigest:
    @pytest.mark.parametrize("family", HARD)
    def test_order_and_layout_do_not_matter(self, family: str) -> None:
        tensors = HARD[family]
        turned = {name: tensors[name].clone(memory_format=torch.contiguous_format) for name in reversed(tensors)}
        assert digest(turned) == digest(tensors)
        assert len(digest(tensors)) == 64

    @pytest.mark.parametrize(
        "change",
        [
            lambda t: {"a": t["a"], "b": t["b"] + 1e-7},
            lambda t: {"a": t["a"], "c": t["b"]},
            lambda t: {"a": t["a"]},
            lambda t: {"a": t["a"].reshape(3, 2), "b": t["b"]},
            lambda t: {"a": t["a"].double(), "b": t["b"]},
            lambda t: {"a": t["a"].view(torch.int32), "b": t["b"]},
            lambda t: {"a": t["a"], "b": -t["b"]},
        ],
    )
    def test_anything_else_does(self, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
        tensors = {"a": normal(2, 3, seed=1), "b": torch.zeros(1)}
        assert digest(change(tensors)) != digest(tensors)
