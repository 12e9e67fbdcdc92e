import numpy as np
import pytest

from foretaste.one_line import one_line
from foretaste.simplex import lattice
from foretaste.surface.prediction import Prediction
from foretaste.surface.scales import Scale
from foretaste.weights import TaskWeights

POINTS = tuple(lattice("ab", 4))
NOISES = np.array([0.03, 0.1])


def prediction(noises: np.ndarray = NOISES, common: float = 0.7) -> Prediction:
    """An accuracy and a metric without bounds: means differ, and neighbours vary together."""
    steps = np.arange(len(POINTS))
    covariance = 0.05**2 * np.exp(-0.5 * (steps[:, None] - steps) ** 2)
    return Prediction(
        weights=POINTS,
        scales=(Scale(0.0, 1.0), Scale(-np.inf, np.inf)),
        means=np.stack([np.linspace(0.6, 1.0, len(POINTS)), np.linspace(-2.0, 2.0, len(POINTS))], axis=1),
        covariances=np.stack([covariance, 4 * covariance]),
        noises=noises,
        common=np.full(2, common),
        shares={},
        errors={"a": None, "b": None},
        basis="nothing",
        doubts={},
    )


def test_intervals_surround_the_median() -> None:
    whole = prediction()
    assert (whole.low < whole.median).all()
    assert (whole.median < whole.high).all()
    np.testing.assert_allclose(whole.median[:, 1], np.linspace(-2.0, 2.0, len(POINTS)))


def test_a_single_run_is_less_certain_than_the_surface() -> None:
    assert (prediction().high - prediction().low > prediction(np.zeros(2)).high - prediction(np.zeros(2)).low).all()


def test_draws_have_the_mean_and_the_interval() -> None:
    draws = prediction().draw(4000, measured=True)
    assert draws.shape == (4000, len(POINTS), 2)
    for quantile, expected in ((0.5, prediction().median), (0.05, prediction().low), (0.95, prediction().high)):
        assert np.quantile(draws, quantile, axis=0) == pytest.approx(expected, abs=0.03)


def test_draws_without_the_noise_of_a_run_differ_less() -> None:
    assert prediction().draw(500).std(0).mean() < prediction().draw(500, measured=True).std(0).mean()


def test_draws_of_metrics_stay_within_their_bounds() -> None:
    draws = prediction(np.full(2, 9.0)).draw(500, measured=True)[..., 0]
    assert draws.min() >= 0
    assert draws.max() <= 1


@pytest.mark.parametrize(("common", "low", "high"), [(1.0, 0.99, 1.01), (0.0, -0.2, 0.2)])
def test_tasks_share_the_errors_that_they_have_in_common(common: float, low: float, high: float) -> None:
    first, second = prediction(common=common).draw(1000)[:, 2].T
    assert low < float(np.corrcoef(np.arcsin(np.sqrt(first)), second)[0, 1]) < high


def test_the_seed_decides() -> None:
    assert (prediction().draw(3, 1) == prediction().draw(3, 1)).all()
    assert (prediction().draw(3, 1) != prediction().draw(3, 2)).any()


def test_it_is_shown_in_one_line() -> None:
    assert repr(prediction()) == one_line(prediction())
    assert TaskWeights("ab", [0.0, 1.0]) in prediction().weights
