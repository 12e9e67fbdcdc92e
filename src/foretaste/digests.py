"""Digests: content hashes of params and of examples, the same in every process and whatever the file's layout."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from foretaste.params import Params

__all__ = ["Indexed", "digest", "digest_of", "examples_digest"]


def digest(params: Params) -> str:
    """Hash params by SHA-256 over names, types, shapes and bytes; their order and their file's layout do not matter.

    >>> digest({"a": torch.zeros(1)}) == digest({"a": torch.zeros(1)})
    True
    """
    return digest_of((name, params[name]) for name in sorted(params))


def digest_of(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """Hash params that are made one by one, sorted by name, as `digest` does.

    >>> digest_of([("a", torch.zeros(1))]) == digest({"a": torch.zeros(1)})
    True
    """
    total = hashlib.sha256()
    for name, value in tensors:
        tensor = value.detach().cpu().contiguous()
        total.update(f"{name}|{tensor.dtype}|{list(tensor.shape)}|".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


class Indexed(Protocol):
    """Anything with a length whose items are tensors by name."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Params: ...


def examples_digest(parts: Sequence[Indexed]) -> str:
    """Hash examples as they are fed to the model.

    >>> examples_digest([[{"inputs": torch.eye(2)}]]) == examples_digest([[{"inputs": torch.eye(2)}]])
    True
    """
    total = hashlib.sha256()
    for examples in parts:
        total.update(f"{len(examples)}|".encode())
        for index in range(len(examples)):
            total.update(digest(examples[index]).encode())
    return total.hexdigest()
