"""Remembering: modules whose params all candidates share run once per batch, not once per candidate.

A module none of whose tensors change gives, in evaluation mode, the same outputs for the same inputs. So outputs are
kept during a first pass over the data, and given again during later ones wherever the inputs are the same, bit for bit:
what comes before the first trained layer is computed once. Nothing is taken on trust: a module that gives two answers
to one question (it draws, or counts), is asked something else in a later pass, or whose outputs are changed in place,
runs as ever.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

__all__ = ["Memory"]

_HELD = 1 << 30  # bytes
_PLAIN = (bool, int, float, str, torch.dtype, torch.device, type(None))


@dataclass(frozen=True, eq=False)
class _Call:
    """One call of a module: what went in and came out, and each tensor's count of changes in place at that time."""

    arguments: tuple[object, ...]
    question: TreeSpec
    results: tuple[object, ...]
    answer: TreeSpec
    versions: tuple[int, ...]

    @property
    def tensors(self) -> list[Tensor]:
        return [value for value in (*self.arguments, *self.results) if isinstance(value, Tensor)]

    def fits(self, arguments: tuple[object, ...], question: TreeSpec) -> bool:
        """Whether this is what was asked, and nothing was changed since."""
        unchanged = self.versions == tuple(tensor._version for tensor in self.tensors)
        return unchanged and question == self.question and _same(self.arguments, arguments)


class Memory:
    """What the unchanging modules of a model gave.

    Args:
        model: Any module.
        changing: Names of the parameters and buffers that candidates differ in.
        held: Bytes to keep at most.

    >>> model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)).eval()
    >>> memory, calls = Memory(model, ["1.weight", "1.bias"]), []
    >>> _ = model[0].register_forward_hook(lambda module, given, found: calls.append(found))
    >>> with torch.no_grad():
    ...     for _ in range(2):
    ...         with memory.at_work():
    ...             _ = model(torch.ones(3, 2))
    >>> memory.modules, calls[0] is calls[1]
    (['0'], True)
    """

    def __init__(self, model: nn.Module, changing: Collection[str], held: int = _HELD) -> None:
        modules = dict(model.named_parameters()) | dict(model.named_buffers())
        self._modules = dict(_unchanging(model, {id(tensor) for name, tensor in modules.items() if name in changing}))
        self._calls: dict[str, list[_Call]] = {name: [] for name in self._modules}
        self._places: dict[str, int] = {}
        self._left = held
        self._kept: set[int] = set()  # what one module gives, the next is given

    @property
    def modules(self) -> list[str]:
        """Names of the modules that are remembered, as far as is known."""
        return list(self._calls)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Pass over the data once: the same batches in the same order every time, in evaluation mode, no gradients."""
        self._places = dict.fromkeys(self._modules, 0)
        before = {name: module.__dict__.get("forward") for name, module in self._modules.items()}
        try:
            for name, module in self._modules.items():
                module.forward = partial(self._forward, name, module.forward)
            yield
        finally:
            for name, module in self._modules.items():
                module.__dict__.pop("forward", None)
                if (forward := before[name]) is not None:  # a module may have one of its own
                    module.forward = forward

    def _forward(self, name: str, forward: Callable[..., object], *args: object, **kwargs: object) -> object:
        calls, place = self._calls.get(name), self._places[name]
        self._places[name] += 1
        if calls is None or torch.is_grad_enabled():
            return forward(*args, **kwargs)
        inputs, question = tree_flatten((args, kwargs))
        if place < len(calls):
            if calls[place].fits(tuple(inputs), question):
                return tree_unflatten(calls[place].results, calls[place].answer)
            del self._calls[name]
            return forward(*args, **kwargs)
        result = forward(*args, **kwargs)
        if place == len(calls) and (place or _answers_alike(result, forward(*args, **kwargs))):
            outputs, answer = tree_flatten(result)
            self._keep(name, tuple(inputs), question, tuple(outputs), answer)
        elif not place:
            del self._calls[name]
        return result

    def _keep(
        self, name: str, inputs: tuple[object, ...], question: TreeSpec, outputs: tuple[object, ...], answer: TreeSpec
    ) -> None:
        if not all(_is_known(value) for value in (*inputs, *outputs)):
            del self._calls[name]
            return
        tensors = [value for value in (*inputs, *outputs) if isinstance(value, Tensor)]
        new = {id(tensor): tensor.nbytes for tensor in tensors if id(tensor) not in self._kept}
        if sum(new.values()) <= self._left:
            self._left -= sum(new.values())
            self._kept |= set(new)
            self._calls[name].append(
                _Call(inputs, question, outputs, answer, tuple(tensor._version for tensor in tensors))
            )


def _unchanging(module: nn.Module, changing: Collection[int], path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The largest modules that have parameters, none of which changes, nor any buffer; the whole is none of them."""
    for name, child in module.named_children():
        tensors = [*child.parameters(), *child.buffers()]
        if not any(id(tensor) in changing for tensor in tensors):
            if next(child.parameters(), None) is not None:
                yield path + name, child
        else:
            yield from _unchanging(child, changing, f"{path}{name}.")


def _is_known(value: object) -> bool:
    return isinstance(value, _PLAIN) or (isinstance(value, Tensor) and not value.is_inference())


def _answers_alike(first: object, second: object) -> bool:
    (one, form), (other, again) = tree_flatten(first), tree_flatten(second)
    return form == again and _same(tuple(one), tuple(other))


def _same(first: tuple[object, ...], second: tuple[object, ...]) -> bool:
    return len(first) == len(second) and all(_equal(one, other) for one, other in zip(first, second, strict=True))


def _equal(one: object, other: object) -> bool:
    if one is other:
        return True
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.dtype == other.dtype and one.device == other.device and torch.equal(one, other)
    return isinstance(one, _PLAIN) and type(one) is type(other) and one == other
