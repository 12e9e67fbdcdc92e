"""Variational sites: the mean and the diagonal curvature that an IVON run has learned.

The run itself is training (`foretaste.train.finetune` takes the optimizer that `build` makes); its
curvature is an average over the posterior, where the Fisher's is taken at a point, and its prior
is centred on the pretrained params. lambda and the prior are kept apart from h, so that sites of
different sample sizes merge in units of the mean loss.

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
    """Most of a learned curvature is still its first guess, so that it weighs all parameters alike."""


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
    """What makes the optimizer of a task's variational run.

    Args:
        task: Its training examples are counted.
        steps: Steps of the run.
        ess: lambda; ten times the number of training examples if left out. (Draws as wide as the examples
            alone allow were measured to drive small data sets' means apart.)
        learning_rate: In units of the first guess.
        hessian_init: h_0.
        weight_decay: Precision of the prior on the scale of the mean loss, centred where the run starts.
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
    """The site that a finished run has learned.

    Args:
        mean: The task's params m by name.
        hessian: h by name, of the mean loss, as `IVON.estimates` gives it; below 0 it counts as 0. Parameters
            without one (frozen ones) have no curvature.
        task: That was trained on.
        steps: Steps of the run.
        beta2: Decay of h in the run, where it does not follow from the steps.
        carried: Floating-point buffers.

    Raises:
        ParamsError: No h at all, h of params that the mean lacks, or NaN in h.

    Warns:
        StaleCurvature: Less than half of h is learned.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.arange(2))
    >>> task = Task("a", rows, rows, [METRICS["accuracy"]])
    >>> finish({"w": torch.ones(1)}, {"w": torch.ones(1)}, task, steps=50).record.details["learned"]
    '0.985'
    """
    whose, unit, examples = f" of task {task.name!r}", task.unit, len(task.train)
    return gather(mean, hessian, unit=unit, examples=examples, steps=steps, beta2=beta2, carried=carried, whose=whose)


def gather(
    mean: Params,
    hessian: Params,
    *,
    unit: Unit,
    examples: int,
    steps: int,
    beta2: float | None = None,
    carried: Params | None = None,
    whose: str = "",
) -> GaussianSite:
    """The site that any run of `IVON` has learned, in whatever loop; `finish` asks for a task instead.

    Args:
        mean: m by name.
        hessian: h by name.
        unit: What the loss was a mean over.
        examples: Examples in the training set, for the record.
        steps: Steps of the run.
        beta2: Decay of h in the run, where it does not follow from the steps.
        carried: Floating-point buffers.
        whose: Names the run in an error.

    Raises:
        ParamsError: No h at all, h of params that the mean lacks, or NaN in h.

    >>> ones = {"w": torch.ones(1)}
    >>> gather(ones, ones, unit="example", examples=8, steps=50).precision.to_tensors()
    {'w': tensor([1.])}
    """
    beyond = sorted(set(hessian) - set(mean))
    if beyond or not hessian:
        problem = f"h of {', '.join(beyond[:3])}, which the params lack" if beyond else "no h at all"
        raise ParamsError(f"a variational run{whose} came with {problem}; give the estimates of the same run")
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
