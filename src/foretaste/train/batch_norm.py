"""Batch-norm statistics of merged params, computed from the tasks' data instead of averaged.

The average of the tasks' statistics does not suit merged params, because merging shrinks the variance of activations.
Forward passes over training examples, mixed by alpha, give the statistics that do.

References:
    Jordan, Sedghi, Saukh, Entezari, Neyshabur: REPAIR: REnormalizing Permuted Activations for Interpolation Repair,
    2022, https://arxiv.org/abs/2211.08403
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from foretaste.errors import TaskError
from foretaste.lendable import overlaid
from foretaste.params import Params, buffers_of, in_eval_mode, snapshot, swapped
from foretaste.task import Batch, Task
from foretaste.train.mixture import collate_step, mixture, predict_alike
from foretaste.weights import TaskWeights

__all__ = ["has_batch_norm", "reestimate"]


def has_batch_norm(model: nn.Module) -> bool:
    """Tell whether a model keeps batch-norm statistics.

    >>> has_batch_norm(nn.BatchNorm1d(2)), has_batch_norm(nn.LayerNorm(2))
    (True, False)
    """
    return any(
        isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats for module in model.modules()
    )


def reestimate(
    model: nn.Module,
    params: Params,
    tasks: Sequence[Task],
    weights: TaskWeights,
    *,
    generator: torch.Generator,
    batches: int = 8,
    batch_size: int = 64,
) -> Params:
    """Compute the batch-norm statistics of merged params from the tasks' data.

    Args:
        model: Any module; it is left as it was.
        params: Merged parameters and buffers.
        tasks: The tasks, of which training examples are used.
        weights: Task weights, alpha, which the examples are mixed by.
        generator: Generator that chooses the examples.
        batches: Number of forward passes.
        batch_size: Examples in each pass, over all tasks.

    Returns:
        The same parameters, with new floating-point buffers.

    Raises:
        TaskError: The tasks cannot share a batch.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.tensor([[1.0], [3.0]]), torch.tensor([0, 1]))
    >>> task = Task("a", rows, rows, [METRICS["accuracy"]])
    >>> params = reestimate(
    ...     nn.BatchNorm1d(1), {}, [task], TaskWeights(["a"], [1.0]), generator=torch.Generator(), batches=2
    ... )
    >>> params["running_mean"]
    tensor([2.])
    """
    if not predict_alike(tasks):
        raise TaskError(
            "tasks that predict or collate differently cannot share a batch, nor its statistics; average them instead"
        )
    plan = mixture(tasks, weights, batches, batch_size, generator)
    device = next(model.parameters()).device
    originals = snapshot(dict(model.named_buffers()))
    with (
        torch.random.fork_rng([device] if device.type == "cuda" else []),
        in_eval_mode(model),
        swapped(model, originals),
        swapped(model, params),
    ):
        torch.manual_seed(0)  # for dropout, if the model has any before its batch norms
        tasks_by_name = {task.name: task for task in tasks}
        update_bn(
            ([(task, batch)] for step in plan for task, batch, _ in collate_step(step, tasks_by_name, device)),
            _Predicting(model),
        )
        statistics = snapshot(buffers_of(model))
    return overlaid(params, statistics)


class _Predicting(nn.Module):
    """The model as a module of one argument, a task with a batch."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, task_and_batch: tuple[Task, Batch]) -> Tensor:
        task, batch = task_and_batch
        return task.predict(self.model, batch)
