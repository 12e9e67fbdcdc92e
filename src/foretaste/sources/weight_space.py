"""The coordinates of models that are trained by LoRA: the weights of their layers, not the factors.

A layer's weight is ``W + s B A``. Its factors are no coordinates to merge in: averages of A and of B hold products of
different tasks, and a curvature by A and B depends on where the factors began. The update ``s B A`` of the weight has
neither fault. So merges add up updates, exactly for simple averaging, and curvature is that of the weight, from the
layer's inputs and its output's gradients. The prior's mean is an update of zero.

References:
    LoRA: Low-Rank Adaptation of Large Language Models, Hu et al., 2021, https://arxiv.org/abs/2106.09685
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from foretaste.combine import reduce_rank
from foretaste.errors import ParamsError, TaskError
from foretaste.lora import BASE_LAYER, WEIGHT, Factors, Layout
from foretaste.names import first_few
from foretaste.one_line import one_line
from foretaste.params import Params, buffers_of, parameters_of, snapshot
from foretaste.quantized import differentiable
from foretaste.sources.dense_factors import dense_factors
from foretaste.sources.imported_updates import is_imported, stored_factors
from foretaste.sources.space import Space
from foretaste.task import Task
from foretaste.updates import Updates, module_of

__all__ = ["Layer", "Weight", "WeightSpace"]


@dataclass(frozen=True)
class Weight:
    """A weight whose updates are merged.

    Args:
        layout: What kind of layer it is of.
        shape: Its shape.
        transposed: Whether it is kept as ``[in, out]``.
    """

    layout: Layout
    shape: tuple[int, ...]
    transposed: bool = False

    __repr__ = one_line


@dataclass(frozen=True)
class Layer(Weight):
    """The weight of a layer that has LoRA factors in the model.

    Args:
        a: Name of the factor A.
        b: Name of the factor B.
        alpha: Numerator of the scaling.
        stabilised: Whether the scaling is rsLoRA's.
        rank: Rank of the factors.
    """

    a: str = ""
    b: str = ""
    alpha: float = 1.0
    stabilised: bool = False
    rank: int = 1

    def factors(self, params: Params) -> Factors:
        """Read the layer's factors from params."""
        return Factors(params[self.a], params[self.b], self.alpha, stabilised=self.stabilised, layout=self.layout)


class WeightSpace(Space):
    """The updates of the weights that have LoRA factors, and the tensors that are trained whole.

    Args:
        layers: Layers with factors, by the name of the weight in the model.
        others: Other weights that could have factors, which imported adapters may change.
        changed: Those of them that imported adapters do change.
    """

    name = "weights"

    def __init__(
        self, layers: Mapping[str, Layer], others: Mapping[str, Weight] | None = None, changed: Collection[str] = ()
    ) -> None:
        self.layers, self.others, self.changed = layers, others or {}, tuple(sorted(changed))
        self.weights: Mapping[str, Weight] = {**layers, **{name: self.others[name] for name in self.changed}}
        self._shapes = {name: weight.shape for name, weight in self.weights.items()}
        self._transposed = frozenset(name for name, weight in self.weights.items() if weight.transposed)
        self._factors = frozenset(part for layer in layers.values() for part in (layer.a, layer.b))

    @property
    def inputs(self) -> dict[str, object]:
        return {"space": self.name, **({"layers": list(self.changed)} if self.changed else {})}

    def weight_names(self, own_name: Callable[[str], str]) -> dict[str, str]:
        """Return the names of all weights that adapters may change, by their names in a task's own model."""
        return {own_name(name).replace(BASE_LAYER, WEIGHT): name for name in (*self.layers, *self.others)}

    def whole(self, names: Collection[str]) -> list[str]:
        """List the names that are trained whole."""
        return [name for name in names if name not in self._factors]

    @property
    def update_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the updates of all weights that adapters may change, as `Factors.shape` has them."""
        weights: dict[str, Weight] = {**self.layers, **self.others}
        return {name: own.shape[::-1] if own.transposed else own.shape for name, own in weights.items()}

    def extended(self, modules: Collection[str], own_name: Callable[[str], str]) -> "WeightSpace":
        names = self.weight_names(own_name)
        changed = {names[module + WEIGHT] for module in modules if module + WEIGHT in names}
        return WeightSpace(self.layers, self.others, changed - set(self.layers))

    def updates(self, layers: Mapping[str, Factors | Tensor], whole: Params) -> Updates:
        """Make updates of these weights.

        Args:
            layers: By the weight's name.
            whole: Whole tensors.
        """
        return Updates(layers, whole, self._shapes, self._transposed)

    def lent(self, model: nn.Module, names: Collection[str] | None, params: Params) -> Params:
        if not is_imported(params):
            return params
        return self.center(model, names, params).overlaid(self.carried(model, params))

    def carried(self, model: nn.Module, params: Params) -> Params:
        buffers = buffers_of(model)
        return {name: params[name] for name in buffers if name in params}

    def prior_mean(self, model: nn.Module, trained: Collection[str]) -> Updates:
        return self.updates({}, snapshot(parameters_of(model, set(trained) - self._factors)))

    def center(self, model: nn.Module, names: Collection[str] | None, params: Params) -> Updates:
        whole = {name: params[name] for name in parameters_of(model, names) if name in params}
        return self.updates(
            self._updates_of(model, params),
            {name: tensor for name, tensor in whole.items() if name not in self._factors},
        )

    def _updates_of(self, model: nn.Module, params: Params) -> Mapping[str, Factors | Tensor]:
        if is_imported(params):
            return stored_factors(params, {name: weight.layout for name, weight in self.weights.items()})
        own = parameters_of(model)
        full = {**{name: own[name] for layer in self.layers.values() for name in (layer.a, layer.b)}, **params}
        return {name: layer.factors(full) for name, layer in self.layers.items()}

    def check_curvature(self, model: nn.Module) -> None:
        shared = _shared_by_layers(model)
        if tied := [name for name in self.weights if name in shared]:
            raise TaskError(
                f"{tied[0]} has LoRA factors and is tied to another layer, so that its curvature is that of both;"
                " choose other targets, or methods without curvature, such as simple"
            ).at("finetune", "targets")

    @contextmanager
    def watched(self, model: nn.Module, task: Task) -> Iterator[Task]:
        self.check_curvature(model)
        parameters = dict(model.named_parameters())
        before = {name: parameter.requires_grad for name, parameter in parameters.items()}
        try:
            for name in self._factors:
                parameters[name].requires_grad_(False)
            own = frozenset(parameters) if task.names is None else task.names
            with differentiable(model, self.weights):
                for name, parameter in model.named_parameters():
                    if name in self.weights:
                        parameter.requires_grad_(True)
                yield replace(task, names=frozenset(self.weights) | (own - self._factors))
        finally:
            for name, parameter in parameters.items():
                parameter.requires_grad_(before[name])

    def start(self, model: nn.Module, params: Params) -> Params:
        """Return factors of the model's rank for merged updates: the best approximation, or the best B where A stays.

        Rows of A get the length of those that training begins with.
        """
        if not isinstance(params, Updates):
            return params
        if lost := [name for name in params.layers if name not in self.layers]:
            raise ParamsError(
                f"imported adapters change {first_few([module_of(name) for name in lost], 3)}, which this study's LoRA"
                " does not train, so no training can start from their merge; name these layers in finetune.targets"
            )
        own, started = dict(model.named_parameters()), dict(params.whole)
        for name, layer in self.layers.items():
            a, b = own[layer.a], own[layer.b]
            factors = _as_factors(params, name, layer, rank=len(a))
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
            weight = self.weights[name]
            if isinstance(update, Factors):
                reduction = reduce_rank(update, rank or update.rank)
                layers[name], gone, whole = reduction.factors, reduction.lost, reduction.norm
            else:
                most = rank or tasks * max(layer.rank for layer in self.layers.values())
                layers[name] = dense_factors(update, weight.layout, transposed=weight.transposed, rank=most)
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


def _as_factors(params: Updates, name: str, layer: Layer, *, rank: int) -> Factors | None:
    """Return an update as factors, of a dense one the best of this rank; None where nothing is updated."""
    update = params.layers.get(name)
    if update is None or isinstance(update, Factors):
        return update
    return dense_factors(update, layer.layout, transposed=layer.transposed, rank=rank)


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
