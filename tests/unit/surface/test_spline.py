"""Splines are exact where values are known, smooth between, and independent of the order of the points."""

import numpy as np
import pytest

from foretaste.simplex import dirichlet
from foretaste.surface.spline import Spline
from foretaste.surface.table import Array
from foretaste.weights import corners

NAMES = ("a", "b", "c", "d")


def drawn(count: int, seed: int) -> Array:
    return np.array([list(each.values()) for each in dirichlet(NAMES, count, np.random.default_rng(seed))])


def smooth(points: Array) -> Array:
    roots = np.sqrt(points)
    return np.stack([roots[:, 0] * roots[:, 1], 0.9 - 0.5 * (1 - roots[:, 2]) ** 2], axis=1)


def test_it_goes_through_what_is_known() -> None:
    points = np.concatenate([np.array([list(each.values()) for each in corners(NAMES)]), drawn(60, 0)])
    np.testing.assert_allclose(Spline.through(points, smooth(points)).at(points), smooth(points), atol=1e-9)


def test_between_it_is_near_a_smooth_function_and_nearer_with_more() -> None:
    asked = drawn(200, 1)
    errors = [
        float(np.abs(Spline.through(points, smooth(points)).at(asked) - smooth(asked)).mean())
        for points in (drawn(50, 0), drawn(800, 0))
    ]
    assert errors[0] < 0.02
    assert errors[1] < errors[0] / 2


def test_a_constant_is_a_constant_everywhere() -> None:
    points = drawn(40, 0)
    found = Spline.through(points, np.full((40, 1), 0.7))
    np.testing.assert_allclose(found.at(drawn(50, 1)), 0.7, atol=1e-9)


def test_the_order_of_the_points_is_of_no_matter() -> None:
    points, order = drawn(40, 0), np.random.default_rng(0).permutation(40)
    one, other = Spline.through(points, smooth(points)), Spline.through(points[order], smooth(points[order]))
    np.testing.assert_allclose(one.at(drawn(20, 1)), other.at(drawn(20, 1)), atol=1e-9)


def test_a_jump_where_a_task_loses_its_weight_stays_there() -> None:
    def jumping(points: Array) -> Array:
        return np.asarray(smooth(points) - 0.3 * (points[:, [3]] == 0))

    def faced(points: Array) -> Array:
        found = points.copy()
        found[::2, 3] = 0.0
        return np.asarray(found / found.sum(1, keepdims=True))

    known, asked = faced(drawn(600, 0)), faced(drawn(200, 1))
    asked[1::2, 3] = 0.002  # nearly none is some
    asked /= asked.sum(1, keepdims=True)
    assert np.abs(Spline.through(known, jumping(known)).at(asked) - jumping(asked)).mean() < 0.01


def test_two_values_at_one_place_have_no_spline() -> None:
    points = np.array([[0.5, 0.5], [0.5, 0.5]])
    with pytest.raises(np.linalg.LinAlgError):
        Spline.through(points, np.array([[0.0], [1.0]]))
