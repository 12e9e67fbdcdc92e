"""What a run of training is given and gives back: an optimizer, an observer, its states and its end."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from foretaste.one_line import one_line
from foretaste.params import Params

__all__ = ["MakeOptimizer", "Observer", "Sampling", "Silent", "Snapshot", "Trained"]

MakeOptimizer = Callable[[Sequence[nn.Parameter]], torch.optim.Optimizer]


@runtime_checkable
class Sampling(Protocol):
    """An optimizer that takes its gradients at params drawn around the present ones."""

    def perturb(self) -> None:
        """Move the params to a draw."""

    def restore(self) -> None:
        """Move them back, bit for bit."""

    def estimates(self) -> Mapping[str, Mapping[Tensor, Tensor]]:
        """What it learned beside the params: by kind, then by parameter."""


@dataclass(frozen=True)
class Snapshot:
    """Everything needed to go on with a run as if it had not stopped.

    Args:
        step: Steps done.
        tensors: Params, optimizer state and random state, by a prefixed name.
        history: Mean loss of every step done.
        seen: Examples and units per task so far.
        scaler: State of the fp16 loss scaler; empty without one.
    """

    step: int
    tensors: Params
    history: list[float]
    seen: dict[str, dict[str, int]]
    scaler: dict[str, float] = field(default_factory=dict)

    __repr__ = one_line


@dataclass(frozen=True)
class Trained:
    """A finished run.

    Args:
        params: Parameters and floating-point buffers, on the CPU.
        history: Mean loss of every step.
        seen: Examples and units of each task that were trained on.
        state: The estimates of a `Sampling` optimizer: by kind, then by the parameter's name.
    """

    params: Params
    history: Sequence[float]
    seen: Mapping[str, Mapping[str, int]]
    state: Mapping[str, Params] = field(default_factory=dict)

    __repr__ = one_line


class Observer(Protocol):
    """Watches a run from outside."""

    def on_step(self, done: int, loss: float) -> None:
        """A step is done."""

    def wants_snapshot(self, done: int) -> bool:
        """Whether to hand out the state now."""

    def keep(self, state: Snapshot) -> None:
        """Take the state; raising `Stopped` here ends the run cleanly."""


class Silent:
    """An observer that wants nothing."""

    def on_step(self, done: int, loss: float) -> None:
        pass

    def wants_snapshot(self, done: int) -> bool:
        return False

    def keep(self, state: Snapshot) -> None:
        pass
