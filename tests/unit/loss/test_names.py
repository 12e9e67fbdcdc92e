from typing import Any, get_args

import pytest
import torch

from foretaste.errors import TaskError
from foretaste.loss.cross_entropy import CrossEntropy, ShapedCrossEntropy
from foretaste.loss.names import LossName, loss_named


def test_every_name_has_a_loss_of_its_own() -> None:
    names = get_args(LossName)
    losses = [loss_named(name) for name in names]
    assert losses[0] == ShapedCrossEntropy()
    assert [loss.key for loss in losses[1:]] == list(names[1:])  # the words that keys of finished work have, too


def test_a_loss_stays_as_it_is() -> None:
    loss = CrossEntropy()
    assert loss_named(loss) is loss
    assert loss_named("squared").per_unit(torch.tensor([3.0]), {"labels": torch.tensor([1.0])}).tolist() == [[2.0]]


def test_an_unknown_name() -> None:
    name: Any = "mse"
    with pytest.raises(TaskError, match=r"there is no loss 'mse'; give 'cross-entropy', 'squared', 'bernoulli', or a"):
        loss_named(name)
