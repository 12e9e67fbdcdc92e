"""Optimizers of a run: the usual ones, and those that take their gradients at draws of the params."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from foretaste.errors import ParamsError
from foretaste.train.run import Sampling
from foretaste.train.training import Training

__all__ = ["as_sampling", "at_draw", "new_optimizer"]


def new_optimizer(trained: list[nn.Parameter], training: Training) -> torch.optim.Optimizer:
    """Make the optimizer that the training asks for.

    Args:
        trained: The parameters to change.
        training: Names the optimizer and its numbers.

    >>> new_optimizer([nn.Parameter(torch.zeros(1))], Training(steps=1, optimizer="sgd")).defaults["momentum"]
    0.9
    """
    if training.optimizer == "sgd":
        return torch.optim.SGD(trained, lr=training.learning_rate, momentum=0.9, weight_decay=training.weight_decay)
    return torch.optim.AdamW(trained, lr=training.learning_rate, weight_decay=training.weight_decay)


def as_sampling(optimizer: torch.optim.Optimizer, training: Training) -> Sampling | None:
    """Return the optimizer if it takes its gradients at draws of the params, and None otherwise.

    Raises:
        ParamsError: A `Sampling` optimizer with fp16, which scales the gradients, or with two priors at once.

    >>> training = Training(steps=1)
    >>> as_sampling(new_optimizer([nn.Parameter(torch.zeros(1))], training), training) is None
    True
    """
    if not isinstance(optimizer, Sampling):
        return None
    if training.mixed_precision == "fp16":
        raise ParamsError(
            "an optimizer that takes its gradients at draws would learn the curvature from fp16's scaled gradients; "
            "set mixed_precision to bf16 or no"
        )
    if training.prior_precision and any(group.get("weight_decay") for group in optimizer.param_groups):
        raise ParamsError(
            "the prior is given twice, as prior_precision and as the optimizer's weight_decay; set one of them to 0"
        )
    return optimizer


@contextmanager
def at_draw(sampling: Sampling | None) -> Iterator[None]:
    """Move the params to a draw of a sampling optimizer, and back at the end, also after an error."""
    if sampling is None:
        yield
        return
    sampling.perturb()
    try:
        yield
    finally:
        sampling.restore()
