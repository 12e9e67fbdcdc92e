"""Bernoulli loss, for label sets (multi-label): every label belongs to the set or does not, and has its own logit.

::

    l(z, y) = log(1 + exp(z)) - y z          d2 l / dz2 = p (1 - p),  p = 1 / (1 + exp(-z))
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from foretaste.errors import TaskError
from foretaste.loss.class_labels import IGNORED
from foretaste.loss.columns import FixedRoot, as_columns, check_columns, draw_where, one_column_each
from foretaste.loss.loss import Batch, Labels
from foretaste.params import wide

__all__ = ["Bernoulli"]


@final
@dataclass(frozen=True)
class Bernoulli:
    """Binary cross-entropy of every label of a set: logits and labels `[B, C]`, or `[B]` of a single label.

    A label is 1 if it belongs to the set and 0 if not. It is NaN or -100 if that is unknown, and does not count then.

    >>> Bernoulli().per_unit(torch.zeros(1, 3), {"labels": torch.tensor([[1.0, 0.0, torch.nan]])})
    tensor([[0.6931, 0.6931, 0.0000]])
    """

    @property
    def key(self) -> str:
        return "bernoulli"

    @property
    def padding(self) -> float:
        return IGNORED

    @property
    def mixes(self) -> bool:
        return True

    def check(self, outputs: Tensor, batch: Batch) -> None:
        check_columns(outputs, batch["labels"], "Bernoulli")
        self.check_labels(batch["labels"], as_columns(outputs).shape[1])

    def check_labels(self, labels: Tensor, width: int) -> None:
        other = labels[_is_counted(labels) & (labels != 0) & (labels != 1)]
        if len(other):
            raise TaskError(
                f"label {other[0].item():g} is neither 0 nor 1; for every label of a set Bernoulli() needs 1 where it"
                " belongs to the set and 0 where not: correct the label, or give NaN where it is unknown"
            )

    def per_unit(self, outputs: Tensor, batch: Batch) -> Tensor:
        logits, labels, counted = self._parts(outputs, batch)
        label_losses = nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
        return torch.where(counted, label_losses, 0)

    def counts(self, batch: Batch) -> Tensor:
        return _is_counted(as_columns(batch["labels"]))

    def predict(self, outputs: Tensor) -> Tensor:
        return (as_columns(outputs) > 0).long()

    def roots(
        self, how: Labels, outputs: Tensor, batch: Batch, factor: Tensor, generator: torch.Generator
    ) -> Iterator[FixedRoot]:
        logits, labels, counted = self._parts(outputs, batch)
        chances = logits.sigmoid()
        if how == "empirical":
            columns = [chances - labels]
        elif how == "sampled":
            uniforms = draw_where(counted, torch.rand(int(counted.sum()), dtype=torch.float64, generator=generator))
            columns = [chances - (uniforms < chances).to(chances)]
        else:
            columns = one_column_each((chances * (-logits).sigmoid()).sqrt())
        for column in columns:
            yield FixedRoot((torch.where(counted, column, 0) * factor.unsqueeze(1)).reshape(outputs.shape).to(outputs))

    def condense(self, outputs: Iterable[Tensor], batch: Batch) -> dict[str, Tensor]:
        logits = []
        for model_outputs in outputs:
            check_columns(model_outputs, batch["labels"], "Bernoulli")
            logits.append(as_columns(model_outputs)[self.counts(batch)].float().cpu())
        return {"outputs": torch.stack(logits)}

    def mix(self, condensed: Mapping[str, Tensor], labels: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        logits = condensed["outputs"].double()
        right = nn.functional.logsigmoid(torch.where(labels == 1, logits, -logits))
        losses = [-torch.logsumexp(right + row.log().unsqueeze(1), 0) for row in shares]
        return torch.stack(losses).clamp(min=0.0), (shares @ logits.sigmoid() > shares @ (-logits).sigmoid()).long()

    def _parts(self, outputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits, labels (0 where none counts), and which labels count, `[B, C]` each."""
        check_columns(outputs, batch["labels"], "Bernoulli")
        logits, counted = as_columns(wide(outputs)), self.counts(batch)
        return logits, torch.where(counted, as_columns(batch["labels"]), 0).to(logits), counted


def _is_counted(labels: Tensor) -> Tensor:
    return ~(labels.isnan() | (labels == IGNORED))
