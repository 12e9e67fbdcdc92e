import math

import pytest
import torch
from torch import nn

from foretaste.errors import TaskError
from foretaste.loss.bernoulli import Bernoulli
from laws import normal, random


def sets(*shape: int) -> torch.Tensor:
    return torch.randint(0, 2, shape, generator=random(1)).float()


def test_it_is_torchs_binary_cross_entropy() -> None:
    logits, labels = normal(4, 3), sets(4, 3)
    each = Bernoulli().per_unit(logits, {"labels": labels})
    torch.testing.assert_close(each.mean(), nn.functional.binary_cross_entropy_with_logits(logits, labels))


@pytest.mark.parametrize("logit", [0.0, 1e-10, 100.0, 1e15])
def test_logits_of_any_size_have_finite_losses_and_roots(logit: float) -> None:
    outputs, batch = torch.tensor([[logit, -logit]]), {"labels": torch.tensor([[1, 0]])}
    assert Bernoulli().per_unit(outputs, batch).tolist() == [
        [pytest.approx(math.log1p(math.exp(-min(logit, 700.0))))] * 2
    ]
    for how in ("sampled", "empirical", "exact"):
        for roots in Bernoulli().roots(how, outputs, batch, torch.ones(1), random(0)):
            assert bool(roots.slopes.isfinite().all())


@pytest.mark.parametrize("label", [-1, 2, 7])
def test_labels_that_are_neither_are_named(label: int) -> None:
    labels = torch.tensor([[0, 1, label]])
    with pytest.raises(TaskError, match=f"label {label} is neither 0 nor 1"):
        Bernoulli().check(normal(1, 3), {"labels": labels})
    with pytest.raises(TaskError, match=f"label {label} is neither 0 nor 1"):
        Bernoulli().check_labels(labels[0], 3)


def test_truth_values_are_labels() -> None:
    logits, labels = normal(2, 3), sets(2, 3)
    as_numbers, as_truths = (Bernoulli().per_unit(logits, {"labels": each}) for each in (labels, labels.bool()))
    assert torch.equal(as_numbers, as_truths)
    Bernoulli().check(logits, {"labels": labels.bool()})


def test_a_mixture_is_of_probabilities() -> None:
    batch = {"labels": torch.tensor([[1.0, 0.0]])}
    chances = torch.tensor([[[0.9, 0.2]], [[0.3, 0.6]]])
    condensed = Bernoulli().condense(chances.logit(), batch)
    lost, predicted = Bernoulli().mix(
        condensed, batch["labels"].flatten(), torch.tensor([[0.5, 0.5]], dtype=torch.float64)
    )
    assert lost.flatten().tolist() == pytest.approx([-math.log(0.6), -math.log(0.6)], rel=1e-6)
    assert predicted.tolist() == [[1, 0]]


def test_what_one_model_thinks_impossible_a_mixture_does_not() -> None:
    condensed = {"outputs": torch.tensor([[-1e4], [1e4]])}
    lost, _ = Bernoulli().mix(
        condensed, torch.tensor([1.0]), torch.tensor([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]], dtype=torch.float64)
    )
    assert lost.flatten().tolist() == pytest.approx([0.0, math.log(2), 1e4])
