"""The parts of a training run: its optimizer, its observer, its snapshots and its result."""

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
    """An optimizer that takes its gradients at random draws around the current params."""

    def perturb(self) -> None:
        """Move the params to a draw."""

    def restore(self) -> None:
        """Move the params back, bit for bit."""

    def estimates(self) -> Mapping[str, Mapping[Tensor, Tensor]]:
        """Return what the optimizer estimates besides the params: by kind, then by parameter."""


@dataclass(frozen=True)
class Snapshot:
    """The state of an unfinished run, with everything that it needs to go on.

    Args:
        step: Number of finished steps.
        tensors: Params, optimizer state and random state, each under a prefixed name.
        history: Mean loss of every finished step.
        data_counts: Examples and units of each task so far.
        scaler: State of the fp16 loss scaler; empty if there is none.
    """

    step: int
    tensors: Params
    history: list[float]
    data_counts: dict[str, dict[str, int]]
    scaler: dict[str, float] = field(default_factory=dict)

    __repr__ = one_line


@dataclass(frozen=True)
class Trained:
    """The result of a finished run.

    Args:
        params: Parameters and floating-point buffers, on the CPU.
        history: Mean loss of every step.
        data_counts: Examples and units of each task that the run trained on.
        state: Estimates of a `Sampling` optimizer: by kind, then by the parameter's name.
    """

    params: Params
    history: Sequence[float]
    data_counts: Mapping[str, Mapping[str, int]]
    state: Mapping[str, Params] = field(default_factory=dict)

    __repr__ = one_line


class Observer(Protocol):
    """Follows a run step by step, and may ask for snapshots."""

    def on_step(self, done: int, loss: float) -> None:
        """Take note of a finished step."""

    def wants_snapshot(self, done: int) -> bool:
        """Tell whether the run should hand out a snapshot now."""

    def keep(self, state: Snapshot) -> None:
        """Take a snapshot; raising `Stopped` here ends the run cleanly."""


class Silent:
    """An observer that does nothing."""

    def on_step(self, done: int, loss: float) -> None:
        pass

    def wants_snapshot(self, done: int) -> bool:
        return False

    def keep(self, state: Snapshot) -> None:
        pass
