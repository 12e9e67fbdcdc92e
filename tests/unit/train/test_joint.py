from dataclasses import replace

import pytest

from foretaste.errors import WeightsError
from foretaste.evaluate import evaluate
from foretaste.train.joint import joint
from foretaste.train.training import Training
from foretaste.weights import TaskWeights, uniform
from problems import blobs, linear

TASKS = [blobs("a", 1), blobs("b", 2)]
TRAINING = Training(steps=60, batch_size=10, learning_rate=2e-2)


def test_realised_shares_are_those_asked_for() -> None:
    run = joint(linear(), None, TASKS, TaskWeights(["a", "b"], [0.3, 0.7]), TRAINING)
    assert run.data_counts == {"a": {"examples": 180, "units": 180}, "b": {"examples": 420, "units": 420}}


@pytest.mark.parametrize("realise", ["sampling", "loss"])
def test_the_heavier_task_ends_with_the_lower_loss(realise: str) -> None:
    losses = {}
    for share in (0.1, 0.9):
        run = joint(linear(), None, TASKS, TaskWeights(["a", "b"], [share, 1 - share]), TRAINING, realise=realise)  # type: ignore[arg-type]
        losses[share] = evaluate(linear(), run.params, TASKS)["a"].metrics["loss"]
    assert losses[0.9] < losses[0.1]


def test_weights_must_be_for_these_tasks() -> None:
    with pytest.raises(WeightsError, match="weights are for a, c"):
        joint(linear(), None, TASKS, uniform(["a", "c"]), TRAINING)


def test_parameters_that_no_task_has_are_not_given_back() -> None:
    first, second = (
        replace(task, names=frozenset(names))
        for task, names in zip(TASKS, [["0.weight"], ["0.weight", "4.bias"]], strict=True)
    )
    weights, short = uniform(["a", "b"]), replace(TRAINING, steps=1)
    own = {name for name in joint(linear(), None, TASKS, weights, short).params if ".running_" in name}
    assert set(joint(linear(), None, [first, second], weights, short).params) == {"0.weight", "4.bias"} | own
    assert set(joint(linear(), None, [first, TASKS[1]], weights, short).params) >= {"0.bias", "4.weight"}
