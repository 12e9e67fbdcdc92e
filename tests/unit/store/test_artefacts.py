"""The port is one that another store than a folder can implement: a dictionary passes its contract."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from inspect import isabstract
from pathlib import Path
from threading import Lock
from typing import Any

import pytest
from torch import Tensor

from contracts.artefacts import ArtefactsContract, Opener
from foretaste.digests import digest
from foretaste.errors import DataError
from foretaste.params import Params
from foretaste.store.artefacts import Artefacts


def test_the_port_keeps_nothing_itself() -> None:
    assert isabstract(Artefacts)


@dataclass
class _Memory:
    artefacts: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    snapshots: dict[str, tuple[dict[str, Tensor], str]] = field(default_factory=dict)
    locks: dict[str, Lock] = field(default_factory=dict)


def _copy(params: Params) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in params.items()}


class _MemoryArtefacts(Artefacts):
    def __init__(self, memory: _Memory) -> None:
        self._memory = memory

    def put(self, params: Params) -> str:
        name = digest(params)
        self._memory.artefacts.setdefault(name, _copy(params))
        return name

    def _present(self, digest: str) -> dict[str, Tensor]:
        if digest not in self._memory.artefacts:
            raise DataError(f"{digest} is missing")
        return self._memory.artefacts[digest]

    def get(self, digest: str) -> dict[str, Tensor]:
        return _copy(self._present(digest))

    def slice(self, digest: str, name: str, entries: slice) -> Tensor:
        params = self._present(digest)
        if name not in params:
            raise DataError(f"{digest} has no tensor {name!r}")
        return params[name].flatten()[entries].clone()

    def has(self, digest: str) -> bool:
        return digest in self._memory.artefacts

    def drop(self, digest: str) -> None:
        self._memory.artefacts.pop(digest, None)

    def size(self, digest: str) -> int:
        return sum(tensor.nbytes for tensor in self._present(digest).values())

    def put_snapshot(self, key: str, state: Params, facts: Mapping[str, object]) -> None:
        self._memory.snapshots[key] = _copy(state), json.dumps(facts)

    def get_snapshot(self, key: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        if key not in self._memory.snapshots:
            return None
        state, facts = self._memory.snapshots[key]
        return _copy(state), json.loads(facts)

    def drop_snapshot(self, key: str) -> None:
        self._memory.snapshots.pop(key, None)

    def has_snapshots(self) -> bool:
        return bool(self._memory.snapshots)

    @property
    def snapshots_at(self) -> str:
        return "memory"

    @contextmanager
    def claim(self, key: str, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        lock = self._memory.locks.setdefault(key, Lock())
        while not lock.acquire(timeout=0.05):
            waiting()
        try:
            yield
        finally:
            lock.release()


class TestMemory(ArtefactsContract):
    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        memory = _Memory()
        return lambda: _MemoryArtefacts(memory)
