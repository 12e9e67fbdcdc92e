from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from factors import LAYOUTS, OUT, dense, factors
from foretaste.combine import combine, reduce_rank
from foretaste.errors import ParamsError, WeightsError
from foretaste.lora import Adapter, Factors, Layout, delta, misfits
from foretaste.weights import TaskWeights, corners, uniform


@pytest.fixture
def adapters() -> Mapping[str, Adapter]:
    """Other ranks, alphas, scalings; the last has a module alone and lacks another."""
    one: dict[str, Factors] = {layout: factors(2, 1, layout, 4.0) for layout in LAYOUTS}
    two: dict[str, Factors] = {layout: factors(3, 2, layout, 7.0, stabilised=True) for layout in LAYOUTS}
    three = {"linear": factors(1, 3, alpha=0.5), "alone": factors(4, 4, alpha=16.0)}
    return {"a": Adapter(one), "b": Adapter(two), "c": Adapter(three)}


@given(shares=st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(lambda shares: sum(shares) > 0.01))
@settings(max_examples=30, deadline=None)
def test_the_sum_is_exact(shares: list[float]) -> None:
    one: dict[str, Factors] = {layout: factors(2, 2, layout, 5.0) for layout in LAYOUTS}
    two: dict[str, Factors] = {layout: factors(3, 3, layout, 5.0, stabilised=True) for layout in LAYOUTS}
    made = {"a": Adapter(one), "b": Adapter(two), "c": Adapter({"linear": factors(1, 9), "alone": factors(4, 4)})}
    weights = TaskWeights(list(made), [share / sum(shares) for share in shares])
    found = combine(made, weights)
    weighing = [task for task in made if weights[task] > 0 and weights.corner in (None, task)]
    assert set(found.adapter.modules) == {name for task in weighing for name in made[task].modules}
    for name in found.adapter.modules:
        parts = [(weights[task], made[task].modules[name]) for task in weighing if name in made[task].modules]
        expected = sum((share * dense(own) for share, own in parts), torch.zeros(()))
        torch.testing.assert_close(delta(found.adapter, name).double(), expected, rtol=1e-5, atol=1e-5)
        assert found.adapter.modules[name].rank == sum(own.rank for _, own in parts)
        assert found.adapter.modules[name].scaling == 1 or weights.corner is not None
        assert found.errors[name] == found.error == 0


@pytest.mark.parametrize("corner", corners(["a", "b", "c"]), ids=str)
def test_a_corner_is_that_adapter_bit_for_bit(adapters: Mapping[str, Adapter], corner: TaskWeights) -> None:
    assert corner.corner is not None
    assert combine(adapters, corner).adapter is adapters[corner.corner]
    assert all(
        own is adapters[corner.corner].modules[name]
        for name, own in combine(adapters, corner, rank=9).adapter.modules.items()
    )


def test_a_task_of_weight_0_is_left_out_whatever_it_holds(adapters: Mapping[str, Adapter]) -> None:
    broken = Adapter({"linear": replace(factors(2, 0), a=torch.full((2, 7), torch.nan)), "extra": factors(2, 0)})
    with_it = combine({**adapters, "d": broken}, TaskWeights("abcd", [0.5, 0.25, 0.25, 0])).adapter
    without = combine(adapters, TaskWeights("abc", [0.5, 0.25, 0.25])).adapter
    assert list(with_it.modules) == list(without.modules)
    assert all(
        own.a.equal(without.modules[name].a) and own.b.equal(without.modules[name].b)
        for name, own in with_it.modules.items()
    )


def test_nothing_that_was_given_changes(adapters: Mapping[str, Adapter]) -> None:
    kept = {(task, name): dense(own) for task, adapter in adapters.items() for name, own in adapter.modules.items()}
    combine(adapters, uniform("abc"), rank=1)
    assert all(dense(adapters[task].modules[name]).equal(tensor) for (task, name), tensor in kept.items())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_types(dtype: torch.dtype) -> None:
    own = factors(2, 0)
    narrow = Adapter({"m": replace(own, a=own.a.to(dtype), b=own.b.to(dtype))})
    found = combine({"a": narrow, "b": narrow}, TaskWeights("ab", [0.3, 0.7])).adapter.modules["m"]
    assert found.a.dtype == found.b.dtype == torch.promote_types(dtype, torch.float32)
    torch.testing.assert_close(dense(found), dense(narrow.modules["m"]), rtol=1e-6, atol=1e-6)
    assert delta(narrow, "m").dtype == torch.promote_types(dtype, torch.float32)


class TestReducing:
    @pytest.mark.parametrize("layout", LAYOUTS)
    @pytest.mark.parametrize("rank", [1, 2, 3, 4])
    def test_the_error_is_the_dense_one_and_the_best(self, layout: Layout, rank: int) -> None:
        own = factors(6, 0, layout, stabilised=True)
        found = reduce_rank(own, rank)
        matrix = dense(own).flatten(1)
        best = torch.linalg.svdvals(matrix)[rank:].norm()
        assert found.factors.rank == rank
        assert found.lost == pytest.approx(float(best), rel=1e-5)
        assert found.norm == pytest.approx(float(matrix.norm()), rel=1e-6)
        assert float((dense(found.factors) - dense(own)).norm()) == pytest.approx(float(best), rel=1e-4, abs=1e-5)

    def test_rank_beyond_the_sides_is_lossless(self) -> None:
        own = factors(8, 0)  # of a matrix of 5 rows
        found = reduce_rank(own, 7)
        assert found.factors.rank == OUT
        assert found.lost == 0
        torch.testing.assert_close(dense(found.factors), dense(own), rtol=1e-5, atol=1e-5)

    def test_repeated_factors_lose_nothing(self) -> None:
        """Summed rank 4, and 2 are enough: both tasks have one A."""
        one = factors(2, 0)
        made = {"a": Adapter({"m": one}), "b": Adapter({"m": replace(one, b=one.b.flip(0))})}
        exact, small = combine(made, uniform("ab")), combine(made, uniform("ab"), rank=2)
        assert small.error < 1e-6
        torch.testing.assert_close(delta(small.adapter, "m"), delta(exact.adapter, "m"), rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("zero", [True, False])
    def test_zero_b_and_rank_1(self, zero: bool) -> None:
        own = factors(1, 0)
        made = {task: Adapter({"m": replace(own, b=torch.zeros_like(own.b)) if zero else own}) for task in "ab"}
        found = combine(made, uniform("ab"), rank=1)
        assert found.adapter.modules["m"].rank == 1
        assert found.error == 0 if zero else found.error < 1e-6
        expected = torch.zeros(OUT, 7, dtype=torch.float64) if zero else dense(own)
        torch.testing.assert_close(delta(found.adapter, "m").double(), expected, rtol=1e-6, atol=1e-6)

    @pytest.mark.parametrize("scale", [1e-30, 1e-10, 1e10, 1e30])
    def test_numbers_of_any_size(self, scale: float) -> None:
        own = replace(factors(4, 0), alpha=scale)
        found = reduce_rank(own, 2)
        assert found.lost / found.norm == pytest.approx(
            reduce_rank(factors(4, 0), 2).lost / reduce_rank(factors(4, 0), 2).norm, rel=1e-9
        )

    def test_a_rank_of_its_own_for_a_module(self, adapters: Mapping[str, Adapter]) -> None:
        exact, found = combine(adapters, uniform("abc")), combine(adapters, uniform("abc"), rank={"linear": 2})
        assert found.adapter.modules["linear"].rank == 2
        assert {name for name, error in found.errors.items() if error} == {"linear"}
        assert found.adapter.modules["alone"].a.equal(exact.adapter.modules["alone"].a)
        total = sum(float(dense(own).norm()) ** 2 for own in exact.adapter.modules.values())
        lost = float((dense(exact.adapter.modules["linear"]) - dense(found.adapter.modules["linear"])).norm())
        assert found.error == pytest.approx(lost / total**0.5, rel=1e-5)

    def test_ranks_that_cannot_be(self, adapters: Mapping[str, Adapter]) -> None:
        with pytest.raises(ParamsError, match="a rank must be at least 1, not 0"):
            combine(adapters, uniform("abc"), rank=0)
        with pytest.raises(
            ParamsError, match="a rank is given for q, which no adapter changes; it changes linear, embedding"
        ):
            combine(adapters, uniform("abc"), rank={"q": 1})


class TestFullTensors:
    def test_are_averaged_where_every_task_has_them(self) -> None:
        one, two = (Adapter({"m": factors(2, seed)}, {"head": torch.full((2,), float(seed))}) for seed in (1, 3))
        found = combine({"a": one, "b": two}, TaskWeights("ab", [0.25, 0.75]))
        assert found.adapter.full["head"].equal(torch.full((2,), 2.5))
        assert found.left_out == ()

    @pytest.mark.parametrize("order", ["ab", "ba"])
    def test_in_the_wider_type_of_two(self, order: str) -> None:
        tensors = {"a": torch.full((2,), 1 + 2**-20), "b": torch.ones(2).bfloat16()}
        made = {task: Adapter({"m": factors(2, 1)}, {"head": tensors[task]}) for task in order}
        assert combine(made, uniform(order)).adapter.full["head"].equal(torch.full((2,), 1 + 2**-21))

    def test_what_is_the_same_everywhere_stays_bit_for_bit(self) -> None:
        made = {task: Adapter({"m": factors(2, 1)}, {"lm_head": torch.rand(100)}) for task in "abc"}
        made = {task: replace(adapter, full=made["a"].full) for task, adapter in made.items()}
        assert (
            combine(made, TaskWeights("abc", [0.1, 0.2, 0.7])).adapter.full["lm_head"].equal(made["a"].full["lm_head"])
        )

    def test_of_other_shapes_travel_with_their_task(self) -> None:
        made = {task: Adapter({"m": factors(2, 1)}, {"head": torch.ones(size)}) for task, size in (("a", 2), ("b", 3))}
        found = combine(made, uniform("ab"))
        assert found.left_out == ("head",)
        assert not found.adapter.full
        assert found.adapter.with_full(made["a"].full).full["head"].equal(torch.ones(2))

    def test_that_one_task_has_average_with_the_base(self) -> None:
        made = {"a": Adapter({"m": factors(2, 1)}, {"e.weight": torch.ones(2)}), "b": Adapter({"m": factors(2, 2)})}
        with pytest.raises(
            ParamsError, match=r"task 'b' does not have e\.weight, which other tasks have whole; give the model"
        ):
            combine(made, uniform("ab"))
        found = combine(made, TaskWeights("ab", [0.25, 0.75]), base={"e.weight": torch.tensor([3.0, 5.0])})
        assert found.adapter.full["e.weight"].equal(torch.tensor([2.5, 4.0]))
        assert combine(made, uniform("ab"), private=["e.weight"]).left_out == ("e.weight",)

    def test_that_the_base_lacks_are_a_task_s_own_head(self) -> None:
        made = {"a": Adapter({"m": factors(2, 1)}, {"score.weight": torch.ones(2)}), "b": Adapter({"m": factors(2, 2)})}
        assert combine(made, uniform("ab"), base={}).left_out == ("score.weight",)

    def test_of_another_vocabulary_are_refused(self) -> None:
        made = {"a": Adapter({"m": factors(2, 1)}, {"e.weight": torch.ones(3)}), "b": Adapter({"m": factors(2, 2)})}
        with pytest.raises(ParamsError, match=r"e\.weight is \[3\] in the adapters and \[2\] in the base"):
            combine(made, uniform("ab"), base={"e.weight": torch.ones(2)})

    @pytest.mark.parametrize("layout", ["linear", "embedding"])
    def test_of_a_module_that_another_task_has_factors_of(self, layout: Layout) -> None:
        """One effective weight each: ``W_a``, and ``W + s B A``."""
        own = factors(2, 3, layout)
        base, whole = torch.randn(own.shape), torch.randn(own.shape)
        made = {"a": Adapter({}, {"m.weight": whole}), "b": Adapter({"m": own})}
        found = combine(made, TaskWeights("ab", [0.25, 0.75]), base={"m.weight": base}).adapter
        product = own.a.T @ own.b.T if layout == "embedding" else own.b @ own.a
        torch.testing.assert_close(found.full["m.weight"], 0.25 * whole + 0.75 * (base + own.scaling * product))
        assert not found.modules
        with pytest.raises(ParamsError, match="task 'b' has factors of m, which another task has whole"):
            combine(made, uniform("ab"))

    def test_private_ones_too(self) -> None:
        made = {task: Adapter({"m": factors(2, 1)}, {"head": torch.ones(2)}) for task in "ab"}
        assert combine(made, uniform("ab"), private=["head"]).left_out == ("head",)

    def test_nan_is_named(self) -> None:
        made = {task: Adapter({"m": factors(2, 1)}, {"head": torch.full((2,), torch.nan)}) for task in "ab"}
        with pytest.raises(ParamsError, match="head holds NaN or infinity"):
            combine(made, uniform("ab"))


class TestRefusing:
    def test_other_tasks(self, adapters: Mapping[str, Adapter]) -> None:
        with pytest.raises(
            WeightsError, match="weights are for a, b, adapters for a, b, c; give one weight per adapter"
        ):
            combine(adapters, uniform("ab"))

    def test_all_that_does_not_fit_is_told_at_once(self) -> None:
        own = factors(2, 0)
        one = Adapter({"m": own, "n": own}, config={"base_model_name_or_path": "gpt2", "task_type": "CAUSAL_LM"})
        wrong = {"m": factors(2, 0, "embedding"), "n": replace(own, b=torch.full((OUT, 2), torch.inf))}
        two = Adapter(wrong, config={"base_model_name_or_path": "llama"})
        assert one.base == "gpt2"
        faults = misfits({"a": one, "b": two})
        assert len(faults) == 3
        assert faults[0].startswith(
            "task 'b': base_model_name_or_path is llama, in task 'a' gpt2; use adapters of one model (if"
        )
        assert faults[1] == "task 'b': m is [9, 5] (embedding), in task 'a' [5, 7] (linear); use adapters of one model"
        assert faults[2].startswith("task 'b': factor B of n holds NaN or infinity")
        with pytest.raises(ParamsError, match=r"(?s)llama.*embedding.*factor B of n"):
            combine({"a": one, "b": two}, uniform("ab"))


def test_of_the_configurations_what_all_say_stays() -> None:
    said = {"task_type": "CAUSAL_LM", "lora_dropout": 0.1, "fan_in_fan_out": False}
    one = Adapter({"m": factors(2, 1)}, config={**said, "base_model_name_or_path": "gpt2"})
    two = Adapter({"m": factors(2, 2)}, config={**said, "lora_dropout": 0.2, "fan_in_fan_out": True, "task_type": None})
    found = combine({"a": one, "b": two}, uniform("ab")).adapter
    assert found.config == {"task_type": "CAUSAL_LM", "fan_in_fan_out": True, "base_model_name_or_path": "gpt2"}
    assert found.fan_in_fan_out
