import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from foretaste.surface.gaussian_process import Conditioned, Kernel, Places

RANDOM = np.random.default_rng(0)
ALPHAS = RANDOM.dirichlet(np.ones(3), 12)
ALPHAS[:4] = np.array([[0.5, 0.0, 0.5], [0.2, 0.0, 0.8], [0.0, 0.4, 0.6], [1.0, 0.0, 0.0]])
PREVIEW = RANDOM.standard_normal(12)
KERNELS = [
    Kernel(1.0, 0.3, 2.0),
    Kernel(0.0, 1.0, 1.0, offset=0.5, slope=0.3),
    Kernel(0.3, 0.3, 0.6, 1.0, 0.5, 2.0),
    Kernel(0.3, 0.3, 0.6, absent=0.5),
]


@pytest.mark.parametrize("kernel", KERNELS)
class TestKernel:
    def test_it_is_a_covariance(self, kernel: Kernel) -> None:
        places = Places(ALPHAS, 1, PREVIEW)
        found = kernel.between(places, places)
        assert found == pytest.approx(found.T)
        assert np.linalg.eigvalsh(found).min() > -1e-9

    def test_places_are_the_same_as_a_copy_of_them(self, kernel: Kernel) -> None:
        places = Places(ALPHAS, 1, PREVIEW)
        assert kernel.between(places, places) == pytest.approx(kernel.between(places, Places(ALPHAS, 1, PREVIEW)))

    def test_other_tasks_have_no_order(self, kernel: Kernel) -> None:
        places, turned = Places(ALPHAS, 1, PREVIEW), Places(ALPHAS[:, [1, 2, 0]], 0, PREVIEW)
        assert kernel.between(turned, turned) == pytest.approx(kernel.between(places, places))


def test_the_own_coordinate_has_its_own_reach() -> None:
    left, right = (
        Places(np.array([[0.5, 0.25, 0.25]]), 0, np.zeros(1), 1.0),
        Places(np.array([[0.2, 0.4, 0.4]]), 0, np.zeros(1), 1.0),
    )
    expected = 4 * np.exp(-((0.3 / 0.5) ** 2) / 2 - (2 * 0.15**2) / 2)
    assert Kernel(2.0, 0.5, 1.0).between(left, right)[0, 0] == pytest.approx(expected)


def test_a_task_without_weight_has_a_function_of_its_own() -> None:
    places, plain, more = Places(ALPHAS, 1, PREVIEW), Kernel(0.3, 0.3, 0.6), Kernel(0.3, 0.3, 0.6, absent=0.5)
    besides = more.between(places, places) - plain.between(places, places)
    without = ALPHAS[:, 1] == 0
    assert np.diag(besides) == pytest.approx(0.25 * without)
    assert (besides[without][:, without] > 0.1).all()
    assert not besides[~without].any()


def test_it_agrees_with_scikit_learn() -> None:
    there, values = RANDOM.dirichlet(np.ones(3), 5), RANDOM.standard_normal(12)
    kernel, left, right = Kernel(0.7, 0.4, 0.4), Places(ALPHAS, 0, PREVIEW, 1.0), Places(there, 0, np.zeros(5), 1.0)
    found = Conditioned.on(kernel.between(left, left), np.full(12, 0.01), values)
    mean, covariance = found.at(kernel.between(right, left), kernel.between(right, right))
    rival = GaussianProcessRegressor(ConstantKernel(0.49) * RBF(0.4), alpha=0.01, optimizer=None).fit(ALPHAS, values)
    expected, expected_covariance = rival.predict(there, return_cov=True)
    assert mean == pytest.approx(expected)
    assert covariance == pytest.approx(expected_covariance, abs=1e-8)


@pytest.mark.parametrize("shape", [(12,), (12, 2)])
def test_left_out_is_leaving_out(shape: tuple[int, ...]) -> None:
    places, values, noise = Places(ALPHAS, 0, PREVIEW), RANDOM.standard_normal(shape), RANDOM.uniform(0.01, 0.1, 12)
    covariance = KERNELS[2].between(places, places)
    whole = Conditioned.on(covariance, noise, values)
    mean, variance = whole.left_out()
    for out in range(12):
        rest = np.arange(12) != out
        part = Conditioned.on(covariance[np.ix_(rest, rest)], noise[rest], values[rest])
        expected, own = part.at(covariance[[out]][:, rest], covariance[[out]][:, [out]])
        assert mean[out] == pytest.approx(expected[0])
        assert variance[out] == pytest.approx(own[0, 0] + noise[out])
        density = np.exp(-((values[out] - mean[out]) ** 2) / (2 * variance[out])) / np.sqrt(2 * np.pi * variance[out])
        assert np.exp(whole.densities()[out]) == pytest.approx(density)


def test_nothing_known_leaves_the_prior() -> None:
    nothing = Conditioned.on(np.zeros((0, 0)), np.zeros(0), np.zeros(0))
    mean, covariance = nothing.at(np.zeros((2, 0)), np.eye(2))
    assert mean.tolist() == [0.0, 0.0]
    assert covariance == pytest.approx(np.eye(2))
