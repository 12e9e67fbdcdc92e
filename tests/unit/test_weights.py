import math
from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretaste.errors import WeightsError
from foretaste.weights import (
    TaskWeights,
    corners,
    covering,
    dirichlet,
    inside,
    lattice,
    lattice_near,
    reaches_inside,
    spread,
    uniform,
)
from laws import quick

TASKS = ("movies", "news", "sport")


@st.composite
def points(draw: st.DrawFn) -> TaskWeights:
    numbers = draw(st.lists(st.floats(0, 1), min_size=1, max_size=6).filter(lambda found: sum(found) > 1e-3))
    total = math.fsum(numbers)
    return TaskWeights([f"t{index}" for index in range(len(numbers))], [number / total for number in numbers])


class TestTaskWeights:
    def test_it_is_a_mapping_in_the_order_given(self) -> None:
        weights = TaskWeights(TASKS, (0.5, 0.3, 0.2))
        assert dict(weights) == {"movies": 0.5, "news": 0.3, "sport": 0.2}
        assert list(weights) == list(TASKS)
        assert len(weights) == 3
        assert "news" in weights
        assert "other" not in weights

    @pytest.mark.parametrize(
        ("names", "values", "match"),
        [
            ((), (), "0 tasks and 0 weights"),
            (TASKS, (0.5, 0.5), "3 tasks and 2 weights"),
            (("a", "a"), (0.5, 0.5), "named twice.*a, a"),
            (("a", "b"), (-0.1, 1.1), "weight of task 'a' is -0.1"),
            (("a", "b"), (0.0, math.nan), "weight of task 'b' is nan"),
            (("a", "b"), (math.inf, 0.0), "weight of task 'a' is inf"),
            (("a", "b"), (0.5, 0.6), "sum to 1.1, not 1; divide each by 1.1"),
            (("a",), (0.0,), "sum to 0, not 1"),
            (("a", "b"), (0.5, 0.50001), "sum to 1.00001, not 1"),
        ],
    )
    def test_what_is_no_point_of_the_simplex_is_refused(
        self, names: Sequence[str], values: Sequence[float], match: str
    ) -> None:
        with pytest.raises(WeightsError, match=match):
            TaskWeights(names, values)

    def test_rounding_is_forgiven(self) -> None:
        assert TaskWeights(("a", "b"), (1 / 3, 0.6666667)).shares == (1 / 3, 0.6666667)

    def test_an_unknown_task_is_told_the_known_ones(self) -> None:
        with pytest.raises(WeightsError, match="no task 'books' in the weights; the tasks are movies, news, sport"):
            uniform(TASKS)["books"]

    def test_equal_weights_are_one_key(self) -> None:
        left, right = TaskWeights(("a", "b"), (0.1 + 0.2, 0.7)), TaskWeights(("a", "b"), (0.3, 0.7))
        assert left == right
        assert len({left, right}) == 1
        assert left.key == str(right) == "a=0.3,b=0.7"

    def test_other_weights_other_tasks_and_other_things_are_unequal(self) -> None:
        weights = TaskWeights(("a", "b"), (0.3, 0.7))
        assert weights != TaskWeights(("a", "b"), (0.7, 0.3))
        assert weights != TaskWeights(("a", "c"), (0.3, 0.7))
        assert weights != {"a": 0.3, "b": 0.7}

    def test_minus_zero_is_zero(self) -> None:
        assert TaskWeights(("a", "b"), (-0.0, 1.0)) == TaskWeights(("a", "b"), (0.0, 1.0))
        assert repr(TaskWeights(("a", "b"), (-0.0, 1.0))) == "TaskWeights(a=0,b=1)"

    def test_corner_is_exact(self) -> None:
        assert TaskWeights(("a", "b"), (0.0, 1.0)).corner == "b"
        assert TaskWeights(("a", "b"), (1e-7, 1 - 1e-7)).corner is None
        assert uniform(["a"]).corner == "a"

    def test_it_cannot_be_changed(self) -> None:
        with pytest.raises(AttributeError):
            uniform(TASKS).names = ()  # type: ignore[misc]


class TestParse:
    @quick
    @given(points())
    def test_the_key_reads_back(self, weights: TaskWeights) -> None:
        assert TaskWeights.parse(weights.key, weights.names) == weights

    def test_spaces_and_order_do_not_matter_and_the_rest_weighs_nothing(self) -> None:
        assert TaskWeights.parse(" sport = 0.75, movies=.25 ", TASKS).shares == (0.25, 0.0, 0.75)

    def test_uniform_is_a_word(self) -> None:
        assert TaskWeights.parse(" uniform", TASKS) == uniform(TASKS)

    @pytest.mark.parametrize(
        ("text", "match"),
        [
            ("books=1", "unknown task 'books' in weights 'books=1'; the tasks are movies, news, sport"),
            ("", "weights '' are not understood at ''; write for example movies=1, or uniform"),
            ("movies=1,", "not understood at ''"),
            ("movies:0.5,news=0.5", "not understood at 'movies:0.5'"),
            ("movies=0.5,movies=0.5", "task 'movies' is given twice"),
            ("movies", "not understood at 'movies'"),
            ("movies=", "weight of task 'movies' in 'movies=' is ''; write a number, for example movies=0.5"),
            ("movies=half", "is 'half'; write a number"),
            ("movies=50%", "is '50%'; write a number"),
            ("movies=0.5", "sum to 0.5, not 1; divide each by 0.5"),
            ("movies=nan,news=1", "weight of task 'movies' is nan"),
        ],
    )
    def test_what_cannot_be_read_is_named(self, text: str, match: str) -> None:
        with pytest.raises(WeightsError, match=match):
            TaskWeights.parse(text, TASKS)


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
        found = [weights.shares for weights in lattice(tasks, resolution)]
        assert len(found) == len(expected) == math.comb(resolution + count - 1, count - 1)
        assert set(found) == expected

    def test_corners_are_among_it_the_first_task_first(self) -> None:
        found = lattice(TASKS, 3)
        assert found[0] == corners(TASKS)[0]
        assert set(corners(TASKS)) <= set(found)

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


def test_uniform_and_corners() -> None:
    assert uniform(TASKS).shares == (1 / 3, 1 / 3, 1 / 3)
    assert [corner.corner for corner in corners(TASKS)] == list(TASKS)
    with pytest.raises(WeightsError, match="0 tasks"):
        uniform([])


class TestDirichlet:
    def test_the_generator_decides(self) -> None:
        found = [dirichlet(TASKS, 5, np.random.default_rng(seed)) for seed in (0, 0, 1)]
        assert found[0] == found[1] != found[2]
        assert all(weights.names == TASKS for weights in found[0])

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


def test_a_task_that_is_not_there_has_another_weight_if_one_is_given() -> None:
    weights = TaskWeights(("a", "b"), (0.25, 0.75))
    assert (weights.get("a"), weights.get("c"), weights.get("c", 0.0)) == (0.25, None, 0.0)


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
