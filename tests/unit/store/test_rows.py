"""The port is one that another store than a database can implement: lists pass its contract."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any

import pytest

from contracts.rows import Opener, RowsContract
from foretaste.evaluation import Evaluation
from foretaste.store.rows import Done, Json, Record, Rows, key_of


def test_keys_depend_on_everything_and_not_on_order() -> None:
    assert key_of("site", {"a": 1, "b": [2.5]}) == key_of("site", {"b": [2.5], "a": 1})
    others = {key_of("site", {"a": 1}), key_of("joint", {"a": 1}), key_of("site", {"a": 2}), key_of("site", {"a": "1"})}
    assert len(others) == 4
    with pytest.raises(ValueError, match="not JSON compliant"):
        key_of("site", {"a": float("nan")})


@dataclass
class _Memory:
    recipes: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    work: dict[str, Done] = field(default_factory=dict)
    evaluations: dict[str, Evaluation] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)


class _MemoryRows(Rows):
    def __init__(self, memory: _Memory) -> None:
        self._memory = memory

    def close(self) -> None:
        pass

    def recipe(self) -> tuple[str, dict[str, Any]] | None:
        return self._memory.recipes[-1] if self._memory.recipes else None

    def add_recipe(self, text: str, plan: Json) -> None:
        with self._memory.lock:
            if self.recipe() != (text, dict(plan)):
                self._memory.recipes.append((text, dict(plan)))

    def add(self, records: Sequence[Record]) -> None:
        json.dumps(
            [[dict(record.done.inputs), record.evaluation and dict(record.evaluation.metrics)] for record in records]
        )
        with self._memory.lock:
            for record in records:
                self._memory.work.setdefault(record.done.key, record.done)
                if record.evaluation is not None:
                    self._memory.evaluations.setdefault(
                        record.done.key, replace(record.evaluation, key=record.done.key)
                    )

    def replace(self, records: Sequence[Record]) -> None:
        with self._memory.lock:
            for record in records:
                self._memory.work.pop(record.done.key, None)
                self._memory.evaluations.pop(record.done.key, None)
        self.add(records)

    def work(self, keys: Collection[str]) -> dict[str, Done]:
        return {key: self._memory.work[key] for key in keys if key in self._memory.work}

    def all_work(self, kind: str | None = None) -> list[Done]:
        return [done for done in self._memory.work.values() if kind in (None, done.kind)]

    def evaluations(self, keys: Collection[str]) -> dict[str, Evaluation]:
        return {key: self._memory.evaluations[key] for key in keys if key in self._memory.evaluations}

    def evaluations_after(self, number: int) -> tuple[list[Evaluation], int]:
        rows = list(self._memory.evaluations.values())
        return rows[number:], len(rows)

    def revision(self) -> str:
        return f"{len(self._memory.evaluations)}-{len(self._memory.recipes)}"


class TestMemory(RowsContract):
    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        memory = _Memory()
        return lambda: _MemoryRows(memory)
