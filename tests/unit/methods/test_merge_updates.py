"""Merging updates is merging full weights."""

import pytest
import torch

from factors import factors
from foretaste.lora import Factors
from foretaste.merge import merge
from foretaste.methods.merge_updates import merge_updates
from foretaste.posterior.conjugate import EXACT
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.precision import Precision
from foretaste.posterior.site import GaussianSite
from foretaste.updates import Updates
from foretaste.weights import TaskWeights

SHAPES = {"q.weight": (5, 7)}
PRIOR = Gaussian(Updates({}, {"bias": torch.zeros(5)}, SHAPES), Isotropic(0.5))
BASE = torch.randn(5, 7, generator=torch.Generator().manual_seed(9))


def updates(seed: int, rank: int) -> Updates:
    bias = torch.randn(5, generator=torch.Generator().manual_seed(seed))
    return Updates({"q.weight": factors(rank, seed)}, {"bias": bias}, SHAPES)


OWN = {"a": updates(1, 2), "b": updates(2, 3)}


def merged(sites: dict[str, GaussianSite], weights: TaskWeights) -> Updates:
    mean = PRIOR.mean
    assert isinstance(mean, Updates)
    found = merge_updates(PRIOR, mean, sites, weights, None, EXACT, None).params
    assert isinstance(found, Updates)
    return found


def precision(seed: int) -> Diagonal:
    generator = torch.Generator().manual_seed(seed)
    return Diagonal({"q.weight": torch.rand(5, 7, generator=generator), "bias": torch.rand(5, generator=generator)})


@pytest.mark.parametrize("curved", [False, True])
def test_it_equals_a_merge_of_full_weights(curved: bool) -> None:
    weights = TaskWeights(["a", "b"], [0.3, 0.7])
    precisions: dict[str, Precision] = {
        task: precision(place) if curved else Isotropic(0.0) for place, task in enumerate(OWN)
    }
    found = merged({task: GaussianSite(own, precisions[task]) for task, own in OWN.items()}, weights)
    full = {
        task: GaussianSite({"q.weight": BASE + own["q.weight"], "bias": own["bias"]}, precisions[task])
        for task, own in OWN.items()
    }
    expected = merge(Gaussian({"q.weight": BASE, "bias": torch.zeros(5)}, Isotropic(0.5)), full, weights).params
    assert torch.allclose(BASE + found["q.weight"], expected["q.weight"], atol=1e-4)
    assert torch.allclose(found["bias"], expected["bias"], atol=1e-6)
    assert isinstance(found.layers["q.weight"], Factors) != curved


@pytest.mark.parametrize("curved", [False, True])
def test_where_one_task_has_all_the_weight_its_factors_come_back(curved: bool) -> None:
    sites = {
        task: GaussianSite(own, precision(place) if curved else Isotropic(0.0))
        for place, (task, own) in enumerate(OWN.items())
    }
    found = merged(sites, TaskWeights(["a", "b"], [0.0, 1.0]))
    assert found.layers["q.weight"] is OWN["b"].layers["q.weight"]
    assert torch.equal(found["bias"], OWN["b"]["bias"])


def test_a_head_of_one_task_stays_with_it() -> None:
    head = torch.ones(2)
    own = {"a": Updates(OWN["a"].layers, {"head": head}, SHAPES), "b": Updates(OWN["b"].layers, {}, SHAPES)}
    mean = Updates({}, {"head": torch.zeros(2)}, SHAPES)
    sites = {task: GaussianSite.flat(center) for task, center in own.items()}
    weights = TaskWeights(["a", "b"], [0.5, 0.5])
    found = merge_updates(Gaussian(mean, Isotropic(1.0)), mean, sites, weights, None, EXACT, None).params
    assert torch.equal(found["head"], head)
