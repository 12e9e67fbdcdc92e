"""The settings of a training run, and its learning rate at every step."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["Training", "learning_rate", "settings_of"]

# Settings that earlier versions did not have, at the values that stand for what these did.
_LATER: Mapping[str, object] = {}


@dataclass(frozen=True)
class Training:
    """The settings of a training run.

    Args:
        steps: Steps of the optimizer.
        batch_size: Examples per step, over all tasks.
        learning_rate: Highest learning rate of the run.
        optimizer: ``adamw``, or ``sgd`` with momentum 0.9.
        weight_decay: Decoupled weight decay, towards 0.
        prior_precision: delta in ``delta / 2 |x - x_0|^2``, which is added to the mean loss; x_0 are the pretrained
            params.
        warmup: Share of the steps in which the learning rate rises.
        decay: ``linear`` or ``cosine`` to 0, or ``constant``.
        clip: Largest norm of the gradient; None for no bound.
        micro_batch: Most examples per backward pass (gradient accumulation); None for no bound.
        mixed_precision: ``no``, ``bf16`` or ``fp16``.
        batch_norm: ``update`` the statistics in training, or ``freeze`` the pretrained ones.
        seed: Seed of the order of examples and of dropout.
    """

    steps: int
    batch_size: int = 32
    learning_rate: float = 1e-3
    optimizer: Literal["adamw", "sgd"] = "adamw"
    weight_decay: float = 0.0
    prior_precision: float = 0.0
    warmup: float = 0.0
    decay: Literal["linear", "cosine", "constant"] = "linear"
    clip: float | None = 1.0
    micro_batch: int | None = None
    mixed_precision: Literal["no", "bf16", "fp16"] = "no"
    batch_norm: Literal["update", "freeze"] = "update"
    seed: int = 0


def settings_of(training: Training) -> dict[str, Any]:
    """Return a training's settings by name, for keys of work.

    A setting that earlier versions did not have is left out while it changes nothing, so that keys stay what they were.

    >>> settings_of(Training(steps=3))["steps"]
    3
    """
    settings = asdict(training)
    return {name: value for name, value in settings.items() if name not in _LATER or value != _LATER[name]}


def learning_rate(training: Training, step: int) -> float:
    """Return the learning rate of a step; steps count from 0.

    >>> learning_rate(Training(steps=10, learning_rate=1.0, warmup=0.2), 0)
    0.5
    >>> round(learning_rate(Training(steps=10, learning_rate=1.0), 9), 6)
    0.1
    """
    warm = math.ceil(training.warmup * training.steps)
    if step < warm:
        return training.learning_rate * (step + 1) / warm
    left = 1 - (step - warm) / max(training.steps - warm, 1)
    factor = {"constant": 1.0, "linear": left, "cosine": 0.5 * (1 - math.cos(math.pi * left))}[training.decay]
    return training.learning_rate * factor
