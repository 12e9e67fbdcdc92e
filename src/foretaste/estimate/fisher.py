"""Diagonal Fisher information: the curvature of a task's mean loss, from per-example gradients.

The losses of `foretaste.loss` are minus log-likelihoods, whose generalised Gauss-Newton matrix is the Fisher of the model's own labels::

    H = 1/N sum_b E_{y ~ p(. | x_b)} [ grad log p(y | x_b) grad log p(y | x_b)' ]

and its diagonal is estimated by one drawn label per example (``sampled``, unbiased), by every
label (``exact``), or by the data's labels (``empirical``, which vanishes as the training loss
does). For token losses the labels of one sequence are drawn together and its tokens' gradients
add up before they are squared: independent draws leave no cross terms in expectation. N counts
examples or label tokens, whichever the task's loss is a mean over.

References:
    Kunstner, Balles, Hennig: Limitations of the Empirical Fisher Approximation, 2019,
    https://arxiv.org/abs/1905.12558
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from foretaste.errors import TaskError
from foretaste.estimate.capture import Contribution, Plan, captured, contributions, one_example, probe, summed_squares
from foretaste.loss.loss import Labels, Root
from foretaste.loss.unit import count_units, unit_factors
from foretaste.one_line import one_line
from foretaste.params import Params, buffers_of, in_eval_mode, parameters_of, snapshot, swapped, wide
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.site import GaussianSite, Record
from foretaste.task import Batch, Task

__all__ = [
    "Fisher",
    "Labels",
    "State",
    "backwards",
    "batches_of",
    "build",
    "counted",
    "finish",
    "fisher",
    "init",
    "slow_gradients",
    "update",
]


@dataclass(frozen=True)
class Fisher:
    """What stays the same during one estimate.

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
    """Sums so far.

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


def build(model: nn.Module, task: Task, *, labels: Labels = "sampled", gradient: bool = False, generator: torch.Generator) -> Fisher:
    """An estimate of the model as it stands; see `fisher` for the whole of it.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.arange(2))
    >>> build(nn.Linear(2, 2), Task("a", rows, rows, [METRICS["accuracy"]]), generator=torch.Generator()).labels
    'sampled'
    """
    return Fisher(model, task, labels, gradient, generator)


def init(estimate: Fisher, batch: Batch) -> State:
    """Zero sums, after trying the layers on two examples of this batch.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.arange(2))
    >>> estimate = build(nn.Linear(2, 2), Task("a", rows, rows, [METRICS["accuracy"]]), generator=torch.Generator())
    >>> init(estimate, {"inputs": rows.inputs, "labels": rows.labels}).squares["bias"]
    tensor([0., 0.])
    """
    plan = probe(estimate.model, estimate.task, batch)
    zeros = {name: torch.zeros_like(wide(tensor)) for name, tensor in _own(estimate).items()}
    slopes = {name: torch.zeros_like(tensor) for name, tensor in zeros.items()} if estimate.gradient else {}
    return State(plan, zeros, slopes)


def update(estimate: Fisher, state: State, batch: Batch) -> State:
    """Add one batch; the sums are added to in place.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.arange(2))
    >>> estimate = build(nn.Linear(2, 2), Task("a", rows, rows, [METRICS["accuracy"]]), generator=torch.Generator())
    >>> batch = {"inputs": rows.inputs, "labels": rows.labels}
    >>> update(estimate, init(estimate, batch), batch).examples
    2
    """
    for parts, root, late in backwards(estimate, state, batch):
        for name, each in parts.items():
            if name in state.squares:
                state.squares[name].add_(summed_squares(each))
        slow = [name for name in state.plan.slow | late if name in state.squares]
        for gradient in slow_gradients(estimate, batch, root, slow):
            for name, grad in gradient.items():
                state.squares[name].addcmul_(grad, grad)
    return counted(estimate, state, batch)


def counted(estimate: Fisher, state: State, batch: Batch) -> State:
    """The same sums, with the batch's examples and units counted in.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.arange(2))
    >>> estimate = build(nn.Linear(2, 2), Task("a", rows, rows, [METRICS["accuracy"]]), generator=torch.Generator())
    >>> counted(estimate, State(Plan({}), {}, {}), {"labels": rows.labels}).units
    2
    """
    more = count_units(estimate.task.loss.counts(batch), estimate.task.unit)
    return replace(state, examples=state.examples + len(batch["labels"]), units=state.units + more)


_Backward = tuple[dict[str, list[Contribution]], Root, frozenset[str]]


def backwards(estimate: Fisher, state: State, batch: Batch) -> Iterator[_Backward]:
    """The backward passes over one batch whose per-example gradients make the curvature.

    Args:
        estimate: Says where labels come from.
        state: Its plan says which layers are watched; asked for slopes, they are added to.
        batch: Of B examples.

    Yields:
        Per pass: what each parameter's gradient is made of; the root that it starts from (see
        `Loss.roots`); and parameters that the probed examples did not use but
        this batch does.

    Raises:
        TaskError: Outputs that are not finite.
    """
    task, plan = estimate.task, state.plan
    with captured(plan, len(batch["labels"])) as calls, torch.enable_grad():
        outputs = task.predict(estimate.model, batch)
    if not bool(torch.isfinite(wide(outputs).sum())) and not bool(torch.isfinite(outputs).all()):  # the sum is one quick pass
        raise TaskError(f"the model's outputs on task {task.name!r} hold NaN or infinity; its params are not usable")
    each = unit_factors(task.loss.counts(batch), task.unit)
    if estimate.gradient:
        _add_slopes(estimate, state, (task.loss.per_unit(outputs, batch) * each.unsqueeze(1)).sum())
    watched = [call.output for call in calls]
    unseen = {name: p for name, p in estimate.model.named_parameters() if name in plan.unseen}
    sources, again = [*watched, *unseen.values()], estimate.labels == "exact"
    for root in task.loss.roots(estimate.labels, outputs.detach(), batch, each.sqrt(), estimate.generator):
        grads = torch.autograd.grad(outputs, sources, root.slopes, retain_graph=again, allow_unused=True) if sources else ()
        late = frozenset(name for name, grad in zip(unseen, grads[len(watched) :], strict=True) if grad is not None)
        yield contributions(plan, calls, grads[: len(watched)]), root, late


def finish(estimate: Fisher, state: State) -> GaussianSite:
    """The site: the sums per unit, centred on the model's present params.

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
    center = snapshot(_own(estimate))
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
    """A task's site with the diagonal Fisher at these params.

    Args:
        model: Any module; it is left as it was.
        params: Where to estimate, or None for the model's own params.
        task: Its training examples are used.
        generator: Chooses the examples and draws the labels.
        labels: ``sampled`` (default), ``empirical`` or ``exact`` (one backward pass per class).
        max_examples: At most so many, chosen at random; None for all.
        batch_size: Examples per pass; changes memory and speed, not the estimate's meaning.
        gradient: Carry the gradient, for params that are not the task's optimum.
        batches: Other data than the task's, for example a loader of yours.
        on_batch: Called with the number of examples seen.

    Returns:
        A `GaussianSite` centred on the params, curvature per unit in float32.

    Raises:
        TaskError: No labelled examples, or outputs that are not finite or
            depend on no trained parameter.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.tensor([0, 1]))
    >>> task = Task("a", rows, rows, [METRICS["accuracy"]])
    >>> with torch.no_grad():
    ...     layer = nn.Linear(2, 2, bias=False); _ = layer.weight.zero_()
    >>> fisher(layer, None, task, generator=torch.Generator(), labels="exact").precision.entries["weight"]
    tensor([[0.1250, 0.1250],
            [0.1250, 0.1250]])
    """
    with in_eval_mode(model), swapped(model, params or {}):
        estimate = build(model, task, labels=labels, gradient=gradient, generator=generator)
        state: State | None = None
        for batch in batches_of(model, task, generator, max_examples, batch_size) if batches is None else batches:
            state = update(estimate, state or init(estimate, batch), batch)
            on_batch(state.examples)
        if state is None:
            raise TaskError(f"no batches were given for the curvature of task {task.name!r}")
        return finish(estimate, state)


def batches_of(model: nn.Module, task: Task, generator: torch.Generator, most: int | None, size: int) -> Iterator[Batch]:
    """The task's training examples in random order, on the model's device.

    Args:
        model: Says the device.
        task: Whose examples.
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


def _own(estimate: Fisher) -> dict[str, Tensor]:
    return parameters_of(estimate.model, estimate.task.names)


def _add_slopes(estimate: Fisher, state: State, total: Tensor) -> None:
    trained = {name: p for name, p in estimate.model.named_parameters() if p.requires_grad and name in state.slopes}
    grads = torch.autograd.grad(total, list(trained.values()), retain_graph=True, allow_unused=True)
    for name, grad in zip(trained, grads, strict=True):
        if grad is not None:
            state.slopes[name].add_(grad)


def slow_gradients(estimate: Fisher, batch: Batch, root: Root, names: Collection[str]) -> Iterator[dict[str, Tensor]]:
    """Gradients one example at a time, for the parameters that the layers cannot give.

    Args:
        estimate: Whose model goes forward.
        batch: Of B examples.
        root: Where the backward passes start.
        names: The parameters; without any there is nothing to do.

    Yields:
        Per example, the gradients in float32 or wider, less the parameters that it does not use.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.arange(2))
    >>> estimate = build(nn.Linear(2, 2), Task("a", rows, rows, [METRICS["accuracy"]]), generator=torch.Generator())
    >>> batch = {"inputs": rows.inputs, "labels": rows.labels}
    >>> from foretaste.loss.columns import GivenRoot
    >>> [list(each) for each in slow_gradients(estimate, batch, GivenRoot(torch.eye(2)), ["bias"])]
    [['bias'], ['bias']]
    """
    named = {name: p for name, p in estimate.model.named_parameters() if name in names and p.requires_grad}
    for index in range(len(root.slopes)) if named else ():
        with torch.enable_grad():
            outputs = estimate.task.predict(estimate.model, one_example(batch, index))
        grads = torch.autograd.grad(root.total(outputs, slice(index, index + 1)), list(named.values()), allow_unused=True)
        yield {name: wide(grad) for name, grad in zip(named, grads, strict=True) if grad is not None}
