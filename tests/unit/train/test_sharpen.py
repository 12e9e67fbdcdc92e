from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from foretaste.errors import RunFailed
from foretaste.evaluate import evaluate
from foretaste.params import Params, parameters_of, snapshot
from foretaste.task import Batch
from foretaste.train.joint import joint
from foretaste.train.sharpen import sharpen
from foretaste.train.training import Training
from foretaste.weights import TaskWeights, uniform
from problems import blobs

TASKS = [blobs("a", 1), blobs("b", 2)]
EVEN = uniform("ab")
SGD = Training(steps=1000, batch_size=10, learning_rate=0.1, optimizer="sgd", clip=None, warmup=0.5)


def plain() -> nn.Module:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return nn.Linear(4, 3)


def shifted(model: nn.Module, amount: float) -> Params:
    return {name: tensor + amount for name, tensor in parameters_of(model).items()}


@pytest.mark.parametrize("decay", ["linear", "constant"])
def test_the_learning_rate_falls_to_0_within_the_steps(decay: str) -> None:
    """With Adam and a gradient that hardly turns, the longest move of a step is the learning rate."""
    seen: list[Tensor] = []

    def watched(model: nn.Module, batch: Batch) -> Tensor:
        seen.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
        found = model(batch["inputs"])
        assert isinstance(found, Tensor)
        return found

    tasks = [replace(task, predict=watched) for task in TASKS]
    training = Training(steps=1000, batch_size=40, learning_rate=1e-3, warmup=0.9, decay=decay)  # type: ignore[arg-type]
    run = sharpen(plain(), None, parameters_of(plain()), tasks, EVEN, training, steps=10)
    seen.append(torch.cat([run.params[name].flatten() for name, _ in plain().named_parameters()]))
    moves = [float((after - before).abs().max()) for before, after in pairwise(seen)]
    assert moves == pytest.approx([1e-3 * (10 - step) / 10 for step in range(10)], rel=0.1)


def test_one_step_is_that_of_joint_finetuning_from_the_preview() -> None:
    model, preview = plain(), shifted(plain(), 0.5)
    found = sharpen(model, None, preview, TASKS, EVEN, SGD, steps=1).params
    moved = joint(model, preview, TASKS, EVEN, replace(SGD, steps=1, warmup=0.0)).params
    assert all(torch.equal(found[name], tensor) for name, tensor in moved.items())
    assert any(not torch.equal(found[name], tensor) for name, tensor in preview.items())


@pytest.mark.parametrize("given", [True, False])
def test_the_prior_pulls_to_the_pretrained_params_not_to_the_preview(given: bool) -> None:
    """One step's difference that the prior makes is ``-rate * delta * (preview - pretrained)``."""
    model = plain()
    pretrained = {name: torch.zeros_like(tensor) for name, tensor in parameters_of(model).items()} if given else None
    center = pretrained or snapshot(parameters_of(model))
    preview = shifted(model, 2.0)
    free, pulled = (
        sharpen(model, pretrained, preview, TASKS, EVEN, replace(SGD, prior_precision=delta), steps=1).params
        for delta in (0.0, 0.3)
    )
    for name in preview:
        torch.testing.assert_close(
            pulled[name] - free[name], -0.1 * 0.3 * (preview[name] - center[name]), atol=1e-6, rtol=1e-5
        )


def test_steps_make_the_preview_better_at_its_weights() -> None:
    model, weights = plain(), TaskWeights("ab", [0.9, 0.1])
    params = parameters_of(model)
    losses = []
    for steps in (1, 10, 60):
        found = evaluate(model, sharpen(model, None, params, TASKS, weights, SGD, steps=steps).params, TASKS)
        losses.append(0.9 * found["a"].metrics["loss"] + 0.1 * found["b"].metrics["loss"])
    assert losses == sorted(losses, reverse=True)


def test_the_steps_follow_the_weights() -> None:
    run = sharpen(plain(), None, parameters_of(plain()), TASKS, TaskWeights("ab", [0.3, 0.7]), SGD, steps=5)
    assert {task: found["examples"] for task, found in run.data_counts.items()} == {"a": 15, "b": 35}


def test_nothing_given_is_changed() -> None:
    model, preview = plain(), shifted(plain(), 0.5)
    before = snapshot(parameters_of(model)), snapshot(preview)
    sharpen(model, None, preview, TASKS, EVEN, replace(SGD, prior_precision=0.1), steps=3)
    assert all(torch.equal(tensor, parameters_of(model)[name]) for name, tensor in before[0].items())
    assert all(torch.equal(tensor, preview[name]) for name, tensor in before[1].items())


@pytest.mark.parametrize("steps", [0, -3])
def test_no_steps_are_refused(steps: int) -> None:
    with pytest.raises(
        RunFailed, match=f"sharpening takes at least 1 step, not {steps}; a preview without any is the preview itself"
    ):
        sharpen(plain(), None, parameters_of(plain()), TASKS, EVEN, SGD, steps=steps)
