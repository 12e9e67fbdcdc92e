"""Cross-entropy of the label tokens of a sequence: one loss per label token."""

from dataclasses import dataclass
from typing import final

from torch import Tensor

from foretaste.errors import TaskError
from foretaste.loss.cross_entropy import ClassLoss

__all__ = ["TokenCrossEntropy"]


@final
@dataclass(frozen=True)
class TokenCrossEntropy(ClassLoss):
    """Cross-entropy of label tokens: logits `[B, S, C]`, labels `[B, S]` with -100 where none counts.

    >>> import torch
    >>> TokenCrossEntropy().per_unit(torch.zeros(1, 2, 4), {"labels": torch.tensor([[3, -100]])})
    tensor([[1.3863, 0.0000]])
    """

    def check_shape(self, labels: Tensor) -> None:
        if labels.dim() < 2:
            raise TaskError(
                f"labels {list(labels.shape)} are not sequences, which TokenCrossEntropy() is for; for one label per"
                " example give the task loss=CrossEntropy()"
            )
