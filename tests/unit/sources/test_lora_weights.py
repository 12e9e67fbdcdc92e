import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from foretaste.metrics import METRICS
from foretaste.sources.adapted import LoraPlan, add_lora
from foretaste.sources.lora_weights import factors_of, other_weights, weights_with_factors
from foretaste.sources.problem import Problem
from foretaste.task import Rows, Task


def test_weights_are_described_by_their_layers() -> None:
    rows = Rows(torch.tensor([[1, 2]]), torch.zeros(1).long())
    tasks = tuple(Task(name, rows, rows, [METRICS["accuracy"]]) for name in "ab")
    model = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), Conv1D(5, 8), nn.Linear(5, 3))
    add_lora(Problem(model, tasks), LoraPlan(r=2, alpha=3.0, targets=["0", "2", "3"]))
    weights = weights_with_factors(model, ["0", "2", "3"], 3.0, stabilised=False)
    assert {name: (own.layout, own.shape, own.transposed, own.rank) for name, own in weights.items()} == {
        "0.base_layer.weight": ("embedding", (9, 4), False, 2),
        "2.base_layer.weight": ("linear", (8, 5), True, 2),
        "3.base_layer.weight": ("linear", (3, 5), False, 2),
    }
    a, b, layout = factors_of(model.get_submodule("0"))
    assert (list(a.shape), list(b.shape), layout) == ([2, 9], [4, 2], "embedding")
    assert model.get_parameter(weights["0.base_layer.weight"].a) is a


def test_a_tied_weight_counts_under_its_first_name() -> None:
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    found = other_weights({"a": first, "b": second, "c": nn.Linear(1, 1)}, ["c"], {"a.weight": first.weight})
    assert list(found) == ["a.weight"]
