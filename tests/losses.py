"""Losses with outputs and labels for them, and what the laws of a loss compare with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from foretaste.loss.bernoulli import Bernoulli
from foretaste.loss.cross_entropy import CrossEntropy, ShapedCrossEntropy
from foretaste.loss.loss import Loss
from foretaste.loss.squared import Squared
from foretaste.loss.token_cross_entropy import TokenCrossEntropy
from laws import normal, random

__all__ = ["CASES", "Case", "hessians"]


@dataclass(frozen=True)
class Case:
    """A loss, outputs in float64, and labels; one of which, at least, does not count."""

    loss: Loss
    outputs: Tensor
    labels: Tensor

    @property
    def batch(self) -> dict[str, Tensor]:
        return {"labels": self.labels}


def _outputs(*shape: int) -> Tensor:
    return normal(*shape, dtype=torch.float64)


def _classes(*shape: int) -> Tensor:
    labels = torch.randint(0, 3, shape, generator=random(1))
    labels[-1] = -100
    return labels


def _without(labels: Tensor, value: float = torch.nan) -> Tensor:
    labels.view(-1)[-1] = value
    return labels


def _sets(*shape: int) -> Tensor:
    return torch.randint(0, 2, shape, generator=random(1))


CASES: Mapping[str, Callable[[], Case]] = {
    "classes": lambda: Case(CrossEntropy(), _outputs(5, 3), _classes(5)),
    "tokens": lambda: Case(TokenCrossEntropy(), _outputs(4, 2, 3), _classes(4, 2)),
    "classes by default": lambda: Case(ShapedCrossEntropy(), _outputs(5, 3), _classes(5)),
    "tokens by default": lambda: Case(ShapedCrossEntropy(), _outputs(4, 2, 3), _classes(4, 2)),
    "number": lambda: Case(Squared(), _outputs(5), _without(normal(5, seed=1, dtype=torch.float64))),
    "number in a column": lambda: Case(Squared(), _outputs(5, 1), _without(normal(5, seed=1, dtype=torch.float64))),
    "vector": lambda: Case(Squared(), _outputs(5, 3), _without(normal(5, 3, seed=1, dtype=torch.float64))),
    "label set": lambda: Case(Bernoulli(), _outputs(5, 3), _without(_sets(5, 3).double())),
    "label set in whole numbers": lambda: Case(Bernoulli(), _outputs(5, 3), _without(_sets(5, 3), -100)),
    "one label": lambda: Case(Bernoulli(), _outputs(5), _without(_sets(5).double())),
}


def hessians(case: Case) -> Tensor:
    """The Hessian of every example's summed losses by its outputs, `[B, K, K]`, by autograd."""
    each = []
    for index in range(len(case.outputs)):
        outputs = case.outputs[index : index + 1].clone().requires_grad_()
        total = case.loss.per_unit(outputs, {"labels": case.labels[index : index + 1]}).sum()
        (slopes,) = torch.autograd.grad(total, outputs, create_graph=True)
        rows = [torch.autograd.grad(slope, outputs, retain_graph=True)[0].flatten() for slope in slopes.flatten()]
        each.append(torch.stack(rows))
    return torch.stack(each)
