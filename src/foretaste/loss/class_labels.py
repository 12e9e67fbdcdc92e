"""Labels that are class numbers, and the cross-entropy of logits with them; labels of -100 do not count."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from foretaste.errors import TaskError
from foretaste.params import wide

__all__ = [
    "IGNORED",
    "check_labels",
    "check_logits",
    "find_counted",
    "hide_labels",
    "losses",
    "pad_labels",
    "shift_labels",
]

IGNORED = -100

_MANY = 4096  # classes


def losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the cross-entropy of each label, 0 where the label is -100.

    Args:
        logits: `[B, C]` or `[B, S, C]`.
        labels: `[B]` or `[B, S]`.

    Returns:
        `[B, S]` with S = 1 for one label per example, in float32 or wider.

    Raises:
        TaskError: The shapes do not fit each other, there is a single class, or a label is none of the classes.

    >>> losses(torch.zeros(1, 2), torch.tensor([0]))
    tensor([[0.6931]])
    """
    check_logits(logits, labels)
    flat, targets = logits.flatten(0, -2), labels.flatten()
    counted = find_counted(targets) if flat.shape[1] >= _MANY else None
    try:
        if counted is None or bool(counted.all()):
            own = nn.functional.cross_entropy(wide(flat), targets, reduction="none", ignore_index=IGNORED)
        else:  # of a large vocabulary, places without a label are not worth a copy in float32
            counted_losses = nn.functional.cross_entropy(wide(flat[counted]), targets[counted], reduction="none")
            own = counted_losses.new_zeros(len(targets)).masked_scatter(counted, counted_losses)
    except IndexError:
        check_labels(labels, logits.shape[-1])
        raise
    return own.reshape(len(labels), -1)


def check_logits(logits: Tensor, labels: Tensor) -> None:
    """Check that the cross-entropy of these logits and labels is defined and is not constant.

    Args:
        logits: `[B, C]` or `[B, S, C]`.
        labels: `[B]` or `[B, S]`.

    Raises:
        TaskError: Labels are not whole numbers, the shapes do not fit each other, or there is a single class.

    >>> check_logits(torch.zeros(2, 1), torch.tensor([0, 1]))
    Traceback (most recent call last):
    ...
    foretaste.errors.TaskError: logits [2, 1] have a single class, whose cross-entropy is 0 whatever the model; ...
    """
    _check_whole(labels)
    if logits.shape[:-1] != labels.shape:
        shapes = f"logits {list(logits.shape)} and labels {list(labels.shape)}"
        raise TaskError(f"{shapes} do not fit; logits need the labels' shape and one more dimension, the classes")
    if logits.shape[-1] == 1:
        raise TaskError(
            f"logits {list(logits.shape)} have a single class, whose cross-entropy is 0 whatever the model; where one"
            " logit z is trained by binary cross-entropy, predict both classes: torch.cat([torch.zeros_like(z),"
            " z], -1)"
        )


def check_labels(labels: Tensor, classes: int) -> None:
    """Check that every label is a class.

    Args:
        labels: Any shape; -100 where none counts.
        classes: C.

    Raises:
        TaskError: A label is below 0, or C or more, or labels are not whole numbers.

    >>> check_labels(torch.tensor([0, 2, -100]), 2)
    Traceback (most recent call last):
    ...
    foretaste.errors.TaskError: label 2 is not one of the 2 classes, 0 to 1; correct the labels, or give the model more
    outputs
    """
    _check_whole(labels)
    outside = labels[(labels != IGNORED) & ((labels < 0) | (labels >= classes))]
    if len(outside):
        problem = f"label {int(outside[0])} is not one of the {classes} classes, 0 to {classes - 1}"
        raise TaskError(f"{problem}; correct the labels, or give the model more outputs")


def _check_whole(labels: Tensor) -> None:
    if labels.is_floating_point() or labels.is_complex():
        raise TaskError(
            f"labels are {labels.dtype}, not class numbers, which cross-entropy needs; give them as whole numbers,"
            " or give the task another loss: loss=Squared() for numbers to predict, loss=Bernoulli() for label sets"
        )


def find_counted(labels: Tensor) -> Tensor:
    """Find the labels that count.

    >>> find_counted(torch.tensor([3, -100]))
    tensor([ True, False])
    """
    return labels != IGNORED


def hide_labels(labels: Sequence[int], learned: Sequence[bool]) -> list[int]:
    """Replace the labels that are not to be learned by -100.

    Args:
        labels: Class numbers.
        learned: Whether each label is to be learned.

    >>> hide_labels([7, 8], [False, True])
    [-100, 8]
    """
    return [label if counts else IGNORED for label, counts in zip(labels, learned, strict=True)]


def pad_labels(rows: Sequence[Tensor]) -> Tensor:
    """Stack rows of labels, filled up on the right with labels that do not count.

    >>> pad_labels([torch.tensor([1, 2]), torch.tensor([3])])
    tensor([[   1,    2],
            [   3, -100]])
    """
    return pad_sequence(list(rows), batch_first=True, padding_value=IGNORED)


def shift_labels(labels: Tensor) -> Tensor:
    """Give each place the label of the next place; the last place gets none.

    Args:
        labels: `[B, S]`.

    >>> shift_labels(torch.tensor([[1, 2, 3]]))
    tensor([[   2,    3, -100]])
    """
    return torch.cat([labels[:, 1:], torch.full_like(labels[:, :1], IGNORED)], dim=1)
