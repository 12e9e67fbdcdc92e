"""Passes over a task's examples: the per-example gradients that every estimate of curvature is made of."""

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
    """What stays the same during one estimate of curvature.

    Args:
        model: In evaluation mode, holding the params of interest.
        task: Predicts with the model.
        labels: Where the labels come from.
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
    """The sums over the examples seen so far.

    Args:
        plan: Where each parameter's gradients come from.
        squares: Summed squared per-example gradients, by name, in float32.
        slopes: Summed gradients of the loss, by name; empty unless asked for.
        examples: Examples seen.
        units: Units seen.
    """

    plan: Plan
    squares: Params
    slopes: Params
    examples: int = 0
    units: int = 0

    __repr__ = one_line


def count_batch(estimate: Estimate, state: State, batch: Batch) -> State:
    """The same sums, with the batch's examples and units counted in.

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
    """Go backward over one batch, in the passes whose per-example gradients make the curvature.

    Args:
        estimate: Says where labels come from.
        state: Its plan says which layers are watched; asked for slopes, they are added to.
        batch: A batch of B examples.

    Yields:
        Per pass: what each parameter's gradient is made of; the root that it starts from (see
        `Loss.roots`); and parameters that the probed examples did not use but
        this batch does.

    Raises:
        TaskError: Outputs that are not finite.
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
        model: Says the device.
        task: Its training examples are used.
        generator: Orders them.
        most: At most so many; None for all.
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
        yield task.batch(task.train, order[start : start + size], device)


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
        root: Where the backward passes start.
        names: The parameters; without any there is nothing to do.

    Yields:
        Per example, the gradients in float32 or wider, less the parameters that it does not use.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.arange(2))
    >>> from foretaste.estimate.fisher import build
    >>> estimate = build(nn.Linear(2, 2), Task("a", rows, rows, [METRICS["accuracy"]]), generator=torch.Generator())
    >>> batch = {"inputs": rows.inputs, "labels": rows.labels}
    >>> from foretaste.loss.columns import FixedRoot
    >>> [list(each) for each in slow_gradients(estimate, batch, FixedRoot(torch.eye(2)), ["bias"])]
    [['bias'], ['bias']]
    """
    named = {name: p for name, p in estimate.model.named_parameters() if name in names and p.requires_grad}
    for index in range(len(root.slopes)) if named else ():
        with torch.enable_grad():
            outputs = estimate.task.predict(estimate.model, one_example(batch, index))
        grads = torch.autograd.grad(
            root.total(outputs, slice(index, index + 1)), list(named.values()), allow_unused=True
        )
        yield {name: wide(grad) for name, grad in zip(named, grads, strict=True) if grad is not None}


def sum_over(
    task: Task,
    batches: Iterable[Batch],
    init: Callable[[Batch], _S],
    update: Callable[[_S, Batch], _S],
    on_batch: Callable[[int], None],
) -> _S:
    """Add up what an estimate sees of every batch.

    Args:
        task: Named in the error.
        batches: Batches of the task's examples.
        init: From the first batch to sums of 0.
        update: From sums and a batch to the sums with the batch in them.
        on_batch: Called with the number of examples seen.

    Raises:
        TaskError: There are no batches.
    """
    state: _S | None = None
    for batch in batches:
        state = update(init(batch) if state is None else state, batch)
        on_batch(state.examples)
    if state is None:
        raise TaskError(f"no batches were given for the curvature of task {task.name!r}")
    return state
