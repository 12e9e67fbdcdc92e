from dataclasses import replace

import pytest
import torch
from torch import nn

from foretaste.errors import ParamsError
from foretaste.estimate.ivon import IVON
from foretaste.train.optimizers import as_sampling, at_draw, new_optimizer
from foretaste.train.training import Training

TRAINING = Training(steps=3, learning_rate=0.5, weight_decay=0.25)


@pytest.mark.parametrize(
    ("training", "kind"), [(replace(TRAINING, optimizer="sgd"), torch.optim.SGD), (TRAINING, torch.optim.AdamW)]
)
def test_optimizers_take_their_numbers_from_the_training(training: Training, kind: type[torch.optim.Optimizer]) -> None:
    optimizer = new_optimizer([nn.Parameter(torch.zeros(2))], training)
    assert isinstance(optimizer, kind)
    assert (optimizer.defaults["lr"], optimizer.defaults["weight_decay"]) == (0.5, 0.25)


def test_only_an_optimizer_with_draws_is_a_sampling_one() -> None:
    weight = nn.Parameter(torch.zeros(2))
    ivon = IVON([weight], ess=1, steps=3)
    assert as_sampling(ivon, Training(steps=3)) is ivon
    assert as_sampling(new_optimizer([weight], TRAINING), TRAINING) is None


def test_draws_do_not_go_with_fp16_or_with_a_second_prior() -> None:
    ivon = IVON([nn.Parameter(torch.zeros(2))], ess=1, steps=3, weight_decay=0.1)
    with pytest.raises(ParamsError, match="set mixed_precision to bf16 or no"):
        as_sampling(ivon, Training(steps=3, mixed_precision="fp16"))
    with pytest.raises(ParamsError, match="the prior is given twice"):
        as_sampling(ivon, Training(steps=3, prior_precision=1.0))


def test_params_return_from_a_draw_also_after_an_error() -> None:
    weight = nn.Parameter(torch.ones(3))
    ivon = IVON([weight], ess=1, steps=3)
    with at_draw(ivon):
        assert not torch.equal(weight, torch.ones(3))
    assert torch.equal(weight, torch.ones(3))
    with pytest.raises(ZeroDivisionError), at_draw(ivon):
        raise ZeroDivisionError
    assert torch.equal(weight, torch.ones(3))


def test_without_draws_the_params_stay() -> None:
    with at_draw(None):
        pass
