import copy
import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.distributed import destroy_process_group, init_process_group
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, distribute_tensor

from foretaste.errors import ParamsError, TaskError
from foretaste.estimate.adam import AdamRun, Moments, adam
from foretaste.estimate.fisher import fisher
from foretaste.loss.class_labels import losses
from foretaste.params import Params, in_eval_mode, parameters_of, snapshot
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.site import GaussianSite
from laws import assert_same, normal, random
from networks import empirical, net

ONE = {"w": torch.zeros(2)}
INSTEAD = "foretaste.estimate.fisher"
Kind = Callable[[list[dict[str, object]]], torch.optim.Optimizer]


def squares(site: GaussianSite) -> Params:
    assert isinstance(site.precision, Diagonal)
    return site.precision.entries


def given(values: Tensor, step: float = 10, beta2: float = 0.9) -> Moments:
    return Moments({"w": values}, step, beta2)


def fed(gradients: Tensor, beta2: float, kind: Kind = torch.optim.AdamW) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A layer whose optimizer saw these gradients, `[steps, 2, 1]`, and left it where it was."""
    layer = nn.Linear(1, 2, bias=False)
    optimizer = kind([{"params": layer.parameters(), "lr": 0.0, "betas": (0.9, beta2)}])
    for gradient in gradients:
        layer.weight.grad = gradient.clone()
        optimizer.step()
    return layer, optimizer


class TestFormula:
    def test_known_answer(self) -> None:
        """v = (1 - .5^2) 6 after two steps that saw 6, of 2 x 3 x 4 = 24 examples, halved by clipping."""
        state = given(torch.tensor([4.5, 0.0]), step=2, beta2=0.5)
        found = adam(ONE, state, run=AdamRun(batch_size=2, accumulation=3, world_size=4, clip=0.5))
        torch.testing.assert_close(squares(found)["w"], torch.tensor([6.0 * 24 / 0.25, 0.0]))

    @pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW, torch.optim.NAdam, torch.optim.RAdam])
    @pytest.mark.parametrize("steps", [1, 3, 50])
    @pytest.mark.parametrize("beta2", [0.5, 0.95, 0.999])
    def test_it_is_the_weighted_mean_of_squares_that_a_loop_gives(self, beta2: float, steps: int, kind: Kind) -> None:
        gradients = normal(steps, 2, 1, seed=steps)
        layer, optimizer = fed(gradients, beta2, kind)
        found = adam(parameters_of(layer), Moments.of(optimizer, layer.named_parameters()), run=AdamRun(8))
        shares = beta2 ** torch.arange(steps - 1, -1, -1, dtype=torch.float64)
        mean = (shares.reshape(-1, 1, 1) * gradients.double().square()).sum(0) / shares.sum()
        torch.testing.assert_close(squares(found)["weight"].double(), 8 * mean, rtol=1e-4, atol=0)

    @pytest.mark.parametrize(
        ("batch_size", "accumulation", "clip"), [(1, 1, 1.0), (16, 1, 1.0), (4, 4, 1.0), (8, 2, 0.1)]
    )
    def test_it_is_the_mean_square_of_one_examples_gradient_where_noise_dominates(
        self, batch_size: int, accumulation: int, clip: float
    ) -> None:
        deviation = torch.tensor([0.1, 3.0]).reshape(2, 1)
        batches = deviation * normal(4000, accumulation, batch_size, 2, 1, seed=batch_size)
        layer, optimizer = fed(clip * batches.mean((1, 2)), 0.9995)
        run = AdamRun(batch_size, accumulation, clip=clip)
        found = squares(adam(parameters_of(layer), Moments.of(optimizer, layer.named_parameters()), run=run))
        torch.testing.assert_close(found["weight"], deviation.square(), rtol=0.15, atol=0)

    def test_amsgrads_maximum_is_not_what_is_used(self) -> None:
        layer = nn.Linear(1, 2, bias=False)
        optimizer = torch.optim.AdamW(layer.parameters(), lr=0.0, betas=(0.9, 0.5), amsgrad=True)
        for size in (100.0, *[1.0] * 40):
            layer.weight.grad = torch.full((2, 1), size)
            optimizer.step()
        found = squares(adam(parameters_of(layer), Moments.of(optimizer, layer.named_parameters()), run=AdamRun(1)))
        torch.testing.assert_close(found["weight"], torch.ones(2, 1))


def trained(name: str, batch_size: int, steps: int = 3000) -> tuple[Params, Moments]:
    """Adam at a learning rate of 0 on examples drawn with replacement."""
    found = net(name)
    model = copy.deepcopy(found.model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, betas=(0.9, 0.9995))
    generator = random(batch_size)
    with in_eval_mode(model):
        for _ in range(steps):
            rows = torch.randint(0, len(found.batch["labels"]), (batch_size,), generator=generator)
            batch = {key: tensor[rows] for key, tensor in found.batch.items()}
            optimizer.zero_grad()
            losses(found.predict(model, batch), batch["labels"]).mean().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return snapshot(parameters_of(model)), Moments.of(optimizer, model.named_parameters())


class TestAgainstTheEmpiricalFisher:
    @pytest.mark.parametrize("batch_size", [1, 4])
    def test_a_run_that_stays_where_it_is(self, batch_size: int) -> None:
        """h = E[g^2] + (B - 1) E[g]^2, both of which the Fisher's pass gives."""
        found = net("mlp")
        center, state = trained("mlp", batch_size)
        site = adam(center, state, run=AdamRun(batch_size))
        assert_same(site.center, parameters_of(found.model))
        mean = fisher(found.model, None, found.task(), generator=random(0), labels="empirical", gradient=True).gradient
        assert mean is not None
        for name, truth in empirical(found.model, found.task(), found.batch).items():
            expected = truth + (batch_size - 1) * mean[name].double().square()
            gap = float((squares(site)[name].double() - expected).norm() / expected.norm())
            assert gap < 0.1, (name, gap)


class TestSite:
    def test_record_and_center(self) -> None:
        run = AdamRun(4, 2, clip=0.5, unit="token", examples=30, units=900)
        site = adam(ONE, given(torch.ones(2), step=7), run=run, carried={"mean": torch.ones(1)})
        record = site.record
        assert (record.unit, record.estimator, record.examples, record.units) == ("token", "adam", 30, 900)
        assert record.details == {"batch": "8", "clip": "0.5", "step": "7", "beta2": "0.9"}
        assert site.gradient is None
        assert_same(site.center, ONE)
        assert_same(site.buffers, {"mean": torch.ones(1)})

    def test_it_is_a_copy_of_what_was_given(self) -> None:
        center, moment = {"w": torch.zeros(2)}, torch.ones(2)
        site = adam(center, given(moment), run=AdamRun(1))
        kept = squares(site)["w"].clone()
        center["w"].fill_(5.0)
        moment.fill_(5.0)
        assert_same(site.center, ONE)
        assert torch.equal(squares(site)["w"], kept)

    @pytest.mark.parametrize(("dtype", "wide"), [(torch.bfloat16, torch.float32), (torch.float64, torch.float64)])
    def test_it_is_computed_in_float32_or_wider(self, dtype: torch.dtype, wide: torch.dtype) -> None:
        center = {"w": torch.zeros(2, dtype=dtype)}
        found = squares(adam(center, given(torch.full((2,), 3.0, dtype=dtype), step=1), run=AdamRun(3)))["w"]
        assert found.dtype == wide
        torch.testing.assert_close(found, torch.full((2,), 90.0, dtype=wide))

    def test_names_outside_of_the_center_are_left_out(self) -> None:
        state = Moments({"w": torch.ones(2), "head": torch.ones(9)}, {"w": 3, "head": 9}, 0.9)
        site = adam(ONE, state, run=AdamRun(1))
        assert set(squares(site)) == {"w"}
        assert site.record.details["step"] == "3"

    def test_empty_and_single_entries(self) -> None:
        center = {"e": torch.zeros(0, 3), "s": torch.zeros(())}
        state = Moments({"e": torch.zeros(0, 3), "s": torch.tensor(1.0)}, 1e9, 0.9)
        assert_same(squares(adam(center, state, run=AdamRun(2))), {"e": torch.zeros(0, 3), "s": torch.tensor(2.0)})

    def test_step_and_beta2_of_each_group(self) -> None:
        model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
        groups = [
            {"params": layer.parameters(), "betas": (0.9, beta2)}
            for layer, beta2 in zip(model, (0.5, 0.99), strict=True)
        ]
        optimizer = torch.optim.AdamW(groups, lr=0.0)
        for parameter in model.parameters():
            parameter.grad = torch.full((1, 1), 3.0)
        optimizer.step()
        next(model.parameters()).grad = None
        optimizer.step()
        state = Moments.of(optimizer, model.named_parameters())
        assert (state.step, state.beta2) == ({"0.weight": 1.0, "1.weight": 2.0}, {"0.weight": 0.5, "1.weight": 0.99})
        site = adam(parameters_of(model), state, run=AdamRun(1))
        assert site.record.details == {"batch": "1", "clip": "1.0", "step": "1, 2", "beta2": "0.5, 0.99"}
        for entries in squares(site).values():
            torch.testing.assert_close(entries, torch.full((1, 1), 9.0))

    def test_frozen_parameters_have_no_curvature(self) -> None:
        model = nn.Linear(2, 1)
        model.weight.requires_grad_(False)
        optimizer = torch.optim.Adam(model.parameters())
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        state = Moments.of(optimizer, model.named_parameters())
        assert state.frozen == {"weight"}
        found = squares(adam(parameters_of(model), state, run=AdamRun(1)))
        assert not found["weight"].any()
        assert found["bias"].all()
        plain = Moments({}, 1, 0.9, frozen=frozenset({"w"}))
        assert_same(squares(adam(ONE, plain, run=AdamRun(1))), ONE)


def live(make: Callable[[nn.Module], torch.optim.Optimizer]) -> Moments:
    model = nn.Linear(2, 2)
    optimizer = make(model)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return Moments.of(optimizer, model.named_parameters())


class TestOtherOptimizers:
    @pytest.mark.parametrize("kind", [torch.optim.Adamax, torch.optim.RMSprop, torch.optim.Adagrad])
    def test_without_a_second_moment(self, kind: Kind) -> None:
        with pytest.raises(
            ParamsError, match=f"state of weight has .* and no exp_avg_sq; it is not Adam's: .*{re.escape(INSTEAD)}"
        ):
            live(lambda model: kind([{"params": model.parameters()}]))

    def test_without_any_state(self) -> None:
        with pytest.raises(
            ParamsError, match="the optimizer has no second moment for weight, bias; name what was frozen"
        ):
            live(lambda model: torch.optim.SGD(model.parameters()))

    def test_adafactor(self) -> None:
        with pytest.raises(ParamsError, match="state of weight is Adafactor's: it has sums only"):
            live(lambda model: torch.optim.Adafactor(model.parameters()))

    def test_an_optimizer_without_beta2(self) -> None:
        with pytest.raises(TaskError, match=r"has no beta2 for weight .* it is not Adam"):
            live(lambda model: Halfway([{"params": model.parameters()}]))

    def test_a_trained_parameter_that_never_had_a_gradient_is_named(self) -> None:
        model = nn.ModuleDict({"used": nn.Linear(1, 1), "idle": nn.Linear(1, 1)})
        optimizer = torch.optim.AdamW(model.parameters())
        model["used"](torch.ones(1, 1)).sum().backward()
        optimizer.step()
        with pytest.raises(
            ParamsError, match=r"no second moment for idle.weight, idle.bias; .*freeze what has no gradient"
        ):
            Moments.of(optimizer, model.named_parameters())

    def test_a_parameter_of_no_optimizer_is_named(self) -> None:
        with pytest.raises(ParamsError, match="no second moment for bias"):
            live(lambda model: torch.optim.AdamW([model.get_parameter("weight")]))

    def test_of_many_missing_some_are_listed(self) -> None:
        center = {f"p{place}": torch.zeros(1) for place in range(9)}
        with pytest.raises(ParamsError, match="p0, p1, p2, p3, p4, p5 and 3 more"):
            adam(center, Moments({}, 1, 0.9), run=AdamRun(1))


class Halfway(torch.optim.Optimizer):
    """Keeps second moments with a decay by another name."""

    def __init__(self, groups: list[dict[str, object]]) -> None:
        super().__init__(groups, {"lr": 0.1, "decay": 0.9})

    def step(self, closure: object = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter] = {"step": 1, "exp_avg_sq": parameter.grad.square()}


class TestStatesThatCannotBeCorrected:
    @pytest.mark.parametrize("slot", ["state1", "state2", "absmax", "absmax2"])
    def test_eight_bit_by_its_slots(self, slot: str) -> None:
        for key in (slot, f"w.{slot}", f"w/{slot}"):
            with pytest.raises(ParamsError, match=f"the state of {key} is 8-bit: .*{re.escape(INSTEAD)}"):
                adam(ONE, Moments({key: torch.ones(2)}, 1, 0.9), run=AdamRun(1))

    @pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int32])
    def test_eight_bit_by_its_type(self, dtype: torch.dtype) -> None:
        with pytest.raises(ParamsError, match=f"exp_avg_sq of w is quantised .*{dtype}.*{re.escape(INSTEAD)}"):
            adam(ONE, given(torch.ones(2, dtype=dtype)), run=AdamRun(1))

    def test_a_live_eight_bit_state(self) -> None:
        model = nn.Linear(2, 2, bias=False)
        optimizer = torch.optim.AdamW(model.parameters())
        optimizer.state[model.weight] = {
            "step": 1,
            "state1": torch.zeros(4),
            "state2": torch.zeros(4, dtype=torch.uint8),
        }
        with pytest.raises(ParamsError, match=r"state of weight is 8-bit: .*\(state1\)"):
            Moments.of(optimizer, model.named_parameters())

    @pytest.mark.parametrize("slot", ["exp_avg_sq_row", "exp_avg_sq_col"])
    def test_factored(self, slot: str) -> None:
        with pytest.raises(
            ParamsError, match=rf"the state of w.{slot} is Adafactor's: .*\({slot}\); .*{re.escape(INSTEAD)}"
        ):
            adam(ONE, Moments({f"w.{slot}": torch.ones(1)}, 1, 0.9), run=AdamRun(1))

    @pytest.mark.parametrize("shape", [(1,), (4,), (2, 1), ()])
    def test_a_shard_by_its_shape(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(
            ParamsError, match=rf"exp_avg_sq of w is sharded .*{re.escape(str(list(shape)))}, the parameter's is \[2\]"
        ):
            adam(ONE, given(torch.ones(shape)), run=AdamRun(1))

    def test_a_shard_by_its_type(self, tmp_path: Path) -> None:
        init_process_group("gloo", init_method=(tmp_path / "store").as_uri(), rank=0, world_size=1)
        try:
            sharded = distribute_tensor(torch.ones(2), init_device_mesh("cpu", (1,)))
            assert isinstance(sharded, DTensor)
            with pytest.raises(ParamsError, match=r"exp_avg_sq of w is sharded .*DTensor.* gather the full state"):
                adam(ONE, given(sharded), run=AdamRun(1))
        finally:
            destroy_process_group()

    @pytest.mark.parametrize("step", [0, -1, math.nan])
    def test_no_steps(self, step: float) -> None:
        with pytest.raises(
            TaskError, match=f"state of w has {step:g} steps, so nothing was averaged; .*{re.escape(INSTEAD)}"
        ):
            adam(ONE, given(torch.ones(2), step=step), run=AdamRun(1))

    @pytest.mark.parametrize("beta2", [1.0, -0.1, 1.5, math.nan])
    def test_a_beta2_that_is_none(self, beta2: float) -> None:
        with pytest.raises(TaskError, match=r"beta2 of w is .* at least 0 and below 1"):
            adam(ONE, given(torch.ones(2), beta2=beta2), run=AdamRun(1))

    def test_a_step_or_beta2_that_is_missing(self) -> None:
        with pytest.raises(TaskError, match="the Adam state has no step for w"):
            adam(ONE, Moments({"w": torch.ones(2)}, {}, 0.9), run=AdamRun(1))
        with pytest.raises(TaskError, match="the Adam state has no beta2 for w"):
            adam(ONE, Moments({"w": torch.ones(2)}, 1, {"other": 0.9}), run=AdamRun(1))

    @pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
    def test_numbers_that_are_no_squares(self, value: float) -> None:
        with pytest.raises(ParamsError, match="curvature of w has negative or non-finite entries"):
            adam(ONE, given(torch.tensor([1.0, value])), run=AdamRun(1))


class TestRun:
    @pytest.mark.parametrize("clip", [0.0, -1.0, math.nan, math.inf])
    def test_a_factor_that_is_not_above_zero(self, clip: float) -> None:
        with pytest.raises(TaskError, match=f"clip of the Adam run is {clip}; .* above 0"):
            AdamRun(1, clip=clip)

    @pytest.mark.parametrize("sizes", [(0, 1, 1), (1, 0, 1), (1, 1, 0), (-3, 1, 1)])
    def test_sizes_below_one(self, sizes: tuple[int, int, int]) -> None:
        with pytest.raises(TaskError, match=r"of the Adam run is .*at least 1"):
            AdamRun(*sizes)
