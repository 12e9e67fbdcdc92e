"""Squared loss, for regression: minus the log-likelihood of a Gaussian of unit variance, less its constant.

::

    l(z, y) = 1/2 (z - y)^2          d2 l / dz2 = 1

Every number of a vector has its own loss. Targets of variance s^2 have the loss ``l / s^2``, so the noise scale is a
factor of the loss and of the task's curvature. Where this matters, scale the targets so that their noise is about 1.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from foretaste.errors import TaskError
from foretaste.loss.columns import FixedRoot, as_columns, check_columns, draw_where, one_column_each
from foretaste.loss.loss import Batch, Labels
from foretaste.params import wide

__all__ = ["Squared"]


@final
@dataclass(frozen=True)
class Squared:
    """Half the squared error of every target: outputs and labels `[B]` or `[B, D]`; NaN where there is no target.

    A mixture of models predicts the mean of their predictions.

    >>> Squared().per_unit(torch.tensor([[1.0, 2.0]]), {"labels": torch.tensor([[4.0, torch.nan]])})
    tensor([[4.5000, 0.0000]])
    """

    @property
    def key(self) -> str:
        return "squared"

    @property
    def padding(self) -> float:
        return torch.nan

    @property
    def mixes(self) -> bool:
        return True

    def check(self, outputs: Tensor, batch: Batch) -> None:
        check_columns(outputs, batch["labels"], "Squared")
        self.check_labels(batch["labels"], as_columns(outputs).shape[1])

    def check_labels(self, labels: Tensor, width: int) -> None:
        if labels.is_complex() or labels.dtype == torch.bool:
            raise TaskError(f"labels are {labels.dtype}, not numbers to predict; give them as floating-point numbers")
        if bool(labels.isinf().any()):
            raise TaskError(
                "a label is infinite, and so is its squared error; correct it, or give NaN where there is no target"
            )

    def per_unit(self, outputs: Tensor, batch: Batch) -> Tensor:
        return self._errors(outputs, batch).square() / 2

    def counts(self, batch: Batch) -> Tensor:
        return ~as_columns(batch["labels"]).isnan()

    def predict(self, outputs: Tensor) -> Tensor:
        return as_columns(wide(outputs))

    def roots(
        self, how: Labels, outputs: Tensor, batch: Batch, factor: Tensor, generator: torch.Generator
    ) -> Iterator[FixedRoot]:
        errors, counted = self._errors(outputs, batch), self.counts(batch)
        if how == "empirical":
            columns = [errors]
        elif how == "sampled":
            columns = [draw_where(counted, torch.randn(int(counted.sum()), dtype=torch.float64, generator=generator))]
        else:
            columns = one_column_each(counted.to(errors))
        for column in columns:
            yield FixedRoot((column * factor.unsqueeze(1)).reshape(outputs.shape).to(outputs))

    def condense(self, outputs: Iterable[Tensor], batch: Batch) -> dict[str, Tensor]:
        predictions = []
        for model_outputs in outputs:
            check_columns(model_outputs, batch["labels"], "Squared")
            predictions.append(as_columns(model_outputs)[self.counts(batch)].float().cpu())
        return {"outputs": torch.stack(predictions)}

    def mix(self, condensed: Mapping[str, Tensor], labels: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        means = shares @ condensed["outputs"].double()
        return (means - labels.double()).square() / 2, means

    def _errors(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Compute outputs minus labels, `[B, D]`; 0 where there is no label."""
        check_columns(outputs, batch["labels"], "Squared")
        numbers, counted = as_columns(wide(outputs)), self.counts(batch)
        targets = torch.where(counted, as_columns(batch["labels"]), 0).to(numbers)
        return torch.where(counted, numbers - targets, 0)
