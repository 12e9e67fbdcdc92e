"""The estimators of a task's curvature, by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import nn

from foretaste.estimate.fisher import Labels, fisher
from foretaste.estimate.kfac import kfac
from foretaste.one_line import one_line
from foretaste.params import Params
from foretaste.posterior.site import GaussianSite
from foretaste.task import Task

__all__ = ["EstimatePlan", "Estimator", "estimate_site"]

Estimator = Literal["fisher", "kfac"]

_ESTIMATORS: Mapping[Estimator, Callable[..., GaussianSite]] = {"fisher": fisher, "kfac": kfac}


@dataclass(frozen=True)
class EstimatePlan:
    """Settings of an estimate of curvature.

    Args:
        estimator: Diagonal ``fisher`` or Kronecker ``kfac``.
        labels: ``sampled``, ``empirical`` or ``exact``.
        max_examples: At most so many examples, chosen at random; None for all.
        batch_size: Examples per pass.
        seed: The seed that chooses the examples and draws the labels.
        gradient: Whether the site has the loss's gradient, as a site at a joint run's params needs.
    """

    estimator: Estimator = "fisher"
    labels: Labels = "sampled"
    max_examples: int | None = None
    batch_size: int = 32
    seed: int = 0
    gradient: bool = False

    __repr__ = one_line


def estimate_site(
    model: nn.Module,
    params: Params | None,
    task: Task,
    plan: EstimatePlan,
    on_batch: Callable[[int], None] = lambda examples: None,
) -> GaussianSite:
    """Estimate a task's curvature at some params.

    Args:
        model: Any module; its params are put back afterwards.
        params: The params at which to estimate; None for the model's own.
        task: The task, whose training examples are used.
        plan: The settings.
        on_batch: Called after each batch with the number of examples so far.

    Returns:
        A `GaussianSite` centred on the params, with curvature per unit in float32.

    Raises:
        TaskError: There are no labelled examples, or outputs are not finite.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.tensor([0, 1]))
    >>> task = Task("a", rows, rows, [METRICS["accuracy"]])
    >>> estimate_site(nn.Linear(2, 2), None, task, EstimatePlan("kfac", "exact")).record.estimator
    'kfac:exact'
    """
    estimate = partial(_ESTIMATORS[plan.estimator], model, params, task, labels=plan.labels, gradient=plan.gradient)
    generator = torch.Generator().manual_seed(plan.seed)
    return estimate(generator=generator, max_examples=plan.max_examples, batch_size=plan.batch_size, on_batch=on_batch)
