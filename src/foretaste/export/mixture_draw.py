"""The draw of a mixture: which row of which task is trained on when."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from foretaste.errors import DataError
from foretaste.export.part import Part
from foretaste.metrics import METRICS
from foretaste.one_line import one_line
from foretaste.sources.extra import datasets
from foretaste.task import Example, Task, Unit
from foretaste.train.mixture import mixture
from foretaste.weights import TaskWeights

__all__ = ["Draw", "MixturePlan", "draw_rows", "units_of"]


@dataclass(frozen=True)
class _Units:
    """Stands for a task's examples where only their number and their label tokens matter."""

    counts: Sequence[int]

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, index: int, /) -> Example:
        return {"labels": torch.zeros(self.counts[index], dtype=torch.uint8)}


@dataclass(frozen=True)
class Draw:
    """Rows in order: the place of each one's task, and its index in the task."""

    names: tuple[str, ...]
    tasks: NDArray[np.int32]
    indices: NDArray[np.int64]

    __repr__ = one_line

    def of(self, task: str) -> NDArray[np.int64]:
        """Indices of one task's rows."""
        indices: NDArray[np.int64] = self.indices[self.tasks == self.names.index(task)]
        return indices


@dataclass(frozen=True)
class MixturePlan:
    """What will be written: the draw, each drawn task's rows, all columns, and what to say of them."""

    draw: Draw
    units: Mapping[str, NDArray[np.int64]]
    rows: Mapping[str, "datasets.Dataset"]
    roles: Mapping[str, Mapping[str, str]]
    features: "datasets.Features"
    notes: Sequence[str]
    task_column: str

    __repr__ = one_line


def units_of(name: str, part: Part, rows: int, unit: Unit) -> NDArray[np.int64]:
    """Units of each row."""
    if unit == "example":
        return np.ones(rows, dtype=np.int64)
    if part.units_per_row is None:
        raise DataError(
            f"alpha is of tokens, and task {name} does not say how many label tokens its rows have; give units_per_row"
        )
    units = np.asarray(part.units_per_row, dtype=np.int64)
    if units.shape != (rows,) or (units < 0).any() or not units.any():
        raise DataError(
            f"units_per_row of task {name} must be {rows} numbers of at least 0, one for each row, and not all 0"
        )
    return units


def draw_rows(units: Mapping[str, NDArray[np.int64]], weights: TaskWeights, unit: Unit, rows: int, seed: int) -> Draw:
    """Draw rows as the joint run does, one row a step, so that the order within its steps shows."""
    examples = {name: _Units(counts.tolist()) for name, counts in units.items()}
    tasks = [Task(name, stand_in, stand_in, (METRICS["accuracy"],), unit=unit) for name, stand_in in examples.items()]
    plan = mixture(tasks, weights, rows, 1, torch.Generator().manual_seed(seed))
    names = tuple(units)
    places = {name: place for place, name in enumerate(names)}
    codes = np.fromiter((places[portion.task] for (portion,) in plan), np.int32, rows)
    return Draw(names, codes, np.fromiter((portion.indices[0] for (portion,) in plan), np.int64, rows))
