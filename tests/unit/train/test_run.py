import torch
from torch import nn

from foretaste.estimate.ivon import IVON
from foretaste.train.run import Sampling, Silent, Snapshot, Trained


def test_only_an_optimizer_that_draws_is_a_sampling_one() -> None:
    layer = nn.Linear(1, 1)
    assert isinstance(IVON(layer.parameters(), ess=1, steps=1), Sampling)
    assert not isinstance(torch.optim.AdamW(layer.parameters()), Sampling)


def test_a_silent_observer_wants_nothing() -> None:
    silent = Silent()
    silent.on_step(1, 0.5)
    silent.keep(Snapshot(1, {}, [0.5], {}))
    assert not silent.wants_snapshot(1)


def test_a_run_without_a_scaler_or_a_sampling_optimizer_keeps_nothing_of_them() -> None:
    assert Snapshot(1, {}, [0.5], {}).scaler == {}
    assert Trained({}, [0.5], {}).state == {}
