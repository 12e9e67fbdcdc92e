"""Cross-entropy of one class per example, and the base of its forms for labels of other shapes.

::

    l(z, y) = log sum_c exp(z_c) - z_y          d2 l / dz2 = diag(p) - p p',  p = softmax(z)
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from foretaste.errors import TaskError
from foretaste.loss.class_labels import IGNORED, check_labels, check_logits, find_counted, losses
from foretaste.loss.class_mixture import condense_classes, mix_classes
from foretaste.loss.class_roots import ClassRoot, class_roots
from foretaste.loss.loss import Batch, Labels

__all__ = ["ClassLoss", "CrossEntropy", "ShapedCrossEntropy"]


@dataclass(frozen=True)
class ClassLoss(ABC):
    """Cross-entropy with class numbers as labels; labels of -100 do not count."""

    @property
    def key(self) -> str:
        """Empty, so that studies from before there were other losses find their finished work."""
        return ""

    @property
    def padding(self) -> float:
        return IGNORED

    @property
    def mixes(self) -> bool:
        return True

    @abstractmethod
    def check_shape(self, labels: Tensor) -> None:
        """Check that labels have the shape that this form needs.

        Raises:
            TaskError: They have another shape.
        """

    def check(self, outputs: Tensor, batch: Batch) -> None:
        self.check_shape(batch["labels"])
        check_logits(outputs, batch["labels"])
        check_labels(batch["labels"], outputs.shape[-1])

    def check_labels(self, labels: Tensor, width: int) -> None:
        check_labels(labels, width)

    def per_unit(self, outputs: Tensor, batch: Batch) -> Tensor:
        self.check_shape(batch["labels"])
        return losses(outputs, batch["labels"])

    def counts(self, batch: Batch) -> Tensor:
        return find_counted(batch["labels"]).reshape(len(batch["labels"]), -1)

    def predict(self, outputs: Tensor) -> Tensor:
        return outputs.argmax(-1)

    def roots(
        self, how: Labels, outputs: Tensor, batch: Batch, factor: Tensor, generator: torch.Generator
    ) -> Iterator[ClassRoot]:
        return class_roots(how, outputs, batch["labels"], factor, generator)

    def condense(self, outputs: Iterable[Tensor], batch: Batch) -> dict[str, Tensor]:
        return condense_classes(outputs, batch["labels"])

    def mix(self, condensed: Mapping[str, Tensor], labels: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        return mix_classes(condensed, shares)


@final
@dataclass(frozen=True)
class CrossEntropy(ClassLoss):
    """Cross-entropy of one class per example: logits `[B, C]`, labels `[B]`.

    >>> batch = {"labels": torch.tensor([1, -100])}
    >>> CrossEntropy().per_unit(torch.zeros(2, 2), batch), CrossEntropy().counts(batch)
    (tensor([[0.6931],
            [0.0000]]), tensor([[ True],
            [False]]))
    """

    def check_shape(self, labels: Tensor) -> None:
        if labels.dim() != 1:
            raise TaskError(
                f"labels {list(labels.shape)} are not one per example, which CrossEntropy() is for; for the label"
                " tokens of sequences give the task loss=TokenCrossEntropy()"
            )


@final
@dataclass(frozen=True)
class ShapedCrossEntropy(ClassLoss):
    """Cross-entropy of one class per example or of label tokens, by the labels' shape: a task's default loss.

    >>> [list(ShapedCrossEntropy().counts({"labels": torch.ones(shape)}).shape) for shape in ((2,), (2, 3))]
    [[2, 1], [2, 3]]
    """

    def check_shape(self, labels: Tensor) -> None:
        pass
