"""The model and the tasks of `study-1`: every number is exact, so that the study is the same on every processor."""

import torch
from torch import Tensor, nn

from foretaste.metrics import METRICS
from foretaste.task import Rows, Task

__all__ = ["problem"]

_SIZE, _CLASSES, _SHIFTS = 12, 4, {"low": 0, "mid": 1, "high": 2}


def problem() -> tuple[nn.Module, list[Task]]:
    """A linear model, and three tasks whose labels are shifted against each other."""
    model = nn.Linear(_SIZE, _CLASSES)
    with torch.no_grad():
        model.weight.copy_(_numbers(_CLASSES, _SIZE, 5) / 32)
        model.bias.zero_()
    return model, [
        Task(name, _rows(64, shift), _rows(40, shift + 3), [METRICS["accuracy"]], fingerprint=f"shifted by {shift}")
        for name, shift in _SHIFTS.items()
    ]


def _rows(count: int, shift: int) -> Rows:
    inputs = _numbers(count, _SIZE, 7 + shift) / 8
    labels = (inputs[:, :_CLASSES].argmax(1) + shift) % _CLASSES
    return Rows(inputs, labels)


def _numbers(rows: int, columns: int, step: int) -> Tensor:
    """Whole numbers from -8 to 8, which look random."""
    places = torch.arange(rows * columns).reshape(rows, columns)
    return ((places * places * step + 3 * places) % 17 - 8).float()
