import math

import pytest
import torch

from foretaste.errors import ParamsError
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.precision import Piece
from laws import HARD, diagonal_like

LIKE = HARD["several"]


@pytest.mark.parametrize("scale", [-1.0, -1e-300, float("nan"), float("inf")])
def test_a_scale_that_is_no_precision_is_refused(scale: float) -> None:
    with pytest.raises(ParamsError, match=r"finite number of at least 0, not"):
        Isotropic(scale)


def test_an_integer_scale_becomes_a_float() -> None:
    assert isinstance(Isotropic(2).scale, float)


def test_zero_applies_but_does_not_solve() -> None:
    assert not any(tensor.any() for tensor in Isotropic(0.0).apply(LIKE).values())
    with pytest.raises(ParamsError, match="give the prior a precision above 0"):
        Isotropic(0.0).solve(LIKE)


def test_log_det_counts_entries() -> None:
    assert math.isclose(Isotropic(3.0).log_det(LIKE), 9 * math.log(3))
    assert Isotropic(0.0).log_det(LIKE) == -math.inf


def test_known_answers() -> None:
    x = {"w": torch.tensor([1.0, -2.0])}
    assert Isotropic(4.0).apply(x)["w"].tolist() == [4.0, -8.0]
    assert Isotropic(4.0).solve(x)["w"].tolist() == [0.25, -0.5]


def test_it_does_not_hold_a_diagonal() -> None:
    assert Isotropic(1.0).plus(diagonal_like(LIKE)) is None


def test_it_is_the_same_on_every_piece() -> None:
    precision = Isotropic(2.0)
    assert precision.restrict(Piece(["a"], slice(0, 1))) is precision


def test_scale_survives_storage_exactly() -> None:
    assert Isotropic.from_tensors(Isotropic(0.1).to_tensors()).scale == 0.1
