"""Kronecker curvature against curvlinops' Gauss-Newton and K-FAC operators."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from foretaste.estimate.factors import factors
from foretaste.estimate.kfac import kfac
from foretaste.loss.bernoulli import Bernoulli
from foretaste.loss.loss import Loss
from foretaste.loss.squared import Squared
from foretaste.posterior.kronecker import Kronecker
from laws import normal, random
from networks import Net, classes

curvlinops = pytest.importorskip(
    "curvlinops",
    reason=(
        "independent curvature: pip install --no-deps curvlinops-for-pytorch backpack-for-pytorch einconv einops"
        " linear_operator opt_einsum unfoldNd"
    ),
)
pytestmark = pytest.mark.filterwarnings(
    "ignore:.torch.jit.script. is deprecated:DeprecationWarning"
)  # torch's own, in forward mode

NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "softmax regression": (lambda: nn.Sequential(nn.Linear(4, 3)), (4,)),
    "mlp": (lambda: nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)), (4,)),
    "without biases": (
        lambda: nn.Sequential(nn.Linear(4, 5, bias=False), nn.ReLU(), nn.Linear(5, 3, bias=False)),
        (4,),
    ),
    "conv2d": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 3, padding=1, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(12, 3)),
        (2, 4, 4),
    ),
}


def network(name: str) -> Net:
    """In float64, so that nothing but the formula can differ."""
    make, shape = NETS[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Net(make().double(), {"inputs": normal(5, *shape, dtype=torch.float64), "labels": classes()})


def layers(found: Net) -> dict[str, nn.Module]:
    return {
        f"{name}.weight": module
        for name, module in found.model.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
    }


def block(found: Net, module: nn.Module, operator: str, loss: nn.Module | None = None, **options: object) -> Tensor:
    """One layer's block of an operator, in the order of our matrices: rows, then columns with the bias last."""
    parameters = list(module.parameters())
    count = sum(parameter.numel() for parameter in parameters)
    data = [(found.batch["inputs"], found.batch["labels"])]
    linear = getattr(curvlinops, operator)(found.model, loss or nn.CrossEntropyLoss(), parameters, data, **options)
    matrix: Tensor = linear @ torch.eye(count, dtype=torch.float64)
    rows = len(parameters[0])
    places = torch.arange(parameters[0].numel()).reshape(rows, -1)
    if len(parameters) > 1:
        places = torch.cat([places, parameters[0].numel() + torch.arange(rows).reshape(-1, 1)], dim=1)
    return matrix[places.flatten()][:, places.flatten()]


@pytest.mark.parametrize("name", NETS)
def test_eigenvalues_are_the_diagonal_in_the_basis_of_their_gauss_newton_matrix(name: str) -> None:
    found = network(name)
    precision = kfac(found.model, None, found.task(), generator=random(0), labels="exact", batch_size=2).precision
    assert isinstance(precision, Kronecker)
    assert set(precision.basis) == set(layers(found))
    for weight, module in layers(found).items():
        axes = precision.basis[weight]
        turn = torch.kron(axes.left.double(), axes.right.double())
        expected = (
            (turn.T @ block(found, module, "GGNLinearOperator") @ turn).diagonal().reshape(axes.left.shape[1], -1)
        )
        torch.testing.assert_close(
            precision.eigenvalues[weight].double(), expected, rtol=1e-5, atol=1e-7 * float(expected.max())
        )


@pytest.mark.parametrize(("labels", "kind"), [("exact", "type-2"), ("empirical", "empirical")])
@pytest.mark.parametrize("name", NETS)
def test_factors_are_theirs_up_to_a_scale(name: str, labels: str, kind: str) -> None:
    """Only their eigenvectors are used, so that how often a position or a label is counted does not matter."""
    found = network(name)
    task = found.task()
    each = factors(
        found.model, None, task, generator=random(0), labels="exact" if labels == "exact" else "empirical", batch_size=2
    )
    for weight, module in layers(found).items():
        expected = block(found, module, "KFACLinearOperator", fisher_type=kind, separate_weight_and_bias=False)
        product = torch.kron(each.left[weight].double(), each.right[weight].double())
        torch.testing.assert_close(product / product.trace(), expected / expected.trace(), rtol=1e-5, atol=1e-8)


OTHERS: dict[str, Callable[[], tuple[Loss, nn.Module, float, Tensor]]] = {
    "squared": lambda: (Squared(), nn.MSELoss(), 2.0, normal(5, 3, seed=1, dtype=torch.float64)),
    "bernoulli": lambda: (Bernoulli(), nn.BCEWithLogitsLoss(), 1.0, (normal(5, 3, seed=1) > 0).double()),
}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("other", OTHERS)
def test_of_other_losses_too(name: str, other: str) -> None:
    """Ours, theirs, and how many times as large theirs is."""
    found = network(name)
    own, theirs, times, labels = OTHERS[other]()
    found = replace(found, batch={**found.batch, "labels": labels})
    task = replace(found.task(), loss=own)
    precision = kfac(found.model, None, task, generator=random(0), labels="exact", batch_size=2).precision
    assert isinstance(precision, Kronecker)
    for weight, module in layers(found).items():
        axes = precision.basis[weight]
        turn = torch.kron(axes.left.double(), axes.right.double())
        exact = block(found, module, "GGNLinearOperator", theirs) / times
        expected = (turn.T @ exact @ turn).diagonal().reshape(axes.left.shape[1], -1)
        torch.testing.assert_close(
            precision.eigenvalues[weight].double(), expected, rtol=1e-5, atol=1e-7 * float(expected.max())
        )
