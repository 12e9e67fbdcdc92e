import numpy as np
import pytest

from foretaste.simplex import lattice
from foretaste.surface.preview_process import Previews
from foretaste.surface.table import Array

GRID = np.array([list(weights.values()) for weights in lattice("abc", 8)])
INSIDE = GRID[GRID.min(1) > 0]


def curve(alphas: Array) -> Array:
    """`[N, 3]`: each task is the better the more it weighs, with a spread of about 1."""
    return np.asarray(4 * np.sqrt(alphas) - 2)


def test_values_between_the_points_are_close() -> None:
    there = np.random.default_rng(0).dirichlet(np.ones(3), 20)
    values, variance = Previews.through("simple", GRID, curve(GRID)).at(there)
    assert np.abs(values - curve(there)).mean() < 0.1
    assert (variance >= 0).all()
    assert variance.max() < 0.1


def test_noise_is_smoothed() -> None:
    noise = 0.2 * np.random.default_rng(0).standard_normal(GRID.shape)
    values, _ = Previews.through("simple", GRID, curve(GRID) + noise).at(GRID)
    assert np.abs(values - curve(GRID)).mean() < 0.7 * np.abs(noise).mean()


def test_a_constant_is_one_everywhere() -> None:
    values, _ = Previews.through("simple", GRID, np.ones_like(GRID)).at(INSIDE)
    assert values == pytest.approx(np.ones_like(INSIDE))
