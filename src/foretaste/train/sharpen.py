"""Sharpening: a few joint steps from a preview, in place of many from the pretrained params.

A preview is off where the tasks' losses are not quadratic between their optima. The first steps of joint finetuning at
the same weights repair most of that. The result is a fidelity between a preview and a joint run. It costs the steps'
share of a joint run.
"""

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from foretaste.errors import RunFailed
from foretaste.params import Params
from foretaste.task import Task
from foretaste.train.joint import joint
from foretaste.train.mixture import Realise
from foretaste.train.run import Observer, Trained
from foretaste.train.training import Training
from foretaste.weights import TaskWeights

__all__ = ["sharpen", "sharpening"]


def sharpen(
    model: nn.Module,
    pretrained: Params | None,
    preview: Params,
    tasks: Sequence[Task],
    weights: TaskWeights,
    training: Training,
    *,
    steps: int,
    realise: Realise = "sampling",
    observer: Observer | None = None,
) -> Trained:
    """Train from a preview for a number of joint steps.

    The learning rate falls from its highest value to 0 within these steps, without a warm-up.
    ``training.prior_precision`` still pulls towards the pretrained params.

    Args:
        model: Any module; it is left as it was.
        pretrained: The pretrained params, or None for the model's own.
        preview: The params to start from.
        tasks: The tasks, in the order of the weights.
        weights: Task weights, alpha.
        training: The training of the joint run that this stands in for.
        steps: Joint steps, at least 1.
        realise: Whether alpha gives shares of the examples or factors of the losses.
        observer: Called at every step.

    Raises:
        RunFailed: There are fewer steps than 1.
        Diverged: The loss became NaN or infinite.

    >>> import torch
    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(4), torch.arange(4))
    >>> tasks = [Task(name, rows, rows, [METRICS["accuracy"]]) for name in ("a", "b")]
    >>> start = {"weight": torch.zeros(4, 4), "bias": torch.zeros(4)}
    >>> run = sharpen(
    ...     nn.Linear(4, 4),
    ...     None,
    ...     start,
    ...     tasks,
    ...     TaskWeights(("a", "b"), (0.5, 0.5)),
    ...     Training(steps=100, batch_size=4),
    ...     steps=3,
    ... )
    >>> len(run.history)
    3
    """
    if steps < 1:
        raise RunFailed(f"sharpening takes at least 1 step, not {steps}; a preview without any is the preview itself")
    center = (
        pretrained
        if pretrained is not None
        else {name: parameter.detach() for name, parameter in model.named_parameters()}
    )
    return joint(
        model, preview, tasks, weights, sharpening(training, steps), realise=realise, center=center, observer=observer
    )


def sharpening(training: Training, steps: int) -> Training:
    """Return how a preview is sharpened, from the training of the joint run that it stands in for.

    >>> sharpening(Training(steps=100, warmup=0.1, decay="constant"), 10).decay
    'linear'
    """
    decay = "linear" if training.decay == "constant" else training.decay
    return replace(training, steps=steps, warmup=0.0, decay=decay)
