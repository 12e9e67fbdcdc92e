import pytest
import torch

from foretaste.errors import ParamsError
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.precision import Piece
from laws import HARD, assert_same, dense_like, diagonal_like

LIKE = HARD["several"]


@pytest.mark.parametrize("entry", [-1.0, -1e-30, float("nan"), float("inf"), -float("inf")])
def test_checked_names_the_tensor_with_a_bad_entry(entry: float) -> None:
    with pytest.raises(ParamsError, match="curvature of b has negative or non-finite entries"):
        Diagonal.checked({"a": torch.ones(2), "b": torch.tensor([1.0, entry])})
    with pytest.raises(ParamsError, match="curvature of b"):
        Diagonal.from_tensors({"b": torch.tensor(entry)})


def test_checked_accepts_zero_and_empty() -> None:
    entries = {"zero": torch.zeros(2), "empty": torch.zeros(0)}
    assert_same(Diagonal.checked(entries).to_tensors(), entries)


def test_known_answers() -> None:
    precision = Diagonal({"w": torch.tensor([2.0, 4.0])})
    assert precision.apply({"w": torch.tensor([3.0, 3.0])})["w"].tolist() == [6.0, 12.0]
    assert precision.solve({"w": torch.tensor([3.0, 3.0])})["w"].tolist() == [1.5, 0.75]


def test_a_missing_tensor_is_named_by_every_operation() -> None:
    precision = Diagonal({"w": torch.ones(1)})
    other = {"w": torch.ones(1), "head": torch.ones(1)}
    with pytest.raises(ParamsError, match="no entries for head"):
        precision.apply(other)
    with pytest.raises(ParamsError, match="no entries for head"):
        precision.solve(other)
    with pytest.raises(ParamsError, match="no entries for head"):
        precision.restrict(Piece(["head"], slice(0, 1)))
    with pytest.raises(ParamsError, match="no entries for head"):
        Diagonal(other).plus(precision)


def test_bfloat16_entries_are_computed_with_in_float32() -> None:
    entries = {"w": torch.tensor([1.0], dtype=torch.bfloat16)}
    total = Diagonal(entries) + Isotropic(2**-10)  # below bfloat16's precision at 1
    assert isinstance(total, Diagonal)
    assert total.entries["w"].item() == 1 + 2**-10


def test_it_does_not_hold_a_coupled_structure() -> None:
    assert diagonal_like(LIKE).plus(dense_like(LIKE)) is None
