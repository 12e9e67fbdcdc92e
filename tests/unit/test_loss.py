import math

import pytest
import torch

from foretaste.errors import TaskError
from foretaste.loss import IGNORED, check_labels, check_logits, losses, unit_factors, units


def test_losses_are_minus_the_log_of_the_label_s_share() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)], [math.log(4.0), 0.0]])
    expected = torch.tensor([[-math.log(3 / 4)], [-math.log(1 / 5)]])
    assert torch.allclose(losses(logits, torch.tensor([1, 1])), expected)
    assert losses(logits, torch.tensor([1, IGNORED]))[1] == 0


@pytest.mark.parametrize("shape", [(3, 1), (2, 3, 1)])
def test_a_single_class_is_refused(shape: tuple[int, ...]) -> None:
    logits, labels = torch.randn(shape), torch.zeros(shape[:-1], dtype=torch.long)
    for refuse in (losses, check_logits):
        with pytest.raises(
            TaskError, match=r"have a single class, whose cross-entropy is 0 .* torch\.cat\(\[torch\.zeros_like\(z\), z\], -1\)"
        ):
            refuse(logits, labels)


def test_two_classes_of_one_logit_are_the_binary_loss() -> None:
    """What the message advises."""
    z, labels = torch.randn(5, 1), torch.tensor([0, 1, 1, 0, 1])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(z, labels[:, None].float(), reduction="none")
    assert torch.allclose(losses(torch.cat([torch.zeros_like(z), z], -1), labels), expected)


@pytest.mark.parametrize("label", [-1, 2, 7])
def test_labels_outside_the_classes_are_named(label: int) -> None:
    labels = torch.tensor([0, IGNORED, label])
    for refuse in (lambda: check_labels(labels, 2), lambda: losses(torch.zeros(3, 2), labels)):
        with pytest.raises(TaskError, match=f"label {label} is not one of the 2 classes, 0 to 1; correct the labels"):
            refuse()
    check_labels(torch.tensor([0, 1, IGNORED]), 2)


def test_labels_that_are_no_whole_numbers() -> None:
    with pytest.raises(TaskError, match=r"labels are torch\.float32, not classes by number"):
        check_labels(torch.zeros(2), 2)


def test_units_and_factors() -> None:
    labels = torch.tensor([[1, IGNORED], [2, 3]])
    assert units(labels, "example") == 2
    assert units(labels, "token") == 3
    assert unit_factors(labels, "example").tolist() == [1.0, 0.5]
    assert unit_factors(labels, "token").tolist() == [1.0, 1.0]
