"""Diagonal curvature against BackPACK's."""

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from foretaste.estimate.fisher import Labels, fisher
from foretaste.loss.bernoulli import Bernoulli
from foretaste.loss.loss import Loss
from foretaste.loss.squared import Squared
from foretaste.posterior.diagonal import Diagonal
from laws import normal, random
from networks import Net, classes

backpack = pytest.importorskip(
    "backpack", reason="independent curvature: pip install --no-deps backpack-for-pytorch einops unfoldNd"
)
extensions = pytest.importorskip("backpack.extensions")
pytestmark = pytest.mark.filterwarnings(
    "ignore:Full backward hook is firing when gradients are computed:UserWarning"
)  # its own hooks

NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "softmax regression": (lambda: nn.Sequential(nn.Linear(4, 3)), (4,)),
    "mlp": (lambda: nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 5), nn.Sigmoid(), nn.Linear(5, 3)), (4,)),
    "without biases": (
        lambda: nn.Sequential(nn.Linear(4, 6, bias=False), nn.ReLU(), nn.Linear(6, 3, bias=False)),
        (4,),
    ),
    "conv1d": (
        lambda: nn.Sequential(nn.Conv1d(2, 4, 3, stride=2, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(16, 3)),
        (2, 8),
    ),
    "conv2d": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3, padding=1, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)),
        (2, 8, 8),
    ),
    "grouped": (
        lambda: nn.Sequential(nn.Conv2d(4, 4, (3, 1), groups=2, dilation=2), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3)),
        (4, 6, 4),
    ),
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


def check_other(model: nn.Module, inputs: Tensor, labels: Tensor, own: Loss, theirs: nn.Module, times: float) -> None:
    """Compare under another loss than cross-entropy; theirs is so many times as large as ours."""
    task = replace(Net(model, {"inputs": inputs, "labels": labels}).task(), loss=own)
    copied, loss = backpack.extend(copy.deepcopy(model).double()), backpack.extend(theirs)
    with backpack.backpack(extensions.DiagGGNExact()):
        loss(copied(inputs.double()), labels.double()).backward()
    precision = fisher(model, None, task, generator=random(0), labels="exact", batch_size=2).precision
    assert isinstance(precision, Diagonal)
    for parameter, tensor in copied.named_parameters():
        expected = tensor.diag_ggn_exact / times
        torch.testing.assert_close(
            precision.entries[parameter].double(), expected, rtol=1e-4, atol=1e-6 * float(expected.max())
        )


@pytest.mark.parametrize("name", NETS)
def test_squared_loss_of_vectors(name: str) -> None:
    """Theirs is the mean squared error over all numbers, without the half."""
    found = network(name)
    check_other(found.model, found.batch["inputs"], normal(5, 3, seed=1), Squared(), nn.MSELoss(), 2.0)


@pytest.mark.parametrize("name", NETS)
def test_bernoulli_loss_of_one_label(name: str) -> None:
    """They have it of a single logit only; curvlinops, of sets."""
    found, labels = network(name), torch.tensor([[0.0], [1.0], [1.0], [0.0], [1.0]])
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = nn.Sequential(*found.model.children(), nn.Linear(3, 1))
    check_other(model, found.batch["inputs"], labels, Bernoulli(), nn.BCEWithLogitsLoss(), 1.0)
