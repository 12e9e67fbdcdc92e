import math

import pytest
import torch

from foretaste.posterior.conjugate import EXACT, Stop, conjugate_gradients
from laws import normal


def matrix(size: int, low: float = -1.0, high: float = 1.0) -> torch.Tensor:
    """A definite matrix whose eigenvalues lie between two powers of ten."""
    axes = torch.linalg.qr(normal(size, size, seed=3, dtype=torch.float64)).Q
    square: torch.Tensor = axes @ torch.diag(torch.logspace(low, high, size, dtype=torch.float64)) @ axes.T
    return square


@pytest.mark.parametrize("size", [1, 2, 9])
def test_the_solution_is_that_of_the_dense_matrix(size: int) -> None:
    square, right = matrix(size), normal(size, seed=1, dtype=torch.float64)
    solution = conjugate_gradients(right, lambda vector: square @ vector, torch.dot)
    torch.testing.assert_close(solution, torch.linalg.solve(square, right), rtol=1e-6, atol=1e-6)


def test_as_many_steps_as_entries_are_enough_and_fewer_are_not() -> None:
    square, right = matrix(6), normal(6, seed=1, dtype=torch.float64)
    exact = torch.linalg.solve(square, right)
    gaps = [
        float((conjugate_gradients(right, lambda vector: square @ vector, torch.dot, Stop(0.0, steps)) - exact).norm())
        for steps in (1, 3, 6)
    ]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 1e-9 < gaps[1]


def test_the_residual_is_as_small_as_the_tolerance_says() -> None:
    square, right = matrix(9, -3, 3), normal(9, seed=1, dtype=torch.float64)
    for tolerance in (0.3, 1e-3, EXACT.tolerance):
        solution = conjugate_gradients(right, lambda vector: square @ vector, torch.dot, Stop(tolerance))
        assert float((right - square @ solution).norm()) <= 1.01 * tolerance * float(right.norm())


def test_nothing_to_solve_for_and_numbers_that_are_not_finite() -> None:
    assert conjugate_gradients(torch.zeros(3), lambda vector: vector, torch.dot).tolist() == [0.0, 0.0, 0.0]
    solution = conjugate_gradients(torch.tensor([1.0, math.nan]), lambda vector: vector, torch.dot)
    assert math.isnan(float(solution.sum()))
