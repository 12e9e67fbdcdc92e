from dataclasses import replace

import torch

from foretaste.evaluate import evaluate
from foretaste.train.finetune import finetune
from foretaste.train.joint import joint
from foretaste.train.training import Training
from foretaste.weights import TaskWeights
from problems import blobs, linear

TRAINING = Training(steps=40, batch_size=10, learning_rate=2e-2)


def test_learns_the_task() -> None:
    task, model = blobs("a", 1), linear()
    before = evaluate(model, None, [task])["a"].metrics["loss"]
    run = finetune(model, None, task, TRAINING)
    assert evaluate(model, run.params, [task])["a"].metrics["loss"] < 0.5 * before


def test_is_the_joint_run_at_the_tasks_corner() -> None:
    tasks = [blobs("a", 1), blobs("b", 2)]
    alone = finetune(linear(), None, tasks[0], TRAINING)
    corner = joint(linear(), None, tasks, TaskWeights(["a", "b"], [1.0, 0.0]), TRAINING)
    assert all(torch.equal(alone.params[name], corner.params[name]) for name in corner.params)


def test_gives_back_only_the_parameters_that_the_task_has() -> None:
    task = replace(blobs("a", 1), names=frozenset(["0.weight", "0.bias", "1.weight", "1.bias"]))
    run = finetune(linear(), None, task, replace(TRAINING, steps=1))
    assert set(run.params) == {"0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"}
