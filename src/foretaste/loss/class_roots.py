"""The gradient of cross-entropy by the logits: at the data's labels, at drawn labels, or at every label.

The gradient of the cross-entropy of label y is ``softmax(logits) - onehot(y)``, and labels are drawn from the same
probabilities. Gradient and label are computed together, a few rows at a time, so that a large vocabulary is read once
and stays in the processor's cache.

A label is drawn by inversion: the first label whose running sum of probabilities exceeds a uniform number times the
sum of all.

References:
    Devroye: Non-Uniform Random Variate Generation, 1986, chapter III.2, http://luc.devroye.org/rnbookindex.html
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from foretaste.loss.class_labels import IGNORED, check_logits, find_counted, losses
from foretaste.loss.loss import Labels
from foretaste.one_line import one_line
from foretaste.params import wide

__all__ = ["ClassRoot", "class_roots", "draw"]

_CHUNK = 1 << 17  # probabilities held at once on a CPU


@final
@dataclass(frozen=True)
class ClassRoot:
    """The gradient of cross-entropy at some labels: see `foretaste.loss.loss.Root`.

    Args:
        slopes: `[B, C]` or `[B, S, C]`.
        labels: `[B]` or `[B, S]`.
        factor: `[B]`, what each example's losses are multiplied by.
    """

    slopes: Tensor
    labels: Tensor
    factor: Tensor

    __repr__ = one_line

    def total(self, outputs: Tensor, rows: slice) -> Tensor:
        """Sum the losses at these labels; the gradient by the outputs is the one at these outputs."""
        return (losses(outputs, self.labels[rows]) * self.factor[rows].unsqueeze(1)).sum()


def class_roots(
    how: Labels, logits: Tensor, labels: Tensor, factor: Tensor, generator: torch.Generator
) -> Iterator[ClassRoot]:
    """Yield factors of the Hessian by the logits: see `Loss.roots`. Exact ones are one per class of every column.

    Args:
        how: The source of the labels.
        logits: `[B, C]` or `[B, S, C]`, finite and detached.
        labels: The data's labels, `[B]` or `[B, S]`; where they are -100 none is drawn.
        factor: A factor for each example, `[B]`.
        generator: Draws one uniform number per label that counts, on the CPU.

    Yields:
        The gradient of the examples' losses, each times its factor, by the logits; and the labels of these losses.

    Raises:
        TaskError: Logits and labels do not fit each other, or there is a single class.

    >>> [
    ...     root.slopes
    ...     for root in class_roots("empirical", torch.zeros(1, 2), torch.tensor([1]), torch.ones(1), torch.Generator())
    ... ]
    [tensor([[ 0.5000, -0.5000]])]
    """
    check_logits(logits, labels)
    if how == "empirical":
        yield _root(logits, labels, factor, None)
    elif how == "sampled":
        counted = find_counted(labels)
        uniforms = torch.zeros(labels.shape, dtype=torch.float64)
        uniforms[counted.cpu()] = torch.rand(int(counted.sum()), dtype=torch.float64, generator=generator)
        yield _root(logits, labels, factor, uniforms.to(labels.device))
    else:
        for targets, scale in _every(logits, labels):
            yield _root(logits, targets, factor * scale, None)


def draw(chances: Tensor, uniforms: Tensor) -> Tensor:
    """Draw a label for each row, never one of probability 0.

    Args:
        chances: Probabilities `[N, C]`; a common factor does not matter.
        uniforms: In [0, 1], `[N]`.

    >>> draw(torch.tensor([[0.0, 0.25, 0.75, 0.0]]).expand(4, 4), torch.tensor([0.0, 0.2, 0.3, 1.0]))
    tensor([1, 1, 2, 2])
    """
    sums = chances.cumsum(1)
    total = sums[:, -1:]
    below = torch.minimum(uniforms.to(total).unsqueeze(1) * total, total.nextafter(torch.zeros_like(total)))
    labels = torch.searchsorted(sums, below, right=True)
    impossible = chances.gather(1, labels) == 0
    if bool(impossible.any()):  # parallel sums, on a GPU, may step back by a rounding
        labels = torch.where(impossible, chances.argmax(1, keepdim=True), labels)
    return labels.squeeze(1)


def _root(logits: Tensor, labels: Tensor, factor: Tensor, uniforms: Tensor | None) -> ClassRoot:
    """Compute the gradient at these labels, or at labels drawn by uniform numbers."""
    targets, flat = labels.flatten().clone(), logits.flatten(0, -2)
    factors = factor.repeat_interleave(len(targets) // max(len(factor), 1))
    slopes = torch.empty_like(flat)
    step = max(1, _CHUNK // flat.shape[1]) if flat.device.type == "cpu" else len(flat)
    for start in range(0, len(flat), max(step, 1)):
        rows = slice(start, start + step)
        counted = find_counted(targets[rows])
        if not bool(counted.any()):
            slopes[rows] = 0
            continue
        chances = wide(flat[rows]).softmax(1)
        if uniforms is not None:
            targets[rows] = torch.where(counted, draw(chances, uniforms.flatten()[rows]), IGNORED)
        hit = torch.where(counted, targets[rows], 0).unsqueeze(1)
        chances.scatter_add_(1, hit, -torch.ones_like(hit, dtype=chances.dtype))
        slopes[rows] = chances.mul_((factors[rows] * counted).unsqueeze(1))
    return ClassRoot(slopes.reshape(logits.shape), targets.reshape(labels.shape), factor)


def _every(logits: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield every label of every column with the root of its probability, `[B]`."""
    rows = labels.reshape(len(labels), -1)
    chances = wide(logits).softmax(-1).reshape(*rows.shape, -1)
    for column in range(rows.shape[1]):
        for label in range(chances.shape[-1]):
            targets = torch.full_like(rows, IGNORED)
            targets[:, column] = torch.where(find_counted(rows[:, column]), label, IGNORED)
            yield targets.reshape(labels.shape), chances[:, column, label].sqrt()
