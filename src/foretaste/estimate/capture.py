"""One batch through a model, with records of every layer's call, from which per-example gradients follow.

A test tells which parameters the layers can give: on the first two examples, the layers' gradients must add up to
autograd's own. Where they do not (a parameter used outside its layer, windows folded into the batch, an unknown
normalisation), the slow path computes the gradient of one example at a time. It does the same for a parameter that the
first two examples do not use, in every batch that uses it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from foretaste.errors import TaskError
from foretaste.estimate.layers import Contribution, rules_for, squares_by_rows
from foretaste.one_line import one_line
from foretaste.params import wide
from foretaste.task import Batch, Task

__all__ = [
    "Call",
    "Contribution",
    "Plan",
    "capture_calls",
    "collect_contributions",
    "one_example",
    "probe",
    "sum_squares",
]

_AGREES = 1e-3  # float32; types with fewer digits get some units of their last place
_NOISE = 1e-6
_CHUNK = 1 << 20  # entries of per-example gradients in memory at once


@dataclass(frozen=True)
class Call:
    """One call of a known layer.

    Args:
        module: The layer.
        inputs: `[B, ...]`, detached.
        output: `[B, ...]`, part of the autograd graph.
        version: How often the output had been changed in place when the layer returned it.
    """

    module: nn.Module
    inputs: Tensor
    output: Tensor
    version: int

    __repr__ = one_line


@dataclass(frozen=True)
class Plan:
    """A plan that says which layers give which parameters' gradients.

    Args:
        layers: Known layers and the full names of their parameters.
        broadcast: Layers that are called on one row for the whole batch (position embeddings).
        overwritten: Layers whose output is changed in place, for example by ``ReLU(inplace=True)``. The next layer gets
            a copy, so that the output's gradient stays the layer's.
        slow: Parameters that need one backward pass per example.
        unseen: Parameters that the probed examples do not use.
    """

    layers: Mapping[nn.Module, Mapping[str, str]]
    broadcast: frozenset[nn.Module] = frozenset()
    overwritten: frozenset[nn.Module] = frozenset()
    slow: frozenset[str] = frozenset()
    unseen: frozenset[str] = frozenset()

    __repr__ = one_line


@contextmanager
def capture_calls(plan: Plan, count: int) -> Iterator[list[Call]]:
    """Record the calls of the plan's layers during a forward pass on ``count`` examples.

    Args:
        plan: The plan, whose layers are watched until the block ends.
        count: B, the number of the batch's examples.

    >>> layer = nn.Linear(2, 3)
    >>> with capture_calls(Plan({layer: {"weight": "weight"}}), count=4) as calls:
    ...     _ = layer(torch.ones(4, 2))
    >>> [(call.inputs.shape, call.output.shape) for call in calls]
    [(torch.Size([4, 2]), torch.Size([4, 3]))]
    """
    calls: list[Call] = []

    def widen(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (args[0].expand(count, *args[0].shape[1:]), *args[1:]) if args and len(args[0]) == 1 else args

    def record(module: nn.Module, args: tuple[Tensor, ...], output: object) -> Tensor | None:
        if not args or not isinstance(output, Tensor) or not output.requires_grad:
            return None
        calls.append(Call(module, args[0].detach(), output, output._version))
        return output.clone() if module in plan.overwritten else None

    handles = [module.register_forward_pre_hook(widen) for module in plan.broadcast]
    handles += [module.register_forward_hook(record) for module in plan.layers]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def collect_contributions(
    plan: Plan, calls: Sequence[Call], grads: Sequence[Tensor | None]
) -> dict[str, list[Contribution]]:
    """Sort the layers' calls by parameter; a tied parameter has several.

    Args:
        plan: The plan, which names the layers' parameters.
        calls: The calls from `capture_calls`.
        grads: For each call, the gradient of the summed losses by its output, `[B, ...]`; None for an unused output.

    >>> layer = nn.Linear(2, 1)
    >>> plan = Plan({layer: {"weight": "weight", "bias": "bias"}})
    >>> with capture_calls(plan, count=4) as calls:
    ...     output = layer(torch.ones(4, 2))
    >>> sorted(collect_contributions(plan, calls, torch.autograd.grad(output.sum(), [calls[0].output])))
    ['bias', 'weight']
    """
    by_parameter: dict[str, list[Contribution]] = {}
    for call, grad in zip(calls, grads, strict=True):
        if grad is None:
            continue
        rules = rules_for(call.module)
        inputs = wide(call.inputs) if call.inputs.is_floating_point() else call.inputs
        for local, name in plan.layers[call.module].items():
            if name not in plan.slow | plan.unseen:
                by_parameter.setdefault(name, []).append((rules[local], call.module, inputs, wide(grad)))
    return by_parameter


def sum_squares(parts: Sequence[Contribution]) -> Tensor:
    """Compute ``sum_b (sum_calls gradient_b)^2``: calls of one example add up before they are squared.

    Args:
        parts: The calls of one parameter, from `collect_contributions`.

    Returns:
        A tensor in the parameter's shape.

    >>> layer = nn.Linear(1, 1)
    >>> inputs, grad = torch.tensor([[1.0], [2.0]]), torch.ones(2, 1)
    >>> sum_squares([(rules_for(layer)["weight"], layer, inputs, grad)])
    tensor([[5.]])
    """
    rule, module, inputs, grad = parts[0]
    if len(parts) == 1 and rule.squares is not None:
        return rule.squares(module, inputs, grad)
    if all(gradients.rows is not None for gradients, *_ in parts):
        return squares_by_rows(parts)
    first = rule.per_example(module, inputs[:1], grad[:1])
    step = max(1, _CHUNK // max(first.numel(), 1))
    total = torch.zeros_like(first[0])
    for start in range(0, len(grad), step):
        gradients = _per_example(parts, slice(start, start + step))
        total = (
            total.addcmul_(gradients[0], gradients[0]) if len(gradients) == 1 else total.add_(gradients.square().sum(0))
        )
    return total


def _per_example(parts: Sequence[Contribution], rows: slice) -> Tensor:
    first, *others = (rule.per_example(module, inputs[rows], grad[rows]) for rule, module, inputs, grad in parts)
    return sum(others, first)


def one_example(batch: Batch, index: int) -> dict[str, Tensor]:
    """Make a batch of one example.

    Args:
        batch: A batch of B examples.
        index: The example's place in it.

    Raises:
        TaskError: The first dimension of a tensor is not the batch.

    >>> one_example({"inputs": torch.eye(2), "labels": torch.tensor([0, 1])}, 1)
    {'inputs': tensor([[0., 1.]]), 'labels': tensor([1])}
    """
    count = len(batch["labels"])
    for key, tensor in batch.items():
        if not tensor.dim() or len(tensor) != count:
            description = f"{key} has shape {list(tensor.shape)} for {count} examples"
            raise TaskError(f"a batch needs one row per example in every tensor; {description}")
    return {key: tensor[index : index + 1] for key, tensor in batch.items()}


def probe(model: nn.Module, task: Task, batch: Batch) -> Plan:
    """Test on one or two examples which parameters' gradients the layers can give.

    Args:
        model: The model in evaluation mode, with the params of interest.
        task: The task, which predicts with the model.
        batch: A batch of at least one example.

    Raises:
        TaskError: The outputs depend on no trained parameter.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.arange(2))
    >>> model, task = nn.Sequential(nn.Linear(2, 2)), Task("a", rows, rows, [METRICS["accuracy"]])
    >>> list(probe(model, task, task.batch(rows, [0, 1], torch.device("cpu"))).layers.values())
    [{'weight': '0.weight', 'bias': '0.bias'}]
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    layers: dict[nn.Module, dict[str, str]] = {}
    for module in model.modules():
        rules = rules_for(module)
        own = {
            local: names[id(p)]
            for local, p in module.named_parameters(recurse=False)
            if local in rules and p.requires_grad
        }
        if own:
            layers[module] = own
    rows = [one_example(batch, index) for index in (0, min(1, len(batch["labels"]) - 1))]
    both = {key: torch.cat([row[key] for row in rows]) for key in rows[0]}
    one, two = (_calls(model, task, Plan(layers), part) for part in (rows[0], both))
    single, double = _sizes(one), _sizes(two)
    broadcast = frozenset(
        module for module in double if isinstance(module, nn.Embedding) and double[module] == single[module] == {1}
    )
    fits = {module for module in double if single.get(module) == {1} and double[module] == {2}} | broadcast
    overwritten = frozenset(call.module for call in two if call.output._version != call.version)
    plan = Plan({module: own for module, own in layers.items() if module in fits}, broadcast, overwritten)
    try:
        return _verify(model, task, plan, both)
    except RuntimeError:
        if not broadcast:
            raise
        # An example may have several rows in the layers, such as the choices of a multiple choice.
        watched = {module: own for module, own in plan.layers.items() if module not in broadcast}
        return _verify(model, task, Plan(watched, overwritten=overwritten), both)


def _calls(model: nn.Module, task: Task, plan: Plan, batch: Batch) -> list[Call]:
    with capture_calls(plan, len(batch["labels"])) as calls, torch.enable_grad():
        task.predict(model, batch)
    return calls


def _sizes(calls: Sequence[Call]) -> dict[nn.Module, set[int]]:
    sizes: dict[nn.Module, set[int]] = {}
    for call in calls:
        sizes.setdefault(call.module, set()).add(len(call.output) if call.output.dim() else 0)
    return sizes


def _verify(model: nn.Module, task: Task, plan: Plan, batch: Batch) -> Plan:
    """Mark as slow the parameters whose gradient differs from the sum of its layers' gradients.

    The gradient is that of a random sum of the outputs. The loss itself may have a gradient of 0, where the model is
    sure of every label or no token counts.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    with capture_calls(plan, len(batch["labels"])) as calls, torch.enable_grad():
        logits = task.predict(model, batch)
    if not logits.requires_grad:
        raise TaskError(
            f"the outputs on task {task.name!r} depend on no trained parameter; unfreeze some, and predict with"
            " gradients"
        )
    total = (logits * torch.randn(logits.shape, generator=torch.Generator().manual_seed(0)).to(logits)).sum()
    outputs = [call.output for call in calls]
    grads = torch.autograd.grad(total, [*trained.values(), *outputs], allow_unused=True)
    parts = collect_contributions(plan, calls, grads[len(trained) :])
    truth = {name: wide(grad) for name, grad in zip(trained, grads, strict=False) if grad is not None}
    noise = _NOISE * max((float(grad.norm()) for grad in truth.values()), default=0.0)
    slow = frozenset(
        name for name in truth if not _agrees(parts.get(name), truth[name], _tolerance(trained[name]), noise)
    )
    return replace(plan, slow=slow, unseen=frozenset(set(trained) - set(truth)))


def _tolerance(parameter: Tensor) -> float:
    return max(_AGREES, 4 * torch.finfo(parameter.dtype).eps)


def _agrees(parts: Sequence[Contribution] | None, truth: Tensor, tolerance: float, noise: float) -> bool:
    """Return whether the layers' gradients add up to the true one, or that is only rounding noise."""
    if parts is None:
        return False
    total = torch.zeros_like(truth)
    for row in range(len(parts[0][3])):
        total += _per_example(parts, slice(row, row + 1))[0]
    return float((total - truth).norm()) <= tolerance * float(truth.norm()) + noise
