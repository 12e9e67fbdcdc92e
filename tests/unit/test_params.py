import math
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from foretaste.errors import ParamsError
from foretaste.params import (
    average,
    buffers_of,
    check_fit,
    first_nonfinite,
    in_eval_mode,
    parameters_of,
    snapshot,
    swapped,
    tensors_of,
    wide,
)
from laws import HARD, assert_same, normal


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(4, 3)
        self.norm = nn.BatchNorm1d(3)
        self.head = nn.Linear(3, 4, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids: Tensor) -> Tensor:
        logits: Tensor = self.head(self.norm(self.embed(ids)))
        return logits


def test_parameters_are_the_models_own_and_tied_ones_come_once() -> None:
    model = Tied()
    found = parameters_of(model)
    assert sorted(found) == ["embed.weight", "norm.bias", "norm.weight"]
    assert found["embed.weight"].data_ptr() == model.embed.weight.data_ptr()
    assert not found["embed.weight"].requires_grad


def test_parameters_of_some_names() -> None:
    assert list(parameters_of(Tied(), {"norm.bias", "unknown"})) == ["norm.bias"]
    assert parameters_of(Tied(), frozenset()) == {}


def test_buffers_are_the_floating_ones() -> None:
    assert sorted(buffers_of(Tied())) == ["norm.running_mean", "norm.running_var"]
    assert sorted(tensors_of(Tied())) == sorted([*parameters_of(Tied()), *buffers_of(Tied())])


@pytest.mark.parametrize("family", HARD)
def test_a_snapshot_is_a_contiguous_copy(family: str) -> None:
    tensors = {name: tensor.clone(memory_format=torch.preserve_format) for name, tensor in HARD[family].items()}
    kept = snapshot(tensors)
    assert_same(kept, tensors)
    assert all(tensor.is_contiguous() for tensor in kept.values())
    for tensor in tensors.values():
        tensor.add_(1)
    assert_same(kept, HARD[family])


class TestSwapped:
    def test_params_are_lent_and_come_back(self) -> None:
        model = Tied()
        before = snapshot(tensors_of(model))
        lent = {"embed.weight": torch.ones(4, 3), "norm.running_mean": torch.full((3,), 5.0)}
        with swapped(model, lent) as same:
            assert same is model
            assert torch.equal(model.head.weight, torch.ones(4, 3))
            assert_same({name: tensors_of(model)[name] for name in lent}, lent)
        assert_same(tensors_of(model), before)

    def test_the_same_tensors_stay_in_place(self) -> None:
        model = Tied()
        pointer = model.embed.weight.data_ptr()
        with swapped(model, {"embed.weight": torch.ones(4, 3)}):
            assert model.embed.weight.data_ptr() == pointer
            assert model.head.weight is model.embed.weight

    def test_they_come_back_after_an_error(self) -> None:
        model = Tied()
        before = snapshot(tensors_of(model))

        def fail() -> None:
            with swapped(model, {"embed.weight": torch.ones(4, 3)}):
                raise KeyError("inside")

        with pytest.raises(KeyError, match="inside"):
            fail()
        assert_same(tensors_of(model), before)

    def test_a_lent_dict_is_not_modified(self) -> None:
        model, lent = nn.Linear(2, 2), {"weight": torch.ones(2, 2)}
        with swapped(model, lent):
            model.weight.data.fill_(3.0)
        assert torch.equal(lent["weight"], torch.ones(2, 2))

    def test_other_types_are_converted(self) -> None:
        model = nn.Linear(1, 1).bfloat16()
        with swapped(model, {"weight": torch.full((1, 1), 1 / 3)}):
            assert model.weight.item() == float(torch.tensor(1 / 3).bfloat16())

    @pytest.mark.parametrize(
        ("params", "match"),
        [
            ({"wieght": torch.ones(2, 2)}, "the model has no tensor wieght"),
            ({"weight": torch.ones(2)}, r"shape of weight is \[2\], not \[2, 2\]"),
        ],
    )
    def test_what_does_not_fit_is_refused_before_anything_changes(self, params: dict[str, Tensor], match: str) -> None:
        model = nn.Linear(2, 2)
        before = snapshot(tensors_of(model))
        with pytest.raises(ParamsError, match=match), swapped(model, {"bias": torch.ones(2), **params}):
            pass
        assert_same(tensors_of(model), before)


class TestEvalMode:
    def test_it_is_undone_module_by_module(self) -> None:
        frozen = nn.Dropout()
        model = nn.Sequential(nn.Dropout(), nn.Sequential(frozen, nn.Linear(1, 1)))
        frozen.eval()
        before = {name: module.training for name, module in model.named_modules()}
        with in_eval_mode(model):
            assert not any(module.training for module in model.modules())
        assert {name: module.training for name, module in model.named_modules()} == before

    def test_it_is_undone_after_an_error(self) -> None:
        model = nn.Dropout()

        def fail() -> None:
            with in_eval_mode(model):
                raise KeyError("inside")

        with pytest.raises(KeyError):
            fail()
        assert model.training


class TestFit:
    REFERENCE: Mapping[str, Tensor] = {name: torch.zeros(2) for name in "abcdefghij"}

    def test_the_same_fits_whatever_its_order_and_type(self) -> None:
        check_fit(self.REFERENCE, dict(reversed([(name, t.bfloat16()) for name, t in self.REFERENCE.items()])), "it")

    def test_every_kind_of_fault_is_listed_at_once(self) -> None:
        found = {name: torch.zeros(2) for name in "bcdefghi"} | {"b": torch.zeros(1, 2), "z": torch.zeros(1)}
        match = r"^it does not fit the pretrained model: missing a, j; additional z; shape of b is \[1, 2\], not \[2\]$"
        with pytest.raises(ParamsError, match=match):
            check_fit(self.REFERENCE, found, "it")

    def test_long_lists_are_cut(self) -> None:
        with pytest.raises(ParamsError, match=r"missing a, b, c, d, e, f and 4 more$"):
            check_fit(self.REFERENCE, {}, "it")
        with pytest.raises(ParamsError, match=r"shape of f is \[3\], not \[2\]; and 4 more shapes$"):
            check_fit(self.REFERENCE, {name: torch.zeros(3) for name in self.REFERENCE}, "it")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_the_first_tensor_that_is_not_finite(value: float) -> None:
    bad = torch.tensor([[1.0, value]])
    assert first_nonfinite({"a": torch.ones(1), "b": bad, "c": bad}) == "b"


@pytest.mark.parametrize("family", HARD)
def test_hard_inputs_are_finite(family: str) -> None:
    assert first_nonfinite(HARD[family]) is None


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
        (torch.int64, torch.float32),
    ],
)
def test_wide(dtype: torch.dtype, expected: torch.dtype) -> None:
    assert wide(torch.ones(1, dtype=dtype)).dtype == expected


class TestAverage:
    def test_it_is_rounded_once(self) -> None:
        parts = [normal(100, seed=seed, dtype=torch.bfloat16) for seed in range(3)]
        shares = (0.2, 0.3, 0.5)
        found = average(zip(shares, parts, strict=True))
        expected = sum((share * part.float() for share, part in zip(shares, parts, strict=True)), torch.zeros(100))
        assert found.dtype == torch.bfloat16
        assert torch.equal(found, expected.bfloat16())

    def test_all_the_weight_keeps_the_bits_in_a_copy(self) -> None:
        tensor = normal(3, dtype=torch.bfloat16)
        found = average([(0.0, torch.full((3,), math.nan)), (1.0, tensor)])
        assert torch.equal(found, tensor)
        assert found.data_ptr() != tensor.data_ptr()

    def test_no_weight_skips_even_what_is_not_finite(self) -> None:
        found = average([(0.5, torch.ones(1)), (0.0, torch.full((1,), math.inf)), (0.5, torch.full((1,), 3.0))])
        assert found.tolist() == [2.0]

    def test_inputs_stay(self) -> None:
        tensors = [torch.ones(2), torch.ones(2)]
        average([(0.5, tensor) for tensor in tensors])
        assert all(torch.equal(tensor, torch.ones(2)) for tensor in tensors)

    @pytest.mark.parametrize("parts", [[], [(0.0, torch.ones(1))]])
    def test_nothing_to_average(self, parts: list[tuple[float, Tensor]]) -> None:
        with pytest.raises(ParamsError, match="nothing to average"):
            average(parts)
