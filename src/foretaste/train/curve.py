"""The course of a training run: the mean loss and the learning rate by step, thinned for readers."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from foretaste.one_line import one_line
from foretaste.train.training import Training, learning_rate

__all__ = ["RunCurve", "TrainingCurve", "loss_ends", "training_curve"]

_SETTINGS = ("steps", "learning_rate", "warmup", "decay")  # what the learning rate depends on


@dataclass(frozen=True)
class TrainingCurve:
    """The training loss and the learning rate at some steps of a run.

    Args:
        steps: N steps, in order, counted from 1; the last one is the run's last step.
        losses: N training losses, each the mean over the steps since the step before it in ``steps``.
        learning_rates: N learning rates.
        first_loss: The mean loss of the first tenth of the steps.
        last_loss: The mean loss of the last tenth of the steps.
    """

    steps: tuple[int, ...]
    losses: tuple[float, ...]
    learning_rates: tuple[float, ...]
    first_loss: float
    last_loss: float

    __repr__ = one_line


@dataclass(frozen=True)
class RunCurve:
    """The curve of one run of a study.

    Args:
        name: The task of a single-task run, or the task weights of a joint run.
        is_joint: Whether it is a joint run.
        curve: The losses and learning rates.
        seconds: How long the run took.
    """

    name: str
    is_joint: bool
    curve: TrainingCurve
    seconds: float


def loss_ends(history: Sequence[float]) -> tuple[float, float]:
    """Return the mean loss of the first and of the last tenth of the steps, which are less noisy than single steps.

    Args:
        history: The loss of every step; at least one.

    >>> loss_ends([2.0] * 2 + [1.0] * 16 + [0.5, 0.25])
    (2.0, 0.375)
    """
    part = max(1, len(history) // 10)
    return statistics.mean(history[:part]), statistics.mean(history[-part:])


def training_curve(history: Sequence[float], settings: Mapping[str, Any], most: int = 200) -> TrainingCurve | None:
    """Thin the history of a run to a curve of few points.

    Args:
        history: The loss of every step; an imported model has none.
        settings: The run's `Training` as a mapping; of earlier versions it may lack fields or have others.
        most: Most points of the curve.

    Returns:
        The curve, or None if there is no history.

    >>> curve = training_curve([4.0, 2.0, 1.0], {"steps": 3, "learning_rate": 0.75, "decay": "constant"}, most=2)
    >>> curve.steps, curve.losses, curve.learning_rates
    ((2, 3), (3.0, 1.0), (0.75, 0.75))
    """
    if not history:
        return None
    training = Training(**{"steps": len(history)} | {name: settings[name] for name in _SETTINGS if name in settings})
    width = math.ceil(len(history) / most)
    starts = range(0, len(history), width)
    ends = [min(start + width, len(history)) for start in starts]
    return TrainingCurve(
        tuple(ends),
        tuple(statistics.mean(history[start : start + width]) for start in starts),
        tuple(learning_rate(training, end - 1) for end in ends),
        *loss_ends(history),
    )
