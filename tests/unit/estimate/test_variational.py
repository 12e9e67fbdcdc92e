import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from foretaste.errors import ParamsError, Stopped
from foretaste.estimate.ivon import IVON, beta2_for
from foretaste.estimate.variational import StaleCurvature, build, finish, gather
from foretaste.evaluate import evaluate
from foretaste.params import Params, parameters_of, snapshot
from foretaste.posterior.diagonal import Diagonal
from foretaste.train.finetune import finetune
from foretaste.train.loop import train
from foretaste.train.mixture import Portion
from foretaste.train.run import Silent, Snapshot
from foretaste.train.training import Training
from laws import assert_same
from problems import blobs, linear

TASK = blobs("a", 1)
STEPS = 120
PLAIN = Training(steps=STEPS, batch_size=8, learning_rate=0.3, seed=3)
ONE = {"w": torch.ones(2)}
Made = Callable[[Sequence[nn.Parameter]], IVON]


def layer() -> nn.Module:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return nn.Linear(4, 3)


class StopsAt(Silent):
    """Keeps the state after some step and stops there."""

    def __init__(self, at: int) -> None:
        self.at, self.kept = at, list[Snapshot]()

    def wants_snapshot(self, done: int) -> bool:
        return done == self.at

    def keep(self, state: Snapshot) -> None:
        self.kept.append(state)
        raise Stopped("asked")


class TestInOurLoop:
    def test_it_finds_good_params_and_a_curvature(self) -> None:
        run = finetune(layer(), None, TASK, PLAIN, optimizer=build(TASK, STEPS))
        assert set(run.state) == {"hessian"}
        own = parameters_of(layer())
        assert {name: tensor.shape for name, tensor in run.state["hessian"].items()} == {
            name: own[name].shape for name in own
        }
        assert evaluate(layer(), run.params, [TASK])["a"].metrics["accuracy"] > 0.8
        site = finish({name: run.params[name] for name in own}, run.state["hessian"], TASK, steps=STEPS)
        assert_same(site.center, {name: run.params[name] for name in own})

    @pytest.mark.parametrize("at", [1, 5, 11])
    def test_a_resumed_run_ends_with_the_same_bits(self, at: int) -> None:
        training = replace(PLAIN, steps=12, micro_batch=3)
        optimizer = build(TASK, 12)
        whole = finetune(linear(), None, TASK, training, optimizer=optimizer)
        keeper = StopsAt(at)
        with pytest.raises(Stopped):
            finetune(linear(), None, TASK, training, optimizer=optimizer, observer=keeper)
        torch.manual_seed(99)
        resumed = finetune(linear(), None, TASK, training, optimizer=optimizer, start=keeper.kept[0])
        assert_same(resumed.params, whole.params)
        assert_same(resumed.state["hessian"], whole.state["hessian"])
        assert resumed.history == whole.history

    def test_what_is_kept_of_a_run_is_at_the_mean(self) -> None:
        """A learning rate of next to nothing leaves it where it started, draws or not."""
        keeper = StopsAt(3)
        with pytest.raises(Stopped):
            finetune(
                layer(), None, TASK, replace(PLAIN, learning_rate=1e-30), optimizer=build(TASK, STEPS), observer=keeper
            )
        for name, tensor in parameters_of(layer()).items():
            assert torch.equal(keeper.kept[0].tensors[f"params/{name}"], tensor)

    def test_micro_batches_do_not_change_the_run(self) -> None:
        plan = [(Portion("a", tuple(range(12))),)] * 5
        training = Training(steps=5, learning_rate=0.1)
        runs = [
            train(layer(), None, [TASK], plan, replace(training, micro_batch=size), optimizer=build(TASK, 5))
            for size in (None, 5, 1)
        ]
        for run in runs[1:]:
            torch.testing.assert_close(dict(run.params), dict(runs[0].params), rtol=1e-3, atol=1e-5)
            torch.testing.assert_close(dict(run.state["hessian"]), dict(runs[0].state["hessian"]), rtol=1e-3, atol=1e-4)

    def test_bfloat16_autocast_trains(self) -> None:
        run = finetune(layer(), None, TASK, replace(PLAIN, mixed_precision="bf16"), optimizer=build(TASK, STEPS))
        assert run.history[-1] < run.history[0]
        assert all(tensor.dtype == torch.float32 for tensor in run.state["hessian"].values())

    def test_a_prior_given_twice_is_refused(self) -> None:
        with pytest.raises(
            ParamsError, match="the prior is given twice, as prior_precision and as the optimizer's weight_decay"
        ):
            finetune(layer(), None, TASK, replace(PLAIN, prior_precision=0.1), optimizer=build(TASK, STEPS))
        finetune(
            layer(),
            None,
            TASK,
            replace(PLAIN, steps=2, prior_precision=0.1),
            optimizer=build(TASK, 2, weight_decay=0.0),
        )

    def test_fp16_is_refused_wherever_it_would_run(self) -> None:
        with pytest.raises(ParamsError, match="fp16's scaled gradients; set mixed_precision to bf16 or no"):
            finetune(layer(), None, TASK, replace(PLAIN, mixed_precision="fp16"), optimizer=build(TASK, STEPS))


class TestBuild:
    def test_ten_times_the_examples_by_default(self) -> None:
        assert settings(build(TASK, 40))["ess"] == 10 * len(TASK.train)
        assert settings(build(TASK, 40, ess=7))["ess"] == 7.0

    def test_settings_reach_the_optimizer(self) -> None:
        found = settings(build(TASK, 40, learning_rate=0.2, hessian_init=0.3, weight_decay=0.4, clip_radius=0.5))
        assert found == {
            "lr": 0.2,
            "hessian_init": 0.3,
            "weight_decay": 0.4,
            "clip_radius": 0.5,
            "beta1": 0.9,
            "beta2": beta2_for(40),
            "ess": 10.0 * len(TASK.train),
        }

    def test_an_ess_of_zero_is_not_taken_for_none(self) -> None:
        with pytest.raises(ParamsError, match="ess of IVON must be a finite number above 0"):
            build(TASK, 40, ess=0.0)(list(layer().parameters()))


def settings(make: Made) -> dict[str, float]:
    group = make(list(layer().parameters())).param_groups[0]
    return {name: value for name, value in group.items() if name != "params"}


def entries(hessian: Params, mean: Params = ONE) -> Params:
    precision = finish(mean, hessian, TASK, steps=50).precision
    assert isinstance(precision, Diagonal)
    return precision.entries


class TestFinish:
    def test_the_record(self) -> None:
        site = finish(ONE, ONE, TASK, steps=50, carried={"running_mean": torch.zeros(1)})
        record = site.record
        assert (record.unit, record.estimator, record.examples, record.units) == ("example", "variational", 20, 20)
        assert record.details == {"learned": "0.985", "steps": "50"}
        assert_same(site.buffers, {"running_mean": torch.zeros(1)})
        assert site.gradient is None

    def test_h_below_zero_counts_as_none(self) -> None:
        assert_same(entries({"w": torch.tensor([-0.5, 2.0])}), {"w": torch.tensor([0.0, 2.0])})

    def test_parameters_without_h_have_no_curvature_in_float32(self) -> None:
        mean = {"w": torch.ones(2), "frozen": torch.ones(3, dtype=torch.bfloat16)}
        assert_same(entries(ONE, mean), {"w": torch.ones(2), "frozen": torch.zeros(3)})

    def test_what_does_not_fit(self) -> None:
        with pytest.raises(ParamsError, match="a variational run of task 'a' came with no h at all"):
            finish(ONE, {}, TASK, steps=50)
        with pytest.raises(
            ParamsError, match="of task 'a' came with h of v, which the params lack; give the estimates of the same run"
        ):
            finish(ONE, ONE | {"v": torch.ones(1)}, TASK, steps=50)
        with pytest.raises(ParamsError, match="curvature of w has negative or non-finite entries"):
            finish(ONE, {"w": torch.tensor([1.0, float("nan")])}, TASK, steps=50)

    def test_the_published_decay_is_stale(self) -> None:
        with pytest.warns(
            StaleCurvature, match="100% of the learned curvature is still its first guess; give IVON steps=300, or"
        ):
            site = finish(ONE, ONE, TASK, steps=300, beta2=0.99999)
        assert site.record.details["learned"] == "0.003"

    @pytest.mark.parametrize("steps", [1, 4, 1000])
    def test_the_decay_that_follows_from_the_steps_is_not(self, steps: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            finish(ONE, ONE, TASK, steps=steps)

    def test_an_actual_stale_run_hardly_moved(self) -> None:
        """What the warning is about: h of a short run at the published decay is its first guess."""
        for beta2, moves in ((0.99999, False), (beta2_for(30), True)):
            run = finetune(layer(), None, TASK, replace(PLAIN, steps=30), optimizer=decaying(beta2))
            moved = max(float((tensor - 0.1).abs().max()) for tensor in run.state["hessian"].values())
            assert (moved > 0.02) == moves


def decaying(beta2: float) -> Made:
    return lambda trained: IVON(trained, ess=200, beta2=beta2, hessian_init=0.1)


class TestGather:
    def test_it_is_finish_without_a_task(self) -> None:
        left, right = gather(ONE, ONE, unit=TASK.unit, examples=20, steps=50), finish(ONE, ONE, TASK, steps=50)
        assert left.record == right.record
        assert_same(left.precision.to_tensors(), right.precision.to_tensors())
        with pytest.raises(ParamsError, match="a variational run came with no h"):
            gather(ONE, {}, unit="token", examples=1, steps=1)


def test_a_learned_curvature_is_the_tasks_own_where_it_is_known() -> None:
    """Logistic regression: h of a long run against the diagonal of the exact Hessian at its mean."""
    training = Training(steps=1500, batch_size=20, learning_rate=0.2, decay="constant", seed=1)
    run = finetune(layer(), None, TASK, training, optimizer=build(TASK, 1500, ess=200, weight_decay=0.05))
    truth = _hessian(snapshot(run.params))
    found = run.state["hessian"]["weight"].flatten()
    assert float(torch.corrcoef(torch.stack([found, truth]))[0, 1]) > 0.9
    assert float((found - truth).norm() / truth.norm()) < 0.4


def _hessian(params: Params) -> Tensor:
    batch = TASK.batch(TASK.train, range(20), torch.device("cpu"))

    def loss(weight: Tensor) -> Tensor:
        return nn.functional.cross_entropy(batch["inputs"] @ weight.reshape(3, 4).T + params["bias"], batch["labels"])

    found = torch.autograd.functional.hessian(loss, params["weight"].flatten())  # type: ignore[no-untyped-call]
    assert isinstance(found, Tensor)
    return found.diagonal()
