"""What a loss is: everything that depends on the choice of a loss is asked here, and nowhere else.

A loss is a value, mostly a frozen dataclass without fields. It reads the model's outputs and the ``labels`` of a batch.
Every example has S losses: one per label token of a sequence, one per number of a vector, or one alone. The task's unit
says how the mean over them is taken.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, Protocol

import torch
from torch import Tensor

__all__ = ["Batch", "Labels", "Loss", "Root"]

Batch = Mapping[str, Tensor]
Labels = Literal["sampled", "empirical", "exact"]


class Root(Protocol):
    """A factor of the Hessian of every example's losses by its outputs, or a draw of one."""

    @property
    def slopes(self) -> Tensor:
        """`[B, ...]`, in the outputs' shape and type."""

    def total(self, outputs: Tensor, rows: slice) -> Tensor:
        """A number whose gradient by outputs is what `slopes` are.

        Args:
            outputs: Of some of the examples, computed again.
            rows: Which examples.
        """


class Loss(Protocol):
    """A task's loss. To add one, write a file with such a class, and its test file."""

    @property
    def key(self) -> str:
        """The loss and its settings, for the hash that finished work is found by; empty for cross-entropy."""

    @property
    def padding(self) -> float:
        """A label that does not count, for filling up shorter rows of labels."""

    def check(self, outputs: Tensor, batch: Batch) -> None:
        """Check that the outputs fit the labels, and that every label can be one.

        Raises:
            TaskError: They do not.
        """

    def check_labels(self, labels: Tensor, width: int) -> None:
        """Check that every label can be one.

        Args:
            labels: Of one example or of many.
            width: Last dimension of the outputs.

        Raises:
            TaskError: The first label that cannot.
        """

    def per_unit(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The losses, `[B, S]`, in float32 or wider; 0 where nothing counts.

        Raises:
            TaskError: Outputs and labels do not fit.
        """

    def counts(self, batch: Batch) -> Tensor:
        """Which losses count, `[B, S]`."""

    def predict(self, outputs: Tensor) -> Tensor:
        """What the outputs predict, in the shape of the labels."""

    def roots(
        self, how: Labels, outputs: Tensor, batch: Batch, factor: Tensor, generator: torch.Generator
    ) -> Iterator[Root]:
        """Factors of the Hessian of every example's summed losses by its outputs, or draws of them.

        With r_k the slopes of the k-th of them, and J an example's Jacobian of outputs by params, ``sum_k J' r_k r_k'
        J`` is the generalised Gauss-Newton matrix: exactly (``exact``) or in expectation (``sampled``). Where ``how``
        is ``empirical``, the only one is the gradient at the data's labels.

        Args:
            how: Which of the three.
            outputs: Finite and detached.
            batch: Its labels say what counts.
            factor: `[B]`, what each example's factors are multiplied by.
            generator: Draws on the CPU, only for what counts.

        Raises:
            TaskError: Outputs and labels do not fit.
        """

    @property
    def mixes(self) -> bool:
        """Whether a mixture of several models' predictions makes sense."""

    def condense(self, outputs: Iterable[Tensor], batch: Batch) -> dict[str, Tensor]:
        """Keep what a mixture of predictions needs of M models' outputs on one batch, on the CPU.

        Args:
            outputs: Of one model after the other; each is made when it is asked for.
            batch: Has the labels, P of which count.

        Returns:
            Tensors by name, example by example: numbers `[M, P, ...]`, and integers that all models share, `[P, ...]`.

        Raises:
            TaskError: Outputs and labels do not fit.
        """

    def mix(self, condensed: Mapping[str, Tensor], labels: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        """Losses and predictions of mixtures of M models.

        Args:
            condensed: What `condense` gave.
            labels: `[P]`, those that count.
            shares: `[A, M]` in float64, each row at least 0 with sum 1.

        Returns:
            `[A, P]` losses in float64, and `[A, P]` predictions.
        """
