"""Joint finetuning: all tasks at once, under task weights."""

from collections.abc import Sequence

import torch
from torch import nn

from foretaste.params import Params
from foretaste.task import Task
from foretaste.train.loop import train
from foretaste.train.mixture import Realise, mixture
from foretaste.train.run import MakeOptimizer, Observer, Snapshot, Trained
from foretaste.train.training import Training
from foretaste.weights import TaskWeights

__all__ = ["joint"]


def joint(
    model: nn.Module,
    params: Params | None,
    tasks: Sequence[Task],
    weights: TaskWeights,
    training: Training,
    *,
    realise: Realise = "sampling",
    optimizer: MakeOptimizer | None = None,
    center: Params | None = None,
    start: Snapshot | None = None,
    observer: Observer | None = None,
) -> Trained:
    """Minimise ``sum_t alpha_t l_t(x) + delta / 2 |x - x_0|^2``, from the pretrained params x_0.

    Args:
        model: Any module; it is left as it was.
        params: The pretrained params x_0, where training starts; None for the model's own.
        tasks: The tasks, in the order of the weights.
        weights: Task weights, alpha.
        training: How to train; its seed also orders the examples.
        realise: Whether alpha gives shares of the examples or factors of the losses; see `mixture`.
        optimizer: Function that makes the optimizer in place of the one that ``training`` names; see `train`.
        center: The params that ``training.prior_precision`` pulls to; by default those that the run starts from.
        start: A snapshot to go on from.
        observer: Called at every step.

    Returns:
        The params that some task has (see `Task.names`) and the buffers, with the counts of each task's examples and
        units.

    Raises:
        WeightsError: The weights are for other tasks.
        Diverged: The loss became NaN or infinite.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(4), torch.arange(4))
    >>> tasks = [Task(name, rows, rows, [METRICS["accuracy"]]) for name in ("a", "b")]
    >>> run = joint(
    ...     nn.Linear(4, 4), None, tasks, TaskWeights(("a", "b"), (0.25, 0.75)), Training(steps=5, batch_size=4)
    ... )
    >>> {name: counts["examples"] for name, counts in run.data_counts.items()}
    {'a': 5, 'b': 15}
    """
    generator = torch.Generator().manual_seed(training.seed)
    plan = mixture(tasks, weights, training.steps, training.batch_size, generator, realise)
    return train(
        model,
        params,
        tasks,
        plan,
        training,
        optimizer=optimizer,
        center=center,
        start=start,
        observer=observer,
    )
