import math

import pytest
import torch
from torch import nn

from foretaste.errors import TaskError
from foretaste.loss.squared import Squared
from laws import normal


def test_it_is_half_of_torchs() -> None:
    outputs, labels = normal(4, 3), normal(4, 3, seed=1)
    each = Squared().per_unit(outputs, {"labels": labels})
    assert float(each.mean()) == pytest.approx(float(nn.functional.mse_loss(outputs, labels)) / 2, rel=1e-6)


def test_it_is_minus_the_log_likelihood_of_unit_variance_less_a_constant() -> None:
    outputs, labels = normal(4), normal(4, seed=1)
    each = nn.functional.gaussian_nll_loss(outputs, labels, torch.ones(4), full=True, reduction="none")
    torch.testing.assert_close(
        Squared().per_unit(outputs, {"labels": labels}).squeeze(1), each - math.log(2 * math.pi) / 2
    )


def test_numbers_in_a_column_are_not_spread_over_each_other() -> None:
    """Outputs `[N, 1]` and labels `[N]`, which torch would make `[N, N]` of."""
    outputs, labels = normal(4, 1), normal(4, seed=1)
    each = Squared().per_unit(outputs, {"labels": labels})
    torch.testing.assert_close(each, (outputs - labels.unsqueeze(1)).square() / 2)


def test_labels_in_whole_numbers_are_numbers() -> None:
    assert Squared().per_unit(torch.tensor([1.0]), {"labels": torch.tensor([3])}).tolist() == [[2.0]]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.tensor([1.0, math.inf]), "a label is infinite, and so is its squared error"),
        (torch.tensor([True, False]), r"labels are torch\.bool, not numbers to predict"),
        (torch.tensor([1j, 0]), r"labels are torch\.complex64, not numbers to predict"),
    ],
)
def test_labels_that_are_no_targets(labels: torch.Tensor, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        Squared().check(normal(2), {"labels": labels})
    Squared().check_labels(torch.tensor([1.0, math.nan]), 1)


def test_a_mixture_predicts_the_mean() -> None:
    batch = {"labels": torch.tensor([0.0, 1.0])}
    condensed = Squared().condense([torch.tensor([1.0, 1.0]), torch.tensor([3.0, -1.0])], batch)
    lost, predicted = Squared().mix(condensed, batch["labels"], torch.tensor([[0.5, 0.5]], dtype=torch.float64))
    assert predicted.tolist() == [[2.0, 0.0]]
    assert lost.tolist() == [[2.0, 0.5]]
