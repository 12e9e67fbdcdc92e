import math
from itertools import product

import numpy as np
import pytest

from foretaste.errors import WeightsError
from foretaste.simplex import covering, dirichlet, inside, lattice, lattice_near, reaches_inside, spread
from foretaste.weights import corners

TASKS = ("movies", "news", "sport")


class TestLattice:
    @pytest.mark.parametrize("count", [1, 2, 3, 5])
    @pytest.mark.parametrize("resolution", [1, 2, 4])
    def test_it_is_every_multiple_once(self, count: int, resolution: int) -> None:
        tasks = [f"t{index}" for index in range(count)]
        expected = {
            tuple(part / resolution for part in parts)
            for parts in product(range(resolution + 1), repeat=count)
            if sum(parts) == resolution
        }
        points = [weights.shares for weights in lattice(tasks, resolution)]
        assert len(points) == len(expected) == math.comb(resolution + count - 1, count - 1)
        assert set(points) == expected

    def test_corners_are_among_it_the_first_task_first(self) -> None:
        points = lattice(TASKS, 3)
        assert points[0] == corners(TASKS)[0]
        assert set(corners(TASKS)) <= set(points)

    def test_what_cannot_be_a_lattice_is_refused(self) -> None:
        with pytest.raises(WeightsError, match="resolution of at least 1, not 0"):
            lattice(TASKS, 0)
        with pytest.raises(WeightsError, match="at least one task"):
            lattice([], 3)

    @pytest.mark.parametrize("budget", [1, 2, 3, 10, 66, 67, 1000])
    @pytest.mark.parametrize("count", [2, 3, 5])
    def test_the_nearest_is_the_finest_that_fits(self, count: int, budget: int) -> None:
        tasks = [f"t{index}" for index in range(count)]
        resolution = lattice_near(tasks, budget)
        assert resolution == 1 or len(lattice(tasks, resolution)) <= budget
        assert len(lattice(tasks, resolution + 1)) > budget


class TestDirichlet:
    def test_the_generator_decides(self) -> None:
        draws = [dirichlet(TASKS, 5, np.random.default_rng(seed)) for seed in (0, 0, 1)]
        assert draws[0] == draws[1] != draws[2]
        assert all(weights.names == TASKS for weights in draws[0])

    def test_concentration_one_is_uniform_over_the_simplex(self) -> None:
        drawn = np.array([weights.shares for weights in dirichlet(TASKS, 4000, np.random.default_rng(0))])
        np.testing.assert_allclose(drawn.mean(0), 1 / 3, atol=0.02)
        np.testing.assert_allclose(drawn.var(0), 1 / 18, atol=0.005)

    def test_less_concentration_favours_the_faces(self) -> None:
        few, many = (
            np.mean([max(weights.shares) for weights in dirichlet(TASKS, 500, np.random.default_rng(0), concentration)])
            for concentration in (10.0, 0.1)
        )
        assert few < 0.6
        assert many > 0.8


class TestSpread:
    def test_it_begins_in_the_middle_and_goes_to_the_corners(self) -> None:
        assert [str(w) for w in spread(lattice(TASKS, 3), 4)] == [
            "movies=0.333333333,news=0.333333333,sport=0.333333333",
            "movies=1,news=0,sport=0",
            "movies=0,news=1,sport=0",
            "movies=0,news=0,sport=1",
        ]

    @pytest.mark.parametrize("count", [1, 2, 5, 9])
    def test_each_next_point_is_the_farthest(self, count: int) -> None:
        grid = lattice(TASKS, 6)
        chosen = spread(grid, count)
        assert len(set(chosen)) == count
        for index in range(1, count):
            gaps = [min(math.dist(point.shares, other.shares) for other in chosen[:index]) for point in grid]
            mine = min(math.dist(chosen[index].shares, other.shares) for other in chosen[:index])
            assert mine == pytest.approx(max(gaps))

    def test_no_more_than_there_are_and_no_fewer_than_none(self) -> None:
        assert sorted(map(str, spread(lattice(TASKS, 2), 100))) == sorted(map(str, lattice(TASKS, 2)))
        assert spread(lattice(TASKS, 2), 0) == []
        assert spread([], 3) == []


MANY = [f"t{place}" for place in range(30)]


@pytest.mark.parametrize("count", range(1, 31))
def test_the_simplex_is_covered_inside_too_whatever_the_number_of_tasks(count: int) -> None:
    points = covering(MANY[:count], 66)
    full = [weights for weights in points if min(weights.values()) > 0]
    assert len(points) == len({weights.key for weights in points}) <= 66
    if count > 1:
        assert set(corners(MANY[:count])) <= set(points)
    assert len(full) >= (1 if count <= 4 else 33)


@pytest.mark.parametrize(("count", "points"), [(2, 66), (3, 66), (4, 66), (3, 3), (3, 6), (2, 2), (4, 35)])
def test_few_tasks_have_the_lattice_alone(count: int, points: int) -> None:
    """As before there were points inside: studies of these go on as they are."""
    assert covering(MANY[:count], points) == lattice(MANY[:count], lattice_near(MANY[:count], points))


@pytest.mark.parametrize("count", [3, 5, 12, 30])
def test_points_inside_are_spread_as_evenly_as_draws_from_the_uniform_distribution_are_on_average(count: int) -> None:
    """Means and variances are those of the uniform Dirichlet distribution: 1 / T, and (T - 1) / (T^2 (T + 1))."""
    points = inside(MANY[:count], 2046)
    shares = np.array([weights.shares for weights in points])
    assert shares.min() > 0
    assert len({weights.key for weights in points}) == len(points)
    assert np.abs(shares.mean(0) - 1 / count).max() < 0.02 / count
    assert np.abs(shares.var(0) * count**2 * (count + 1) / (count - 1) - 1).max() < 0.05


def test_points_inside_begin_the_same() -> None:
    assert inside(MANY[:12], 40)[:7] == inside(MANY[:12], 7)
    assert inside(MANY[:12], 0) == []


def test_a_lattice_reaches_the_inside_from_the_resolution_on_that_it_has_a_point_there() -> None:
    for count in (4, 5, 6):
        for resolution in range(1, count + 2):
            has_one = any(min(weights.values()) > 0 for weights in lattice(MANY[:count], resolution))
            assert reaches_inside(MANY[:count], resolution) == has_one
