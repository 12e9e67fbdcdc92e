import math

import pytest
import torch
from torch import nn

from foretaste.errors import TaskError
from foretaste.loss.class_labels import IGNORED, check_labels, check_logits, losses
from laws import normal


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
            TaskError,
            match=r"have a single class, whose cross-entropy is 0 .* torch\.cat\(\[torch\.zeros_like\(z\), z\], -1\)",
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
    """Of label sets too, whose shape would be the first thing to be wrong."""
    advice = (
        r"labels are torch\.float32, not class numbers, .* loss=Squared\(\) for numbers to predict,"
        r" loss=Bernoulli\(\) for label sets"
    )
    with pytest.raises(TaskError, match=advice):
        check_labels(torch.zeros(2), 2)
    with pytest.raises(TaskError, match=advice):
        losses(torch.zeros(2, 3), torch.zeros(2, 3))


class TestLosses:
    def test_one_label_per_example(self) -> None:
        logits, labels = normal(4, 3), torch.tensor([0, 2, 1, 1])
        expected = torch.stack([-logits[i].log_softmax(0)[labels[i]] for i in range(4)])
        torch.testing.assert_close(losses(logits, labels), expected.unsqueeze(1))

    def test_token_labels_and_padding(self) -> None:
        logits, labels = normal(2, 3, 5), torch.tensor([[1, IGNORED, 4], [IGNORED, IGNORED, IGNORED]])
        found = losses(logits, labels)
        assert found.shape == (2, 3)
        assert found[labels == IGNORED].eq(0).all()
        torch.testing.assert_close(found[0, 2], -logits[0, 2].log_softmax(0)[4])

    @pytest.mark.parametrize(
        ("dtype", "expected"),
        [
            (torch.bfloat16, torch.float32),
            (torch.float16, torch.float32),
            (torch.float32, torch.float32),
            (torch.float64, torch.float64),
        ],
    )
    def test_float32_or_wider(self, dtype: torch.dtype, expected: torch.dtype) -> None:
        logits = normal(2, 3).to(dtype)
        found = losses(logits, torch.tensor([0, 1]))
        assert found.dtype == expected
        torch.testing.assert_close(found, losses(logits.to(expected), torch.tensor([0, 1])))

    @pytest.mark.parametrize(
        ("logits", "labels"),
        [
            (torch.zeros(2, 3), torch.zeros(3).long()),
            (torch.zeros(2, 4, 3), torch.zeros(2).long()),
            (torch.zeros(2), torch.zeros(2).long()),
        ],
    )
    def test_shapes_that_do_not_fit(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        with pytest.raises(TaskError, match=r"logits \[.*\] and labels \[.*\] do not fit"):
            losses(logits, labels)

    def test_a_large_vocabulary_gives_the_same_where_some_places_have_no_label(self) -> None:
        logits = normal(2, 3, 5000).requires_grad_()
        labels = torch.tensor([[1, IGNORED, 4999], [IGNORED, IGNORED, 7]])
        found = losses(logits, labels)
        (slopes,) = torch.autograd.grad(found.sum(), logits)
        flat = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
        (expected,) = torch.autograd.grad(flat.sum(), logits)
        assert torch.equal(found.flatten(), flat)
        assert torch.equal(slopes, expected)
        assert losses(logits.detach(), torch.full((2, 3), IGNORED)).eq(0).all()
        with pytest.raises(TaskError, match="label 5000 is not one of the 5000 classes"):
            losses(logits, torch.tensor([[1, IGNORED, 5000], [1, 1, 1]]))
