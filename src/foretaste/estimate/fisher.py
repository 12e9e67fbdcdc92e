"""Diagonal Fisher information: the curvature of a task's mean loss, from per-example gradients.

The losses of `foretaste.loss` are minus log-likelihoods. Their generalised Gauss-Newton matrix is the Fisher
information of the model's own labels::

    H = 1/N sum_b E_{y ~ p(. | x_b)} [ grad log p(y | x_b) grad log p(y | x_b)' ]

Its diagonal is estimated by one drawn label per example (``sampled``, unbiased), by every label (``exact``), or by the
data's labels (``empirical``, which goes to 0 with the training loss). For token losses, the labels of a sequence are
drawn together, and its tokens' gradients add up before they are squared: draws are independent, so cross terms are 0 in
expectation. N counts examples or label tokens, whichever the task's loss is a mean over.

References:
    Kunstner, Balles, Hennig: Limitations of the Empirical Fisher Approximation for Natural Gradient Descent, 2019,
    https://arxiv.org/abs/1905.12558
"""

from collections.abc import Callable, Collection, Iterable
from functools import partial

import torch
from torch import nn

from foretaste.errors import TaskError
from foretaste.estimate.capture import probe, sum_squares
from foretaste.estimate.passes import (
    Estimate,
    State,
    backward_passes,
    batches_of,
    count_batch,
    own_parameters,
    slow_gradients,
    sum_over,
)
from foretaste.loss.loss import Labels
from foretaste.params import Params, buffers_of, in_eval_mode, snapshot, swapped, wide
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.site import GaussianSite, Record
from foretaste.task import Batch, Task

__all__ = ["Labels", "build", "finish", "fisher", "init", "update"]


def build(
    model: nn.Module, task: Task, *, labels: Labels = "sampled", gradient: bool = False, generator: torch.Generator
) -> Estimate:
    """Begin an estimate at the model's present params; `fisher` does all steps.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.arange(2))
    >>> build(nn.Linear(2, 2), Task("a", rows, rows, [METRICS["accuracy"]]), generator=torch.Generator()).labels
    'sampled'
    """
    return Estimate(model, task, labels, gradient, generator)


def init(estimate: Estimate, batch: Batch, without: Collection[str] = ()) -> State:
    """Make sums of 0, after a test of the layers on two examples of this batch.

    Args:
        estimate: The estimate.
        batch: A batch of at least one example.
        without: Names of parameters whose squares are not summed by entry.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.arange(2))
    >>> estimate = build(nn.Linear(2, 2), Task("a", rows, rows, [METRICS["accuracy"]]), generator=torch.Generator())
    >>> init(estimate, {"inputs": rows.inputs, "labels": rows.labels}).squares["bias"]
    tensor([0., 0.])
    """
    plan = probe(estimate.model, estimate.task, batch)
    own = {name: (tensor, wide(tensor.new_zeros(())).dtype) for name, tensor in own_parameters(estimate).items()}
    zeros = {
        name: torch.zeros_like(tensor, dtype=dtype) for name, (tensor, dtype) in own.items() if name not in without
    }
    sloping = own.items() if estimate.gradient else ()
    return State(plan, zeros, {name: torch.zeros_like(tensor, dtype=dtype) for name, (tensor, dtype) in sloping})


def update(estimate: Estimate, state: State, batch: Batch) -> State:
    """Add one batch to the sums, in place.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.arange(2))
    >>> estimate = build(nn.Linear(2, 2), Task("a", rows, rows, [METRICS["accuracy"]]), generator=torch.Generator())
    >>> batch = {"inputs": rows.inputs, "labels": rows.labels}
    >>> update(estimate, init(estimate, batch), batch).examples
    2
    """
    for parts, root, late in backward_passes(estimate, state, batch):
        for name, contributions in parts.items():
            if name in state.squares:
                state.squares[name].add_(sum_squares(contributions))
        slow = [name for name in state.plan.slow | late if name in state.squares]
        for gradient in slow_gradients(estimate, batch, root, slow):
            for name, grad in gradient.items():
                state.squares[name].addcmul_(grad, grad)
    return count_batch(estimate, state, batch)


def finish(estimate: Estimate, state: State) -> GaussianSite:
    """Make the site: the sums per unit, centred on the model's present params.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.arange(2))
    >>> estimate = build(nn.Linear(2, 2), Task("a", rows, rows, [METRICS["accuracy"]]), generator=torch.Generator())
    >>> batch = {"inputs": rows.inputs, "labels": rows.labels}
    >>> finish(estimate, update(estimate, init(estimate, batch), batch)).record.estimator
    'fisher:sampled'
    """
    if not state.units:
        raise TaskError(f"no labelled examples were seen for the curvature of task {estimate.task.name!r}")
    squares = {name: tensor.cpu() / state.units for name, tensor in state.squares.items()}
    slopes = {name: tensor.cpu() / state.units for name, tensor in state.slopes.items()} or None
    record = Record(estimate.task.unit, f"fisher:{estimate.labels}", state.examples, state.units)
    center = snapshot(own_parameters(estimate))
    return GaussianSite(center, Diagonal.checked(squares), slopes, snapshot(buffers_of(estimate.model)), record)


def fisher(
    model: nn.Module,
    params: Params | None,
    task: Task,
    *,
    generator: torch.Generator,
    labels: Labels = "sampled",
    max_examples: int | None = None,
    batch_size: int = 32,
    gradient: bool = False,
    batches: Iterable[Batch] | None = None,
    on_batch: Callable[[int], None] = lambda examples: None,
) -> GaussianSite:
    """Estimate a task's site with the diagonal Fisher at these params.

    Args:
        model: Any module; its params are put back afterwards.
        params: The params at which to estimate; None for the model's own.
        task: The task, whose training examples are used.
        generator: Chooses the examples and draws the labels.
        labels: ``sampled`` (default), ``empirical`` or ``exact`` (one backward pass per class).
        max_examples: At most so many examples, chosen at random; None for all.
        batch_size: Examples per pass; changes memory and speed, not the estimate's meaning.
        gradient: Whether the site has the gradient, for params that are not the task's optimum.
        batches: Batches in place of the task's training examples, for example from your own loader.
        on_batch: Called after each batch with the number of examples so far.

    Returns:
        A `GaussianSite` centred on the params, curvature per unit in float32.

    Raises:
        TaskError: There are no labelled examples, or outputs are not finite or depend on no trained parameter.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.tensor([0, 1]))
    >>> task = Task("a", rows, rows, [METRICS["accuracy"]])
    >>> with torch.no_grad():
    ...     layer = nn.Linear(2, 2, bias=False)
    ...     _ = layer.weight.zero_()
    >>> fisher(layer, None, task, generator=torch.Generator(), labels="exact").precision.entries["weight"]
    tensor([[0.1250, 0.1250],
            [0.1250, 0.1250]])
    """
    with in_eval_mode(model), swapped(model, params or {}):
        estimate = build(model, task, labels=labels, gradient=gradient, generator=generator)
        data = batches_of(model, task, generator, max_examples, batch_size) if batches is None else batches
        return finish(estimate, sum_over(task, data, partial(init, estimate), partial(update, estimate), on_batch))
