from dataclasses import replace

import pytest
import torch

from away import AWAY, Away, is_away
from foretaste.merge import correct_preview, merge
from foretaste.params import Params
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.mixture import MixtureSite
from foretaste.posterior.placing import bytes_of, place_on
from foretaste.posterior.site import GaussianSite, Site
from foretaste.weights import TaskWeights
from laws import HARD, STRUCTURES, assert_same, normal

LIKE = HARD["several"]
PRIOR = Gaussian(LIKE, Isotropic(0.5))
AT = TaskWeights(["a", "b"], [0.25, 0.75])


def moved(seed: int) -> Params:
    return {name: tensor + normal(*tensor.shape, seed=seed, dtype=tensor.dtype) for name, tensor in LIKE.items()}


def gaussian(seed: int, structure: str = "diagonal") -> GaussianSite:
    return GaussianSite(moved(seed), STRUCTURES[structure](LIKE), carried={"mean": torch.full((2,), float(seed))})


def sites_of(kind: str) -> dict[str, Site]:
    if kind == "mixture":
        return {
            name: MixtureSite(PRIOR, [gaussian(seed), gaussian(seed + 2)], tempering=1e4)
            for seed, name in enumerate("ab")
        }
    if kind == "with a gradient":
        return {name: replace(gaussian(seed), gradient=moved(8)) for seed, name in enumerate("ab")}
    return {name: gaussian(seed, kind) for seed, name in enumerate("ab")}


@pytest.mark.parametrize("kind", [*STRUCTURES, "mixture", "with a gradient"])
def test_what_lies_elsewhere_is_merged_there_to_the_same(kind: str) -> None:
    sites = sites_of(kind)
    expected = merge(PRIOR, sites, AT)
    with Away() as away:
        there = place_on((PRIOR, sites), AWAY)
        assert bytes_of(there) == sum(away.brought) == bytes_of((PRIOR, sites))
        found = merge(*there, AT)
        assert sum(away.brought) == bytes_of((PRIOR, sites))
        assert away.taken == []
    assert all(is_away(tensor) for tensor in found.params.values())
    assert (found.steps, found.converged) == (expected.steps, expected.converged)
    assert_same(found.params, expected.params)


@pytest.mark.parametrize("kind", STRUCTURES)
def test_what_stays_is_streamed_where_it_is_merged(kind: str) -> None:
    sites = sites_of(kind)
    expected = merge(PRIOR, sites, AT)
    with Away() as away:
        found = merge(PRIOR, sites, AT, device=AWAY)
        joint = correct_preview(found, found, moved(5))
        assert away.taken == []
    assert all(is_away(found.params[name]) and is_away(joint.params[name]) for name in LIKE)
    assert_same(found.params, expected.params)
    assert_same(joint.params, correct_preview(expected, expected, moved(5)).params)


def test_mixing_two_devices_is_what_the_second_one_refuses() -> None:
    with Away():
        one = torch.ones(2).to(AWAY)
        with pytest.raises(RuntimeError, match="two devices"):
            one + torch.ones(2)
        assert one.device == AWAY
        assert one.cpu().device.type == "cpu"


def test_what_is_shared_stays_shared() -> None:
    tensor = torch.zeros(3)
    one, other = place_on([{"w": tensor}, {"w": tensor}], torch.device("meta"))
    assert one["w"] is other["w"]
    assert bytes_of([one, other]) == 12


def test_nothing_moves_without_a_device_or_where_it_lies_already() -> None:
    assert place_on(LIKE, None) is LIKE
    assert all(tensor is LIKE[name] for name, tensor in place_on(LIKE, torch.device("cpu")).items())
