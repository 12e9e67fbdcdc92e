from dataclasses import replace

import pytest
import torch

from foretaste.errors import ParamsError
from foretaste.merge import merge
from foretaste.params import Params
from foretaste.posterior.anchored import AnchoredSite
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.precision import dense, flat, unflat
from foretaste.posterior.site import GaussianSite, Record
from foretaste.weights import TaskWeights, corners, uniform
from laws import HARD, assert_close, assert_same, dense_like, normal

LIKE = {name: tensor.double() for name, tensor in HARD["several"].items()}
PRIOR = Gaussian(LIKE, Isotropic(0.5))
TASKS = "abc"


def _moved(seed: int, by: float = 1.0) -> Params:
    return {name: tensor + by * normal(*tensor.shape, seed=seed, dtype=tensor.dtype) for name, tensor in LIKE.items()}


def _quadratic(seed: int, at: Params) -> tuple[GaussianSite, GaussianSite]:
    """A quadratic loss: its stationary site, and the site with its gradient at other params."""
    curvature = dense_like(LIKE, seed)
    own = GaussianSite(_moved(seed), curvature)
    held = dense(curvature, LIKE)
    slope = held @ (flat(at) - flat(own.center)) - dense(PRIOR.precision, LIKE) @ (flat(own.center) - flat(LIKE))
    return own, GaussianSite(at, curvature, gradient=unflat(slope, LIKE))


def _sites(trust: float, weights: TaskWeights) -> tuple[dict[str, GaussianSite], dict[str, AnchoredSite], Params]:
    own = {name: _quadratic(seed, LIKE)[0] for seed, name in enumerate(TASKS)}
    joint = merge(PRIOR, own, weights).params
    both = {name: _quadratic(seed, joint) for seed, name in enumerate(TASKS)}
    return own, {name: AnchoredSite(*pair, trust=trust) for name, pair in both.items()}, joint


@pytest.mark.parametrize("trust", [0.0, 0.3, 1.0])
def test_quadratic_losses_stay_exact(trust: float) -> None:
    """Both sites describe the same function, so any mixture of them does."""
    own, anchored, _ = _sites(trust, uniform(TASKS))
    weights = TaskWeights(TASKS, (0.2, 0.5, 0.3))
    assert_close(merge(PRIOR, anchored, weights).params, merge(PRIOR, own, weights).params, 1e-9)


def test_at_the_anchor_only_the_anchor_counts() -> None:
    """Own sites that are wrong there do not matter: the joint params are a fixed point."""
    weights = TaskWeights(TASKS, (0.2, 0.5, 0.3))
    _, anchored, joint = _sites(1.0, weights)
    wrong = {name: replace(site, own=GaussianSite(site.own.params, Isotropic(7.0))) for name, site in anchored.items()}
    assert_close(merge(PRIOR, wrong, weights, start=joint).params, joint, 1e-9)


@pytest.mark.parametrize("corner", corners(TASKS))
def test_a_corner_is_that_tasks_params_bit_for_bit(corner: TaskWeights) -> None:
    own, anchored, _ = _sites(1.0, uniform(TASKS))
    start = merge(PRIOR, own, corner).params
    assert_same(merge(PRIOR, anchored, corner, start=start).params, own[str(corner.corner)].center)


def test_no_trust_is_the_own_site() -> None:
    _, anchored, joint = _sites(0.0, uniform(TASKS))
    assert anchored["a"].surrogate(joint) == (anchored["a"].own,)
    assert anchored["a"].share(joint) == 0


def test_the_nearer_site_counts_more() -> None:
    _, anchored, joint = _sites(1.0, uniform(TASKS))
    site = anchored["a"]
    assert site.share(joint) == 1
    assert site.share(site.params) == 0
    middle = {name: 0.5 * (site.params[name] + tensor) for name, tensor in joint.items()}
    assert site.share(middle) == pytest.approx(0.5)
    assert [part.power for part in site.surrogate(middle)] == pytest.approx([0.5, 0.5])


def test_it_is_its_own_sites_otherwise() -> None:
    _, anchored, _ = _sites(1.0, uniform(TASKS))
    site = anchored["a"]
    assert (site.params is site.own.params, site.buffers is site.own.buffers, site.record is site.own.record) == (True,) * 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"anchor": GaussianSite(LIKE, Isotropic(1.0))}, "gradient=True"),
        ({"trust": 1.5}, "between 0 and 1, not 1.5"),
        ({"own": GaussianSite({"w": torch.zeros(1)}, Isotropic(1.0))}, "the anchor does not fit"),
        ({"own": GaussianSite(LIKE, Isotropic(1.0), record=Record(unit="token"))}, "site in tokens, anchor in examples"),
    ],
)
def test_what_cannot_be_anchored_is_refused(change: dict[str, object], message: str) -> None:
    _, anchored, _ = _sites(1.0, uniform(TASKS))
    with pytest.raises(ParamsError, match=message):
        replace(anchored["a"], **change)  # type: ignore[arg-type]
