import pytest
import torch

from foretaste.errors import TaskError
from foretaste.loss.token_cross_entropy import TokenCrossEntropy
from laws import normal


def test_every_label_token_has_a_loss() -> None:
    batch = {"labels": torch.tensor([[1, 0, -100], [2, -100, -100]])}
    each = TokenCrossEntropy().per_unit(normal(2, 3, 4), batch)
    assert each.shape == (2, 3)
    assert (
        (each > 0).tolist() == TokenCrossEntropy().counts(batch).tolist() == [[True, True, False], [True, False, False]]
    )


def test_one_label_per_example_is_for_the_other_form() -> None:
    with pytest.raises(TaskError, match=r"labels \[2\] are not sequences, .* give the task loss=CrossEntropy\(\)"):
        TokenCrossEntropy().check(normal(2, 3), {"labels": torch.tensor([0, 1])})
