"""Diagonal curvature against BackPACK's."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from foretaste.estimate.fisher import Labels, fisher
from foretaste.posterior.diagonal import Diagonal
from laws import normal, random
from networks import Net, classes

backpack = pytest.importorskip("backpack", reason="independent curvature: pip install --no-deps backpack-for-pytorch einops unfoldNd")
extensions = pytest.importorskip("backpack.extensions")
pytestmark = pytest.mark.filterwarnings("ignore:Full backward hook is firing when gradients are computed:UserWarning")  # its own hooks

NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "softmax regression": (lambda: nn.Sequential(nn.Linear(4, 3)), (4,)),
    "mlp": (lambda: nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 5), nn.Sigmoid(), nn.Linear(5, 3)), (4,)),
    "without biases": (lambda: nn.Sequential(nn.Linear(4, 6, bias=False), nn.ReLU(), nn.Linear(6, 3, bias=False)), (4,)),
    "conv1d": (lambda: nn.Sequential(nn.Conv1d(2, 4, 3, stride=2, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(16, 3)), (2, 8)),
    "conv2d": (lambda: nn.Sequential(nn.Conv2d(2, 4, 3, padding=1, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)), (2, 8, 8)),
    "grouped": (lambda: nn.Sequential(nn.Conv2d(4, 4, (3, 1), groups=2, dilation=2), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3)), (4, 6, 4)),
}


def network(name: str) -> Net:
    make, shape = NETS[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Net(make(), {"inputs": normal(5, *shape), "labels": classes()})


def theirs(found: Net, extension: str, kept: str) -> dict[str, Tensor]:
    """What an extension leaves at each parameter after one backward pass of the mean loss."""
    model, loss = backpack.extend(copy.deepcopy(found.model).double()), backpack.extend(nn.CrossEntropyLoss())
    with backpack.backpack(getattr(extensions, extension)()):
        loss(model(found.batch["inputs"].double()), found.batch["labels"]).backward()
    return {name: getattr(parameter, kept) for name, parameter in model.named_parameters()}


def ours(found: Net, labels: Labels) -> Diagonal:
    precision = fisher(found.model, None, found.task(), generator=random(0), labels=labels, batch_size=2).precision
    assert isinstance(precision, Diagonal)
    return precision


@pytest.mark.parametrize("name", NETS)
def test_exact_labels_give_the_diagonal_of_the_gauss_newton_matrix(name: str) -> None:
    found = network(name)
    entries = ours(found, "exact").entries
    for parameter, expected in theirs(found, "DiagGGNExact", "diag_ggn_exact").items():
        torch.testing.assert_close(entries[parameter].double(), expected, rtol=1e-4, atol=1e-6 * float(expected.max()))


@pytest.mark.parametrize("name", NETS)
def test_the_datas_labels_give_the_sum_of_squared_gradients(name: str) -> None:
    """Theirs are gradients of terms of the mean loss: each has a 1/N, of which the mean of squares needs one."""
    found = network(name)
    entries = ours(found, "empirical").entries
    for parameter, squares in theirs(found, "SumGradSquared", "sum_grad_squared").items():
        expected = 5 * squares
        torch.testing.assert_close(entries[parameter].double(), expected, rtol=1e-4, atol=1e-6 * float(expected.max()))
