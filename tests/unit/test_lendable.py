import torch

from foretaste.lendable import overlaid
from foretaste.updates import Updates


def test_plain_params_are_overlaid_by_name() -> None:
    merged = overlaid({"a": torch.zeros(1), "b": torch.zeros(1)}, {"b": torch.ones(1)})
    assert {name: tensor.item() for name, tensor in merged.items()} == {"a": 0.0, "b": 1.0}


def test_updates_stay_updates() -> None:
    merged = overlaid(Updates({}, {}, {"q.weight": (1, 1)}), {"q.weight": torch.ones(1, 1), "bias": torch.ones(1)})
    assert isinstance(merged, Updates)
    assert list(merged.layers) == ["q.weight"]
    assert list(merged.whole) == ["bias"]
