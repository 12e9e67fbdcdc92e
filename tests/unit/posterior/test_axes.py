import torch

from foretaste.posterior.axes import Axes
from laws import normal

TURN = torch.linalg.qr(normal(4, 4, seed=1))[0]
AXES = Axes(TURN[:, :2], torch.eye(3), "bias")


def test_a_matrix_in_the_axes_and_back() -> None:
    inside = normal(2, 3, seed=2)
    torch.testing.assert_close(AXES.to_basis(AXES.from_basis(inside)), inside)
    matrix = normal(4, 3, seed=3)
    torch.testing.assert_close(AXES.from_basis(AXES.to_basis(matrix)), TURN[:, :2] @ TURN[:, :2].T @ matrix)


def test_entries_beyond_the_axes_are_counted() -> None:
    assert AXES.outside == 12 - 6


def test_equal_axes_are_the_same_whoever_loaded_them() -> None:
    assert AXES.is_same(Axes(AXES.left.clone(), AXES.right.clone(), "bias"))
    assert not AXES.is_same(Axes(AXES.left, AXES.right))
