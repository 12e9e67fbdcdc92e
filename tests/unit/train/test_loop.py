from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from foretaste.errors import Diverged, Stopped
from foretaste.loss.bernoulli import Bernoulli
from foretaste.loss.squared import Squared
from foretaste.metrics import METRICS
from foretaste.params import parameters_of, snapshot, tensors_of
from foretaste.task import Batch, Rows, Task
from foretaste.train.joint import joint
from foretaste.train.loop import train
from foretaste.train.mixture import Portion
from foretaste.train.run import Silent, Snapshot
from foretaste.train.training import Training
from foretaste.weights import TaskWeights, uniform
from laws import normal
from problems import blobs, linear

TASKS = [blobs("a", 1), blobs("b", 2)]
EVEN = uniform(["a", "b"])
PLAIN = Training(steps=12, batch_size=6, learning_rate=1e-2, seed=3)


class Keeper(Silent):
    """Keeps the state after one step, and stops there if asked."""

    def __init__(self, at: int, stop: bool = False) -> None:
        self.at, self.stop, self.kept, self.losses = at, stop, list[Snapshot](), list[float]()

    def on_step(self, done: int, loss: float) -> None:
        self.losses.append(loss)

    def wants_snapshot(self, done: int) -> bool:
        return done == self.at

    def keep(self, state: Snapshot) -> None:
        self.kept.append(state)
        if self.stop:
            raise Stopped("asked")


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_a_state_holds_no_frozen_params_and_a_run_goes_on_from_it() -> None:
    model = linear()
    model.get_parameter("0.weight").requires_grad_(False)
    whole, keeper = joint(model, None, TASKS, EVEN, PLAIN), Keeper(5, stop=True)
    with pytest.raises(Stopped):
        joint(model, None, TASKS, EVEN, PLAIN, observer=keeper)
    assert "params/0.weight" not in keeper.kept[0].tensors
    assert "params/0.bias" in keeper.kept[0].tensors
    assert same(dict(whole.params), dict(joint(model, None, TASKS, EVEN, PLAIN, start=keeper.kept[0]).params))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("at", [1, 5, 11])
def test_a_resumed_run_ends_with_the_same_bits(optimizer: str, at: int) -> None:
    training = replace(PLAIN, optimizer=optimizer, micro_batch=4, warmup=0.3, decay="cosine", prior_precision=0.1)  # type: ignore[arg-type]
    whole = joint(linear(), None, TASKS, EVEN, training)
    keeper = Keeper(at, stop=True)
    with pytest.raises(Stopped):
        joint(linear(), None, TASKS, EVEN, training, observer=keeper)
    torch.manual_seed(99)  # the process that resumes has another random state
    resumed = joint(linear(), None, TASKS, EVEN, training, start=keeper.kept[0])
    assert same(dict(whole.params), dict(resumed.params))
    assert whole.history == resumed.history
    assert whole.data_counts == resumed.data_counts
    assert keeper.losses == whole.history[:at]


def test_the_model_and_the_callers_randomness_are_left_alone() -> None:
    model = linear().train()
    before, state = snapshot(tensors_of(model)), torch.get_rng_state()
    train(model, None, TASKS, [(Portion("a", (0, 1, 2)),)] * 2, Training(steps=2))
    assert same(before, snapshot(tensors_of(model)))
    assert torch.equal(state, torch.get_rng_state())
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def plain_model() -> nn.Module:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return nn.Linear(4, 3)


@pytest.mark.parametrize("realise", ["sampling", "loss"])
def test_micro_batches_do_not_change_the_gradient(realise: str) -> None:
    training = Training(steps=5, batch_size=12, optimizer="sgd", learning_rate=0.1, clip=None)
    alpha = TaskWeights(["a", "b"], [0.3, 0.7])
    runs = [
        joint(plain_model(), None, TASKS, alpha, replace(training, micro_batch=size), realise=realise)  # type: ignore[arg-type]
        for size in (None, 5, 1)
    ]
    for run in runs[1:]:
        torch.testing.assert_close(dict(run.params), dict(runs[0].params), rtol=1e-5, atol=1e-6)


def test_one_step_follows_the_weighted_loss() -> None:
    """The step of plain gradient descent on ``sum_t alpha_t l_t`` computed by hand."""
    alpha = {"a": 0.25, "b": 0.75}
    training = Training(steps=1, optimizer="sgd", learning_rate=0.5, decay="constant", clip=None)
    plan = [(Portion("a", (0, 1, 2), 0.25), Portion("b", (3,), 0.75))]
    model = plain_model()
    found = train(model, None, TASKS, plan, training).params
    loss = torch.zeros(())
    for task, indices in zip(TASKS, [(0, 1, 2), (3,)], strict=True):
        batch = task.batch(task.train, indices, torch.device("cpu"))
        loss = loss + alpha[task.name] * nn.functional.cross_entropy(model(batch["inputs"]), batch["labels"])
    grads = torch.autograd.grad(loss, list(model.parameters()))
    for (name, parameter), grad in zip(model.named_parameters(), grads, strict=True):
        torch.testing.assert_close(found[name], parameter.detach() - 0.5 * grad)


def test_one_step_follows_every_tasks_own_loss() -> None:
    """Tasks that share model and prediction, but not the loss, do not share a batch."""
    alpha, inputs = {"a": 0.25, "b": 0.75}, normal(4, 4)
    tasks = [
        replace(TASKS[0], train=Rows(inputs, normal(4, 3, seed=1)), loss=Squared()),
        replace(TASKS[1], train=Rows(inputs, (normal(4, 3, seed=2) > 0).float()), loss=Bernoulli()),
    ]
    plan = [(Portion("a", (0, 1, 2), alpha["a"]), Portion("b", (3,), alpha["b"]))]
    model = plain_model()
    training = Training(steps=1, optimizer="sgd", learning_rate=0.5, decay="constant", clip=None)
    found = train(model, None, tasks, plan, training).params
    numbers, sets = (
        task.batch(task.train, rows, torch.device("cpu")) for task, rows in zip(tasks, [(0, 1, 2), (3,)], strict=True)
    )
    loss = alpha["a"] * nn.functional.mse_loss(model(numbers["inputs"]), numbers["labels"]) / 2
    loss = loss + alpha["b"] * nn.functional.binary_cross_entropy_with_logits(model(sets["inputs"]), sets["labels"])
    for (name, parameter), grad in zip(
        model.named_parameters(), torch.autograd.grad(loss, list(model.parameters())), strict=True
    ):
        torch.testing.assert_close(found[name], parameter.detach() - 0.5 * grad)


def test_tasks_that_differ_in_prediction_are_run_apart() -> None:
    def doubled(model: nn.Module, batch: Batch) -> Tensor:
        found = model(2 * batch["inputs"])
        assert isinstance(found, Tensor)
        return found

    other = replace(TASKS[1], predict=doubled)
    alone = train(plain_model(), None, [other], [(Portion("b", (0, 1)),)], Training(steps=1))
    mixed = train(
        plain_model(),
        None,
        [TASKS[0], other],
        [(Portion("a", (0, 1), 0.0), Portion("b", (0, 1), 1.0))],
        Training(steps=1),
    )
    torch.testing.assert_close(dict(alone.params), dict(mixed.params))


def test_the_prior_pulls_towards_the_pretrained_params() -> None:
    model = plain_model()
    start = snapshot(parameters_of(model))
    far = [
        sum(float((run.params[name] - start[name]).norm()) for name in start)
        for run in (
            joint(model, None, TASKS, EVEN, replace(PLAIN, steps=120, prior_precision=delta)) for delta in (0.0, 10.0)
        )
    ]
    assert far[1] < 0.6 * far[0]


def test_batch_norm_statistics_are_updated_or_frozen() -> None:
    model = linear()
    updated = joint(model, None, TASKS, EVEN, PLAIN).params
    frozen = joint(model, None, TASKS, EVEN, replace(PLAIN, batch_norm="freeze")).params
    assert not torch.equal(updated["1.running_mean"], torch.zeros(8))
    assert torch.equal(frozen["1.running_mean"], torch.zeros(8))


def test_starts_from_the_params_given() -> None:
    params = {name: torch.zeros_like(tensor) for name, tensor in parameters_of(plain_model()).items()}
    run = train(plain_model(), params, TASKS, [(Portion("a", (0,)),)], Training(steps=1, learning_rate=1e-9))
    assert max(float(tensor.abs().max()) for tensor in run.params.values()) < 1e-6


def test_a_loss_that_is_not_finite_stops_with_advice() -> None:
    bad = blobs("a", 1)
    assert isinstance(bad.train, Rows)
    bad.train.inputs[0] = float("nan")
    with pytest.raises(Diverged, match=r"loss became nan in step \d+ of 12.*lower learning_rate \(now 0.01\)"):
        joint(plain_model(), None, [bad, TASKS[1]], EVEN, PLAIN)


def test_final_params_that_are_not_finite_are_refused() -> None:
    training = Training(steps=1, optimizer="sgd", learning_rate=1e38, clip=None, decay="constant", prior_precision=0.0)
    params = {name: 3e38 * torch.ones_like(tensor) for name, tensor in parameters_of(plain_model()).items()}
    far = replace(blobs("a", 1), train=Rows(torch.zeros(1, 4), torch.zeros(1, dtype=torch.long)))
    with pytest.raises(Diverged, match="the trained params hold NaN or infinity in bias"):
        train(plain_model(), params, [far], [(Portion("a", (0,)),)], training)


def test_bfloat16_autocast_trains() -> None:
    run = joint(plain_model(), None, TASKS, EVEN, replace(PLAIN, steps=40, mixed_precision="bf16"))
    assert run.history[-1] < run.history[0]
    assert all(tensor.dtype == torch.float32 for tensor in run.params.values())


def test_token_losses_pool_a_steps_label_tokens() -> None:
    labels = torch.tensor([[0, 1, -100], [1, -100, -100]])
    rows = Rows(torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)), labels)
    task = Task("t", rows, rows, [METRICS["accuracy"]], unit="token")
    run = train(plain_model(), None, [task], [(Portion("t", (0, 1)),)], Training(steps=1, micro_batch=1))
    model = plain_model()
    truth = nn.functional.cross_entropy(model(rows.inputs).flatten(0, 1), labels.flatten())
    assert run.history[0] == pytest.approx(truth.item(), rel=1e-6)
    assert run.data_counts == {"t": {"examples": 2, "units": 3}}


class _Telling(nn.Module):
    """A frozen layer and a trained one; `seen` has where the weights were at every pass."""

    seen: ClassVar[list[tuple[int, int]]] = []

    def __init__(self) -> None:
        super().__init__()
        self.frozen, self.trained = nn.Linear(4, 4).requires_grad_(False), nn.Linear(4, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        self.seen.append((self.frozen.weight.data_ptr(), self.trained.weight.data_ptr()))
        outputs: Tensor = self.trained(self.frozen(inputs))
        return outputs


def test_frozen_params_share_the_model_s_memory_and_are_not_in_the_result() -> None:
    model = _Telling()
    before = snapshot(parameters_of(model))
    names = frozenset({"trained.weight", "trained.bias"})
    task = replace(TASKS[0], names=names)
    keeper = Keeper(1)
    run = train(model, None, [task], [(Portion("a", (0, 1)),)] * 2, Training(steps=2), observer=keeper)
    frozen, trained = zip(*model.seen, strict=True)
    assert set(frozen) == {model.frozen.weight.data_ptr()}
    assert model.trained.weight.data_ptr() not in trained
    assert set(run.params) == names
    assert not [name for name in keeper.kept[0].tensors if "frozen" in name]
    assert all(torch.equal(tensor, before[name]) for name, tensor in parameters_of(model).items())


def test_frozen_params_that_are_given_for_the_run_do_not_change_the_model_s() -> None:
    model = _Telling()
    before = model.frozen.weight.clone()
    given = parameters_of(model) | {"frozen.weight": torch.zeros(4, 4)}
    train(model, given, [TASKS[0]], [(Portion("a", (0, 1)),)], Training(steps=1))
    assert torch.equal(model.frozen.weight, before)
