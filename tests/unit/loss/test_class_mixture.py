"""More of it is seen where it is used: tests/unit/test_outputs.py compares with forward passes."""

import torch

from foretaste.loss.class_mixture import condense_classes, mix_classes
from laws import normal


def test_up_to_128_classes_all_are_kept_and_of_more_the_likeliest_of_each_model() -> None:
    labels = torch.tensor([0, -100, 2])
    for classes, kept in ((128, None), (129, (2, 16))):
        condensed = condense_classes([normal(3, classes, seed=seed) for seed in range(2)], labels)
        assert condensed["right"].shape == (2, 2)
        assert condensed["told"].shape == (2, 2, 128 if kept is None else 16)
        assert (condensed["classes"].shape if "classes" in condensed else None) == kept


def test_mixtures_are_sums_of_probabilities() -> None:
    models, labels = [normal(4, 3, seed=seed, dtype=torch.float64) for seed in range(3)], torch.tensor([0, 1, 2, 1])
    condensed = condense_classes(iter(models), labels)
    shares = torch.tensor([[1.0, 0.0, 0.0], [0.2, 0.3, 0.5]], dtype=torch.float64)
    lost, predicted = mix_classes(condensed, shares)
    for place, row in enumerate(shares):
        mixture = sum(
            (share * each.softmax(1) for share, each in zip(row, models, strict=True)), torch.zeros(4, 3).double()
        )
        torch.testing.assert_close(lost[place], -mixture[torch.arange(4), labels].log(), rtol=1e-5, atol=1e-6)
        assert torch.equal(predicted[place], mixture.argmax(1))
