import pytest
import torch

from foretaste.errors import TaskError
from foretaste.loss.class_labels import losses
from foretaste.loss.cross_entropy import CrossEntropy, ShapedCrossEntropy
from foretaste.loss.loss import Loss
from foretaste.loss.token_cross_entropy import TokenCrossEntropy
from laws import normal


def test_sequences_are_for_the_token_form() -> None:
    batch = {"labels": torch.zeros(2, 4).long()}
    for attempt in (CrossEntropy().check, CrossEntropy().per_unit):
        with pytest.raises(
            TaskError, match=r"labels \[2, 4\] are not one per example, .* give the task loss=TokenCrossEntropy\(\)"
        ):
            attempt(normal(2, 4, 3), batch)


def test_labels_of_no_class_are_refused() -> None:
    with pytest.raises(TaskError, match="label 3 is not one of the 3 classes"):
        CrossEntropy().check(normal(2, 3), {"labels": torch.tensor([0, 3])})
    with pytest.raises(TaskError, match="label 3 is not one of the 3 classes"):
        CrossEntropy().check_labels(torch.tensor(3), 3)


@pytest.mark.parametrize(("shape", "form"), [((4,), CrossEntropy()), ((4, 2), TokenCrossEntropy())])
def test_the_default_has_the_bits_of_either_form(shape: tuple[int, ...], form: Loss) -> None:
    outputs, batch = normal(*shape, 3), {"labels": torch.ones(shape).long()}
    expected = form.per_unit(outputs, batch)
    assert torch.equal(ShapedCrossEntropy().per_unit(outputs, batch), expected)
    assert torch.equal(losses(outputs, batch["labels"]), expected)
