"""One batch through a model, with what every layer needs to give per-example gradients.

Which parameters can be had from the layers is found out, not assumed: on the first two examples
the layers' gradients must add up to autograd's own. A parameter for which they do not (used
outside its layer, windows folded into the batch, an unknown normalisation) is left to the slow
path, one example at a time; so is, whenever it is used, one that these examples do not use.
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
    "summed_squares",
]

_AGREES = 1e-3  # float32; types with fewer digits get some units of their last place
_NOISE = 1e-6
_CHUNK = 1 << 20  # entries of per-example gradients held at once


@dataclass(frozen=True)
class Call:
    """One call of a known layer.

    Args:
        module: The layer.
        inputs: `[B, ...]`, detached.
        output: `[B, ...]`, part of the autograd graph.
        version: The output's count of in-place changes when the layer returned it.
    """

    module: nn.Module
    inputs: Tensor
    output: Tensor
    version: int

    __repr__ = one_line


@dataclass(frozen=True)
class Plan:
    """Which parameters come from which layers.

    Args:
        layers: Known layers and the full names of their parameters.
        broadcast: Layers that are called on one row for the whole batch (position embeddings).
        overwritten: Layers whose output is changed in place (by ``ReLU(inplace=True)``, say);
            what follows gets a copy, so that the output's gradient stays the layer's.
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
        plan: Its layers are watched, until leaving.
        count: B, the examples of the batch.

    >>> layer = nn.Linear(2, 3)
    >>> with capture_calls(Plan({layer: {"weight": "weight"}}), count=4) as calls:
    ...     _ = layer(torch.ones(4, 2))
    >>> [(call.inputs.shape, call.output.shape) for call in calls]
    [(torch.Size([4, 2]), torch.Size([4, 3]))]
    """
    calls: list[Call] = []

    def widen(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (args[0].expand(count, *args[0].shape[1:]), *args[1:]) if args and len(args[0]) == 1 else args

    def keep(module: nn.Module, args: tuple[Tensor, ...], output: object) -> Tensor | None:
        if not args or not isinstance(output, Tensor) or not output.requires_grad:
            return None
        calls.append(Call(module, args[0].detach(), output, output._version))
        return output.clone() if module in plan.overwritten else None

    handles = [module.register_forward_pre_hook(widen) for module in plan.broadcast]
    handles += [module.register_forward_hook(keep) for module in plan.layers]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def collect_contributions(
    plan: Plan, calls: Sequence[Call], grads: Sequence[Tensor | None]
) -> dict[str, list[Contribution]]:
    """The layers' calls sorted by parameter; a tied parameter has several.

    Args:
        plan: Names the layers' parameters.
        calls: As `capture_calls` recorded them.
        grads: Per call, the gradient of the summed losses by the call's output, `[B, ...]`; None for an unused one.

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


def summed_squares(parts: Sequence[Contribution]) -> Tensor:
    """``sum_b (sum_calls gradient_b)^2``: calls of one example add up before they are squared.

    Args:
        parts: The calls of one parameter, from `collect_contributions`.

    Returns:
        In the parameter's shape.

    >>> layer = nn.Linear(1, 1)
    >>> inputs, grad = torch.tensor([[1.0], [2.0]]), torch.ones(2, 1)
    >>> summed_squares([(rules_for(layer)["weight"], layer, inputs, grad)])
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
    """A batch of one.

    Raises:
        TaskError: A tensor whose first dimension is not the batch.

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
    """Find out on one or two examples which parameters the layers can give.

    Args:
        model: In evaluation mode, holding the params of interest.
        task: Predicts with the model.
        batch: At least one example.

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
        return _verified(model, task, plan, both)
    except RuntimeError:
        if not broadcast:
            raise
        # An example may have several rows in the layers (the choices of a multiple choice), so that one row per example
        # does not fit.
        watched = {module: own for module, own in plan.layers.items() if module not in broadcast}
        return _verified(model, task, Plan(watched, overwritten=overwritten), both)


def _calls(model: nn.Module, task: Task, plan: Plan, batch: Batch) -> list[Call]:
    with capture_calls(plan, len(batch["labels"])) as calls, torch.enable_grad():
        task.predict(model, batch)
    return calls


def _sizes(calls: Sequence[Call]) -> dict[nn.Module, set[int]]:
    sizes: dict[nn.Module, set[int]] = {}
    for call in calls:
        sizes.setdefault(call.module, set()).add(len(call.output) if call.output.dim() else 0)
    return sizes


def _verified(model: nn.Module, task: Task, plan: Plan, batch: Batch) -> Plan:
    """The plan, less the parameters whose gradient differs from what its layers add up to.

    The gradient is that of a random sum of the outputs: the loss may have none to compare, where
    the model is sure of every label or no token counts.
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
    """Whether the layers' gradients add up; a gradient that is only rounding noise always does."""
    if parts is None:
        return False
    total = torch.zeros_like(truth)
    for row in range(len(parts[0][3])):
        total += _per_example(parts, slice(row, row + 1))[0]
    return float((total - truth).norm()) <= tolerance * float(truth.norm()) + noise
