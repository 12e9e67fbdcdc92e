import math
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from foretaste.errors import ParamsError, RunFailed
from foretaste.estimate import ivon_step
from foretaste.estimate.ivon import IVON, beta2_for, learned_share
from laws import normal, random

Group = dict[str, Any]  # a group of an optimizer holds parameters and numbers of all types
ESS, DECAY, FIRST = 50.0, 0.3, 0.2


def lone(*values: float, dtype: torch.dtype = torch.float32) -> nn.Parameter:
    return nn.Parameter(torch.tensor(values, dtype=dtype))


def made(params: Iterable[Tensor] | list[Group], **changes: Any) -> IVON:  # noqa: ANN401 - settings of all types
    settings: dict[str, Any] = {
        "ess": ESS,
        "lr": 0.1,
        "beta2": 0.9,
        "hessian_init": FIRST,
        "weight_decay": DECAY,
        "generator": random(0),
    }
    return IVON(params, **(settings | changes))


def turn(optimizer: IVON, loss: Callable[[], Tensor]) -> None:
    """One step on a loss."""
    optimizer.zero_grad()
    backward(optimizer, loss)
    optimizer.step()


def backward(optimizer: IVON, loss: Callable[[], Tensor]) -> None:
    with optimizer.sampled():
        loss().backward()  # type: ignore[no-untyped-call]


def bowl(param: Tensor, curvature: Tensor, bottom: Tensor) -> Callable[[], Tensor]:
    """A quadratic loss of this diagonal curvature."""

    def loss() -> Tensor:
        return (0.5 * curvature * (param - bottom).square()).sum()

    return loss


def squares(param: Tensor) -> Callable[[], Tensor]:
    return bowl(param, torch.tensor(2.0), torch.tensor(0.0))


def sloped(param: Tensor, slope: float) -> Callable[[], Tensor]:
    def loss() -> Tensor:
        return (slope * param).sum()

    return loss


def hessian(optimizer: IVON, param: Tensor) -> Tensor:
    return optimizer.estimates()["hessian"][param]


class TestFormulas:
    @pytest.mark.parametrize("clip_radius", [math.inf, 0.05])
    @pytest.mark.parametrize("to_start", [True, False])
    @pytest.mark.parametrize("size", [1, 7, 2 * 1024 + 3])
    def test_steps_are_those_written_out_in_float64(
        self, size: int, to_start: bool, clip_radius: float, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ivon_step, "_PIECE", 1024)
        curvature, bottom = normal(size, seed=1).square() + 0.1, normal(size, seed=2)
        param = nn.Parameter(normal(size, seed=3))
        m = c = param.detach().double()
        c = c if to_start else torch.zeros_like(c)
        g, h = torch.zeros_like(m), torch.full_like(m, FIRST)
        optimizer, noise = made([param], clip_radius=clip_radius, to_start=to_start), random(0)
        for k in range(1, 6):
            turn(optimizer, bowl(param, curvature, bottom))
            z = torch.cat([torch.empty(len(piece)).normal_(generator=noise) for piece in torch.split(m, 1024)])
            e = z.double() / (ESS * (h + DECAY)).sqrt()
            grad = curvature.double() * (m + e - bottom.double())
            g = 0.9 * g + 0.1 * grad
            u = (1 - 0.9) * (ESS * (h + DECAY) * e * grad - h) / (h + DECAY)
            h = (h + DECAY) * (1 + u + u**2 / 2) - DECAY
            move = (g / (1 - 0.9**k) + DECAY * (m - c)) / (h + DECAY)
            m = m - 0.1 * (FIRST + DECAY) * move.clamp(-clip_radius, clip_radius)
        torch.testing.assert_close(param.detach().double(), m, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(hessian(optimizer, param).double(), h, rtol=1e-3, atol=1e-4)

    def test_a_tensor_in_pieces_and_a_strided_one_follow_the_same_formulas(self) -> None:
        """Only the noise is drawn in another order."""
        start = normal(3, 4, seed=1)
        plain, strided = nn.Parameter(start.clone()), nn.Parameter(start.T.contiguous().T)
        assert not strided.is_contiguous()
        for param in (plain, strided):
            turn(made([param], ess=1e12), bowl(param, torch.ones(3, 4), torch.zeros(3, 4)))
        torch.testing.assert_close(plain.detach(), strided.detach(), rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("shape", [(), (0,), (0, 3)])
    def test_single_and_empty_tensors(self, shape: tuple[int, ...]) -> None:
        param = nn.Parameter(torch.ones(shape))
        optimizer = made([param])
        turn(optimizer, squares(param))
        assert param.shape == hessian(optimizer, param).shape == shape
        assert bool((param < 1).all())

    def test_draws_are_as_wide_as_the_posterior(self) -> None:
        param = nn.Parameter(torch.zeros(100_000))
        optimizer = made([param])
        with optimizer.sampled():
            assert float(param.detach().std()) == pytest.approx((ESS * (FIRST + DECAY)) ** -0.5, rel=0.02)


CURVATURE, BOTTOM, COPIES = torch.tensor([0.1, 1.0, 4.0]), torch.tensor([2.0, -1.0, 0.5]), 300


def settled(**changes: Any) -> tuple[Tensor, Tensor]:  # noqa: ANN401 - settings of all types
    """Mean and curvature after a run on many copies of a bowl, averaged over them and the last half."""
    param = nn.Parameter(torch.ones(3, COPIES))
    optimizer = made([param], **({"beta2": 0.99, "lr": 0.05} | changes))
    loss, means, found = bowl(param, CURVATURE[:, None], BOTTOM[:, None]), list[Tensor](), list[Tensor]()
    for step in range(1200):
        turn(optimizer, loss)
        if step >= 600:
            means.append(param.detach().mean(1))
            found.append(hessian(optimizer, param).mean(1))
    return torch.stack(means).mean(0), torch.stack(found).mean(0)


class TestWhereItSettles:
    @pytest.mark.parametrize(("to_start", "center"), [(True, 1.0), (False, 0.0)])
    def test_at_the_curvature_and_the_optimum_with_the_prior(self, to_start: bool, center: float) -> None:
        mean, found = settled(to_start=to_start)
        torch.testing.assert_close(found, CURVATURE, rtol=0.15, atol=0.02)
        torch.testing.assert_close(
            mean, (CURVATURE * BOTTOM + DECAY * center) / (CURVATURE + DECAY), rtol=0.02, atol=0.02
        )

    def test_h_is_in_units_of_the_mean_loss_whatever_the_ess(self) -> None:
        for ess in (20.0, 500.0):
            torch.testing.assert_close(settled(ess=ess, weight_decay=0.01)[1], CURVATURE, rtol=0.2, atol=0.03)

    def test_gradients_of_zero_leave_the_mean_and_unlearn_h(self) -> None:
        param = lone(1.0, -2.0)
        optimizer = made([param])
        for _ in range(200):
            turn(optimizer, sloped(param, 0.0))
        assert torch.equal(param.detach(), torch.tensor([1.0, -2.0]))
        torch.testing.assert_close(hessian(optimizer, param), torch.zeros(2), rtol=0, atol=1e-6)

    def test_without_a_prior_gradients_of_zero_stay_finite(self) -> None:
        param = lone(1.0)
        optimizer = made([param], weight_decay=0.0, beta2=None, steps=100)
        for _ in range(100):
            turn(optimizer, sloped(param, 0.0))
        assert param.item() == 1.0
        assert 0 < float(hessian(optimizer, param)) < FIRST

    @pytest.mark.parametrize("bend", [-1e-3, -1.0, -1e4])
    def test_h_plus_w_stays_positive_on_a_hilltop(self, bend: float) -> None:
        param = lone(0.0)
        optimizer = made([param], lr=0.0)
        for _ in range(300):
            turn(optimizer, bowl(param, torch.tensor([bend]), torch.zeros(1)))
            assert float(hessian(optimizer, param)) > -DECAY


class TestStaleness:
    def test_the_published_decay_learns_nothing_in_a_short_run(self) -> None:
        assert learned_share(0.99999, 300) < 0.01
        assert learned_share(beta2_for(300), 300) > 0.97
        assert learned_share(0.9, 0) == 0

    @pytest.mark.parametrize("steps", [0, 1, 3, 4])
    def test_the_shortest_runs_forget_the_first_guess_at_once(self, steps: int) -> None:
        assert beta2_for(steps) == 0

    def test_beta2_follows_from_the_steps(self) -> None:
        assert made([lone(1.0)], beta2=None, steps=80).param_groups[0]["beta2"] == pytest.approx(0.95)


class TestDraws:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
    def test_leaving_restores_bit_for_bit(self, dtype: torch.dtype) -> None:
        param = nn.Parameter(normal(1000).to(dtype))
        before = param.detach().clone()
        optimizer = made([param])
        with optimizer.sampled():
            assert not torch.equal(param.detach(), before)
        assert torch.equal(param.detach(), before)

    def test_so_does_an_exception(self) -> None:
        param = lone(0.1, 0.2)
        before = param.detach().clone()
        optimizer = made([param])
        with pytest.raises(ZeroDivisionError), optimizer.sampled():
            raise ZeroDivisionError
        assert torch.equal(param.detach(), before)
        turn(optimizer, sloped(param, 1.0))

    def test_so_does_a_draw_that_fails_halfway(self) -> None:
        first, second = lone(1.0), lone(2.0)
        optimizer = made([{"params": [first]}, {"params": [second]}])
        optimizer.param_groups[1]["ess"] = "many"
        with pytest.raises(TypeError), optimizer.sampled():
            pass  # never reached
        assert (first.item(), second.item()) == (1.0, 2.0)
        optimizer.param_groups[1]["ess"] = ESS
        turn(optimizer, lambda: first + second)

    def test_gradients_taken_outside_do_not_count_for_h(self) -> None:
        left, right = lone(1.0, 2.0), lone(1.0, 2.0)
        both = [made([left], beta1=0.0), made([right], beta1=0.0)]
        backward(both[0], squares(left))
        backward(both[1], squares(right))
        (5 * right).sum().backward()  # type: ignore[no-untyped-call]
        for optimizer in both:
            optimizer.step()
        assert torch.equal(hessian(both[0], left), hessian(both[1], right))
        assert not torch.equal(left.detach(), right.detach())

    def test_restoring_twice_is_harmless(self) -> None:
        param = lone(1.0)
        optimizer = made([param])
        optimizer.restore()
        optimizer.perturb()
        optimizer.restore()
        optimizer.restore()
        assert param.item() == 1.0


def regression(count: int = 12) -> tuple[nn.Linear, Tensor, Tensor]:
    layer = nn.Linear(3, 1)
    with torch.no_grad():
        layer.weight.copy_(normal(1, 3, seed=1))
        layer.bias.zero_()
    return layer, normal(count, 3, seed=2), normal(count, 1, seed=3)


class TestAccumulation:
    @pytest.mark.parametrize("size", [12, 4, 1])
    def test_micro_batches_under_one_draw_are_one_batch(self, size: int) -> None:
        found = []
        for pieces in (12, size):
            layer, inputs, targets = regression()
            optimizer = made(layer.parameters())
            for _ in range(3):
                optimizer.zero_grad()
                with optimizer.sampled():
                    for x, y in zip(torch.split(inputs, pieces), torch.split(targets, pieces), strict=True):
                        ((layer(x) - y).square().sum() / 12).backward()
                optimizer.step()
            found.append(
                [*(p.detach() for p in layer.parameters()), *(hessian(optimizer, p) for p in layer.parameters())]
            )
        torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)

    def test_several_draws_add_up_with_scaled_losses(self) -> None:
        """h and m of a step are those of the mean of ``e * G`` and G over the draws."""
        param = lone(1.0, -1.0)
        optimizer = made([param], beta1=0.0)
        start = param.detach().double()
        loss = bowl(param, CURVATURE[:2], BOTTOM[:2])
        for _ in range(4):
            backward(optimizer, lambda: loss() / 4)
        optimizer.step()
        noise = random(0)
        e = torch.stack([torch.empty(2).normal_(generator=noise) for _ in range(4)]).double() / math.sqrt(
            ESS * (FIRST + DECAY)
        )
        grads = CURVATURE[:2].double() * (start + e - BOTTOM[:2].double())
        u = 0.1 * (ESS * (FIRST + DECAY) * (e * grads).mean(0) - FIRST) / (FIRST + DECAY)
        h = (FIRST + DECAY) * (1 + u + u**2 / 2) - DECAY
        torch.testing.assert_close(hessian(optimizer, param).double(), h, rtol=1e-4, atol=1e-6)
        m = start - 0.1 * (FIRST + DECAY) * grads.mean(0) / (h + DECAY)
        torch.testing.assert_close(param.detach().double(), m, rtol=1e-4, atol=1e-6)

    def test_zero_grad_forgets_what_was_collected(self) -> None:
        left, right = lone(1.0, 2.0), lone(1.0, 2.0)
        plain, forgetful = made([left]), made([right])
        backward(forgetful, sloped(right, 100.0))
        forgetful.zero_grad()
        forgetful.generator = random(0)
        backward(forgetful, squares(right))
        backward(plain, squares(left))
        plain.step()
        forgetful.step()
        assert torch.equal(left, right)
        assert torch.equal(hessian(plain, left), hessian(forgetful, right))

    def test_clipping_between_changes_m_and_not_h(self) -> None:
        params = [lone(3.0, 4.0), lone(3.0, 4.0)]
        optimizers = [made([param]) for param in params]
        for param, optimizer in zip(params, optimizers, strict=True):
            backward(optimizer, squares(param))
        torch.nn.utils.clip_grad_norm_([params[1]], 0.01)
        for optimizer in optimizers:
            optimizer.step()
        assert torch.equal(hessian(optimizers[0], params[0]), hessian(optimizers[1], params[1]))
        moved = [float((param.detach() - torch.tensor([3.0, 4.0])).norm()) for param in params]
        assert moved[1] < 0.01 < moved[0]


class TestGroups:
    def test_each_has_its_own_settings(self) -> None:
        """As two optimizers on the same noise would have it."""
        own: list[Group] = [
            {"lr": 0.3, "ess": 10.0, "beta2": 0.5, "hessian_init": 1.0},
            {"weight_decay": 0.0, "beta1": 0.5, "clip_radius": 0.1},
        ]
        together = [lone(1.0, 2.0), lone(-3.0, 1.0)]
        whole = made([{"params": [param]} | settings for param, settings in zip(together, own, strict=True)])
        apart = [lone(1.0, 2.0), lone(-3.0, 1.0)]
        noise = random(0)
        each = [made([param], generator=noise, **settings) for param, settings in zip(apart, own, strict=True)]
        for _ in range(3):
            turn(whole, lambda: sum((param.square().sum() for param in together), torch.zeros(())))
            for optimizer, param in zip(each, apart, strict=True):
                turn(optimizer, squares(param))
        for left, right, optimizer in zip(together, apart, each, strict=True):
            assert torch.equal(left, right)
            assert torch.equal(hessian(whole, left), hessian(optimizer, right))

    def test_a_group_added_later_is_checked_and_trained(self) -> None:
        first, second = lone(1.0), lone(1.0)
        optimizer = made([first])
        with pytest.raises(ParamsError, match="lr of IVON"):
            optimizer.add_param_group({"params": [second], "lr": -1.0})
        optimizer.add_param_group({"params": [second], "lr": 0.5})
        turn(optimizer, lambda: first + second)
        assert second.item() < first.item() < 1

    def test_parameters_without_gradient_and_frozen_ones_are_left_alone(self) -> None:
        used, idle, frozen = lone(1.0), lone(1.0), lone(1.0)
        frozen.requires_grad_(False)
        optimizer = made([used, idle, frozen])
        for _ in range(3):
            turn(optimizer, lambda: (used * frozen).square().sum())
            assert set(optimizer.estimates()["hessian"]) == {used}
        assert used.item() < 1
        assert (idle.item(), frozen.item()) == (1.0, 1.0)
        assert float(optimizer.state[idle]["hessian"]) == pytest.approx(FIRST)
        assert not optimizer.state[frozen]
        backward(optimizer, lambda: used)
        optimizer.zero_grad()  # an empty entry of a frozen parameter is no obstacle

    def test_a_parameter_frozen_with_a_gradient_on_it(self) -> None:
        used, frozen = lone(1.0), lone(1.0)
        optimizer = made([used, frozen])
        backward(optimizer, lambda: used + frozen)
        frozen.requires_grad_(False)
        optimizer.step()
        assert used.item() < 1
        assert frozen.item() == 1.0

    def test_a_late_first_gradient_is_a_full_first_step(self) -> None:
        early, late = lone(1.0), lone(1.0)
        optimizer = made([early, late], ess=1e4, weight_decay=0.0, beta2=0.99999)
        for _ in range(5):
            turn(optimizer, lambda: early)
        turn(optimizer, lambda: late)
        assert late.item() == pytest.approx(0.9, abs=0.02)


class TestPrecision:
    def test_bfloat16_parameters_keep_float32_state_through_a_state_dict(self) -> None:
        param = nn.Parameter(normal(64).bfloat16())
        optimizer = made([param], beta2=0.999)
        for _ in range(5):
            turn(optimizer, squares(param))
        before = {key: tensor.clone() for key, tensor in optimizer.state[param].items()}
        assert {tensor.dtype for tensor in before.values()} == {torch.float32}
        assert len(set(before["hessian"].tolist())) > 32
        other = made([param], beta2=0.999)
        other.load_state_dict(optimizer.state_dict())
        assert all(torch.equal(other.state[param][key], tensor) for key, tensor in before.items())
        assert {tensor.dtype for tensor in other.state[param].values()} == {torch.float32}

    def test_a_bfloat16_draw_is_what_h_sees(self) -> None:
        """The noise as rounded, not as wished for: h of a linear loss in expectation 0."""
        param = nn.Parameter(torch.full((4000,), 1.0, dtype=torch.bfloat16))
        optimizer = made([param], ess=1e6, lr=0.0, beta2=0.0)
        seen = list[Tensor]()
        with optimizer.sampled():
            seen.append((param.float() - 1).detach().clone())
            param.float().sum().backward()  # type: ignore[no-untyped-call]
        assert torch.equal(optimizer.state[param]["product"], seen[0])

    def test_bfloat16_autocast(self) -> None:
        layer, inputs, targets = regression()
        optimizer = made(layer.parameters(), weight_decay=1e-4, ess=1000.0)

        def loss() -> Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                return nn.functional.mse_loss(layer(inputs).float(), targets)

        first = loss().item()
        for _ in range(50):
            turn(optimizer, loss)
        assert loss().item() < first
        assert all(bool(torch.isfinite(tensor).all()) for tensor in optimizer.estimates()["hessian"].values())


class TestResume:
    def test_from_a_state_dict_bit_for_bit(self) -> None:
        layers = [regression()[0] for _ in range(2)]
        _, inputs, targets = regression()
        optimizers = [made(layer.parameters(), beta2=None, steps=8) for layer in layers]
        for layer, optimizer in zip(layers, optimizers, strict=True):
            for _ in range(4):
                turn(optimizer, lambda layer=layer: (layer(inputs) - targets).square().mean())  # type: ignore[misc]
        second = made(layers[1].parameters(), lr=9.0, beta2=0.0)
        second.load_state_dict(optimizers[1].state_dict())
        second.generator = optimizers[1].generator
        for layer, optimizer in zip(layers, (optimizers[0], second), strict=True):
            for _ in range(4):
                turn(optimizer, lambda layer=layer: (layer(inputs) - targets).square().mean())  # type: ignore[misc]
        for left, right in zip(layers[0].parameters(), layers[1].parameters(), strict=True):
            assert torch.equal(left, right)
            assert torch.equal(hessian(optimizers[0], left), hessian(second, right))
            assert float(second.state[right]["step"]) == 8

    def test_a_loaded_state_is_a_copy(self) -> None:
        param = lone(1.0)
        optimizer, other = made([param]), made([param])
        turn(optimizer, squares(param))
        other.load_state_dict(optimizer.state_dict())
        turn(other, squares(param))
        assert float(optimizer.state[param]["step"]) == 1


class TestClosure:
    def test_it_runs_at_a_draw_and_gives_its_loss(self) -> None:
        left, right = lone(1.0, 2.0), lone(1.0, 2.0)
        plain, closed = made([left]), made([right])
        seen = list[float]()

        def closure() -> float:
            closed.zero_grad()
            loss = right.square().sum()
            loss.backward()  # type: ignore[no-untyped-call]
            seen.append(loss.item())
            return loss.item()

        for _ in range(3):
            turn(plain, squares(left))
            assert closed.step(closure) == seen[-1]
        assert torch.equal(left, right)
        assert seen[0] != 5.0


class TestMisuse:
    def test_a_step_at_a_draw(self) -> None:
        param = lone(1.0)
        optimizer = made([param])
        with optimizer.sampled():
            param.square().sum().backward()  # type: ignore[no-untyped-call]
            with pytest.raises(RunFailed, match=r"step\(\) was called at a draw; leave"):
                optimizer.step()

    def test_a_step_without_a_draw(self) -> None:
        param = lone(1.0)
        param.square().sum().backward()  # type: ignore[no-untyped-call]
        with pytest.raises(RunFailed, match=r"no gradient was taken at a draw; go backward inside"):
            made([param]).step()

    def test_a_second_step_on_the_same_gradient(self) -> None:
        param = lone(1.0)
        optimizer = made([param])
        turn(optimizer, squares(param))
        with pytest.raises(RunFailed, match="no gradient was taken at a draw"):
            optimizer.step()

    def test_a_step_without_any_gradient_does_nothing(self) -> None:
        param = lone(1.0)
        made([param]).step()
        assert param.item() == 1.0

    def test_a_draw_from_a_draw(self) -> None:
        param = lone(1.0)
        optimizer = made([param])
        with optimizer.sampled():
            place = param.item()
            with pytest.raises(RunFailed, match=r"at a draw already; restore\(\) them first"):
                optimizer.perturb()
            assert param.item() == place
        assert param.item() == 1.0

    def test_sparse_gradients(self) -> None:
        table = nn.Embedding(3, 2, sparse=True)
        optimizer = made(table.parameters())
        with pytest.raises(RunFailed, match="IVON needs dense gradients"):
            backward(optimizer, lambda: table(torch.tensor([1])).sum())

    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("ess", [0, -1.0, math.nan, math.inf]),
            ("hessian_init", [0.0, -1.0, math.nan, math.inf]),
            ("clip_radius", [0.0, -1.0, math.nan]),
            ("lr", [-0.1, math.nan, math.inf]),
            ("weight_decay", [-0.1, math.nan, math.inf]),
            ("beta1", [-0.1, 1.0, math.nan]),
            ("beta2", [-0.1, 1.0, math.nan]),
        ],
    )
    def test_settings_out_of_their_range(self, name: str, values: list[float]) -> None:
        for value in values:
            with pytest.raises(ParamsError, match=f"^{name} of IVON must be .*, not {value}"):
                made([lone(1.0)], **{name: value})
            with pytest.raises(ParamsError, match=f"^{name} of IVON must be .*, not {value}"):
                made([{"params": [lone(1.0)], name: value}])

    def test_neither_steps_nor_beta2(self) -> None:
        with pytest.raises(ParamsError, match="needs the number of steps, from which beta2 follows"):
            IVON([lone(1.0)], ess=10)
