import numpy as np
import pytest

from foretaste.evaluation import Evaluation, Fidelity
from foretaste.simplex import lattice
from foretaste.surface.pareto import front, hypervolume, is_efficient
from foretaste.surface.table import Headline, Surface


def brute_force(values: list[list[float]]) -> list[bool]:
    def dominates(one: list[float], other: list[float]) -> bool:
        return all(x >= y for x, y in zip(one, other, strict=True)) and any(
            x > y for x, y in zip(one, other, strict=True)
        )

    return [not any(dominates(other, one) for other in values) for one in values]


@pytest.mark.parametrize("tasks", [1, 2, 3, 5])
@pytest.mark.parametrize("levels", [2, 5, 1000])
@pytest.mark.parametrize("seed", range(3))
def test_it_agrees_with_brute_force_ties_included(tasks: int, levels: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, levels, (40, tasks)).astype(np.float64)
    assert is_efficient(values).tolist() == brute_force(values.tolist())


def test_equal_rows_stand_or_fall_together() -> None:
    assert is_efficient(np.array([[1.0, 1.0], [1.0, 1.0], [0.0, 1.0], [0.0, 1.0]])).tolist() == [
        True,
        True,
        False,
        False,
    ]


def test_the_front_minds_the_direction_of_each_metric() -> None:
    """Of (accuracy, error): more of the first and less of the second is better."""
    numbers = [(0.9, 0.5), (0.5, 0.1), (0.5, 0.5), (0.9, 0.6)]
    weights = lattice(["a", "b"], 3)
    rows = tuple(
        Evaluation(w, {"a": {"accuracy": a}, "b": {"error": b}}, Fidelity.PREVIEW, "simple")
        for w, (a, b) in zip(weights, numbers, strict=True)
    )
    surface = Surface({"a": Headline("accuracy"), "b": Headline("error", False)}, rows)
    assert front(surface).rows == rows[:2]
    assert front(surface).headlines == surface.headlines


def test_no_rows_have_no_front() -> None:
    empty = Surface({"a": Headline("accuracy")}, ())
    assert front(empty).rows == ()


@pytest.mark.parametrize("tasks", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(3))
def test_the_hypervolume_is_the_share_of_random_points_below_some_row(tasks: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    values, below = random.random((9, tasks)), random.random((10_000, tasks))
    share = np.mean([bool((values >= point).all(axis=1).any()) for point in below])
    assert hypervolume(values, np.zeros(tasks)) == pytest.approx(share, abs=0.02)


def test_the_hypervolume_minds_its_reference_and_not_repeats_or_order() -> None:
    values = np.array([[3.0, 1.0], [1.0, 3.0], [3.0, 1.0], [0.5, 9.0]])
    assert hypervolume(values, np.array([1.0, 0.0])) == 2.0
    assert hypervolume(values[::-1], np.array([1.0, 0.0])) == 2.0
    assert hypervolume(values, np.array([5.0, 5.0])) == 0.0
    assert hypervolume(np.zeros((0, 2)), np.zeros(2)) == 0.0
