"""The interface of losses: everything that depends on a task's loss goes through it.

A loss is a value, usually a frozen dataclass without fields. It reads the model's outputs and the ``labels`` of a
batch. Every example has S losses: one per label token of a sequence, one per number of a vector, or a single one. The
task's unit says how their mean is taken.
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
        """The factor or draw itself, `[B, ...]`, in the outputs' shape and type."""

    def total(self, outputs: Tensor, rows: slice) -> Tensor:
        """Compute a number whose gradient by the outputs is `slopes`.

        Args:
            outputs: The outputs of some of the examples, computed again.
            rows: These examples.
        """


class Loss(Protocol):
    """A task's loss. To add one, write a file with such a class, and its test file."""

    @property
    def key(self) -> str:
        """The loss and its settings, a part of the key of finished work; empty for cross-entropy."""

    @property
    def padding(self) -> float:
        """A label that does not count, which fills up shorter rows of labels."""

    def check(self, outputs: Tensor, batch: Batch) -> None:
        """Check that the outputs fit the labels, and that this loss is defined for every label.

        Raises:
            TaskError: The outputs do not fit, or the loss is not defined.
        """

    def check_labels(self, labels: Tensor, width: int) -> None:
        """Check that this loss is defined for every label.

        Args:
            labels: The labels of one or more examples.
            width: The last dimension of the outputs.

        Raises:
            TaskError: The loss is not defined for a label; the first one is named.
        """

    def per_unit(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Compute the losses, `[B, S]`, in float32 or wider; 0 where nothing counts.

        Raises:
            TaskError: Outputs and labels do not fit.
        """

    def counts(self, batch: Batch) -> Tensor:
        """Find the losses that count, `[B, S]`."""

    def predict(self, outputs: Tensor) -> Tensor:
        """Predict from the outputs, in the shape of the labels."""

    def roots(
        self, how: Labels, outputs: Tensor, batch: Batch, factor: Tensor, generator: torch.Generator
    ) -> Iterator[Root]:
        """Yield factors of the Hessian of every example's summed losses by its outputs, or draws of them.

        Let r_k be the slopes of the k-th factor, and J an example's Jacobian of outputs by params. Then
        ``sum_k J' r_k r_k' J`` is the generalised Gauss-Newton matrix, exactly (``exact``) or in expectation
        (``sampled``). For ``empirical`` there is one factor: the gradient at the data's labels.

        Args:
            how: ``exact``, ``sampled`` or ``empirical``.
            outputs: Finite and detached.
            batch: A batch, whose labels say what counts.
            factor: `[B]`; each example's factors are multiplied by its number.
            generator: Draws on the CPU, and only for losses that count.

        Raises:
            TaskError: Outputs and labels do not fit.
        """

    @property
    def mixes(self) -> bool:
        """Whether a mixture of several models' predictions makes sense."""

    def condense(self, outputs: Iterable[Tensor], batch: Batch) -> dict[str, Tensor]:
        """Condense M models' outputs on one batch to what mixtures of their predictions need, on the CPU.

        Args:
            outputs: The outputs of one model after the other; each is computed when it is read.
            batch: A batch with labels, P of which count.

        Returns:
            Tensors by name, example by example: numbers `[M, P, ...]`, and integers that all models share, `[P, ...]`.

        Raises:
            TaskError: Outputs and labels do not fit.
        """

    def mix(self, condensed: Mapping[str, Tensor], labels: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the losses and predictions of mixtures of M models.

        Args:
            condensed: The tensors of `condense`.
            labels: `[P]`, the labels that count.
            shares: `[A, M]` in float64, each row at least 0 with sum 1.

        Returns:
            `[A, P]` losses in float64, and `[A, P]` predictions.
        """
