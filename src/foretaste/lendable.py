"""Params that a model is lent in a way of their own."""

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

__all__ = ["Lendable", "overlaid"]


class Lendable(Mapping[str, Tensor]):
    """Params that a model is lent in a way of their own, not by copying tensors into its own."""

    @abstractmethod
    def lent_to(self, model: nn.Module) -> AbstractContextManager[None]:
        """Let the model compute with these params until the end of the block."""

    @abstractmethod
    def overlaid(self, params: Mapping[str, Tensor]) -> "Lendable":
        """Return these params with other tensors in place of some, or beside them."""

    @abstractmethod
    def part(self, name: str, cut: slice) -> Tensor:
        """Return a part of a tensor's entries, flat."""

    @abstractmethod
    def shape_of(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape without making the tensor."""

    @abstractmethod
    def to(self, device: torch.device) -> "Lendable":
        """Copy these params with all tensors on a device."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Bytes that are held in memory."""


def overlaid(params: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return params with other tensors in place of some, or beside them.

    >>> sorted(overlaid({"a": torch.ones(1)}, {"b": torch.ones(1)}))
    ['a', 'b']
    """
    return params.overlaid(others) if isinstance(params, Lendable) else {**params, **others}
