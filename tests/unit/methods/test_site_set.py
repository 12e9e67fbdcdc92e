import math

import pytest
import torch

from foretaste.merge import merge
from foretaste.methods.site_set import AnchorRun, Merger, SiteSet
from foretaste.posterior.conjugate import Stop
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.mixture import MixtureSite
from foretaste.posterior.site import GaussianSite
from foretaste.store.study import Done
from foretaste.weights import TaskWeights

PRIOR = Gaussian({"w": torch.zeros(1)}, Isotropic(0.5))
AT = TaskWeights(["a", "b"], [0.5, 0.5])


def done(key: str, seconds: float, artefact: str | None = None) -> Done:
    return Done(key, "site", {}, {}, artefact, seconds)


def run(value: float) -> GaussianSite:
    return GaussianSite({"w": torch.tensor([value])}, Isotropic(9.0))


def test_work_that_tasks_share_counts_once() -> None:
    shared = done("joint", 100.0)
    found = SiteSet({"a": (done("a", 1.0), shared), "b": (done("b", 2.0), shared)}, lambda prior: {})
    assert found.seconds == 103.0


def test_artefacts_are_hashes_of_tensors_or_names_of_work_without_any() -> None:
    found = SiteSet({"a": (done("run", 1.0, "hash"), done("choice", 1.0))}, lambda prior: {})
    assert found.artefacts == {"a": ["hash", "choice"]}


def test_one_more_piece_of_work_is_another_value() -> None:
    before = SiteSet({"a": (done("a", 1.0),), "b": (done("b", 2.0),)}, lambda prior: {}, options={"trust": 0.5})
    after = before.add_work(done("choice", 10.0))
    assert after.artefacts == {"a": ["a", "choice"], "b": ["b", "choice"]}
    assert (before.seconds, after.seconds) == (3.0, 13.0)
    assert after.options == before.options


def test_sites_are_made_for_the_prior_that_they_are_merged_into() -> None:
    given = []

    def sites(prior: Gaussian) -> dict[str, GaussianSite]:
        given.append(prior)
        return {"a": run(1.0), "b": run(-1.0)}

    found = SiteSet({}, sites, start=sites, temperatures=(4.0, 1.0), stop=Stop(1e-3)).under(PRIOR)
    assert given == [PRIOR, PRIOR]
    assert (found.prior, found.temperatures, found.stop) == (PRIOR, (4.0, 1.0), Stop(1e-3))


def test_gaussian_sites_are_merged_once() -> None:
    sites = {"a": run(1.0), "b": run(-3.0)}
    found, expected = Merger(PRIOR, sites).merge(AT), merge(PRIOR, sites, AT)
    assert torch.equal(found.params["w"], expected.params["w"])
    assert found.start is PRIOR.mean


def test_a_start_decides_which_mode_is_found() -> None:
    """Two runs of a task, one on either side: the merge ends at that where it began."""
    sites = {task: MixtureSite(PRIOR, (run(-2.0), run(2.0))) for task in "ab"}
    for side in (-1.0, 1.0):
        start = {task: run(2.0 * side) for task in "ab"}
        found = Merger(PRIOR, sites, start=start).merge(AT)
        assert torch.equal(found.start["w"], merge(PRIOR, start, AT).params["w"])
        assert float(found.params["w"]) * side > 1.0


def test_each_temperature_begins_where_the_last_ended() -> None:
    """Hot responsibilities average the runs; cold ones go on from there."""
    sites = {task: MixtureSite(PRIOR, (run(-1.0), run(2.0))) for task in "ab"}
    hot = {task: site.at_temperature(50.0) for task, site in sites.items()}
    middle = merge(PRIOR, hot, AT).params
    found = Merger(PRIOR, sites, temperatures=(50.0, 1.0)).merge(AT)
    assert torch.equal(found.start["w"], middle["w"])
    assert float(found.params["w"]) == pytest.approx(float(merge(PRIOR, sites, AT, start=middle).params["w"]))


def test_without_temperatures_a_mixture_keeps_its_own() -> None:
    """So that the controls, whose temperature is infinite, stay averages."""
    sites = {task: MixtureSite(PRIOR, (run(-1.0), run(3.0)), tempering=math.inf) for task in "ab"}
    found = Merger(PRIOR, sites).merge(AT)
    assert float(found.params["w"]) == pytest.approx(1.0)
    assert abs(float(Merger(PRIOR, sites, temperatures=(1.0,)).merge(AT).params["w"]) - 1.0) > 0.5


@pytest.mark.parametrize("trust", [0.0, 1.0])
def test_a_known_joint_run_is_reached_as_far_as_it_is_trusted(trust: float) -> None:
    joint = {"w": torch.tensor([0.3])}
    before = SiteSet({}, lambda prior: {"a": run(1.0), "b": run(-3.0)})
    after = before.anchor_at(AnchorRun(AT, joint, trust))
    plain, found = (each.under(PRIOR).merge(AT).params["w"] for each in (before, after))
    torch.testing.assert_close(found, joint["w"] if trust else plain)
    assert after.options == {"trust": trust, "joint run": AT.key}
    assert before.options == {}
