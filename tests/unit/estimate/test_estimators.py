import pytest
import torch
from torch import nn

from foretaste.estimate.estimators import EstimatePlan, Estimator, estimate_site
from foretaste.estimate.fisher import fisher
from foretaste.estimate.kfac import kfac
from foretaste.metrics import METRICS
from foretaste.task import Rows, Task
from laws import assert_same

ROWS = Rows(torch.randn(7, 3, generator=torch.Generator().manual_seed(0)), torch.arange(7) % 3)
TASK = Task("a", ROWS, ROWS, [METRICS["accuracy"]])


@pytest.mark.parametrize(("name", "function"), [("fisher", fisher), ("kfac", kfac)])
def test_a_plan_is_what_its_estimator_is_called_with(name: Estimator, function: object) -> None:
    model, seen = nn.Linear(3, 3), list[int]()
    plan = EstimatePlan(name, "empirical", max_examples=5, batch_size=2, seed=3, gradient=True)
    site = estimate_site(model, None, TASK, plan, seen.append)
    assert callable(function)
    expected = function(
        model,
        None,
        TASK,
        generator=torch.Generator().manual_seed(3),
        labels="empirical",
        max_examples=5,
        batch_size=2,
        gradient=True,
    )
    assert_same(site.precision.to_tensors(), expected.precision.to_tensors())
    assert_same(site.gradient or {}, expected.gradient)
    assert (site.record, seen[-1]) == (expected.record, 5)
