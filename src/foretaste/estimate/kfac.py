"""Kronecker-factored curvature with corrected eigenvalues (K-FAC, EKFAC), of a task's mean loss.

The gradient of a layer's weight on one example is a sum of outer products, ``G_b = sum_s d_s a_s'``, of
the output's gradients and the inputs (with a 1 for the bias). K-FAC takes the eigenvectors of the
two factors; the eigenvalues are then measured in their basis instead of multiplied together::

    B = E[d d'] = U . U'     A = E[a a'] = V . V'                        (first pass over the data)
    lambda_ij = 1/N sum_b (u_i' G_b v_j)^2                               (second pass)

which is the best diagonal in that basis. Only the leading eigenvectors are kept, all that carry 99.9 % of a
factor's trace up to 96; what the gradients have outside of them is spread evenly, so that the trace
is right. Linear layers and ungrouped convolutions are treated so;
every other parameter (embeddings, norms, grouped convolutions, layers above 4096 wide) gets the
diagonal Fisher. Tasks may share a basis, from the sum of their factors, so that their curvatures add up in
closed form; it costs most of what the eigenvectors bring where tasks differ. Labels and units are those of `foretaste.estimate.fisher`.

References:
    Martens, Grosse: Optimizing Neural Networks with Kronecker-factored Approximate Curvature, 2015,
    https://arxiv.org/abs/1503.05671
    Grosse, Martens: A Kronecker-factored Approximate Fisher Matrix for Convolution Layers, 2016,
    https://arxiv.org/abs/1602.01407
    George, Laurent, Bouthillier, Ballas, Vincent: Fast Approximate Natural Gradient Descent in a
    Kronecker-factored Eigenbasis, 2018, https://arxiv.org/abs/1806.03884
    Eschenhagen, Immer, Turner, Schneider, Hennig: Kronecker-Factored Approximate Curvature for Modern
    Neural Network Architectures, 2023, https://arxiv.org/abs/2311.00636 (positions: "expand")
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from foretaste.errors import TaskError
from foretaste.estimate import fisher
from foretaste.estimate.capture import Contribution, Plan, summed_squares
from foretaste.estimate.fisher import Fisher, Labels, State, add_slow, backwards, batches_of, counted
from foretaste.estimate.layers import OUTER, bias_joins, is_outer, operands
from foretaste.params import Params, in_eval_mode, swapped, wide
from foretaste.posterior.kronecker import Axes, Basis, Kronecker
from foretaste.posterior.site import GaussianSite
from foretaste.task import Batch, Task

__all__ = ["Factors", "build", "factors", "finish", "init", "kfac", "shared_basis", "update"]

_WIDEST = 4096
_EXACT = 1024  # matrices up to this size are decomposed in float64
_CARRIED = 0.999  # of a factor's trace
_MOST = 96  # directions per side
_NORM = "norm of "  # of a layer's gradients, among the sums


@dataclass(frozen=True)
class Factors:
    """A task's two factors of every layer.

    Args:
        left: E[d d'] by the weight's name, `[rows, rows]`.
        right: E[a a'] by the weight's name, `[columns, columns]`.
        biases: The bias that is the last column, by the weight's name.
    """

    left: Params
    right: Params
    biases: Mapping[str, str]

    def to_tensors(self) -> dict[str, Tensor]:
        """Everything as tensors, by prefixed names."""
        names = {f"bias/{name}": torch.tensor(list(bias.encode()), dtype=torch.uint8) for name, bias in self.biases.items()}
        return {f"left/{n}": t for n, t in self.left.items()} | {f"right/{n}": t for n, t in self.right.items()} | names

    @classmethod
    def from_tensors(cls, tensors: Params) -> "Factors":
        """The inverse of `to_tensors`."""
        parts: dict[str, dict[str, Tensor]] = {"left": {}, "right": {}, "bias": {}}
        for key, tensor in tensors.items():
            part, _, name = key.partition("/")
            parts[part][name] = tensor
        return cls(parts["left"], parts["right"], {name: bytes(tensor.tolist()).decode() for name, tensor in parts["bias"].items()})


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
    """The first pass: both factors of every layer at these params.

    Args:
        model: Any module; it is left as it was.
        params: Where to estimate, or None for the model's own params.
        task: Its training examples are used.
        generator: Chooses the examples and draws the labels.
        labels: ``sampled``, ``empirical`` or ``exact``.
        max_examples: At most so many; None for all.
        batch_size: Examples per pass.
        on_batch: Called with the number of examples seen.

    Raises:
        TaskError: As of `fisher.fisher`.

    >>> from foretaste.evaluate import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.arange(2))
    >>> task = Task("a", rows, rows, [METRICS["accuracy"]])
    >>> {name: list(t.shape) for name, t in factors(nn.Linear(2, 2), None, task, generator=torch.Generator()).right.items()}
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
                state = fisher.init(estimate, batch)
                biases = {name: bias for name, bias in _layers(state.plan, task).items() if bias is not None}
                chosen = set(_layers(state.plan, task))
            for parts, *_ in backwards(estimate, state, batch):
                for name in chosen & set(parts):
                    _add_outer(left, right, name, parts[name], name in biases)
            state = counted(estimate, state, batch)
            on_batch(state.examples)
        if state is None or not state.units:
            raise TaskError(f"no labelled examples were seen for the curvature of task {task.name!r}")
        count = state.units
    return Factors({n: t.cpu() / count for n, t in left.items()}, {n: t.cpu() / count for n, t in right.items()}, biases)


def _layers(plan: Plan, task: Task) -> dict[str, str | None]:
    """Names of the weights that can be treated as matrices, and of the biases that join them."""
    users: dict[str, list[nn.Module]] = {}
    for module, own in plan.layers.items():
        for each in own.values():
            users.setdefault(each, []).append(module)
    found: dict[str, str | None] = {}
    lost = plan.slow | plan.unseen
    for module, own in plan.layers.items():
        name, bias = own.get("weight"), own.get("bias")
        if name is None or name in lost or not all(is_outer(user) for user in users[name]) or (task.names and name not in task.names):
            continue
        weight = module.weight
        assert isinstance(weight, Tensor)
        if max(len(weight), weight[0].numel()) >= _WIDEST:
            continue
        sole = len(users[name]) == 1 and bias is not None and len(users[bias]) == 1 and bias not in lost
        found[name] = bias if sole and bias_joins(module) else None
    return found


def _add_outer(left: dict[str, Tensor], right: dict[str, Tensor], name: str, parts: Sequence[Contribution], bias: bool) -> None:
    for _, module, inputs, grad in parts:
        rows, columns = (each.flatten(0, 1) for each in operands(module, inputs, grad, bias=bias))
        for total, each in ((left, rows), (right, columns)):
            outer = each.T @ each
            total[name] = total[name].add_(outer) if name in total else outer


def shared_basis(each: Sequence[Factors], share: float = _CARRIED) -> Basis:
    """One basis for all tasks, from the sum of their factors, each scaled to a trace of 1.

    Args:
        each: Of every task, or of one; a layer that only some tasks have takes theirs.
        share: Of each factor's trace that the kept directions carry, at most 96 on a side; 1 keeps all.

    >>> one = Factors({"w": torch.diag(torch.tensor([1.0, 2.0]))}, {"w": torch.eye(1)}, {})
    >>> shared_basis([one])["w"].left.abs()
    tensor([[1., 0.],
            [0., 1.]])
    """
    names = dict.fromkeys(name for found in each for name in found.left)
    return {name: _axes(name, [found for found in each if name in found.left], share) for name in names}


def _axes(name: str, each: Sequence[Factors], share: float) -> Axes:
    left, right = (_directions([getattr(found, side)[name] for found in each], share) for side in ("left", "right"))
    return Axes(left, right, each[0].biases.get(name))


def _directions(matrices: Sequence[Tensor], share: float) -> Tensor:
    """The leading eigenvectors as columns, steepest last."""
    kind = torch.float64 if len(matrices[0]) <= _EXACT else torch.float32
    total = sum((m.to(kind) / m.to(kind).trace().clamp(min=torch.finfo(kind).tiny) for m in matrices), torch.zeros((), dtype=kind))
    values, vectors = torch.linalg.eigh(total)
    ahead = values.clamp(min=0).flip(0).cumsum(0)
    count = len(values) if share >= 1 else min(int((ahead < share * ahead[-1]).sum()) + 1, _MOST)
    kept: Tensor = vectors[:, -count:]
    return kept.float().contiguous()


@dataclass(frozen=True)
class _Kfac:
    """What stays the same during the second pass: the Fisher's part, and the layers' basis."""

    fisher: Fisher
    basis: Basis


def build(
    model: nn.Module, task: Task, basis: Basis, *, labels: Labels = "sampled", gradient: bool = False, generator: torch.Generator
) -> _Kfac:
    """The second pass over a model as it stands; see `kfac` for the whole of it.

    >>> from foretaste.evaluate import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.arange(2))
    >>> build(nn.Linear(2, 2), Task("a", rows, rows, [METRICS["accuracy"]]), {}, generator=torch.Generator()).basis
    {}
    """
    return _Kfac(fisher.build(model, task, labels=labels, gradient=gradient, generator=generator), basis)


def init(estimate: _Kfac, batch: Batch) -> State:
    """Zero sums: per layer in its basis, `[r, c]`, and in all; per entry for the rest."""
    state = fisher.init(estimate.fisher, batch)
    squares = dict(state.squares)
    for name, axes in estimate.basis.items():
        if name in squares:
            squares[name] = squares[name].new_zeros(axes.left.shape[1], axes.right.shape[1])
            squares[_NORM + name] = squares[name].new_zeros(())
            squares.pop(axes.bias or "", None)
    return replace(state, squares=squares)


def update(estimate: _Kfac, state: State, batch: Batch) -> State:
    """Add one batch; the sums are added to in place."""
    for parts, targets, factor, late in backwards(estimate.fisher, state, batch):
        for name, each in parts.items():
            if name in state.squares:
                axes = estimate.basis.get(name)
                state.squares[name].add_(summed_squares(_turned(each, axes)))
                if axes is not None and axes.outside:
                    state.squares[_NORM + name].add_(_squared_norms(each, axes.bias is not None))
        add_slow(estimate.fisher, state, batch, targets, factor, late)
    return counted(estimate.fisher, state, batch)


def _turned(parts: Sequence[Contribution], axes: Axes | None) -> Sequence[Contribution]:
    """The same contributions in the layer's basis."""
    if axes is None:
        return parts
    found = []
    for _, module, inputs, grad in parts:
        rows, columns = operands(module, inputs, grad, bias=axes.bias is not None)
        left, right = axes.left.to(rows), axes.right.to(columns)
        found.append((OUTER, module, *_squeezed(columns @ right, rows @ left)))
    return found


def _squared_norms(parts: Sequence[Contribution], bias: bool) -> Tensor:
    """``sum_b |G_b|^2`` without the gradients: inner products of the vectors they are outer products of."""
    both = [operands(module, inputs, grad, bias=bias) for _, module, inputs, grad in parts]
    rows, columns = (torch.cat(side, dim=1) for side in zip(*both, strict=True))
    if rows.shape[1] ** 2 > rows.shape[2] * columns.shape[2]:
        return torch.stack([(r.T @ c).square().sum() for r, c in zip(rows, columns, strict=True)]).sum()
    return ((rows @ rows.transpose(1, 2)) * (columns @ columns.transpose(1, 2))).sum()


def _squeezed(columns: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """One position per example as no position: there the squares are a single product."""
    return (columns[:, 0], rows[:, 0]) if columns.shape[1] == 1 else (columns, rows)


def finish(estimate: _Kfac, state: State) -> GaussianSite:
    """The site: the sums per unit, centred on the model's present params."""
    site = fisher.finish(estimate.fisher, replace(state, squares={}))
    squares = {name: wide(tensor).cpu() / state.units for name, tensor in state.squares.items()}
    own = {name: axes for name, axes in estimate.basis.items() if name in squares}
    values, norms = {name: squares.pop(name) for name in own}, {name: squares.pop(_NORM + name) for name in own}
    outside = {name: (norms[name] - values[name].sum()).clamp(min=0) / max(axes.outside, 1) for name, axes in own.items()}
    record = replace(site.record, estimator=f"kfac:{estimate.fisher.labels}")
    return replace(site, precision=Kronecker(own, values, squares, outside), record=record)


def kfac(
    model: nn.Module,
    params: Params | None,
    task: Task,
    *,
    generator: torch.Generator,
    labels: Labels = "sampled",
    max_examples: int | None = None,
    batch_size: int = 32,
    gradient: bool = False,
    basis: Basis | None = None,
    share: float = _CARRIED,
    batches: Iterable[Batch] | None = None,
    on_batch: Callable[[int], None] = lambda examples: None,
) -> GaussianSite:
    """A task's site with Kronecker curvature at these params.

    Args:
        model: Any module; it is left as it was.
        params: Where to estimate, or None for the model's own params.
        task: Its training examples are used.
        generator: Chooses the examples and draws the labels.
        labels: ``sampled``, ``empirical`` or ``exact``.
        max_examples: At most so many; None for all.
        batch_size: Examples per pass.
        gradient: Carry the gradient, for params that are not the task's optimum.
        basis: Shared with other tasks (see `shared_basis`); the task's own, for another pass, if left out.
        share: Of the factors' traces that the kept directions of an own basis carry; 1 keeps all.
        batches: Other data than the task's, for the second pass.
        on_batch: Called with the number of examples seen in the second pass.

    Returns:
        A `GaussianSite` centred on the params, curvature per unit in float32.

    Raises:
        TaskError: As of `fisher.fisher`.

    >>> from foretaste.evaluate import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.tensor([0, 1]))
    >>> task = Task("a", rows, rows, [METRICS["accuracy"]])
    >>> site = kfac(nn.Linear(2, 2), None, task, generator=torch.Generator(), labels="exact")
    >>> site.precision.structure, site.record.estimator
    ('kronecker', 'kfac:exact')
    """
    if basis is None:
        own = factors(model, params, task, generator=generator, labels=labels, max_examples=max_examples, batch_size=batch_size)
        basis = shared_basis([own], share)
    with in_eval_mode(model), swapped(model, params or {}):
        estimate = build(model, task, basis, labels=labels, gradient=gradient, generator=generator)
        state: State | None = None
        for batch in batches_of(model, task, generator, max_examples, batch_size) if batches is None else batches:
            state = update(estimate, state or init(estimate, batch), batch)
            on_batch(state.examples)
        if state is None:
            raise TaskError(f"no batches were given for the curvature of task {task.name!r}")
        return finish(estimate, state)
