import torch
from torch import nn

from foretaste.metrics import METRICS
from foretaste.sources.space import OWN
from foretaste.task import Rows, Task


def test_a_run_is_its_trained_params_and_its_buffers() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    params = {"0.weight": torch.ones(2, 2), "1.running_mean": torch.ones(2)}
    assert list(OWN.center(model, {"0.weight"}, params)) == ["0.weight"]
    assert list(OWN.carried(model, params)) == ["1.running_mean"]


def test_the_prior_is_a_copy_of_the_pretrained_params() -> None:
    model = nn.Linear(1, 1)
    mean = OWN.prior_mean(model, {"weight"})
    with torch.no_grad():
        model.weight.add_(1)
    assert list(mean) == ["weight"]
    assert not torch.equal(mean["weight"], model.weight)


def test_curvature_is_seen_in_the_task_s_own_params() -> None:
    rows = Rows(torch.eye(2), torch.arange(2))
    task = Task("a", rows, rows, [METRICS["accuracy"]])
    with OWN.watched(nn.Linear(2, 2), task) as watched:
        assert watched is task
    assert OWN.inputs == {}
