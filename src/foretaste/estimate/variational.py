"""Variational sites: the mean and the diagonal curvature that an IVON run has learned.

The run itself is training: `foretaste.train.finetune` takes the optimizer that `build` makes. Its curvature is an
average over the posterior, while the Fisher's is taken at a point, and its prior is centred on the pretrained params.
h includes neither lambda nor the prior, so that sites of different sample sizes merge in units of the mean loss.

References:
    Shen, Daheim, Cong, Nickl, Marconi, Bazan, Yokota, Gurevych, Cremers, Khan, Möllenhoff: Variational
    Learning is Effective for Large Deep Networks, 2024, https://arxiv.org/abs/2402.17641
"""

import warnings
from collections.abc import Callable, Sequence

import torch
from torch import nn

from foretaste.errors import ParamsError
from foretaste.estimate.ivon import IVON, beta2_for, learned_share
from foretaste.params import Params, wide
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.site import GaussianSite, Record
from foretaste.task import Task, Unit

__all__ = ["StaleCurvature", "build", "finish", "gather"]

_STALE = 0.5
_COLDER = 10.0


class StaleCurvature(UserWarning):
    """Warns that most of a learned curvature is still its first guess, which is the same for all parameters."""


def build(
    task: Task,
    steps: int,
    *,
    ess: float | None = None,
    learning_rate: float = 0.1,
    hessian_init: float = 0.1,
    weight_decay: float = 1e-4,
    clip_radius: float = 1e3,
) -> Callable[[Sequence[nn.Parameter]], IVON]:
    """Make a function that makes the optimizer of a task's variational run.

    Args:
        task: The task, whose training examples are counted.
        steps: The number of the run's steps.
        ess: lambda; ten times the number of training examples if left out. (In measurements on small data sets, wider
            draws drove the tasks' means apart.)
        learning_rate: The learning rate in units of the first guess.
        hessian_init: h_0.
        weight_decay: The precision of the prior on the scale of the mean loss; its centre is the start of the run.
        clip_radius: See `IVON`.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(4), torch.arange(4))
    >>> build(Task("a", rows, rows, [METRICS["accuracy"]]), 40)(list(nn.Linear(4, 4).parameters())).param_groups[0][
    ...     "ess"
    ... ]
    40.0
    """

    def make(trained: Sequence[nn.Parameter]) -> IVON:
        return IVON(
            trained,
            ess=_COLDER * len(task.train) if ess is None else ess,
            steps=steps,
            lr=learning_rate,
            hessian_init=hessian_init,
            weight_decay=weight_decay,
            clip_radius=clip_radius,
        )

    return make


def finish(
    mean: Params, hessian: Params, task: Task, *, steps: int, beta2: float | None = None, carried: Params | None = None
) -> GaussianSite:
    """Make the site that a finished run has learned.

    Args:
        mean: The task's params m by name.
        hessian: h of the mean loss by name, from `IVON.estimates`; below 0 it counts as 0. Parameters without h (frozen
            ones) have no curvature.
        task: The task of the run.
        steps: The number of the run's steps.
        beta2: The decay of h in the run, where it does not follow from the steps.
        carried: Floating-point buffers.

    Raises:
        ParamsError: There is no h, h has params that the mean lacks, or h has NaN.

    Warns:
        StaleCurvature: Less than half of h is learned.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.arange(2))
    >>> task = Task("a", rows, rows, [METRICS["accuracy"]])
    >>> finish({"w": torch.ones(1)}, {"w": torch.ones(1)}, task, steps=50).record.details["learned"]
    '0.985'
    """
    label, unit, examples = f" of task {task.name!r}", task.unit, len(task.train)
    return gather(mean, hessian, unit=unit, examples=examples, steps=steps, beta2=beta2, carried=carried, label=label)


def gather(
    mean: Params,
    hessian: Params,
    *,
    unit: Unit,
    examples: int,
    steps: int,
    beta2: float | None = None,
    carried: Params | None = None,
    label: str = "",
) -> GaussianSite:
    """Make the site that a run of `IVON` has learned in any loop, without a `Task`.

    Args:
        mean: m by name.
        hessian: h by name.
        unit: The unit that the loss was a mean over.
        examples: The number of training examples, for the record.
        steps: The number of the run's steps.
        beta2: The decay of h in the run, where it does not follow from the steps.
        carried: Floating-point buffers.
        label: A text that names the run in an error, with a space in front.

    Raises:
        ParamsError: There is no h, h has params that the mean lacks, or h has NaN.

    >>> ones = {"w": torch.ones(1)}
    >>> gather(ones, ones, unit="example", examples=8, steps=50).precision.to_tensors()
    {'w': tensor([1.])}
    """
    beyond = sorted(set(hessian) - set(mean))
    if beyond or not hessian:
        problem = f"h of {', '.join(beyond[:3])}, which the params lack" if beyond else "no h at all"
        raise ParamsError(f"a variational run{label} came with {problem}; give the estimates of the same run")
    share = learned_share(beta2_for(steps) if beta2 is None else beta2, steps)
    if share < _STALE:
        advice = f"give IVON steps={steps}, or beta2 of at most {beta2_for(steps):.6g}"
        warnings.warn(
            f"{1 - share:.0%} of the learned curvature is still its first guess; {advice}", StaleCurvature, stacklevel=3
        )
    entries = {
        name: hessian[name].clamp(min=0) if name in hessian else torch.zeros_like(wide(tensor))
        for name, tensor in mean.items()
    }
    record = Record(unit, "variational", examples, examples, details={"learned": f"{share:.3f}", "steps": str(steps)})
    return GaussianSite(mean, Diagonal.checked(entries), carried=carried or {}, record=record)
