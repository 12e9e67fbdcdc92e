"""Labels that have one output each: code that the losses of numbers and of label sets share."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from foretaste.errors import TaskError
from foretaste.one_line import one_line

__all__ = ["FixedRoot", "as_columns", "check_columns", "draw_where", "one_column_each"]


@final
@dataclass(frozen=True)
class FixedRoot:
    """A root that is the same for all outputs: see `foretaste.loss.loss.Root`.

    >>> FixedRoot(torch.tensor([[2.0], [3.0]])).total(torch.tensor([[5.0]]), slice(1, 2))
    tensor(15.)
    """

    slopes: Tensor

    __repr__ = one_line

    def total(self, outputs: Tensor, rows: slice) -> Tensor:
        """Compute the inner product of outputs and slopes."""
        return (outputs * self.slopes[rows]).sum()


def as_columns(tensor: Tensor) -> Tensor:
    """Reshape `[B]` or `[B, D]` to `[B, D]`.

    >>> as_columns(torch.zeros(3)).shape
    torch.Size([3, 1])
    """
    return tensor.reshape(len(tensor), -1)


def check_columns(outputs: Tensor, labels: Tensor, loss: str) -> None:
    """Check that every label has an output.

    Args:
        outputs: `[B]` or `[B, D]`.
        labels: `[B]` or `[B, D]`.
        loss: The loss's name, for the message.

    Raises:
        TaskError: The shapes differ.

    >>> check_columns(torch.zeros(2, 1), torch.zeros(2), "Squared")
    >>> check_columns(torch.zeros(2, 1), torch.zeros(2, 2), "Squared")
    Traceback (most recent call last):
    ...
    foretaste.errors.TaskError: outputs [2, 1] and labels [2, 2] do not fit; Squared() needs one output per label: [B]
    or [B, D] of both
    """
    fits = {outputs.dim(), labels.dim()} <= {1, 2} and as_columns(outputs).shape == as_columns(labels).shape
    if not fits:
        shapes = f"outputs {list(outputs.shape)} and labels {list(labels.shape)}"
        raise TaskError(f"{shapes} do not fit; {loss}() needs one output per label: [B] or [B, D] of both")


def draw_where(counted: Tensor, draw: Tensor) -> Tensor:
    """Put drawn numbers at the places that count, and zeros elsewhere.

    Args:
        counted: `[B, D]`, P of which are true.
        draw: `[P]`, on the CPU.

    Returns:
        `[B, D]` on the device of ``counted``.

    >>> draw_where(torch.tensor([[True, False]]), torch.tensor([0.5]))
    tensor([[0.5000, 0.0000]])
    """
    draws = torch.zeros(counted.shape, dtype=draw.dtype)
    draws[counted.cpu()] = draw
    return draws.to(counted.device)


def one_column_each(columns: Tensor) -> list[Tensor]:
    """Make a tensor for each column, which has that column and zeros elsewhere.

    >>> one_column_each(torch.ones(1, 2))
    [tensor([[1., 0.]]), tensor([[0., 1.]])]
    """
    return [
        torch.where(torch.arange(columns.shape[1], device=columns.device) == place, columns, 0)
        for place in range(columns.shape[1])
    ]
