import math
from dataclasses import replace

import pytest
import torch

from foretaste.errors import ParamsError
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.mixture import MixtureSite
from foretaste.posterior.site import GaussianSite, Record
from laws import HARD, assert_same, diagonal_like, normal

LIKE = HARD["float64"]
PRIOR = Gaussian(LIKE, Isotropic(0.5))


def _run(seed: int, by: float = 1.0) -> GaussianSite:
    center = {name: tensor + by * normal(*tensor.shape, seed=seed, dtype=tensor.dtype) for name, tensor in LIKE.items()}
    return GaussianSite(center, diagonal_like(LIKE, seed), carried={"mean": torch.full((2,), float(seed))})


def _mixture(count: int = 3) -> MixtureSite:
    return MixtureSite(PRIOR, [_run(seed) for seed in range(count)])


def test_its_density_is_the_weighted_sum_of_its_components() -> None:
    mixture = replace(_mixture(), log_weights=(0.0, math.log(2.0), math.log(3.0)))
    parts = [Gaussian(run.center, PRIOR.precision + run.precision) for run in mixture.components]
    expected = sum(pi * math.exp(part.log_density(LIKE)) for pi, part in zip((1 / 6, 2 / 6, 3 / 6), parts, strict=True))
    assert mixture.log_density(LIKE) == pytest.approx(math.log(expected), rel=1e-9)


def test_responsibilities_are_the_components_shares_of_the_density() -> None:
    mixture = _mixture()
    logs = torch.tensor(
        [Gaussian(run.center, PRIOR.precision + run.precision).log_density(LIKE) for run in mixture.components]
    )
    torch.testing.assert_close(mixture.responsibilities(LIKE), logs.double().softmax(0)[None], atol=1e-6, rtol=1e-6)
    assert [part.power for part in mixture.surrogate(LIKE)] == mixture.responsibilities(LIKE)[0].tolist()


def test_far_from_everything_nothing_overflows() -> None:
    """Densities below the smallest float: log-sum-exp keeps their ratio."""
    far = {name: tensor + 1e6 for name, tensor in LIKE.items()}
    shares = _mixture().responsibilities(far)
    assert math.isfinite(_mixture().log_density(far))
    assert float(shares.sum()) == pytest.approx(1.0)


def test_one_that_explains_all_is_returned_as_it_is() -> None:
    mixture = MixtureSite(PRIOR, [_run(0), _run(1, 1e4)])
    assert mixture.surrogate(_run(0).center)[0] is mixture.components[0]
    assert len(mixture.surrogate(_run(0).center)) == 1


def test_blocks_have_responsibilities_of_their_own() -> None:
    first, second = _run(0, 30.0), _run(1, 30.0)
    mixture = MixtureSite(PRIOR, [first, second], blocks="tensor")
    names = list(LIKE)
    at = {names[0]: first.center[names[0]], names[1]: second.center[names[1]]}
    torch.testing.assert_close(mixture.responsibilities(at), torch.eye(2, dtype=torch.float64))
    parts = mixture.surrogate(at)
    assert [list(part.center) for part in parts] == [[names[0]], [names[1]]]
    assert_same(parts[1].center, {names[1]: second.center[names[1]]})


def test_blocks_of_a_separable_density_add_up_to_the_whole_for_one_component() -> None:
    run = _run(0)
    whole, blocks = (MixtureSite(PRIOR, [run], blocks=kind).log_density(LIKE) for kind in ("whole", "tensor"))
    assert whole == pytest.approx(blocks, rel=1e-9)


@pytest.mark.parametrize("tempering", [10.0, 1e3, math.inf])
def test_tempering_makes_responsibilities_alike(tempering: float) -> None:
    cold, warm = _mixture(), _mixture().at_temperature(tempering)
    assert float(warm.responsibilities(LIKE).max()) < float(cold.responsibilities(LIKE).max())
    if math.isinf(tempering):
        torch.testing.assert_close(warm.responsibilities(LIKE), torch.full((1, 3), 1 / 3, dtype=torch.float64))
        assert math.isfinite(warm.log_density(LIKE))


def test_params_are_the_first_runs_and_buffers_the_average() -> None:
    mixture = _mixture()
    assert_same(mixture.params, mixture.components[0].center)
    assert_same(mixture.buffers, {"mean": torch.full((2,), 1.0)})
    assert mixture.record == Record()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"components": []}, "at least one component"),
        ({"tempering": 0.0}, "must be above 0"),
        (
            {"components": [_run(0), GaussianSite({"w": torch.zeros(1)}, Isotropic(1.0))]},
            "component 2 of a mixture does not fit",
        ),
        ({"components": [_run(0), replace(_run(1), record=Record(unit="token"))]}, "different units"),
        ({"components": [replace(_run(0), gradient=LIKE)]}, "taken at an optimum"),
    ],
)
def test_what_cannot_be_mixed_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        replace(_mixture(), **change)  # type: ignore[arg-type]


def test_weights_of_another_number_are_refused() -> None:
    with pytest.raises(ParamsError, match="3 components was given 2 weights"):
        replace(_mixture(), log_weights=(0.0, 0.0)).log_density(LIKE)
