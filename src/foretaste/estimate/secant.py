"""Diagonal + low-rank curvature from several checkpoints of a run, or several runs, of one task.

The change of the gradient from a checkpoint x to the task's params c gives the curvature along the way between
them::

    s = x - c        y = grad l(x) - grad l(c)        H s = y

BFGS corrects the diagonal Fisher at c, one checkpoint after the other, so that it agrees::

    H <- H - (H s)(H s)' / s' H s + y y' / s' y

H stays positive definite by Powell's damping, which moves y towards H s where the loss has too little curvature along
s. Checkpoints should be about as far from c as the merged params will be. In measurements, other runs of the task
helped, and the pretrained params did harm, since the loss is far from quadratic there. The scale is that of the mean
loss.

References:
    Nocedal, Wright: Numerical Optimization, 2006, chapters 6 and 18 (BFGS, and damping after Powell, 1978).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from foretaste.errors import ParamsError
from foretaste.estimate.fisher import Labels, fisher
from foretaste.estimate.passes import batches_of
from foretaste.loss.unit import count_units, unit_factors
from foretaste.params import Params, check_fit, in_eval_mode, parameters_of, swapped, wide
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.lowrank import LowRank
from foretaste.posterior.site import GaussianSite
from foretaste.task import Batch, Task

__all__ = ["correct_diagonal", "mean_gradient", "secant"]

_FLOOR = 1e-3  # of the mean entry; BFGS cannot correct an entry of 0
_DAMPING = 0.2  # Powell's


def secant(
    model: nn.Module,
    params: Params,
    task: Task,
    checkpoints: Sequence[Params],
    *,
    generator: torch.Generator,
    labels: Labels = "sampled",
    max_examples: int | None = None,
    batch_size: int = 32,
    on_batch: Callable[[int], None] = lambda examples: None,
) -> GaussianSite:
    """Estimate a task's site with diagonal + low-rank curvature.

    Args:
        model: Any module; its params are put back afterwards.
        params: c, the task's params.
        task: The task, whose training examples are used, the same ones for every gradient.
        checkpoints: Other params, on the way to c or from other runs; the last one counts most.
        generator: Chooses the examples and draws the labels.
        labels: The source of the labels of the diagonal Fisher.
        max_examples: At most so many examples; None for all.
        batch_size: Examples per pass.
        on_batch: Called after each batch of the Fisher's pass with the number of examples so far.

    Returns:
        A stationary `GaussianSite` whose rank is twice the number of checkpoints.

    Raises:
        ParamsError: Checkpoints have other shapes, or there are none.
        TaskError: There are no labelled examples, or outputs are not finite or depend on no trained parameter.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.tensor([0, 1]))
    >>> task, layer = Task("a", rows, rows, [METRICS["accuracy"]]), nn.Linear(2, 2, bias=False)
    >>> site = secant(
    ...     layer, {"weight": torch.eye(2)}, task, [{"weight": torch.zeros(2, 2)}], generator=torch.Generator()
    ... )
    >>> site.precision.structure, len(site.precision.scales)
    ('lowrank', 2)
    """
    if not checkpoints:
        raise ParamsError(
            f"task {task.name!r} has no other checkpoints; give those of another run, or of this one on its way"
        )
    site = fisher(
        model,
        params,
        task,
        generator=generator,
        labels=labels,
        max_examples=max_examples,
        batch_size=batch_size,
        on_batch=on_batch,
    )
    assert isinstance(site.precision, Diagonal)
    batches = list(batches_of(model, task, generator, max_examples, batch_size))
    here = mean_gradient(model, params, task, batches)
    pairs = []
    for place, checkpoint in enumerate(checkpoints):
        own = {name: checkpoint[name] for name in site.center if name in checkpoint}
        check_fit(site.center, own, f"checkpoint {place + 1} of task {task.name!r}")
        there = mean_gradient(model, {**params, **own}, task, batches)
        pairs.append(
            ({n: wide(own[n]) - wide(t) for n, t in site.center.items()}, {n: there[n] - t for n, t in here.items()})
        )
    record = replace(
        site.record, estimator=f"secant:{labels}", details={**site.record.details, "checkpoints": str(len(checkpoints))}
    )
    return replace(site, precision=correct_diagonal(site.precision, pairs), record=record)


def mean_gradient(model: nn.Module, params: Params, task: Task, batches: Iterable[Batch]) -> dict[str, Tensor]:
    """Compute the gradient of the task's mean loss, on the CPU in float32 or wider.

    Args:
        model: Any module; its params are put back afterwards.
        params: The params at which to compute it.
        task: The task, which predicts with the model.
        batches: Batches of the task's examples.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.tensor([0, 1]))
    >>> task, layer = Task("a", rows, rows, [METRICS["accuracy"]]), nn.Linear(2, 2, bias=False)
    >>> mean_gradient(layer, {"weight": torch.zeros(2, 2)}, task, [{"inputs": rows.inputs, "labels": rows.labels}])[
    ...     "weight"
    ... ]
    tensor([[-0.2500,  0.2500],
            [ 0.2500, -0.2500]])
    """
    with in_eval_mode(model), swapped(model, params):
        own = parameters_of(model, task.names)
        trained = {name: p for name, p in model.named_parameters() if name in own and p.requires_grad}
        total, count = {name: torch.zeros_like(wide(tensor)) for name, tensor in own.items()}, 0
        for batch in batches:
            with torch.enable_grad():
                example_losses = task.loss.per_unit(task.predict(model, batch), batch).sum(1)
                counted = task.loss.counts(batch)
                loss = (example_losses * unit_factors(counted, task.unit)).sum()
            grads = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
            for name, grad in zip(trained, grads, strict=True):
                if grad is not None:
                    total[name] += grad
            count += count_units(counted, task.unit)
    return {name: tensor.cpu() / max(count, 1) for name, tensor in total.items()}


def correct_diagonal(diagonal: Diagonal, pairs: Sequence[tuple[Params, Params]]) -> LowRank:
    """Correct a diagonal by damped BFGS, so that it agrees with secants.

    Args:
        diagonal: The first H; entries below a thousandth of its mean are raised to that.
        pairs: s and y, by name; the result matches the last pair exactly, unless that was damped.

    >>> precision = correct_diagonal(
    ...     Diagonal({"w": torch.ones(2)}), [({"w": torch.tensor([1.0, 0.0])}, {"w": torch.tensor([5.0, 0.0])})]
    ... )
    >>> precision.apply({"w": torch.tensor([1.0, 1.0])})
    {'w': tensor([5., 1.])}
    """
    count = max(sum(tensor.numel() for tensor in diagonal.entries.values()), 1)
    mean = sum(float(tensor.double().sum()) for tensor in diagonal.entries.values()) / count
    entries = {name: tensor.clamp(min=_FLOOR * mean) for name, tensor in diagonal.entries.items()}
    precision = LowRank(
        entries, {name: tensor.new_zeros(0, *tensor.shape) for name, tensor in entries.items()}, torch.zeros(0)
    )
    for step, change in pairs:
        image = precision.apply(step)
        bend, curve = _dot(step, image), _dot(step, change)
        if bend <= 0:
            continue  # the checkpoint is the centre itself
        share = 1.0 if curve >= _DAMPING * bend else (1 - _DAMPING) * bend / (bend - curve)
        damped = {name: share * change[name] + (1 - share) * tensor for name, tensor in image.items()}
        curve = _dot(step, damped)
        more = {name: torch.stack([tensor / bend**0.5, damped[name] / curve**0.5]) for name, tensor in image.items()}
        vectors = {name: torch.cat([tensor, more[name]]) for name, tensor in precision.vectors.items()}
        precision = LowRank(entries, vectors, torch.cat([precision.scales, torch.tensor([-1.0, 1.0])]))
    return precision


def _dot(left: Params, right: Params) -> float:
    return sum(float((left[name].double() * right[name].double()).sum()) for name in left)
