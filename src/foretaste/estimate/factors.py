"""Kronecker factors: the first pass of K-FAC, which gives every layer a basis.

The gradient of a layer's weight on one example is a sum of outer products of the output's gradients d and the inputs a
(with a 1 for the bias). The layer has two factors::

    B = E[d d'] = U . U'     A = E[a a'] = V . V'

Their eigenvectors are a basis for the layer's curvature, and `foretaste.estimate.kfac` measures the curvature in it.
Linear layers and ungrouped convolutions up to 4096 wide have factors.

References:
    Martens, Grosse: Optimizing Neural Networks with Kronecker-factored Approximate Curvature, 2015,
    https://arxiv.org/abs/1503.05671
    Grosse, Martens: A Kronecker-factored Approximate Fisher Matrix for Convolution Layers, 2016,
    https://arxiv.org/abs/1602.01407
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foretaste.errors import TaskError
from foretaste.estimate import fisher
from foretaste.estimate.capture import Contribution, Plan, probe
from foretaste.estimate.fisher import Labels
from foretaste.estimate.operands import bias_joins, is_outer, operands
from foretaste.estimate.passes import State, backward_passes, batches_of, count_batch
from foretaste.one_line import one_line
from foretaste.params import Params, in_eval_mode, swapped
from foretaste.posterior.axes import Axes, Basis
from foretaste.task import Task

__all__ = ["TRACE_SHARE", "Factors", "factors", "shared_basis"]

TRACE_SHARE = 0.999  # the share of a factor's trace that the kept directions have

_WIDEST = 4096
_EXACT = 1024  # matrices up to this size are decomposed in float64
_MOST = 96  # directions per side


@dataclass(frozen=True)
class Factors:
    """The two factors of every layer, for one task.

    Args:
        left: E[d d'] by the weight's name, `[rows, rows]`.
        right: E[a a'] by the weight's name, `[columns, columns]`; for exact labels, times the number of labels, since
            each has a pass.
        biases: The bias that is the last column, by the weight's name.
    """

    left: Params
    right: Params
    biases: Mapping[str, str]

    __repr__ = one_line

    def to_tensors(self) -> dict[str, Tensor]:
        """Return all parts as tensors, by names with prefixes."""
        names = {
            f"bias/{name}": torch.tensor(list(bias.encode()), dtype=torch.uint8) for name, bias in self.biases.items()
        }
        return {f"left/{n}": t for n, t in self.left.items()} | {f"right/{n}": t for n, t in self.right.items()} | names

    @classmethod
    def from_tensors(cls, tensors: Params) -> "Factors":
        """Make factors from the tensors of `to_tensors`."""
        parts: dict[str, dict[str, Tensor]] = {"left": {}, "right": {}, "bias": {}}
        for key, tensor in tensors.items():
            part, _, name = key.partition("/")
            parts[part][name] = tensor
        return cls(
            parts["left"],
            parts["right"],
            {name: bytes(tensor.tolist()).decode() for name, tensor in parts["bias"].items()},
        )


def factors(
    model: nn.Module,
    params: Params | None,
    task: Task,
    *,
    generator: torch.Generator,
    labels: Labels = "sampled",
    max_examples: int | None = None,
    batch_size: int = 32,
    on_batch: Callable[[int], None] = lambda examples: None,
) -> Factors:
    """Estimate both factors of every layer, the first pass of K-FAC.

    Args:
        model: Any module; its params are put back afterwards.
        params: The params at which to estimate; None for the model's own.
        task: The task, whose training examples are used.
        generator: Chooses the examples and draws the labels.
        labels: ``sampled``, ``empirical`` or ``exact``.
        max_examples: At most so many examples; None for all.
        batch_size: Examples per pass.
        on_batch: Called after each batch with the number of examples so far.

    Raises:
        TaskError: There are no labelled examples, or outputs are not finite or depend on no trained parameter.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.arange(2))
    >>> task = Task("a", rows, rows, [METRICS["accuracy"]])
    >>> {
    ...     name: list(t.shape)
    ...     for name, t in factors(nn.Linear(2, 2), None, task, generator=torch.Generator()).right.items()
    ... }
    {'weight': [3, 3]}
    """
    with in_eval_mode(model), swapped(model, params or {}):
        estimate = fisher.build(model, task, labels=labels, generator=generator)
        state: State | None = None
        left: dict[str, Tensor] = {}
        right: dict[str, Tensor] = {}
        biases: dict[str, str] = {}
        for batch in batches_of(model, task, generator, max_examples, batch_size):
            if state is None:
                state = State(probe(model, task, batch), {}, {})
                biases = {name: bias for name, bias in _layers(state.plan, task).items() if bias is not None}
                chosen = set(_layers(state.plan, task))
            for parts, *_ in backward_passes(estimate, state, batch):
                for name in chosen & set(parts):
                    _add_outer(left, right, name, parts[name], name in biases)
            state = count_batch(estimate, state, batch)
            on_batch(state.examples)
        if state is None or not state.units:
            raise TaskError(f"no labelled examples were seen for the curvature of task {task.name!r}")
        count = state.units
    return Factors(
        {n: t.cpu() / count for n, t in left.items()}, {n: t.cpu() / count for n, t in right.items()}, biases
    )


def _layers(plan: Plan, task: Task) -> dict[str, str | None]:
    """Name the weights that can be treated as matrices, and the biases that join them."""
    users: dict[str, list[nn.Module]] = {}
    for module, own in plan.layers.items():
        for parameter in own.values():
            users.setdefault(parameter, []).append(module)
    matrices: dict[str, str | None] = {}
    excluded = plan.slow | plan.unseen
    for module, own in plan.layers.items():
        name, bias = own.get("weight"), own.get("bias")
        if name is None or name in excluded or not all(is_outer(user) for user in users[name]) or not _has(task, name):
            continue
        weight = module.weight
        assert isinstance(weight, Tensor)
        if max(len(weight), weight[0].numel()) > _WIDEST:
            continue
        sole = (
            len(users[name]) == 1
            and bias is not None
            and len(users[bias]) == 1
            and bias not in excluded
            and _has(task, bias)
        )
        matrices[name] = bias if sole and bias_joins(module) else None
    return matrices


def _has(task: Task, name: str) -> bool:
    return not task.names or name in task.names


def _add_outer(
    left: dict[str, Tensor], right: dict[str, Tensor], name: str, parts: Sequence[Contribution], bias: bool
) -> None:
    for _, module, inputs, grad in parts:
        rows, columns = (vectors.flatten(0, 1) for vectors in operands(module, inputs, grad, bias=bias))
        for total, vectors in ((left, rows), (right, columns)):
            outer = vectors.T @ vectors
            total[name] = total[name].add_(outer) if name in total else outer


def shared_basis(tasks: Sequence[Factors], share: float = TRACE_SHARE) -> Basis:
    """Make one basis for all tasks, from the sum of their factors, each scaled to a trace of 1.

    Args:
        tasks: The factors of every task, or of one. A layer that only some tasks have uses their factors.
        share: The share of each factor's trace that the kept directions have; at most 96 a side are kept. 1 keeps all.

    >>> one = Factors({"w": torch.diag(torch.tensor([1.0, 2.0]))}, {"w": torch.eye(1)}, {})
    >>> shared_basis([one])["w"].left.abs()
    tensor([[1., 0.],
            [0., 1.]])
    """
    names = dict.fromkeys(name for task_factors in tasks for name in task_factors.left)
    return {
        name: _axes(name, [task_factors for task_factors in tasks if name in task_factors.left], share)
        for name in names
    }


def _axes(name: str, tasks: Sequence[Factors], share: float) -> Axes:
    left, right = (
        _directions([getattr(task_factors, side)[name] for task_factors in tasks], share) for side in ("left", "right")
    )
    return Axes(left, right, tasks[0].biases.get(name))


def _directions(matrices: Sequence[Tensor], share: float) -> Tensor:
    """Return the leading eigenvectors as columns, the steepest last."""
    kind = torch.float64 if len(matrices[0]) <= _EXACT else torch.float32
    total = sum(
        (m.to(kind) / m.to(kind).trace().clamp(min=torch.finfo(kind).tiny) for m in matrices),
        torch.zeros((), dtype=kind),
    )
    try:
        values, vectors = torch.linalg.eigh(total)
    except RuntimeError:  # LinAlgError: float32 fails on some matrices of nearly rank one
        values, vectors = torch.linalg.eigh(total.double())
    ahead = values.clamp(min=0).flip(0).cumsum(0)
    count = len(values) if share >= 1 else min(int((ahead < share * ahead[-1]).sum()) + 1, _MOST)
    leading: Tensor = vectors[:, -count:]
    return leading.float().contiguous()
