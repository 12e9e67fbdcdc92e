import math

import pytest
import torch
from torch import Tensor

from foretaste.errors import ParamsError
from foretaste.params import Params
from foretaste.posterior.conjugate import Stop
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.kronecker import Kronecker, KroneckerSum
from foretaste.posterior.lowrank import LowRank
from foretaste.posterior.precision import Piece, Precision, Sum, couple, dense, flat, unflat
from laws import (
    HARD,
    LAWS,
    STRUCTURES,
    Dense,
    assert_adds,
    assert_close,
    assert_sample_has_covariance,
    assert_sample_is_seeded,
    assert_survives_storage,
    dense_like,
    diagonal_like,
    kronecker_by_hand,
    lowrank_by_hand,
    normal,
    random,
)

LIKE = HARD["several"]


@pytest.mark.parametrize("family", HARD)
@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("law", LAWS)
def test_law(law: str, structure: str, family: str) -> None:
    LAWS[law](STRUCTURES[structure](HARD[family]), HARD[family])


@pytest.mark.parametrize("family", ["several", "scalars", "empty", "bfloat16", "non-contiguous"])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_samples_have_the_covariance(structure: str, family: str) -> None:
    draws = 200 if "sum" in structure else 1500  # a sum factorises at every draw
    assert_sample_has_covariance(STRUCTURES[structure](HARD[family]), HARD[family], draws)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_samples_follow_the_generator(structure: str) -> None:
    assert_sample_is_seeded(STRUCTURES[structure](LIKE), LIKE)


@pytest.mark.parametrize("family", HARD)
@pytest.mark.parametrize("structure", [name for name in STRUCTURES if "sum" not in name])
def test_storage(structure: str, family: str) -> None:
    assert_survives_storage(STRUCTURES[structure](HARD[family]), HARD[family])


@pytest.mark.parametrize("family", HARD)
@pytest.mark.parametrize(
    ("left", "right", "promised"),
    [
        ("isotropic", "isotropic tiny", Isotropic),
        ("diagonal", "isotropic", Diagonal),
        ("diagonal", "isotropic huge", Diagonal),
        ("diagonal", "diagonal 1e-10 to 1e15", Diagonal),
        ("dense", "isotropic", Sum),
        ("dense", "diagonal", Sum),
        ("dense", "dense", Sum),
        ("sum", "isotropic", Sum),
        ("sum", "diagonal", Sum),
        ("sum", "dense", Sum),
        ("sum", "sum", Sum),
        ("kronecker", "isotropic", Kronecker),
        ("kronecker", "kronecker", Kronecker),
        ("kronecker with biases", "kronecker with biases", Kronecker),
        ("kronecker sum", "isotropic", KroneckerSum),
        ("kronecker sum of few directions", "kronecker sum of few directions", KroneckerSum),
        ("lowrank", "isotropic", LowRank),
        ("lowrank", "diagonal", LowRank),
        ("lowrank", "lowrank", LowRank),
        ("lowrank", "kronecker", Sum),
        ("dense", "kronecker", Sum),
    ],
)
def test_addition_keeps_its_promised_class(left: str, right: str, promised: type[Precision], family: str) -> None:
    assert_adds(STRUCTURES[left](HARD[family]), STRUCTURES[right](HARD[family]), HARD[family], promised)


def test_piece_takes_whole_tensors_or_a_slice_of_one() -> None:
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.zeros(2)}
    assert list(Piece(["b", "a"]).of(tensors)) == ["b", "a"]
    cut = Piece(["a"], slice(2, 5)).of(tensors)
    assert cut["a"].tolist() == [2.0, 3.0, 4.0]
    cut["a"].fill_(9.0)
    assert tensors["a"].tolist() == [[0.0, 1.0, 9.0], [9.0, 9.0, 5.0]]


class TestStop:
    """Conjugate gradients on a sum whose directions are of very different steepness."""

    TRUE = normal(8, seed=1)

    def _solved(self, stop: Stop, start: Params | None = None) -> tuple[Tensor, Sum]:
        like = {"w": torch.zeros(8)}
        total = Sum([dense_like(like, 1), diagonal_like(like, 2, -4, 4)])
        return total.solve(total.apply({"w": self.TRUE.double()}), start, stop)["w"], total

    def test_more_steps_come_nearer_in_the_norm_of_the_sum(self) -> None:
        gaps = []
        for steps in (1, 3, 5, 8):
            found, total = self._solved(Stop(1e-12, steps))
            gap = {"w": found - self.TRUE.double()}
            gaps.append(float((gap["w"] * total.apply(gap)["w"]).sum()))
        assert gaps == sorted(gaps, reverse=True)
        assert gaps[-1] < 1e-6 * gaps[0]

    def test_a_loose_tolerance_stops_before_a_tight_one(self) -> None:
        loose, tight = (self._solved(Stop(tolerance))[0] for tolerance in (0.3, 1e-10))
        assert float((tight - self.TRUE).norm()) < float((loose - self.TRUE).norm())

    def test_a_start_at_the_solution_stays_there(self) -> None:
        found, _ = self._solved(Stop(steps=1), {"w": self.TRUE.double()})
        torch.testing.assert_close(found, self.TRUE.double())


class TestSum:
    def test_a_term_absorbs_what_it_can_hold(self) -> None:
        total = dense_like(LIKE) + Isotropic(1.0) + diagonal_like(LIKE) + Isotropic(2.0)
        assert isinstance(total, Sum)
        assert [type(term) for term in total.terms] == [Dense, Diagonal]

    def test_a_later_general_term_absorbs_an_earlier_simple_one(self) -> None:
        total = (dense_like(LIKE) + Isotropic(1.0)).plus(diagonal_like(LIKE))
        assert total is not None
        assert isinstance(total, Sum)
        assert [type(term) for term in total.terms] == [Dense, Diagonal]

    def test_conjugate_gradients_solve_an_ill_conditioned_system(self) -> None:
        like = {"w": torch.zeros(12, dtype=torch.float64)}
        total = dense_like(like) + diagonal_like(like, 3, -6, 4)
        right = {"w": normal(12, seed=4, dtype=torch.float64)}
        expected = torch.linalg.solve(dense(total, like), right["w"])
        assert_close(total.solve(right), {"w": expected}, 1e-6)

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_what_is_not_finite_never_solves_to_a_number(self, value: float) -> None:
        right = {**LIKE, "a": torch.tensor([0.0, value])}
        found = (dense_like(LIKE) + Isotropic(1.0)).solve(right)
        assert not math.isfinite(float(found["a"].sum()))

    def test_solving_for_zero_gives_zero(self) -> None:
        zero = {name: torch.zeros_like(tensor) for name, tensor in LIKE.items()}
        found = (dense_like(LIKE) + Isotropic(1.0)).solve(zero)
        assert all(not tensor.any() for tensor in found.values())

    def test_groups_of_two_coupled_terms_join_where_they_overlap(self) -> None:
        parts = {name: torch.zeros(2) for name in "abcde"}
        first = dense_like({name: parts[name] for name in "ab"})
        second = dense_like({name: parts[name] for name in "bd"})
        assert Sum([first, second]).groups(list("abcde")) == [("a", "b", "d"), ("c",), ("e",)]

    def test_separate_groups_factorise_one_by_one(self) -> None:
        like = {name: torch.zeros(30, 30) for name in "abc"}
        diagonal = diagonal_like(like)
        total = Sum([diagonal, Isotropic(1.0)])
        assert math.isclose(total.log_det(like), (diagonal + Isotropic(1.0)).log_det(like), rel_tol=1e-6)
        assert total.sample(like, random(0))["c"].shape == (30, 30)

    def test_a_group_too_large_is_refused(self) -> None:
        like = {"w": torch.zeros(4097)}
        with pytest.raises(ParamsError, match="4097 entries was asked for; at most 4096"):
            Sum([Isotropic(1.0), Isotropic(1.0)]).log_det(like)

    def test_it_is_not_kept_on_disk(self) -> None:
        with pytest.raises(ParamsError, match="keep its terms"):
            Sum([Isotropic(1.0)]).to_tensors()
        with pytest.raises(ParamsError, match="load its terms"):
            Sum.from_tensors({})


def test_nothing_is_coupled_where_no_precision_couples() -> None:
    assert couple([Isotropic(1.0), diagonal_like(LIKE)], list(LIKE)) is None


def test_one_coupled_precision_decides_for_all() -> None:
    one = dense_like({name: LIKE[name] for name in "ac"})
    assert couple([Isotropic(1.0), one], list(LIKE)) == [("a", "c"), ("b",)]


@pytest.mark.parametrize("family", HARD)
def test_flat_and_unflat_are_inverse(family: str) -> None:
    like = HARD[family]
    vector = flat(like)
    assert vector.dtype == torch.float64
    back = unflat(vector, like)
    assert_close(back, like, 0.0)


def test_dense_of_nothing_is_empty() -> None:
    assert dense(Isotropic(1.0), {}).shape == (0, 0)


def _explicit(precision: Precision, like: Params) -> torch.Tensor:
    """The matrix from the structure's own definition, without asking it to apply itself."""
    count = sum(tensor.numel() for tensor in like.values())
    match precision:
        case Isotropic():
            return precision.scale * torch.eye(count, dtype=torch.float64)
        case Diagonal():
            return torch.diag(flat({name: precision.entries[name] for name in like}))
        case Dense():
            return precision.matrix
        case Kronecker():
            return kronecker_by_hand(precision, like)
        case LowRank():
            return lowrank_by_hand(precision, like)
        case Sum():
            return torch.stack([_explicit(term, like) for term in precision.terms]).sum(0)
    raise AssertionError


@pytest.mark.parametrize("family", HARD)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_matrix_is_that_of_the_definition(structure: str, family: str) -> None:
    precision, like = STRUCTURES[structure](HARD[family]), HARD[family]
    expected = _explicit(precision, like)
    torch.testing.assert_close(dense(precision, like), expected, rtol=1e-6, atol=1e-7 * float(expected.norm()))
