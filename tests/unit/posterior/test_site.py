import pytest
import torch
from torch import Tensor

from foretaste.params import Params
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.precision import Piece, dense, flat, unflat
from foretaste.posterior.site import GaussianSite, Record, product
from laws import HARD, STRUCTURES, assert_close, assert_same, dense_like, diagonal_like, normal

LIKE = HARD["float64"]
PRIOR = Gaussian(LIKE, Isotropic(0.5))


def moved(like: Params, seed: int) -> dict[str, Tensor]:
    return {name: tensor + normal(*tensor.shape, seed=seed, dtype=tensor.dtype) for name, tensor in like.items()}


def test_a_flat_site_has_no_curvature_and_no_gradient() -> None:
    site = GaussianSite.flat(LIKE, {"mean": torch.ones(1)})
    assert isinstance(site.precision, Isotropic)
    assert site.precision.scale == 0.0
    assert site.gradient is None
    assert_same(site.params, LIKE)
    assert_same(site.buffers, {"mean": torch.ones(1)})
    assert GaussianSite.flat(LIKE).buffers == {}


def test_it_is_its_own_surrogate_everywhere() -> None:
    site = GaussianSite(LIKE, Isotropic(1.0))
    assert site.surrogate(moved(LIKE, 1))[0] is site


def test_power_scales_curvature_and_gradient_and_keeps_the_record() -> None:
    record = Record(unit="token", estimator="fisher:sampled", examples=3, units=9)
    site = GaussianSite(LIKE, diagonal_like(LIKE), moved(LIKE, 1), {"mean": torch.ones(1)}, record)
    raised = (site**0.5) ** 0.5
    torch.testing.assert_close(dense(raised.precision, LIKE), 0.25 * dense(site.precision, LIKE))
    assert site.gradient is not None
    assert raised.gradient is not None
    assert_close(raised.gradient, {name: 0.25 * g for name, g in site.gradient.items()}, 1e-12)
    assert raised.power == 0.25
    assert raised.record == record
    assert raised.center is site.center


def test_on_takes_the_same_piece_of_everything() -> None:
    site = GaussianSite(LIKE, diagonal_like(LIKE), moved(LIKE, 1))
    part = site.on(Piece(["w"], slice(1, 3)))
    assert site.gradient is not None
    assert part.gradient is not None
    assert_same(part.center, {"w": LIKE["w"].flatten()[1:3]})
    assert_same(part.gradient, {"w": site.gradient["w"].flatten()[1:3]})
    assert dense(part.precision, part.center).shape == (2, 2)
    assert GaussianSite(LIKE, Isotropic(1.0)).on(Piece(["w"])).gradient is None


@pytest.mark.parametrize("structure", ["isotropic", "diagonal", "dense", "sum"])
def test_a_stationary_site_raised_to_one_gives_its_own_center(structure: str) -> None:
    site = GaussianSite(moved(LIKE, 1), STRUCTURES[structure](LIKE))
    posterior = product(PRIOR, [site])
    assert_close(posterior.mean, site.center, 1e-7)
    torch.testing.assert_close(
        dense(posterior.precision, LIKE), dense(site.precision, LIKE) + 0.5 * torch.eye(6, dtype=torch.float64)
    )


@pytest.mark.parametrize("structure", ["isotropic", "diagonal", "dense", "sum"])
def test_a_stationary_site_is_one_that_carries_the_gradient_of_its_prior(structure: str) -> None:
    """g = -S (c - m): both forms must move every product alike."""
    precision = STRUCTURES[structure](LIKE)
    center = moved(LIKE, 1)
    gradient = {name: -0.5 * (center[name] - LIKE[name]) for name in LIKE}
    other = GaussianSite(moved(LIKE, 2), precision)
    stationary = product(PRIOR, [GaussianSite(center, precision) ** 0.3, other**0.7]).mean
    carrying = product(PRIOR, [GaussianSite(center, precision, gradient) ** 0.3, other**0.7]).mean
    assert_close(carrying, stationary, 1e-7)


def test_a_gradient_moves_the_mean_downhill_by_newtons_step() -> None:
    precision = dense_like(LIKE)
    gradient = moved(LIKE, 3)
    found = product(PRIOR, [GaussianSite(LIKE, precision, gradient)]).mean
    system = dense(precision, LIKE) + 0.5 * torch.eye(6, dtype=torch.float64)
    expected = unflat(flat(LIKE) - torch.linalg.solve(system, flat(gradient)), LIKE)
    assert_close(found, expected, 1e-7)


def test_no_site_leaves_the_prior() -> None:
    assert product(PRIOR, []) is PRIOR


def test_inputs_are_not_modified() -> None:
    mean, center, gradient = dict(LIKE), moved(LIKE, 1), moved(LIKE, 2)
    kept = [{name: tensor.clone() for name, tensor in each.items()} for each in (mean, center, gradient)]
    sites = [GaussianSite(center, diagonal_like(LIKE), gradient), GaussianSite(center, Isotropic(1.0))]
    product(Gaussian(mean, diagonal_like(LIKE, 5)), [site**0.5 for site in sites])
    for found, expected in zip((mean, center, gradient), kept, strict=True):
        assert_same(found, expected)


def test_small_displacements_survive_large_params() -> None:
    """Displacements of one unit in the last place of params near 1000 are averaged, not lost."""
    mean = {"w": torch.full((1,), 1000.0)}
    step = float(torch.nextafter(mean["w"], torch.tensor([2000.0]))) - 1000.0
    sites = [
        GaussianSite({"w": mean["w"] + 2 * step}, Isotropic(1e15)),
        GaussianSite({"w": mean["w"]}, Isotropic(1e15)),
    ]
    found = product(Gaussian(mean, Isotropic(1.0)), [site**0.5 for site in sites]).mean["w"]
    assert float(found) == 1000.0 + step
