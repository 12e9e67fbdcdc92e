"""The gradient of cross-entropy by the logits, at the data's labels, at drawn ones, or at every one.

The gradient of the cross-entropy of label y is ``softmax(logits) - onehot(y)``: the same probabilities
that labels are drawn from. Both are made together, a few rows at a time, so that a large vocabulary is
gone through once and stays in the processor's cache.

A label is drawn by inversion: the first whose running sum of probabilities exceeds a uniform number
times their total.

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
        """The losses at these labels, so that the gradient is the one at these outputs."""
        return (losses(outputs, self.labels[rows]) * self.factor[rows].unsqueeze(1)).sum()


def class_roots(
    how: Labels, logits: Tensor, given: Tensor, factor: Tensor, generator: torch.Generator
) -> Iterator[ClassRoot]:
    """Factors of the Hessian by the logits: see `Loss.roots`. Exact ones are one per class of every column.

    Args:
        how: Where the labels come from.
        logits: `[B, C]` or `[B, S, C]`, finite and detached.
        given: The data's labels, `[B]` or `[B, S]`; where they are -100 none is drawn.
        factor: A factor for each example, `[B]`.
        generator: Draws one uniform number per label that counts, on the CPU.

    Yields:
        The gradient of the examples' losses, each times its factor, by the logits, as they are; and the labels that it
        is of.

    Raises:
        TaskError: Logits and labels that do not fit each other, or a single class.

    >>> [
    ...     root.slopes
    ...     for root in class_roots("empirical", torch.zeros(1, 2), torch.tensor([1]), torch.ones(1), torch.Generator())
    ... ]
    [tensor([[ 0.5000, -0.5000]])]
    """
    check_logits(logits, given)
    if how == "empirical":
        yield _root(logits, given, factor, None)
    elif how == "sampled":
        counted = find_counted(given)
        uniforms = torch.zeros(given.shape, dtype=torch.float64)
        uniforms[counted.cpu()] = torch.rand(int(counted.sum()), dtype=torch.float64, generator=generator)
        yield _root(logits, given, factor, uniforms.to(given.device))
    else:
        for targets, scale in _every(logits, given):
            yield _root(logits, targets, factor * scale, None)


def draw(chances: Tensor, uniforms: Tensor) -> Tensor:
    """A label per row, never one without probability.

    Args:
        chances: Probabilities `[N, C]`; a common factor does not matter.
        uniforms: In [0, 1], `[N]`.

    >>> draw(torch.tensor([[0.0, 0.25, 0.75, 0.0]]).expand(4, 4), torch.tensor([0.0, 0.2, 0.3, 1.0]))
    tensor([1, 1, 2, 2])
    """
    sums = chances.cumsum(1)
    total = sums[:, -1:]
    below = torch.minimum(uniforms.to(total).unsqueeze(1) * total, total.nextafter(torch.zeros_like(total)))
    drawn = torch.searchsorted(sums, below, right=True)
    lost = chances.gather(1, drawn) == 0
    if bool(lost.any()):  # sums made in parallel, on a GPU, may step back by a rounding
        drawn = torch.where(lost, chances.argmax(1, keepdim=True), drawn)
    return drawn.squeeze(1)


def _root(logits: Tensor, given: Tensor, factor: Tensor, uniforms: Tensor | None) -> ClassRoot:
    """The gradient at the given labels, or at labels drawn by uniform numbers."""
    targets, flat = given.flatten().clone(), logits.flatten(0, -2)
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
    return ClassRoot(slopes.reshape(logits.shape), targets.reshape(given.shape), factor)


def _every(logits: Tensor, given: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Every label of every column with the root of its probability, `[B]`."""
    rows = given.reshape(len(given), -1)
    chances = wide(logits).softmax(-1).reshape(*rows.shape, -1)
    for column in range(rows.shape[1]):
        for label in range(chances.shape[-1]):
            targets = torch.full_like(rows, IGNORED)
            targets[:, column] = torch.where(find_counted(rows[:, column]), label, IGNORED)
            yield targets.reshape(given.shape), chances[:, column, label].sqrt()
