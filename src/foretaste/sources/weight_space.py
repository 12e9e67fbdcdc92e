"""The coordinates of models that are trained by LoRA: the weights of their layers, not the factors.

A layer's weight is ``W + s B A``. Its factors are no coordinates to merge in: averages of A and of B hold products of
different tasks, and a curvature by A and B depends on where the factors began. The update ``s B A`` of the weight has
neither fault. So merges add up updates, exactly for simple averaging, and curvature is that of the weight, from the
layer's inputs and its output's gradients. The prior's mean is an update of zero.

References:
    LoRA: Low-Rank Adaptation of Large Language Models, Hu et al., 2021, https://arxiv.org/abs/2106.09685
"""

import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from foretaste.combine import reduce_rank
from foretaste.errors import TaskError
from foretaste.lora import Factors, Layout
from foretaste.one_line import one_line
from foretaste.params import Params, parameters_of, snapshot
from foretaste.sources.space import Space
from foretaste.task import Task
from foretaste.updates import Updates

__all__ = ["Layer", "WeightSpace", "dense_factors"]

_EXACT = 1024  # the shorter side of a matrix whose singular values are all computed
_MORE, _ROUNDS = 8, 4  # of the randomised method for larger ones


@dataclass(frozen=True)
class Layer:
    """A layer with LoRA factors.

    Args:
        a: Name of its factor A in the model.
        b: Name of its factor B.
        alpha: Numerator of the scaling.
        stabilised: Whether the scaling is rsLoRA's.
        layout: What kind of layer it is.
        shape: Shape of its weight.
        rank: Rank of the factors.
        transposed: Whether the weight is kept as ``[in, out]``.
    """

    a: str
    b: str
    alpha: float
    stabilised: bool
    layout: Layout
    shape: tuple[int, ...]
    rank: int
    transposed: bool = False

    __repr__ = one_line

    def factors(self, params: Params) -> Factors:
        """Read the layer's factors from params."""
        return Factors(params[self.a], params[self.b], self.alpha, stabilised=self.stabilised, layout=self.layout)


class WeightSpace(Space):
    """The updates of the weights that have LoRA factors, and the tensors that are trained whole.

    Args:
        layers: By the name of the weight in the model.
    """

    name = "weights"

    def __init__(self, layers: Mapping[str, Layer]) -> None:
        self.layers = layers
        self._shapes = {name: layer.shape for name, layer in layers.items()}
        self._transposed = frozenset(name for name, layer in layers.items() if layer.transposed)
        self._factors = frozenset(part for layer in layers.values() for part in (layer.a, layer.b))

    def updates(self, layers: Mapping[str, Factors | Tensor], whole: Params) -> Updates:
        """Make updates of these weights.

        Args:
            layers: By the weight's name.
            whole: Whole tensors.
        """
        return Updates(layers, whole, self._shapes, self._transposed)

    def prior_mean(self, model: nn.Module, trained: Collection[str]) -> Updates:
        return self.updates({}, snapshot(parameters_of(model, set(trained) - self._factors)))

    def center(self, model: nn.Module, names: Collection[str] | None, params: Params) -> Updates:
        own = parameters_of(model)
        full = {**{name: own[name] for layer in self.layers.values() for name in (layer.a, layer.b)}, **params}
        whole = {name: params[name] for name in parameters_of(model, names) if name in params}
        return self.updates(
            {name: layer.factors(full) for name, layer in self.layers.items()},
            {name: tensor for name, tensor in whole.items() if name not in self._factors},
        )

    @contextmanager
    def watched(self, model: nn.Module, task: Task) -> Iterator[Task]:
        if tied := [name for name in self.layers if name in _shared_by_layers(model)]:
            raise TaskError(
                f"{tied[0]} has LoRA factors and is tied to another layer, so that its curvature is that of both;"
                " choose other targets, or methods without curvature, such as simple"
            ).at("finetune", "targets")
        parameters = dict(model.named_parameters())
        before = {name: parameter.requires_grad for name, parameter in parameters.items()}
        try:
            for name in self.layers:
                parameters[name].requires_grad_(True)
            for name in self._factors:
                parameters[name].requires_grad_(False)
            own = frozenset(parameters) if task.names is None else task.names
            yield replace(task, names=frozenset(self.layers) | (own - self._factors))
        finally:
            for name, parameter in parameters.items():
                parameter.requires_grad_(before[name])

    def start(self, model: nn.Module, params: Params) -> Params:
        """Return factors of the model's rank for merged updates: the best approximation, or the best B where A stays.

        Rows of A get the length of those that training begins with.
        """
        if not isinstance(params, Updates):
            return params
        own, started = dict(model.named_parameters()), dict(params.whole)
        for name, layer in self.layers.items():
            factors = _as_factors(params, name, layer)
            a, b = own[layer.a], own[layer.b]
            if not a.requires_grad:
                started[layer.b] = _best_b(params[name], layer, a.detach()).to(b.dtype)
            elif factors is not None:
                started |= _fit(factors, layer, a.detach(), b.detach())
            else:
                started |= {layer.a: a.detach().clone(), layer.b: torch.zeros_like(b)}
        return started

    def reduced(self, updates: Updates, rank: int | None, tasks: int) -> tuple[Updates, float]:
        """Return updates as factors, and the share of their norm that is lost.

        Args:
            updates: Merged updates.
            rank: The largest rank of a layer. None keeps factors as they are, and gives dense updates the rank that
                the factors of all tasks have together.
            tasks: The number of tasks.
        """
        layers, lost, norm = {}, 0.0, 0.0
        for name, update in updates.layers.items():
            layer = self.layers[name]
            if isinstance(update, Factors):
                reduction = reduce_rank(update, rank or update.rank)
                layers[name], gone, whole = reduction.factors, reduction.lost, reduction.norm
            else:
                most = rank or layer.rank * tasks
                layers[name] = dense_factors(update, layer.layout, transposed=layer.transposed, rank=most)
                whole = float(update.double().norm())
                gone = float((update.double() - self.updates(layers, {})[name].double()).norm())
            lost, norm = math.hypot(lost, gone), math.hypot(norm, whole)
        return self.updates(layers, updates.whole), lost / norm if norm else 0.0


def _shared_by_layers(model: nn.Module) -> set[str]:
    """Name the parameters that several layers have; one layer in several places is one layer."""
    owners: dict[int, int] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            owners[id(parameter)] = owners.get(id(parameter), 0) + 1
    return {name for name, parameter in model.named_parameters() if owners[id(parameter)] > 1}


def _as_factors(params: Updates, name: str, layer: Layer) -> Factors | None:
    """Return an update as factors, of a dense one its leading part; None where nothing is updated."""
    update = params.layers.get(name)
    if update is None or isinstance(update, Factors):
        return update
    return dense_factors(update, layer.layout, transposed=layer.transposed)


def dense_factors(update: Tensor, layout: Layout, *, transposed: bool, rank: int | None = None) -> Factors:
    """Write a dense update as factors.

    Args:
        update: In the weight's shape.
        layout: What kind of layer it is of.
        transposed: Whether the weight is kept as ``[in, out]``.
        rank: The largest rank, without which nothing is left out.

    Returns:
        Factors with a scaling of 1.

    >>> update = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    >>> dense_factors(update, "linear", transposed=False, rank=1).rank
    1
    """
    turned = update.T if transposed or layout == "embedding" else update
    matrix = turned.flatten(1).double() if min(update.shape[0], update[0].numel()) <= _EXACT else turned.flatten(1)
    most = min(matrix.shape) if rank is None else min(rank, *matrix.shape)
    if min(matrix.shape) <= _EXACT or rank is None:
        left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    else:
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            left, values, columns = torch.svd_lowrank(matrix, q=min(most + _MORE, *matrix.shape), niter=_ROUNDS)
        right = columns.T
    a, b = right[:most].float(), (left[:, :most] * values[:most]).float()
    if layout == "convolution":
        a, b = a.reshape(most, *update.shape[1:]), b.reshape(*b.shape, *[1] * (update.ndim - 2))
    return Factors(a, b, alpha=most, layout=layout)


def _fit(factors: Factors, layer: Layer, a: Tensor, b: Tensor) -> dict[str, Tensor]:
    """Write an update by the layer's own factors."""
    rank = a.shape[0]
    small = reduce_rank(factors, rank).factors
    rows, columns = small.a.flatten(1).double(), small.b.flatten(1).double() * small.scaling
    lengths = rows.norm(dim=1).clamp(min=torch.finfo(torch.float32).tiny)
    stretch = a.flatten(1).double().norm(dim=1).mean() / lengths
    scaling = layer.factors({layer.a: a, layer.b: b}).scaling
    fitted_a, fitted_b = a.double().clone(), torch.zeros_like(b, dtype=torch.float64)
    fitted_a[: len(rows)] = (rows * stretch[:, None]).reshape(len(rows), *a.shape[1:])
    fitted_b.flatten(1)[:, : len(rows)] = columns / stretch / scaling
    return {layer.a: fitted_a.to(a.dtype), layer.b: fitted_b.to(b.dtype)}


def _best_b(update: Tensor, layer: Layer, a: Tensor) -> Tensor:
    """Solve ``min_B |s B A - update|`` for the layer's own A."""
    turned = update.T if layer.transposed or layer.layout == "embedding" else update
    scaling = layer.alpha / (len(a) ** 0.5 if layer.stabilised else len(a))
    solved: Tensor = torch.linalg.lstsq(a.flatten(1).double().T, turned.flatten(1).double().T).solution.T / scaling
    return solved.reshape(*solved.shape, *[1] * (a.ndim - 2))
