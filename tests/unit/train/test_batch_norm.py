import torch
from torch import nn

from foretaste.params import buffers_of, snapshot, tensors_of
from foretaste.task import Rows, Task
from foretaste.train.batch_norm import has_batch_norm, reestimate
from foretaste.weights import TaskWeights, uniform
from problems import blobs, linear

TASKS = [blobs("a", 1, 120), blobs("b", 2, 120)]


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def truth(model: nn.Module, task: Task) -> torch.Tensor:
    """Mean of the first layer's outputs over the task's training examples."""
    assert isinstance(task.train, Rows)
    with torch.no_grad():
        found = model.get_submodule("0")(task.train.inputs).mean(0)
    assert isinstance(found, torch.Tensor)
    return found


def test_statistics_are_those_of_the_mixture() -> None:
    model, alpha = linear(), TaskWeights(["a", "b"], [0.25, 0.75])
    found = reestimate(model, {}, TASKS, alpha, generator=generator(), batches=30, batch_size=40)
    mixed = 0.25 * truth(model, TASKS[0]) + 0.75 * truth(model, TASKS[1])
    torch.testing.assert_close(found["1.running_mean"], mixed, rtol=1e-4, atol=1e-4)


def test_parameters_stay_and_the_model_is_left_alone() -> None:
    model = linear().train()
    before, state = snapshot(tensors_of(model)), torch.get_rng_state()
    counted = model.get_buffer("1.num_batches_tracked").clone()
    params = {name: tensor + 1 for name, tensor in before.items()}
    found = reestimate(model, params, TASKS, uniform(["a", "b"]), generator=generator())
    assert all(torch.equal(found[name], params[name]) for name in params if name not in buffers_of(model))
    assert not torch.equal(found["1.running_var"], params["1.running_var"])
    assert all(torch.equal(before[name], tensor) for name, tensor in tensors_of(model).items())
    assert torch.equal(counted, model.get_buffer("1.num_batches_tracked"))
    assert torch.equal(state, torch.get_rng_state())
    assert model.training


def test_the_generator_decides() -> None:
    first, again = (
        reestimate(linear(), {}, TASKS, uniform(["a", "b"]), generator=generator(), batches=1) for _ in range(2)
    )
    assert torch.equal(first["1.running_mean"], again["1.running_mean"])


def test_models_without_statistics() -> None:
    assert has_batch_norm(linear())
    assert not has_batch_norm(nn.Sequential(nn.Linear(1, 1), nn.LayerNorm(1)))
    assert not has_batch_norm(nn.BatchNorm1d(2, track_running_stats=False))
