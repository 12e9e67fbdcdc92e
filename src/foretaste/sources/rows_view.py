"""Views of rows: what a check prints about a task's rows, and one row as the model sees it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from foretaste.one_line import one_line
from foretaste.task import Task

__all__ = ["RowView", "RowsView", "TensorRows", "largest"]

_FIRST = 64


@dataclass(frozen=True)
class RowView:
    """One row as the model sees it.

    Args:
        form: The name of the form that the row had in its file.
        text: Texts in order, each with whether the model learns it; empty for rows that are no texts.
        facts: Counts and labels by name.
    """

    form: str
    text: Sequence[tuple[str, bool]] = ()
    facts: Mapping[str, object] = field(default_factory=dict)

    __repr__ = one_line


class RowsView(ABC):
    """The rows of a problem's tasks, to look at."""

    def describe(self, task: Task) -> Mapping[str, object]:
        """Describe a task's rows for a check, beyond their number; by default there is nothing to add.

        Args:
            task: One of the problem's tasks.
        """
        return {}

    def longest(self, task: Task, count: int) -> Sequence[int]:
        """Return the places of the longest training rows, by default among the first ones, since each must be read.

        Args:
            task: One of the problem's tasks.
            count: How many places to return, at most.
        """
        rows = [task.train[place] for place in range(min(_FIRST, len(task.train)))]
        return largest([sum(tensor.numel() for tensor in row.values()) for row in rows], count)

    @abstractmethod
    def row(self, task: Task, index: int) -> RowView:
        """Return one training row.

        Args:
            task: One of the problem's tasks.
            index: The row's place, from 0.
        """


def largest(sizes: Sequence[int], count: int) -> list[int]:
    """Return the places of the largest sizes, largest first.

    >>> largest([3, 9, 5], 2)
    [1, 2]
    """
    return sorted(range(len(sizes)), key=lambda place: -sizes[place])[:count]


class TensorRows(RowsView):
    """Rows of tasks that a program made: the sizes of tensors, and numbers as they are.

    >>> from foretaste.task import Rows
    >>> from foretaste.metrics import METRICS
    >>> rows = Rows(torch.zeros(2, 4), torch.tensor([0, 1]))
    >>> TensorRows().row(Task("a", rows, rows, (METRICS["accuracy"],)), 1).facts
    {'inputs': 'tensor of 4', 'label': 1}
    """

    def row(self, task: Task, index: int) -> RowView:
        example = task.train[index]
        facts = {name: _describe(tensor) for name, tensor in example.items() if name != "labels"}
        return RowView("tensors", (), {**facts, "label": _describe(example["labels"])})


def _describe(tensor: torch.Tensor) -> object:
    if tensor.numel() == 1:
        return tensor.item()
    return f"tensor of {' x '.join(map(str, tensor.shape))}"
