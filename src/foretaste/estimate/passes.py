"""Passes over a task's examples, which give the per-example gradients for every estimate of curvature."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from foretaste.errors import TaskError
from foretaste.estimate.capture import Contribution, Plan, capture_calls, collect_contributions, one_example
from foretaste.loss.loss import Labels, Root
from foretaste.loss.unit import count_units, unit_factors
from foretaste.one_line import one_line
from foretaste.params import Params, parameters_of, wide
from foretaste.task import Batch, Task

__all__ = [
    "Estimate",
    "State",
    "backward_passes",
    "batches_of",
    "count_batch",
    "own_parameters",
    "slow_gradients",
    "sum_over",
]


@dataclass(frozen=True)
class Estimate:
    """The settings of one estimate of curvature.

    Args:
        model: The model in evaluation mode, with the params of interest.
        task: The task, which predicts with the model.
        labels: The source of the labels.
        gradient: Whether to add up the gradient of the loss too.
        generator: Draws the labels.
    """

    model: nn.Module
    task: Task
    labels: Labels
    gradient: bool
    generator: torch.Generator

    __repr__ = one_line


@dataclass(frozen=True)
class State:
    """The sums over the examples so far.

    Args:
        plan: The layers that give each parameter's gradients.
        squares: Sums of squared per-example gradients, by name, in float32.
        slopes: Sums of gradients of the loss, by name; empty unless the estimate needs them.
        examples: The number of examples.
        units: The number of units.
    """

    plan: Plan
    squares: Params
    slopes: Params
    examples: int = 0
    units: int = 0

    __repr__ = one_line


def count_batch(estimate: Estimate, state: State, batch: Batch) -> State:
    """Count a batch's examples and units.

    Args:
        estimate: The estimate, whose task says which units count.
        state: The sums, with the batch in them already.
        batch: The batch.

    Returns:
        The state with the new counts.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.arange(2))
    >>> from foretaste.estimate.fisher import build
    >>> estimate = build(nn.Linear(2, 2), Task("a", rows, rows, [METRICS["accuracy"]]), generator=torch.Generator())
    >>> count_batch(estimate, State(Plan({}), {}, {}), {"labels": rows.labels}).units
    2
    """
    more = count_units(estimate.task.loss.counts(batch), estimate.task.unit)
    return replace(state, examples=state.examples + len(batch["labels"]), units=state.units + more)


_S = TypeVar("_S", bound=State)
_Backward = tuple[dict[str, list[Contribution]], Root, frozenset[str]]


def backward_passes(estimate: Estimate, state: State, batch: Batch) -> Iterator[_Backward]:
    """Go backward over one batch, in as many passes as the labels need.

    Args:
        estimate: The estimate, which says where labels come from.
        state: The sums. Its plan names the layers that are watched; its slopes grow, where the estimate needs them.
        batch: A batch of B examples.

    Yields:
        For each pass: the contributions to each parameter's gradient, the root that the pass starts from (see
        `Loss.roots`), and the parameters that this batch uses although the probed examples did not.

    Raises:
        TaskError: Outputs are not finite.
    """
    task, plan = estimate.task, state.plan
    with capture_calls(plan, len(batch["labels"])) as calls, torch.enable_grad():
        outputs = task.predict(estimate.model, batch)
    if not bool(torch.isfinite(wide(outputs).sum())) and not bool(
        torch.isfinite(outputs).all()
    ):  # the sum is one quick pass
        raise TaskError(f"the model's outputs on task {task.name!r} hold NaN or infinity; its params are not usable")
    factors = unit_factors(task.loss.counts(batch), task.unit)
    if estimate.gradient:
        _add_slopes(estimate, state, (task.loss.per_unit(outputs, batch) * factors.unsqueeze(1)).sum())
    watched = [call.output for call in calls]
    unseen = {name: p for name, p in estimate.model.named_parameters() if name in plan.unseen}
    sources, again = [*watched, *unseen.values()], estimate.labels == "exact"
    for root in task.loss.roots(estimate.labels, outputs.detach(), batch, factors.sqrt(), estimate.generator):
        grads = (
            torch.autograd.grad(outputs, sources, root.slopes, retain_graph=again, allow_unused=True) if sources else ()
        )
        late = frozenset(name for name, grad in zip(unseen, grads[len(watched) :], strict=True) if grad is not None)
        yield collect_contributions(plan, calls, grads[: len(watched)]), root, late


def batches_of(
    model: nn.Module, task: Task, generator: torch.Generator, most: int | None, size: int
) -> Iterator[Batch]:
    """Make batches of the task's training examples in random order, on the model's device.

    Args:
        model: The model, whose device the batches are put on.
        task: The task, whose training examples are used.
        generator: Orders the examples.
        most: At most so many examples; None for all.
        size: Examples per batch.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(3), torch.arange(3))
    >>> task = Task("a", rows, rows, [METRICS["accuracy"]])
    >>> [len(batch["labels"]) for batch in batches_of(nn.Linear(3, 3), task, torch.Generator(), None, 2)]
    [2, 1]
    """
    device = next(model.parameters()).device
    order = torch.randperm(len(task.train), generator=generator)[:most].tolist()
    for start in range(0, len(order), size):
        yield from task.parts(task.batch(task.train, order[start : start + size], device))


def own_parameters(estimate: Estimate) -> dict[str, Tensor]:
    """Return the parameters that the task has, by name."""
    return parameters_of(estimate.model, estimate.task.names)


def _add_slopes(estimate: Estimate, state: State, total: Tensor) -> None:
    trained = {name: p for name, p in estimate.model.named_parameters() if p.requires_grad and name in state.slopes}
    grads = torch.autograd.grad(total, list(trained.values()), retain_graph=True, allow_unused=True)
    for name, grad in zip(trained, grads, strict=True):
        if grad is not None:
            state.slopes[name].add_(grad)


def slow_gradients(estimate: Estimate, batch: Batch, root: Root, names: Collection[str]) -> Iterator[dict[str, Tensor]]:
    """Compute gradients one example at a time, for parameters whose layers cannot give them.

    Args:
        estimate: The estimate, whose model goes forward.
        batch: A batch of B examples.
        root: The root that the backward passes start from.
        names: The parameters; without any, nothing is computed.

    Yields:
        For each example, the gradients in float32 or wider, without the parameters that it does not use.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.arange(2))
    >>> from foretaste.estimate.fisher import build
    >>> estimate = build(nn.Linear(2, 2), Task("a", rows, rows, [METRICS["accuracy"]]), generator=torch.Generator())
    >>> batch = {"inputs": rows.inputs, "labels": rows.labels}
    >>> from foretaste.loss.columns import FixedRoot
    >>> [list(gradients) for gradients in slow_gradients(estimate, batch, FixedRoot(torch.eye(2)), ["bias"])]
    [['bias'], ['bias']]
    """
    parameters = {name: p for name, p in estimate.model.named_parameters() if name in names and p.requires_grad}
    for index in range(len(root.slopes)) if parameters else ():
        with torch.enable_grad():
            outputs = estimate.task.predict(estimate.model, one_example(batch, index))
        grads = torch.autograd.grad(
            root.total(outputs, slice(index, index + 1)), list(parameters.values()), allow_unused=True
        )
        yield {name: wide(grad) for name, grad in zip(parameters, grads, strict=True) if grad is not None}


def sum_over(
    task: Task,
    batches: Iterable[Batch],
    init: Callable[[Batch], _S],
    update: Callable[[_S, Batch], _S],
    on_batch: Callable[[int], None],
) -> _S:
    """Add up an estimate's sums over all batches.

    Args:
        task: The task, which the error names.
        batches: Batches of the task's examples.
        init: Makes sums of 0 from the first batch.
        update: Adds a batch to the sums.
        on_batch: Called after each batch with the number of examples so far.

    Raises:
        TaskError: There are no batches.
    """
    state: _S | None = None
    for part in (part for batch in batches for part in task.parts(batch)):
        state = update(init(part) if state is None else state, part)
        on_batch(state.examples)
    if state is None:
        raise TaskError(f"no batches were given for the curvature of task {task.name!r}")
    return state
