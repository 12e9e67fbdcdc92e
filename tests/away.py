"""A second device for tests: it computes as the CPU does, and refuses to mix with it as an accelerator would."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

__all__ = ["AWAY", "Away", "is_away"]

AWAY = torch.device("xpu", 0)
_MARK = "_is_away"


def is_away(tensor: Tensor) -> bool:
    """Whether a tensor lies on the second device."""
    return getattr(tensor, _MARK, False)


class Away(TorchFunctionMode):
    """While it is on, tensors made on or brought to `AWAY` are marked, and so is all that is computed from them.

    Args:
        model: A module that lies there.

    Attributes:
        brought: Sizes of the tensors that were brought from main memory, in bytes.
        taken: The same the other way.
    """

    def __init__(self, model: nn.Module | None = None) -> None:
        super().__init__()
        self.brought: list[int] = []
        self.taken: list[int] = []
        for tensor in (*model.parameters(), *model.buffers()) if model is not None else ():
            setattr(tensor, _MARK, True)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        named, tensors = (
            dict(kwargs or {}),
            [each for each in tree_leaves((args, kwargs or {})) if isinstance(each, Tensor)],
        )
        away = any(is_away(tensor) for tensor in tensors)
        if func == Tensor.device.__get__:
            return AWAY if away else func(*args)
        wanted: torch.device | None = next(
            (each for each in (*args, *named.values()) if isinstance(each, torch.device)), None
        )
        if func is Tensor.copy_:
            self._count(tensors[1], tensors[0])
        elif func is Tensor.cpu or (func is Tensor.to and (wanted is not None or "cpu" in args)):
            return self._moved(tensors[0], args[1:], named, func is Tensor.to and wanted == AWAY)
        elif away and any(not is_away(tensor) and tensor.dim() > 0 for tensor in tensors):
            raise RuntimeError(f"{func.__name__}: tensors on two devices")
        found = func(
            *(None if each is wanted is not None else each for each in args),
            **{name: each for name, each in named.items() if wanted is None or each is not wanted},
        )
        for tensor in tree_leaves(found):
            if isinstance(tensor, Tensor) and (wanted == AWAY if wanted is not None else away):
                setattr(tensor, _MARK, True)
        return found

    def _count(self, source: Tensor, target: Tensor) -> None:
        if is_away(target) != is_away(source):
            (self.brought if is_away(target) else self.taken).append(source.nbytes)

    def _moved(self, source: Tensor, where: Sequence[object], named: dict[str, object], there: bool) -> Tensor:
        types = [each for each in (*where, *named.values()) if isinstance(each, torch.dtype)]
        with torch._C.DisableTorchFunction():
            same = is_away(source) == there
            found = source if same else source.detach().clone()
            found = found.to(types[0]) if types else found
        setattr(found, _MARK, there)
        if not same:
            self._count(source, found)
        return found
