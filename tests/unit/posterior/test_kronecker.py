import functools
import math
import operator
from typing import ClassVar

import pytest
import torch

from foretaste.errors import ParamsError
from foretaste.params import Params
from foretaste.posterior.axes import Axes
from foretaste.posterior.conjugate import Stop
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.kronecker import Kronecker, KroneckerSum
from foretaste.posterior.precision import Piece, Precision, Sum, dense, flat, unflat
from laws import (
    HARD,
    assert_adds,
    assert_close,
    assert_log_det_agrees_with_dense,
    assert_same,
    assert_sample_has_covariance,
    dense_like,
    diagonal_like,
    kronecker_by_hand,
    kronecker_like,
    lowrank_like,
    normal,
    orthogonal,
    random,
)

LIKE = HARD["several"]
LAYER = {"w": normal(3, 2, 2, seed=1), "b": normal(3, seed=2), "s": normal(2, seed=3)}


def coupled() -> Kronecker:
    return kronecker_like(LAYER, biases=True)


@pytest.mark.parametrize("few", [False, True])
@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("family", HARD)
def test_it_is_what_the_kronecker_product_says(family: str, biases: bool, few: bool) -> None:
    precision = kronecker_like(HARD[family], biases=biases, few=few)
    expected = kronecker_by_hand(precision, HARD[family])
    torch.testing.assert_close(dense(precision, HARD[family]), expected, rtol=1e-6, atol=1e-7 * float(expected.norm()))


def test_factors_that_are_a_product_give_the_product_of_factors() -> None:
    """With lambda = l r', S M = A M B for A = U l U' and B = V r V'."""
    left, right = normal(3, 3, seed=1, dtype=torch.float64), normal(2, 2, seed=2, dtype=torch.float64)
    first, second = (root @ root.T + torch.eye(len(root)) for root in (left, right))
    (rows, u), (columns, v) = torch.linalg.eigh(first), torch.linalg.eigh(second)
    weight = normal(3, 2, seed=3, dtype=torch.float64)
    found = Kronecker({"w": Axes(u, v)}, {"w": torch.outer(rows, columns)}, {}).apply({"w": weight})
    torch.testing.assert_close(found["w"], first @ weight @ second)


class TestSums:
    @pytest.mark.parametrize("biases", [False, True])
    @pytest.mark.parametrize("family", HARD)
    def test_in_one_basis_it_stays_kronecker(self, family: str, biases: bool) -> None:
        like = HARD[family]
        assert_adds(
            kronecker_like(like, 1, biases=biases, few=True),
            kronecker_like(like, 2, biases=biases, few=True),
            like,
            Kronecker,
        )
        assert_adds(kronecker_like(like, 1, biases=biases), kronecker_like(like, 2, biases=biases), like, Kronecker)

    @pytest.mark.parametrize("family", HARD)
    def test_with_an_isotropic_it_stays_kronecker(self, family: str) -> None:
        assert_adds(kronecker_like(HARD[family]), Isotropic(2.0), HARD[family], Kronecker)

    @pytest.mark.parametrize("other", [diagonal_like(LIKE), dense_like(LIKE), lowrank_like(LIKE)])
    def test_with_anything_else_it_is_lazy(self, other: Precision) -> None:
        assert_adds(kronecker_like(LIKE), other, LIKE, Sum)

    def test_with_and_without_a_coupled_bias_it_is_lazy(self) -> None:
        assert_adds(coupled(), kronecker_like(LAYER), LAYER, Sum)

    def test_in_another_basis_both_are_kept(self) -> None:
        assert_adds(coupled(), kronecker_like(LAYER, turn=7, biases=True), LAYER, KroneckerSum)

    def test_without_layers_a_diagonal_is_held(self) -> None:
        like = HARD["scalars"]
        assert_adds(kronecker_like(like), diagonal_like(like, 5), like, Kronecker)

    def test_a_basis_that_was_loaded_again_is_the_same_basis(self) -> None:
        loaded = Kronecker.from_tensors(coupled().to_tensors())
        assert loaded.basis["w"] is not coupled().basis["w"]
        assert isinstance(loaded + coupled(), Kronecker)

    def test_bfloat16_eigenvalues_are_added_in_float32(self) -> None:
        axes = {"w": Axes(torch.eye(1), torch.eye(1))}
        one, small = (Kronecker(axes, {"w": torch.full((1, 1), value).bfloat16()}, {}) for value in (1.0, 2**-10))
        for total in (one + small, one + Isotropic(2**-10)):
            assert isinstance(total, Kronecker)
            assert total.eigenvalues["w"].item() == 1 + 2**-10


class TestSumsOfSeveralBases:
    WIDE: ClassVar = {
        "w": normal(9, 6, 2, seed=1, dtype=torch.float64),
        "b": normal(9, seed=2, dtype=torch.float64),
        "s": normal(2, seed=3),
    }
    NARROW: ClassVar = {"w": normal(3, 4, seed=1, dtype=torch.float64), "b": normal(3, seed=2, dtype=torch.float64)}

    def _sum(self, like: Params, count: int = 3) -> KroneckerSum:
        terms = [kronecker_like(like, 5 * seed, turn=7 * seed, biases=True, few=True) for seed in range(count)]
        total = functools.reduce(operator.add, terms[1:], terms[0] + Isotropic(1e-3))
        assert isinstance(total, KroneckerSum)
        assert len(total.terms) == count
        return total

    @pytest.mark.parametrize("count", [2, 3])  # two are few enough directions for coordinates, three are not
    @pytest.mark.parametrize("like", [WIDE, NARROW])
    def test_the_solution_is_that_of_the_matrix(self, like: Params, count: int) -> None:
        total = self._sum(like, count)
        expected = torch.linalg.solve(dense(total, like), flat(like))
        assert_close(total.solve(like, stop=Stop(1e-12)), unflat(expected, like), 1e-5)

    @pytest.mark.parametrize("steps", [1, 2, 5])
    def test_every_step_is_that_of_conjugate_gradients_on_the_whole_layer(self, steps: int) -> None:
        layer = {name: self.WIDE[name] for name in ("w", "b")}
        start = {name: normal(*tensor.shape, seed=9, dtype=torch.float64) for name, tensor in layer.items()}
        total, stop = self._sum(layer, 2), Stop(1e-12, steps)
        assert_close(total.solve(layer, start, stop), Sum(total.terms).solve(layer, start, stop), 1e-5)

    def test_directions_may_have_less_curvature_than_what_lies_outside(self) -> None:
        total = self._sum(self.WIDE, 2)
        low = [
            Kronecker(term.basis, {"w": term.eigenvalues["w"] * 1e-3}, term.diagonal.entries, {"w": torch.tensor(2.0)})
            for term in total.terms
        ]
        both = KroneckerSum(low)
        assert_close(both.solve(both.apply(self.WIDE), stop=Stop(1e-12)), self.WIDE, 1e-5)

    def test_layers_stop_by_themselves(self) -> None:
        like = {"w": self.WIDE["w"], "v": normal(8, 8, seed=4, dtype=torch.float64) * 1e6}
        both = [kronecker_like(like, seed, turn=seed, few=True) for seed in (1, 2)]
        total, stop = KroneckerSum(both), Stop(1e-12, 3)
        for name, tensor in like.items():
            own = KroneckerSum(term.restrict(Piece([name])) for term in both)
            assert_same(own.solve({name: tensor}, stop=stop), {name: total.solve(like, stop=stop)[name]})

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_what_is_not_finite_never_solves_to_a_number(self, value: float) -> None:
        right = {**self.WIDE, "b": torch.full((9,), value, dtype=torch.float64)}
        assert not math.isfinite(float(self._sum(self.WIDE, 2).solve(right)["w"].sum()))

    def test_terms_are_joined_with_those_of_their_own_basis(self) -> None:
        total = self._sum(self.WIDE, 2)
        more = total + total.terms[1] + Isotropic(1.0) + total
        assert isinstance(more, KroneckerSum)
        assert len(more.terms) == 2
        expected = 2 * dense(total, self.WIDE) + dense(total.terms[1], self.WIDE) + dense(Isotropic(1.0), self.WIDE)
        torch.testing.assert_close(dense(more, self.WIDE), expected)

    def test_other_structures_stay_beside_them(self) -> None:
        total = self._sum(self.WIDE, 2) + diagonal_like(self.WIDE)
        assert type(total) is Sum
        assert [type(term) for term in total.terms] == [Kronecker, Kronecker, Diagonal]

    def test_one_that_sees_other_layers_stays_beside_them(self) -> None:
        total = coupled() + kronecker_like(LAYER, turn=7, biases=True) + kronecker_like(LAYER)
        assert type(total) is Sum
        assert len(total.terms) == 3


class TestDeterminantAndSamples:
    def test_orders_of_magnitude(self) -> None:
        wide = Kronecker(
            coupled().basis, diagonal_like({"w": torch.zeros(3, 5)}, 3, -10, 15).entries, {"s": torch.ones(2)}
        )
        expected = math.log(10) * float(torch.log10(wide.eigenvalues["w"].double()).sum())
        assert math.isclose(wide.log_det(LAYER), expected, rel_tol=1e-9)
        assert_log_det_agrees_with_dense(coupled(), LAYER)

    def test_samples_have_the_covariance(self) -> None:
        assert_sample_has_covariance(coupled(), LAYER, 1500)

    def test_bfloat16_entries_give_float32_samples(self) -> None:
        low = {
            name: tensor.bfloat16() for name, tensor in coupled().to_tensors().items() if not name.startswith("bias")
        }
        names = {name: tensor for name, tensor in coupled().to_tensors().items() if name.startswith("bias")}
        drawn = Kronecker.from_tensors(low | names).sample(LAYER, random(0))
        assert {tensor.dtype for tensor in drawn.values()} == {torch.float32}


class TestPieces:
    def test_groups_are_layers_in_the_order_of_their_weights(self) -> None:
        assert coupled().groups(["b", "s", "w"]) == [("s",), ("w", "b")]
        assert kronecker_like(LAYER).groups(["b", "s", "w"]) == [("b",), ("s",), ("w",)]

    @pytest.mark.parametrize("name", ["w", "b"])
    def test_half_a_layer_is_refused_by_every_operation(self, name: str) -> None:
        half = {name: LAYER[name]}
        message = f"couples w with b, and only {name} was given; give both"
        for work in (
            coupled().apply,
            coupled().solve,
            coupled().log_det,
            lambda like: coupled().sample(like, random(0)),
            _restricted,
        ):
            with pytest.raises(ParamsError, match=message):
                work(half)

    def test_a_cut_through_a_layer_is_refused(self) -> None:
        with pytest.raises(ParamsError, match="a piece cuts through the layer of w; ask the precision for its groups"):
            kronecker_like(LAYER).restrict(Piece(["w"], slice(0, 2)))

    def test_a_cut_through_the_diagonal_part_is_fine(self) -> None:
        part = coupled().restrict(Piece(["s"], slice(1, 2)))
        assert_same(part.apply({"s": torch.ones(1)}), {"s": coupled().diagonal.entries["s"][1:]})

    def test_whole_layers_are_kept(self) -> None:
        part = coupled().restrict(Piece(["w", "b"]))
        own = {name: LAYER[name] for name in ("w", "b")}
        assert_same(part.apply(own), {name: tensor for name, tensor in coupled().apply(LAYER).items() if name in own})

    def test_a_name_that_is_missing_is_named(self) -> None:
        for work in (
            coupled().apply,
            coupled().solve,
            coupled().log_det,
            lambda like: coupled().sample(like, random(0)),
            _restricted,
        ):
            with pytest.raises(ParamsError, match="no entries for head"):
                work({"head": torch.ones(2)})


def _restricted(like: Params) -> Kronecker:
    return coupled().restrict(Piece(like))


class TestStorage:
    def test_bias_names_survive(self) -> None:
        again = Kronecker.from_tensors(coupled().to_tensors())
        assert again.basis["w"].bias == "b"
        assert_same(again.to_tensors(), coupled().to_tensors())

    @pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
    @pytest.mark.parametrize(
        ("key", "named"),
        [
            ("eigenvalues/w", "eigenvalues of w"),
            ("outside/w", "curvature outside of w"),
            ("entries/s", "curvature of s"),
        ],
    )
    def test_bad_numbers_are_refused(self, key: str, named: str, value: float) -> None:
        tensors = coupled().to_tensors()
        bad = tensors[key].clone()
        bad.view(-1)[0] = value
        with pytest.raises(ParamsError, match=named):
            Kronecker.from_tensors(tensors | {key: bad})


def test_axes_turn_there_and_back() -> None:
    axes, matrix = Axes(orthogonal(3), orthogonal(4)), normal(3, 4, dtype=torch.float64)
    assert_close({"m": axes.from_basis(axes.to_basis(matrix))}, {"m": matrix}, 1e-6)


def test_axes_are_the_same_by_value() -> None:
    one = Axes(orthogonal(3), orthogonal(4), "b")
    assert one.is_same(Axes(orthogonal(3), orthogonal(4), "b"))
    assert not one.is_same(Axes(orthogonal(3), orthogonal(4)))
    assert not one.is_same(Axes(orthogonal(3, 1), orthogonal(4), "b"))
