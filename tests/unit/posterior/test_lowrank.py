import math

import pytest
import torch

from foretaste.errors import ParamsError
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.lowrank import LowRank
from foretaste.posterior.precision import Piece, Precision, Sum, dense
from laws import (
    HARD,
    assert_adds,
    assert_log_det_agrees_with_dense,
    assert_same,
    assert_sample_has_covariance,
    dense_like,
    diagonal_like,
    kronecker_like,
    lowrank_by_hand,
    lowrank_like,
    normal,
    random,
)

LIKE = HARD["several"]


@pytest.mark.parametrize("family", HARD)
def test_it_is_what_the_formula_says(family: str) -> None:
    precision = lowrank_like(HARD[family])
    torch.testing.assert_close(
        dense(precision, HARD[family]), lowrank_by_hand(precision, HARD[family]), rtol=1e-6, atol=1e-6
    )


def test_known_answers() -> None:
    precision = LowRank(
        {"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([[1.0, 1.0]])}, torch.tensor([3.0])
    )  # [[4, 3], [3, 5]]
    assert precision.apply({"w": torch.tensor([1.0, 0.0])})["w"].tolist() == [4.0, 3.0]
    torch.testing.assert_close(precision.solve({"w": torch.tensor([4.0, 3.0])})["w"], torch.tensor([1.0, 0.0]))
    assert math.isclose(precision.log_det({"w": torch.zeros(2)}), math.log(11))


def test_a_negative_direction_lowers_the_curvature_along_it_alone() -> None:
    precision = LowRank({"w": torch.ones(2)}, {"w": torch.tensor([[1.0, 0.0]])}, torch.tensor([-0.75]))
    assert dense(precision, {"w": torch.zeros(2)}).tolist() == [[0.25, 0.0], [0.0, 1.0]]


def test_more_directions_than_entries() -> None:
    like = {"w": torch.zeros(2)}
    precision = lowrank_like(like) + lowrank_like(like, 1)
    assert isinstance(precision, LowRank)
    assert_log_det_agrees_with_dense(precision, like)
    assert_sample_has_covariance(precision, like, 1500)


class TestSums:
    @pytest.mark.parametrize("family", HARD)
    def test_ranks_add_up(self, family: str) -> None:
        one, two = lowrank_like(HARD[family]), lowrank_like(HARD[family], 1)
        assert_adds(one, two, HARD[family], LowRank)
        total = one.plus(two)
        assert total is not None
        assert len(total.scales) == 6
        assert all(len(vectors) == 6 for vectors in total.vectors.values())

    @pytest.mark.parametrize("family", HARD)
    def test_simpler_structures_are_held(self, family: str) -> None:
        for other in (Isotropic(2.0), diagonal_like(HARD[family], 3)):
            assert_adds(lowrank_like(HARD[family]), other, HARD[family], LowRank)

    @pytest.mark.parametrize("other", [dense_like(LIKE), kronecker_like(LIKE)])
    def test_with_other_structures_it_is_lazy(self, other: Precision) -> None:
        assert_adds(lowrank_like(LIKE), other, LIKE, Sum)


class TestRankZero:
    @pytest.mark.parametrize("family", HARD)
    def test_times_zero_leaves_no_direction(self, family: str) -> None:
        nothing = lowrank_like(HARD[family]) * 0.0
        assert len(nothing.scales) == 0
        assert all(len(vectors) == 0 for vectors in nothing.vectors.values())
        assert not dense(nothing, HARD[family]).any()

    def test_without_directions_it_is_its_diagonal(self) -> None:
        found, diagonal = lowrank_like(LIKE) * 0.0 + diagonal_like(LIKE, 4), diagonal_like(LIKE, 4)
        assert isinstance(found, LowRank)
        assert_same(found.solve(LIKE), diagonal.solve(LIKE))
        assert math.isclose(found.log_det(LIKE), diagonal.log_det(LIKE), rel_tol=1e-12)
        assert_sample_has_covariance(found, LIKE, 1500)
        assert_same(LowRank.from_tensors(found.to_tensors()).to_tensors(), found.to_tensors())


class TestNames:
    def test_a_missing_tensor_is_named_by_every_operation(self) -> None:
        precision, other = lowrank_like(LIKE), {**LIKE, "head": torch.ones(2)}
        for work in (
            precision.apply,
            precision.solve,
            precision.log_det,
            lambda like: precision.sample(like, random(0)),
        ):
            with pytest.raises(ParamsError, match="for head; estimate the site on the same model"):
                work(other)
        with pytest.raises(ParamsError, match="no entries for head"):
            precision.restrict(Piece(["a", "head"]))
        with pytest.raises(ParamsError, match="no entries for head"):
            lowrank_like(other).plus(precision)

    def test_entries_without_directions_are_named_too(self) -> None:
        precision = LowRank({"w": torch.ones(2)}, {}, torch.zeros(0))
        with pytest.raises(ParamsError, match="no directions for w"):
            precision.apply({"w": torch.ones(2)})
        with pytest.raises(ParamsError, match="no directions for w"):
            precision.restrict(Piece(["w"]))

    def test_all_names_are_one_group(self) -> None:
        assert lowrank_like(LIKE).groups(["c", "a", "other"]) == [("c", "a"), ("other",)]

    def test_a_cut_is_refused_and_whole_tensors_are_a_block(self) -> None:
        precision = lowrank_like(LIKE)
        with pytest.raises(ParamsError, match="a piece cannot cut through one"):
            precision.restrict(Piece(["b"], slice(0, 2)))
        part = {name: LIKE[name] for name in ("a", "c")}
        torch.testing.assert_close(
            dense(precision.restrict(Piece(part)), part), lowrank_by_hand(precision, part), rtol=1e-6, atol=1e-6
        )


def test_bfloat16_is_computed_with_in_float32() -> None:
    tensors = {name: tensor.bfloat16() for name, tensor in lowrank_like(LIKE).to_tensors().items()}
    low, like = LowRank.from_tensors(tensors), {name: tensor.bfloat16() for name, tensor in LIKE.items()}
    high = LowRank.from_tensors({name: tensor.float() for name, tensor in tensors.items()})
    assert_same(low.apply(like), high.apply({name: tensor.float() for name, tensor in like.items()}))
    assert_same(low.solve(like), high.solve({name: tensor.float() for name, tensor in like.items()}))
    assert {tensor.dtype for tensor in low.sample(like, random(0)).values()} == {torch.float32}


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_a_bad_diagonal_is_refused(value: float) -> None:
    tensors = lowrank_like(LIKE).to_tensors()
    with pytest.raises(ParamsError, match="curvature of a"):
        LowRank.from_tensors(tensors | {"entries/a": torch.tensor([1.0, value])})


def test_an_ill_conditioned_one_is_solved() -> None:
    like = {"w": torch.zeros(6, dtype=torch.float64)}
    vectors = {"w": normal(1, 6, seed=3, dtype=torch.float64)}
    precision = LowRank(diagonal_like(like, 2, -6, 4).entries, vectors, torch.tensor([1e3]))
    right = normal(6, seed=4, dtype=torch.float64)
    torch.testing.assert_close(
        precision.solve({"w": right})["w"],
        torch.linalg.solve(lowrank_by_hand(precision, like), right),
        rtol=1e-6,
        atol=1e-6,
    )
