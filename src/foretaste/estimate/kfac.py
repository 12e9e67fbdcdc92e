"""Kronecker-factored curvature with corrected eigenvalues (K-FAC, EKFAC), of a task's mean loss.

The gradient of a layer's weight on one example is a sum of outer products, ``G_b = sum_s d_s a_s'``, of
the output's gradients and the inputs (with a 1 for the bias). K-FAC takes the eigenvectors of the
two factors. The second pass measures the eigenvalues in their basis::

    B = E[d d'] = U . U'     A = E[a a'] = V . V'                        (first pass over the data)
    lambda_ij = 1/N sum_b (u_i' G_b v_j)^2                               (second pass)

That is the best diagonal in this basis. Only the leading eigenvectors are kept: those that have 99.9 % of a factor's
trace, but at most 96. The rest of the trace is spread evenly over the directions outside of them. Linear layers and
ungrouped convolutions have factors. Every other parameter (embeddings, norms, grouped convolutions, layers more than
4096 wide) gets the diagonal Fisher. Tasks may share a basis, from the sum of their factors, so that their curvatures
add up in closed form. Where tasks differ, a shared basis loses most of the gain from eigenvectors. Labels and units are
those of `foretaste.estimate.fisher`.

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

from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from foretaste.estimate import fisher
from foretaste.estimate.capture import Contribution, sum_squares
from foretaste.estimate.factors import TRACE_SHARE, factors, shared_basis
from foretaste.estimate.fisher import Labels
from foretaste.estimate.layers import OUTER
from foretaste.estimate.operands import operands
from foretaste.estimate.passes import (
    Estimate,
    State,
    backward_passes,
    batches_of,
    count_batch,
    slow_gradients,
    sum_over,
)
from foretaste.params import Params, in_eval_mode, parameters_of, swapped, wide
from foretaste.posterior.axes import Axes, Basis
from foretaste.posterior.kronecker import Kronecker
from foretaste.posterior.site import GaussianSite
from foretaste.task import Batch, Task

__all__ = ["build", "finish", "init", "kfac", "update"]

_NORM = "norm of "  # prefix of the sums of squared norms of layers' gradients


@dataclass(frozen=True)
class _Kfac:
    """The settings of the second pass: those of the diagonal estimate, and the layers' basis."""

    fisher: Estimate
    basis: Basis


def build(
    model: nn.Module,
    task: Task,
    basis: Basis,
    *,
    labels: Labels = "sampled",
    gradient: bool = False,
    generator: torch.Generator,
) -> _Kfac:
    """Begin the second pass at the model's present params; `kfac` does all steps.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.arange(2))
    >>> build(nn.Linear(2, 2), Task("a", rows, rows, [METRICS["accuracy"]]), {}, generator=torch.Generator()).basis
    {}
    """
    own_names: set[str | None] = {None, *parameters_of(model, task.names)}
    own = {name: axes for name, axes in basis.items() if {name, axes.bias} <= own_names}
    return _Kfac(fisher.build(model, task, labels=labels, gradient=gradient, generator=generator), own)


def init(estimate: _Kfac, batch: Batch) -> State:
    """Make sums of 0: for each layer in its basis, `[r, c]`, and of its squared norm; for other parameters by entry."""
    layers = {name for pair in ((name, axes.bias) for name, axes in estimate.basis.items()) for name in pair if name}
    state, own = fisher.init(estimate.fisher, batch, without=layers), parameters_of(estimate.fisher.model)
    squares = dict(state.squares)
    for name, axes in estimate.basis.items():
        zero = wide(own[name].new_zeros(()))
        squares[name] = zero.new_zeros(axes.left.shape[1], axes.right.shape[1])
        squares[_NORM + name] = zero
    return replace(state, squares=squares)


def update(estimate: _Kfac, state: State, batch: Batch) -> State:
    """Add one batch to the sums, in place."""
    plan, basis = state.plan, estimate.basis
    slow_layers = {name: axes for name, axes in basis.items() if {name, axes.bias} & (plan.slow | plan.unseen)}
    for parts, root, late in backward_passes(estimate.fisher, state, batch):
        for name, contributions in parts.items():
            if name in state.squares and name not in slow_layers:
                axes = basis.get(name)
                state.squares[name].add_(sum_squares(_turn(contributions, axes)))
                if axes is not None and axes.outside:
                    state.squares[_NORM + name].add_(_squared_norms(contributions, axes.bias is not None))
        slow = plan.slow | late
        layers = {name: axes for name, axes in slow_layers.items() if {name, axes.bias} & (slow | parts.keys())}
        single = {name for name in slow if name in state.squares and name not in basis}
        names = single.union(layers, (axes.bias for axes in layers.values() if axes.bias is not None))
        for gradient in slow_gradients(estimate.fisher, batch, root, names):
            _add_one(state, gradient, layers, single)
    return count_batch(estimate.fisher, state, batch)


def _add_one(state: State, gradient: Params, layers: Basis, single: Set[str]) -> None:
    """Add one example's gradient: for layers in their basis, for single parameters entry by entry."""
    for name in single & gradient.keys():
        state.squares[name].addcmul_(gradient[name], gradient[name])
    for name, axes in layers.items():
        if {name, axes.bias} & gradient.keys():
            matrix = _matrix(gradient, name, axes).to(state.squares[name])
            state.squares[name].add_((axes.left.T.to(matrix) @ matrix @ axes.right.to(matrix)).square())
            state.squares[_NORM + name].add_(matrix.square().sum())


def _matrix(gradient: Params, name: str, axes: Axes) -> Tensor:
    """Return a layer's gradient as `[rows, columns]`, with zeros for a part that this example does not use."""
    rows, columns = len(axes.left), len(axes.right) - (axes.bias is not None)
    weight = gradient[name].flatten(1) if name in gradient else torch.zeros(rows, columns)
    if axes.bias is None:
        return weight
    bias = gradient[axes.bias] if axes.bias in gradient else torch.zeros(rows)
    return torch.cat([weight, bias.reshape(-1, 1).to(weight)], dim=1)


def _turn(parts: Sequence[Contribution], axes: Axes | None) -> Sequence[Contribution]:
    """Turn contributions into the layer's basis."""
    if axes is None:
        return parts
    contributions = []
    for _, module, inputs, grad in parts:
        rows, columns = operands(module, inputs, grad, bias=axes.bias is not None)
        left, right = axes.left.to(rows), axes.right.to(columns)
        contributions.append((OUTER, module, *_squeeze(columns @ right, rows @ left)))
    return contributions


def _squared_norms(parts: Sequence[Contribution], bias: bool) -> Tensor:
    """Compute ``sum_b |G_b|^2`` from inner products of the vectors, without the gradients themselves."""
    both = [operands(module, inputs, grad, bias=bias) for _, module, inputs, grad in parts]
    rows, columns = (torch.cat(side, dim=1) for side in zip(*both, strict=True))
    if rows.shape[1] ** 2 > rows.shape[2] * columns.shape[2]:
        return torch.stack([(r.T @ c).square().sum() for r, c in zip(rows, columns, strict=True)]).sum()
    return ((rows @ rows.transpose(1, 2)) * (columns @ columns.transpose(1, 2))).sum()


def _squeeze(columns: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Drop the position where an example has one only: the squares are then a single product."""
    return (columns[:, 0], rows[:, 0]) if columns.shape[1] == 1 else (columns, rows)


def finish(estimate: _Kfac, state: State) -> GaussianSite:
    """Make the site: the sums per unit, centred on the model's present params."""
    site = fisher.finish(estimate.fisher, replace(state, squares={}))
    squares = {name: wide(tensor).cpu() / state.units for name, tensor in state.squares.items()}
    own = estimate.basis
    values, norms = {name: squares.pop(name) for name in own}, {name: squares.pop(_NORM + name) for name in own}
    outside = {
        name: (norms[name] - values[name].sum()).clamp(min=0) / max(axes.outside, 1) for name, axes in own.items()
    }
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
    share: float = TRACE_SHARE,
    batches: Iterable[Batch] | None = None,
    on_batch: Callable[[int], None] = lambda examples: None,
) -> GaussianSite:
    """Estimate a task's site with Kronecker curvature at these params.

    Args:
        model: Any module; its params are put back afterwards.
        params: The params at which to estimate; None for the model's own.
        task: The task, whose training examples are used.
        generator: Chooses the examples and draws the labels.
        labels: ``sampled``, ``empirical`` or ``exact``.
        max_examples: At most so many examples; None for all.
        batch_size: Examples per pass.
        gradient: Whether the site has the gradient, for params that are not the task's optimum.
        basis: A basis that tasks share (see `shared_basis`). If left out, a first pass makes the task's own. Layers
            whose weight or bias the task does not have get the diagonal instead.
        share: The share of the factors' traces that the kept directions of an own basis have; 1 keeps all.
        batches: Batches in place of the task's training examples, for the second pass.
        on_batch: Called after each batch of the second pass with the number of examples so far.

    Returns:
        A `GaussianSite` centred on the params, curvature per unit in float32.

    Raises:
        TaskError: There are no labelled examples, or outputs are not finite or depend on no trained parameter.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.tensor([0, 1]))
    >>> task = Task("a", rows, rows, [METRICS["accuracy"]])
    >>> site = kfac(nn.Linear(2, 2), None, task, generator=torch.Generator(), labels="exact")
    >>> site.precision.structure, site.record.estimator
    ('kronecker', 'kfac:exact')
    """
    if basis is None:
        own = factors(
            model, params, task, generator=generator, labels=labels, max_examples=max_examples, batch_size=batch_size
        )
        basis = shared_basis([own], share)
    with in_eval_mode(model), swapped(model, params or {}):
        estimate = build(model, task, basis, labels=labels, gradient=gradient, generator=generator)
        data = batches_of(model, task, generator, max_examples, batch_size) if batches is None else batches
        return finish(estimate, sum_over(task, data, partial(init, estimate), partial(update, estimate), on_batch))
