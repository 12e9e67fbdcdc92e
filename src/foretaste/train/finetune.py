"""Finetuning on one task: joint finetuning at that task's corner."""

from torch import nn

from foretaste.params import Params
from foretaste.task import Task
from foretaste.train.joint import joint
from foretaste.train.run import MakeOptimizer, Observer, Snapshot, Trained
from foretaste.train.training import Training
from foretaste.weights import TaskWeights

__all__ = ["finetune"]


def finetune(
    model: nn.Module,
    params: Params | None,
    task: Task,
    training: Training,
    *,
    optimizer: MakeOptimizer | None = None,
    center: Params | None = None,
    start: Snapshot | None = None,
    observer: Observer | None = None,
) -> Trained:
    """Train a copy of the model on one task.

    Args:
        model: Any module; it is left as it was.
        params: The pretrained params, or None for the model's own.
        task: The task, of which the training examples are used.
        training: How to train.
        optimizer: Function that makes the optimizer in place of the one that ``training`` names; see `train`.
        center: The params that ``training.prior_precision`` pulls to; by default those that the run starts from.
        start: A snapshot to go on from.
        observer: Called at every step.

    Returns:
        The params that the task has (see `Task.names`) and the buffers.

    Raises:
        Diverged: The loss became NaN or infinite.

    >>> import torch
    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.tensor([0, 1]))
    >>> task = Task("a", rows, rows, [METRICS["accuracy"]])
    >>> run = finetune(nn.Linear(2, 2), None, task, Training(steps=30, batch_size=2, learning_rate=0.1))
    >>> run.history[-1] < run.history[0]
    True
    """
    alone = TaskWeights([task.name], [1.0])
    return joint(
        model,
        params,
        [task],
        alone,
        training,
        optimizer=optimizer,
        center=center,
        start=start,
        observer=observer,
    )
