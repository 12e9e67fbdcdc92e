"""Updates that are lent give what a model with the updates in its weights gives."""

import pytest
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from factors import LAYOUTS, dense, factors
from foretaste.errors import ParamsError
from foretaste.lora import Factors, Layout
from foretaste.params import swapped
from foretaste.updates import Updates, add_updates, lent_update
from foretaste.weights import TaskWeights


def layer_of(layout: Layout) -> tuple[nn.Module, Tensor]:
    """A layer that factors of a layout fit, and inputs of it."""
    torch.manual_seed(0)
    if layout == "embedding":
        return nn.Embedding(9, 5), torch.tensor([[1, 8, 3]])
    if layout == "convolution":
        return nn.Conv2d(3, 5, 2, stride=2, padding=1), torch.randn(2, 3, 6, 6)
    return nn.Linear(7, 5), torch.randn(4, 7)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("held", ["factors", "dense"])
def test_lent_is_added_to_the_weight(layout: Layout, held: str) -> None:
    layer, inputs = layer_of(layout)
    model, own = nn.Sequential(layer), factors(3, 1, layout)
    updates = Updates({"0.weight": own if held == "factors" else dense(own).float()})
    weight = layer.weight
    assert isinstance(weight, Tensor)
    with torch.no_grad():
        before = model(inputs)
        with swapped(model, updates):
            lent = model(inputs)
        after = model(inputs)
        with swapped(model, {"0.weight": weight + dense(own).float()}):
            expected = model(inputs)
    assert torch.allclose(lent, expected, atol=1e-5)
    assert not torch.allclose(lent, before, atol=1e-2)
    assert torch.equal(before, after)


@pytest.mark.parametrize("held", ["factors", "dense"])
def test_a_weight_that_is_kept_turned(held: str) -> None:
    torch.manual_seed(0)
    model, own, inputs = nn.Sequential(Conv1D(5, 7)), factors(2, 1), torch.randn(4, 7)
    weight = model.get_parameter("0.weight")
    update = own if held == "factors" else dense(own).T.float()
    updates = Updates({"0.weight": update}, transposed=frozenset({"0.weight"}))
    assert updates["0.weight"].shape == weight.shape
    with torch.no_grad(), swapped(model, updates):
        lent = model(inputs)
    with torch.no_grad(), swapped(model, {"0.weight": weight + dense(own).T.float()}):
        assert torch.allclose(lent, model(inputs), atol=1e-5)


def test_a_narrow_layer_answers_in_its_own_type_and_keeps_small_updates() -> None:
    model, inputs = nn.Sequential(nn.Linear(64, 64, bias=False).bfloat16()), torch.ones(1, 64, dtype=torch.bfloat16)
    own = Factors(torch.full((1, 64), 1e-3), torch.full((64, 1), 1e-2), alpha=1)
    weight = model.get_parameter("0.weight")
    with torch.no_grad():
        weight.fill_(1.0)
        weight[:, 1::2] = -1.0  # so that outputs are 0 without an update, and rounding of weights would show
        with swapped(model, Updates({"0.weight": own})):
            lent = model(inputs)
    assert lent.dtype == torch.bfloat16
    assert lent.float().mean().item() == pytest.approx(64e-5, rel=1e-2)


def test_as_a_mapping_updates_are_dense_and_zero_where_nothing_changed() -> None:
    own = factors(2, 1)
    updates = Updates({"q.weight": own}, {"b": torch.ones(1)}, {"q.weight": (5, 7), "v.weight": (3, 2)})
    assert list(updates) == ["q.weight", "v.weight", "b"]
    assert len(updates) == 3
    assert torch.allclose(updates["q.weight"].double(), dense(own), atol=1e-5)
    assert not updates["v.weight"].any()
    assert updates.shape_of("v.weight") == (3, 2)
    assert torch.equal(updates.part("q.weight", slice(3, 9)), updates["q.weight"].flatten()[3:9])
    assert torch.equal(updates.part("v.weight", slice(1, 9)), torch.zeros(5))
    assert updates.nbytes == 4 * (2 * 7 + 5 * 2 + 1)


def test_a_sum_is_exact_and_stays_factors() -> None:
    shapes, one, two = {"q.weight": (5, 7)}, factors(2, 1, alpha=5.0), factors(3, 2, stabilised=True)
    weights = TaskWeights(["a", "b"], [0.3, 0.7])
    summed = add_updates(weights, {"a": Updates({"q.weight": one}, {}, shapes), "b": Updates({"q.weight": two})}, {})
    update = summed.layers["q.weight"]
    assert isinstance(update, Factors)
    assert update.rank == 5
    assert torch.allclose(summed["q.weight"].double(), 0.3 * dense(one) + 0.7 * dense(two), atol=1e-5)


def test_a_task_that_does_not_change_a_layer_counts_as_zero_there() -> None:
    one, weights = factors(2, 1), TaskWeights(["a", "b"], [0.25, 0.75])
    shapes = {"q.weight": (5, 7)}
    summed = add_updates(weights, {"a": Updates({"q.weight": one}, {}, shapes), "b": Updates({}, {}, shapes)}, {})
    assert torch.allclose(summed["q.weight"].double(), 0.25 * dense(one), atol=1e-5)


def test_where_one_task_has_all_the_weight_its_factors_are_its_own() -> None:
    one, two = factors(2, 1), factors(3, 2)
    updates = {"a": Updates({"q.weight": one}), "b": Updates({"q.weight": two})}
    assert add_updates(TaskWeights(["a", "b"], [0.0, 1.0]), updates, {}).layers["q.weight"] is two


def test_what_a_layer_is_lent_is_seen_only_while_it_is() -> None:
    model, own = nn.Sequential(nn.Linear(7, 5)), factors(2, 1)
    with Updates({"0.weight": own}).lent_to(model):
        lent = lent_update(model[0])
        assert lent is not None
        assert lent.a is own.a
    assert lent_update(model[0]) is None


def test_updates_of_another_model_are_refused() -> None:
    with (
        pytest.raises(ParamsError, match=r"the model has no layer for other\.weight"),
        swapped(nn.Sequential(nn.Linear(7, 5)), Updates({"other.weight": factors(2, 1)})),
    ):
        pass
