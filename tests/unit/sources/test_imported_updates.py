from pathlib import Path

import pytest
import torch

from factors import factors
from foretaste.errors import DataError
from foretaste.lora import Adapter, delta
from foretaste.sources.imported_updates import (
    fitting_factors,
    is_imported,
    keep_factors,
    read_whole,
    stored_factors,
)

FOLDER = Path("adapter")
BASE = {"pooler.weight": torch.ones(5, 7), "score.weight": torch.zeros(2, 5), "score.bias": torch.ones(2)}
NAMES = {name: name for name in BASE}


def test_what_is_kept_is_read_back_exactly() -> None:
    own = {"q.weight": factors(3, 1, alpha=2.5, stabilised=True), "e.weight": factors(2, 2, "embedding")}
    kept = keep_factors(own)
    assert is_imported(kept)
    found = stored_factors(kept, {"q.weight": "linear", "e.weight": "embedding"})
    for name, one in own.items():
        other = found[name]
        assert torch.equal(delta(Adapter({"x": one}), "x"), delta(Adapter({"x": other}), "x"))


def test_layers_go_by_the_study_s_names() -> None:
    adapter = Adapter({"h.q": factors(2, 1)})
    found = fitting_factors(
        adapter, {"h.q.weight": "trunk.q.base_layer.weight"}, {"trunk.q.base_layer.weight": (5, 7)}, FOLDER
    )
    assert list(found) == ["trunk.q.base_layer.weight"]


def test_layers_that_do_not_fit_are_named() -> None:
    adapter = Adapter({"h.q": factors(2, 1), "h.z": factors(2, 1)})
    with pytest.raises(
        DataError, match=r"there is no layer h\.z; h\.q is changed by \[5, 7\], and it is \[4, 7\] here"
    ):
        fitting_factors(adapter, {"h.q.weight": "q"}, {"q": (4, 7)}, FOLDER)


def test_whole_tensors_come_whole_by_factors_or_from_the_base() -> None:
    pooler = factors(2, 1)
    adapter = Adapter({"pooler": pooler}, {"score.weight": torch.full((2, 5), 3.0)})
    found = read_whole(adapter, NAMES, BASE, FOLDER)
    assert torch.equal(found["score.weight"], torch.full((2, 5), 3.0))
    assert torch.equal(found["score.bias"], BASE["score.bias"])
    assert torch.allclose(found["pooler.weight"], 1 + delta(Adapter({"x": pooler}), "x"))


@pytest.mark.parametrize(
    ("full", "message"),
    [
        ({}, "it keeps no tensor whole, and this task has a head of its own"),
        ({"score.weight": torch.ones(3, 5)}, r"shape of score.weight is \[3, 5\], not \[2, 5\]"),
        (
            {"score.weight": torch.ones(2, 5), "norm.weight": torch.ones(1)},
            "norm.weight is trained whole there, and not here",
        ),
    ],
)
def test_whole_tensors_that_do_not_fit_are_named(full: dict[str, torch.Tensor], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_whole(Adapter({}, full), NAMES, BASE, FOLDER)
