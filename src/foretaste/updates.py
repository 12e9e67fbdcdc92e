"""Updates: what finetuning by LoRA changed of a model's weights, lent to the model without changing the weights.

The update of a layer's weight is held as factors, ``s B A``, or as a dense matrix. A sum of factors is held side by
side, see `foretaste.combine`. While updates are lent to a model, each layer's output gets what its update adds, and
LoRA factors of the model itself add nothing. So frozen weights stay as they are stored, also in bfloat16, and many
weightings share them.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from foretaste.combine import add_factors
from foretaste.errors import ParamsError
from foretaste.lendable import Lendable
from foretaste.lora import BASE_LAYER, WEIGHT, Adapter, Factors, delta
from foretaste.names import first_few
from foretaste.one_line import one_line
from foretaste.params import Params, parameters_of, swapped
from foretaste.weights import TaskWeights

__all__ = ["Updates", "add_updates", "lent_update", "module_of"]

_OWN_B = (".lora_B.", ".lora_embedding_B.")  # of a model's own factors


@dataclass(frozen=True, eq=False)
class Updates(Lendable):
    """Updates of layers' weights, and tensors that are replaced whole; as a mapping, dense tensors by name.

    Args:
        layers: An update for each weight that changes, by the weight's name in the model; dense ones in the weight's
            shape.
        whole: Whole new parameters and buffers, by name, such as those of a head.
        shapes: Shapes of all weights that may change, by name; the update of those not in ``layers`` is zero.
        transposed: Names of weights that are kept as ``[in, out]``, as transformers' Conv1D does.
    """

    layers: Mapping[str, Factors | Tensor]
    whole: Params = field(default_factory=dict)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    transposed: frozenset[str] = frozenset()
    _last: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False)

    __repr__ = one_line

    def __getitem__(self, name: str) -> Tensor:
        if name in self.whole:
            return self.whole[name]
        if name not in self.layers:
            return torch.zeros(()).expand(self.shapes[name])
        if name not in self._last:  # a merge asks for one tensor several times, piece by piece
            update = self._dense(name)
            self._last.clear()
            self._last[name] = update
        return self._last[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self.shapes, *self.layers, *self.whole]))

    def __len__(self) -> int:
        return len({*self.shapes, *self.layers, *self.whole})

    def __contains__(self, name: object) -> bool:
        return name in self.shapes or name in self.layers or name in self.whole

    def _dense(self, name: str) -> Tensor:
        update = self.layers[name]
        if isinstance(update, Tensor):
            return update
        return delta(Adapter({name: update}), name, transposed=name in self.transposed)

    def part(self, name: str, cut: slice) -> Tensor:
        if name in self.layers or name in self.whole:
            return self[name].flatten()[cut]
        return torch.zeros(len(range(*cut.indices(torch.Size(self.shapes[name]).numel()))))

    def shape_of(self, name: str) -> tuple[int, ...]:
        if name in self.shapes:
            return self.shapes[name]
        return tuple(self[name].shape)

    @property
    def nbytes(self) -> int:
        tensors = [*self.whole.values()]
        for update in self.layers.values():
            tensors += [update] if isinstance(update, Tensor) else [update.a, update.b]
        return sum(tensor.nbytes for tensor in tensors)

    def to(self, device: torch.device) -> "Updates":
        layers = {
            name: update.to(device)
            if isinstance(update, Tensor)
            else replace(update, a=update.a.to(device), b=update.b.to(device))
            for name, update in self.layers.items()
        }
        return replace(self, layers=layers, whole={name: tensor.to(device) for name, tensor in self.whole.items()})

    def overlaid(self, params: Params) -> "Updates":
        """Return these updates with others in place of some: dense updates of known weights, and whole tensors.

        >>> sorted(Updates({"q.weight": torch.ones(1, 1)}).overlaid({"bias": torch.ones(1)}).whole)
        ['bias']
        """
        dense = {name: params[name] for name in params if name in self.shapes or name in self.layers}
        whole = {name: params[name] for name in params if name not in dense}
        return replace(self, layers={**self.layers, **dense}, whole={**self.whole, **whole})

    @contextmanager
    def lent_to(self, model: nn.Module) -> Iterator[None]:
        modules = dict(model.named_modules())
        if unknown := [name for name in self.layers if module_of(name) not in modules]:
            raise ParamsError(
                f"the model has no layer for {first_few(unknown)}; the updates are of another architecture"
            )
        parameters = parameters_of(model)
        own = {
            name: torch.zeros_like(tensor)
            for name, tensor in parameters.items()
            if any(part in name for part in _OWN_B)
        }
        with ExitStack() as stack:
            stack.enter_context(swapped(model, {**own, **self.whole}))
            for name, update in self.to(next(model.parameters()).device).layers.items():
                like = parameters[name].dtype
                narrow = update.to(like) if isinstance(update, Tensor) and like.is_floating_point else update
                layer = _Adding(narrow, name in self.transposed)
                stack.callback(modules[module_of(name)].register_forward_hook(layer).remove)
            yield


@dataclass(frozen=True, eq=False)
class _Adding:
    """A forward hook that adds what an update gives to a layer's output, in PEFT's order of operations."""

    update: Factors | Tensor
    transposed: bool

    def __call__(self, module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        base = getattr(module, "base_layer", module)
        if isinstance(self.update, Tensor):
            more = self._dense(base, args[0], self.update)
        else:
            more = self._factors(base, args[0], self.update) * self.update.scaling
        return (output + more * getattr(base, "embed_scale", 1)).to(output.dtype)

    def _dense(self, base: nn.Module, inputs: Tensor, update: Tensor) -> Tensor:
        if isinstance(base, nn.Embedding):
            return functional.embedding(inputs, update)
        update = update.to(inputs.dtype)
        if isinstance(base, nn.Conv1d | nn.Conv2d):
            return _convolve(base, inputs, update, base.groups)
        return inputs @ update if self.transposed else functional.linear(inputs, update)

    def _factors(self, base: nn.Module, inputs: Tensor, factors: Factors) -> Tensor:
        if factors.layout == "embedding":
            return functional.embedding(inputs, factors.a.T) @ factors.b.T
        inputs = inputs.to(factors.a.dtype)
        if factors.layout == "linear":
            return functional.linear(functional.linear(inputs, factors.a), factors.b)
        assert isinstance(base, nn.Conv1d | nn.Conv2d)
        within = _convolve(base, inputs, factors.a, 1)
        return (
            functional.conv1d(within, factors.b)
            if isinstance(base, nn.Conv1d)
            else functional.conv2d(within, factors.b)
        )


def _convolve(layer: nn.Conv1d | nn.Conv2d, inputs: Tensor, filters: Tensor, groups: int) -> Tensor:
    """Apply filters as the layer applies its own."""
    if isinstance(layer, nn.Conv1d):
        return functional.conv1d(inputs, filters, None, layer.stride, layer.padding, layer.dilation, groups)
    return functional.conv2d(inputs, filters, None, layer.stride, layer.padding, layer.dilation, groups)


def add_updates(weights: TaskWeights, updates: Mapping[str, Updates], whole: Params) -> Updates:
    """The exact weighted sum of tasks' updates, factors side by side; whole tensors are given.

    A task of weight 0 is left out, and where one task has all the weight its own factors come back as they are.

    Args:
        weights: alpha.
        updates: By task.
        whole: Whole tensors of the sum.

    >>> one = Updates({"q.weight": Factors(torch.ones(1, 2), torch.ones(2, 1), alpha=1)})
    >>> add_updates(TaskWeights(["a", "b"], [0.5, 0.5]), {"a": one, "b": one}, {})["q.weight"]
    tensor([[1., 1.],
            [1., 1.]])
    """
    first = next(iter(updates.values()))
    if weights.corner is not None:
        return replace(updates[weights.corner], whole=whole)
    parts: dict[str, list[tuple[float, Factors | Tensor]]] = {}
    for task, own in updates.items():
        for name, update in own.layers.items():
            if weights[task]:
                parts.setdefault(name, []).append((weights[task], update))
    return replace(first, layers={name: _weighted_sum(own) for name, own in parts.items()}, whole=whole)


def _weighted_sum(parts: list[tuple[float, Factors | Tensor]]) -> Factors | Tensor:
    factors = [(weight, update) for weight, update in parts if isinstance(update, Factors)]
    if len(factors) < len(parts):
        raise ParamsError("dense updates have no sum of factors; merge them as tensors")
    return add_factors(factors)


def lent_update(module: nn.Module) -> Factors | None:
    """Return the update that a layer is being lent as factors, or None.

    >>> layer = nn.Linear(1, 1)
    >>> with Updates({"0.weight": Factors(torch.ones(1, 1), torch.ones(1, 1), alpha=1)}).lent_to(nn.Sequential(layer)):
    ...     lent_update(layer).rank
    1
    """
    updates = [hook.update for hook in module._forward_hooks.values() if isinstance(hook, _Adding)]
    return next((update for update in updates if isinstance(update, Factors)), None)


def module_of(name: str) -> str:
    """Name the layer that a weight belongs to, with its factors if it has any.

    >>> module_of("h.0.q.base_layer.weight"), module_of("h.0.q.weight")
    ('h.0.q', 'h.0.q')
    """
    return name.removesuffix(BASE_LAYER) if name.endswith(BASE_LAYER) else name.removesuffix(WEIGHT)
