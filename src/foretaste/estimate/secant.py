"""Diagonal + low-rank curvature from several checkpoints of a run, or several runs, of one task.

How the gradient changes from one checkpoint x to the task's params c says what the curvature is along
the way between them::

    s = x - c        y = grad l(x) - grad l(c)        H s = y

The diagonal Fisher at c is corrected, one checkpoint after the other, so that it agrees (BFGS)::

    H <- H - (H s)(H s)' / s' H s + y y' / s' y

With Powell's damping (y is moved towards H s where the loss curves too little along s) H stays positive
definite. Checkpoints should be as near as the merge will go: other runs of the task were measured to
help, the pretrained params, where the loss is far from quadratic, to harm. The scale is that of the mean loss, as
everywhere.

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

__all__ = ["corrected", "secant", "slope"]

_FLOOR = 1e-3  # of the mean entry: where the Fisher is 0, BFGS still needs something to correct
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
    """A task's site with diagonal + low-rank curvature.

    Args:
        model: Any module; it is left as it was.
        params: c, the task's params.
        task: Its training examples are used, the same ones for every gradient.
        checkpoints: Other params on the way to c or from other runs; the last one counts most.
        generator: Chooses the examples and draws the labels.
        labels: Where the labels of the diagonal Fisher come from.
        max_examples: At most so many; None for all.
        batch_size: Examples per pass.
        on_batch: Called with the number of examples seen by the Fisher's pass.

    Returns:
        A stationary `GaussianSite` whose rank is twice the number of checkpoints.

    Raises:
        ParamsError: Checkpoints of other shapes, or none at all.
        TaskError: No labelled examples, or outputs that are not finite or depend on no trained parameter.

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
    seen = list(batches_of(model, task, generator, max_examples, batch_size))
    here = slope(model, params, task, seen)
    pairs = []
    for place, checkpoint in enumerate(checkpoints):
        own = {name: checkpoint[name] for name in site.center if name in checkpoint}
        check_fit(site.center, own, f"checkpoint {place + 1} of task {task.name!r}")
        there = slope(model, {**params, **own}, task, seen)
        pairs.append(
            ({n: wide(own[n]) - wide(t) for n, t in site.center.items()}, {n: there[n] - t for n, t in here.items()})
        )
    record = replace(
        site.record, estimator=f"secant:{labels}", details={**site.record.details, "checkpoints": str(len(checkpoints))}
    )
    return replace(site, precision=corrected(site.precision, pairs), record=record)


def slope(model: nn.Module, params: Params, task: Task, batches: Iterable[Batch]) -> dict[str, Tensor]:
    """The gradient of the task's mean loss at some params, on the CPU in float32 or wider.

    Args:
        model: Any module; it is left as it was.
        params: Where.
        task: Predicts with the model.
        batches: Batches of the task's examples.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.tensor([0, 1]))
    >>> task, layer = Task("a", rows, rows, [METRICS["accuracy"]]), nn.Linear(2, 2, bias=False)
    >>> slope(layer, {"weight": torch.zeros(2, 2)}, task, [{"inputs": rows.inputs, "labels": rows.labels}])["weight"]
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


def corrected(diagonal: Diagonal, pairs: Sequence[tuple[Params, Params]]) -> LowRank:
    """A diagonal that agrees with secants, by damped BFGS.

    Args:
        diagonal: H to begin with; entries far below its mean are raised to a thousandth of it.
        pairs: s and y, by name; the last one is matched exactly unless it had to be damped.

    >>> held = corrected(
    ...     Diagonal({"w": torch.ones(2)}), [({"w": torch.tensor([1.0, 0.0])}, {"w": torch.tensor([5.0, 0.0])})]
    ... )
    >>> held.apply({"w": torch.tensor([1.0, 1.0])})
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
        pulled = {name: share * change[name] + (1 - share) * tensor for name, tensor in image.items()}
        curve = _dot(step, pulled)
        more = {name: torch.stack([tensor / bend**0.5, pulled[name] / curve**0.5]) for name, tensor in image.items()}
        vectors = {name: torch.cat([tensor, more[name]]) for name, tensor in precision.vectors.items()}
        precision = LowRank(entries, vectors, torch.cat([precision.scales, torch.tensor([-1.0, 1.0])]))
    return precision


def _dot(left: Params, right: Params) -> float:
    return sum(float((left[name].double() * right[name].double()).sum()) for name in left)
