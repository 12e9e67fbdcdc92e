"""Tiny checkpoints for the sources, and tasks for them; nothing is fetched, nothing is left behind."""

from pathlib import Path

import pytest

from checkpoints import checkpoints, offline, sentences, table
from foretaste.metrics import METRICS
from foretaste.sources.request import TaskRequest

__all__ = ["checkpoints", "offline"]


@pytest.fixture
def plans(tmp_path: Path) -> list[TaskRequest]:
    """Two tasks of the same labels and one of others."""
    files = {
        name: str(table(tmp_path / f"{name}.jsonl", sentences(10, seed, labels)))
        for name, seed, labels in (("a", 1, ["bad", "good"]), ("b", 2, ["bad", "good"]), ("c", 3, [0, 1]))
    }
    return [TaskRequest(name, file, file, (METRICS["accuracy"],), {"text": "text"}) for name, file in files.items()]
