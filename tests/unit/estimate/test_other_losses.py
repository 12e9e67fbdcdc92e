"""Curvature under losses other than cross-entropy, against the loss's own Hessian and explicit jacobians."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from foretaste.estimate.fisher import fisher
from foretaste.estimate.kfac import kfac
from foretaste.estimate.secant import mean_gradient
from foretaste.loss.bernoulli import Bernoulli
from foretaste.loss.loss import Loss
from foretaste.loss.squared import Squared
from foretaste.loss.unit import count_units, unit_factors
from foretaste.params import snapshot
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.kronecker import Kronecker
from foretaste.task import Task, Unit
from laws import normal, random
from losses import Case, hessians
from networks import COUNT, Net, Tensors, net


def targets() -> Tensor:
    """Of three numbers each, one of which is missing."""
    labels = normal(COUNT, 3, seed=1)
    labels[1, 2] = torch.nan
    return labels


def sets() -> Tensor:
    labels = targets()
    return torch.where(labels.isnan(), labels, (labels > 0).float())


LOSSES: Mapping[str, Callable[[], tuple[Loss, Tensor]]] = {
    "squared": lambda: (Squared(), targets()),
    "bernoulli": lambda: (Bernoulli(), sets()),
}
EVERY = pytest.mark.parametrize("loss", LOSSES)
NETS = pytest.mark.parametrize("name", ["mlp", "bare parameter"])  # the second goes one example at a time


def problem(name: str, loss: str, unit: Unit = "example") -> tuple[Net, Task]:
    """A network of three outputs, and a task with another loss."""
    value, labels = LOSSES[loss]()
    found = net(name)
    found = Net(found.model.eval(), {**found.batch, "labels": labels})
    return found, replace(found.task(unit), loss=value, train=Tensors(found.batch))


def jacobians(found: Net, outputs: Tensor) -> dict[str, Tensor]:
    """`[B, 3, ...]` by name, in float64."""
    named = dict(found.model.named_parameters())
    rows = [torch.autograd.grad(one, list(named.values()), retain_graph=True) for one in outputs.flatten()]
    stacked = (torch.stack(each).double() for each in zip(*rows, strict=True))
    return {name: each.reshape(COUNT, 3, *each.shape[1:]) for name, each in zip(named, stacked, strict=True)}


def gauss_newton(found: Net, task: Task) -> dict[str, Tensor]:
    """The diagonal of the matrix, per unit."""
    outputs = task.predict(found.model, found.batch)
    middle = hessians(Case(task.loss, outputs.detach().double(), found.batch["labels"]))
    counted = task.loss.counts(found.batch)
    factors, count = unit_factors(counted, task.unit).double(), count_units(counted, task.unit)
    found_by_name = jacobians(found, outputs)
    return {
        name: torch.einsum("bc...,bcd,bd...,b->...", rows, middle, rows, factors) / count
        for name, rows in found_by_name.items()
    }


def entries(site_precision: object) -> Mapping[str, Tensor]:
    assert isinstance(site_precision, Diagonal)
    return site_precision.entries


@EVERY
@NETS
@pytest.mark.parametrize("unit", ["example", "token"])
def test_exact_ones_are_the_diagonal_of_the_gauss_newton_matrix(name: str, loss: str, unit: Unit) -> None:
    found, task = problem(name, loss, unit)
    site = fisher(found.model, None, task, generator=random(0), labels="exact", batch_size=2)
    for parameter, expected in gauss_newton(found, task).items():
        torch.testing.assert_close(
            entries(site.precision)[parameter].double(), expected, rtol=1e-4, atol=1e-6 * float(expected.max())
        )


@EVERY
@NETS
def test_drawn_ones_are_it_on_average(name: str, loss: str) -> None:
    found, task = problem(name, loss)
    draws = 300
    many = Tensors({key: tensor.repeat(draws, *[1] * (tensor.dim() - 1)) for key, tensor in found.batch.items()})
    site = fisher(found.model, None, replace(task, train=many), generator=random(0), labels="sampled", batch_size=500)
    for parameter, expected in gauss_newton(found, task).items():
        total = float(entries(site.precision)[parameter].double().sum())
        assert total == pytest.approx(float(expected.sum()), rel=0.15)


@EVERY
def test_the_gradient_is_that_of_the_mean_loss(loss: str) -> None:
    found, task = problem("mlp", loss)
    counted = task.loss.counts(found.batch)
    each = task.loss.per_unit(task.predict(found.model, found.batch), found.batch)
    total = (each.sum(1) * unit_factors(counted, "example")).mean()
    expected = dict(
        zip(
            dict(found.model.named_parameters()),
            torch.autograd.grad(total, list(found.model.parameters())),
            strict=True,
        )
    )
    site = fisher(found.model, None, task, generator=random(0), gradient=True, batch_size=2)
    assert site.gradient is not None
    alone = mean_gradient(found.model, snapshot(dict(found.model.named_parameters())), task, [found.batch])
    for name, tensor in expected.items():
        torch.testing.assert_close(site.gradient[name], tensor, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(alone[name], tensor, rtol=1e-4, atol=1e-6)


@EVERY
def test_kronecker_keeps_the_trace(loss: str) -> None:
    """Eigenvalues and what is outside of the basis add up to the trace of the matrix; curvlinops checks the rest."""
    found, task = problem("mlp", loss)
    precision = kfac(found.model, None, task, generator=random(0), labels="exact", batch_size=2, share=1.0).precision
    assert isinstance(precision, Kronecker)
    expected = gauss_newton(found, task)
    for name, axes in precision.basis.items():
        trace = float(expected[name].sum()) + (float(expected[axes.bias].sum()) if axes.bias else 0.0)
        assert float(precision.eigenvalues[name].sum()) == pytest.approx(trace, rel=1e-4)


def test_a_scalar_has_one_root_per_example() -> None:
    """Of one number per example the matrix is the outer product of its gradient."""
    model, inputs, labels = nn.Linear(4, 1), normal(COUNT, 4), normal(COUNT, seed=1)
    found = Net(model, {"inputs": inputs, "labels": labels})
    task = replace(found.task(), loss=Squared())
    site = fisher(model, None, task, generator=random(0), labels="exact")
    torch.testing.assert_close(entries(site.precision)["weight"], inputs.square().mean(0, keepdim=True))
    torch.testing.assert_close(entries(site.precision)["bias"], torch.ones(1))
