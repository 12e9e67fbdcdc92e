import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import foretaste.pieces
from foretaste.errors import ParamsError, WeightsError
from foretaste.merge import Preview, merge
from foretaste.params import Params
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.mixture import Blocks, MixtureSite
from foretaste.posterior.precision import Precision, Sum, dense, flat, unflat
from foretaste.posterior.site import GaussianSite, Record, Site
from foretaste.weights import TaskWeights, corners, uniform
from laws import HARD, STRUCTURES, Dense, assert_close, assert_same, dense_like, diagonal_like, normal, quick, random


def _rank_deficient(like: Params, seed: int) -> Diagonal:
    entries = diagonal_like(like, seed).entries
    return Diagonal({name: tensor * (tensor > 3).double() for name, tensor in entries.items()})


def _rank_one(like: Params, seed: int) -> Dense:
    vector = normal(flat(like).numel(), seed=seed, dtype=torch.float64)
    return Dense(torch.outer(vector, vector), {name: tensor.shape for name, tensor in like.items()})


CURVED: dict[str, Callable[[Params, int], Precision]] = {
    "isotropic": lambda like, seed: Isotropic(0.1 + 3 * float(torch.rand((), generator=random(seed)))),
    "diagonal": diagonal_like,
    "diagonal, mostly without curvature": _rank_deficient,
    "dense": dense_like,
    "dense of rank one": _rank_one,
    "sum": lambda like, seed: Sum([dense_like(like, seed), diagonal_like(like, seed)]),
}
DOUBLES = {
    name: {key: tensor.double() for key, tensor in HARD[name].items()}
    for name in ("several", "scalars", "empty", "non-contiguous")
}


def moved(like: Params, seed: int, by: float = 1.0) -> dict[str, Tensor]:
    return {
        name: tensor + by * normal(*tensor.shape, seed=seed + 100, dtype=tensor.dtype) for name, tensor in like.items()
    }


def at_weights(sites: Mapping[str, Site], *shares: float) -> TaskWeights:
    return TaskWeights(tuple(sites), shares)


def named(sites: Sequence[Site]) -> dict[str, Site]:
    return {f"t{index}": site for index, site in enumerate(sites)}


def derivatives(function: Callable[[Tensor], Tensor], at: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient and Hessian, by autograd."""
    point = at.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(function(point), point, create_graph=True)
    rows = [torch.autograd.grad(slope, point, retain_graph=True)[0] for slope in gradient]
    return gradient.detach(), torch.stack(rows)


@dataclass(frozen=True)
class Problem:
    """Quadratic losses ``1/2 (x - o_t)' A_t (x - o_t)`` and the prior, with dense matrices to be right by."""

    prior: Gaussian
    optima: Sequence[Params]
    curvatures: Sequence[Precision]
    weights: TaskWeights

    def loss(self, task: int, vector: Tensor) -> Tensor:
        offset = vector - flat(self.optima[task])
        return 0.5 * offset @ dense(self.curvatures[task], self.prior.mean) @ offset

    def penalty(self, vector: Tensor) -> Tensor:
        offset = vector - flat(self.prior.mean)
        return 0.5 * offset @ dense(self.prior.precision, self.prior.mean) @ offset

    def minimum(self, shares: Sequence[float]) -> dict[str, Tensor]:
        """Of ``sum_t share_t loss_t + penalty``, by one Newton step from autograd's gradient and Hessian."""

        def objective(vector: Tensor) -> Tensor:
            return sum((share * self.loss(task, vector) for task, share in enumerate(shares)), self.penalty(vector))

        start = flat(self.prior.mean)
        gradient, hessian = derivatives(objective, start)
        return unflat(start - torch.linalg.solve(hessian, gradient), self.prior.mean)

    def stationary_sites(self) -> dict[str, Site]:
        count = len(self.optima)
        alone = [[float(task == other) for other in range(count)] for task in range(count)]
        return named([GaussianSite(self.minimum(alone[task]), self.curvatures[task]) for task in range(count)])

    def sites_elsewhere(self, seed: int) -> dict[str, Site]:
        """Sites at arbitrary points, with the gradient that autograd finds there."""
        found = []
        for task, curvature in enumerate(self.curvatures):
            point = moved(self.prior.mean, seed + task, 3.0)
            gradient, _ = derivatives(partial(self.loss, task), flat(point))
            found.append(GaussianSite(point, curvature, unflat(gradient, point)))
        return named(found)


@st.composite
def problems(draw: st.DrawFn, structures: Sequence[str] = tuple(CURVED)) -> Problem:
    like = DOUBLES[draw(st.sampled_from(list(DOUBLES)))]
    count, seed = draw(st.integers(1, 4)), draw(st.integers(0, 1000))
    numbers = [draw(st.integers(0, 5)) for _ in range(count)]
    total = sum(numbers)
    shares = [number / total for number in numbers] if total else [1 / count] * count
    curvatures = [CURVED[draw(st.sampled_from(structures))](like, seed + task) for task in range(count)]
    prior = Isotropic(draw(st.sampled_from([0.01, 1.0, 100.0])))
    held = prior if draw(st.booleans()) else diagonal_like(like, seed + 50)
    optima = [moved(like, seed + task) for task in range(count)]
    return Problem(Gaussian(like, held), optima, curvatures, TaskWeights([f"t{task}" for task in range(count)], shares))


class TestQuadraticLosses:
    @quick
    @given(problems())
    def test_previews_of_stationary_sites_are_exact(self, problem: Problem) -> None:
        preview = merge(problem.prior, problem.stationary_sites(), problem.weights)
        assert_close(preview.params, problem.minimum(problem.weights.shares), 1e-6)
        assert preview.steps == 1
        assert preview.converged

    @quick
    @given(problems(), st.integers(0, 1000))
    def test_previews_of_sites_anywhere_are_exact_with_their_gradient(self, problem: Problem, seed: int) -> None:
        preview = merge(problem.prior, problem.sites_elsewhere(seed), problem.weights)
        assert_close(preview.params, problem.minimum(problem.weights.shares), 1e-6)

    @pytest.mark.parametrize("structure", CURVED)
    def test_a_gradient_left_out_gives_another_answer(self, structure: str) -> None:
        """The two tests above can fail: as if stationary, a site elsewhere misleads."""
        like = DOUBLES["several"]
        curvatures = [CURVED[structure](like, task) for task in range(2)]
        problem = Problem(
            Gaussian(like, Isotropic(1.0)), [moved(like, 1), moved(like, 2)], curvatures, uniform(["t0", "t1"])
        )
        ignoring = {
            name: GaussianSite(site.params, site.surrogate(like)[0].precision)
            for name, site in problem.sites_elsewhere(3).items()
        }
        found = flat(merge(problem.prior, ignoring, problem.weights).params)
        assert (found - flat(problem.minimum([0.5, 0.5]))).norm() > 0.1

    @quick
    @given(problems())
    def test_the_precision_is_the_hessian_of_the_joint_problem(self, problem: Problem) -> None:
        like = problem.prior.mean
        found = merge(problem.prior, problem.stationary_sites(), problem.weights).precision()
        expected = dense(problem.prior.precision, like)
        for share, curvature in zip(problem.weights.shares, problem.curvatures, strict=True):
            expected = expected + share * dense(curvature, like)
        torch.testing.assert_close(dense(found, like), expected, rtol=1e-6, atol=1e-6)

    @quick
    @given(problems())
    def test_task_order_is_irrelevant(self, problem: Problem) -> None:
        sites = problem.stationary_sites()
        turned = dict(reversed(sites.items()))
        weights = TaskWeights(problem.weights.names[::-1], problem.weights.shares[::-1])
        assert_close(
            merge(problem.prior, turned, weights).params, merge(problem.prior, sites, problem.weights).params, 1e-9
        )

    @quick
    @given(problems(), st.sampled_from([1e10, 1e15, math.inf, math.nan]))
    def test_tasks_of_zero_weight_do_not_matter_to_the_last_bit(self, problem: Problem, size: float) -> None:
        sites, like = problem.stationary_sites(), problem.prior.mean
        huge = {name: tensor * size for name, tensor in moved(like, 1).items()}
        more = {"idle": GaussianSite(huge, Isotropic(1e15)), **sites}
        weights = TaskWeights(("idle", *problem.weights.names), (0.0, *problem.weights.shares))
        assert_same(merge(problem.prior, more, weights).params, merge(problem.prior, sites, problem.weights).params)


class TestEveryStructure:
    @pytest.mark.parametrize("family", HARD)
    @pytest.mark.parametrize("structure", STRUCTURES)
    def test_a_corner_returns_the_tasks_params_bit_for_bit(self, structure: str, family: str) -> None:
        like = HARD[family]
        sites = named([GaussianSite(moved(like, task), STRUCTURES[structure](like)) for task in range(3)])
        for corner, name in zip(corners(list(sites)), sites, strict=True):
            assert_same(merge(Gaussian(like, Isotropic(0.5)), sites, corner).params, sites[name].params)

    @pytest.mark.parametrize("family", ["several", "scalars", "empty", "float64", "tiny", "huge", "non-contiguous"])
    @pytest.mark.parametrize("structure", [name for name in STRUCTURES if name != "isotropic huge"])
    def test_equal_precisions_are_simple_averaging(self, structure: str, family: str) -> None:
        like = HARD[family]
        centers = [moved(like, task, float(flat(like).abs().mean())) for task in range(3)]
        sites = named([GaussianSite(center, STRUCTURES[structure](like)) for center in centers])
        found = merge(Gaussian(like, Isotropic(0.5)), sites, at_weights(sites, 0.5, 0.3, 0.2)).params
        expected = {key: 0.5 * centers[0][key] + 0.3 * centers[1][key] + 0.2 * centers[2][key] for key in like}
        assert_close(found, expected, 2e-5)

    @pytest.mark.parametrize("prior", [1e-10, 1.0, 1e15])
    @pytest.mark.parametrize("family", ["several", "scalars", "empty", "float64", "non-contiguous"])
    def test_flat_sites_are_task_arithmetic(self, family: str, prior: float) -> None:
        like = HARD[family]
        centers = [moved(like, task) for task in range(3)]
        sites = named([GaussianSite.flat(center) for center in centers])
        found = merge(Gaussian(like, Isotropic(prior)), sites, at_weights(sites, 0.1, 0.3, 0.6)).params
        vectors = [{key: center[key] - like[key] for key in like} for center in centers]
        expected = {
            key: like[key] + 0.1 * vectors[0][key] + 0.3 * vectors[1][key] + 0.6 * vectors[2][key] for key in like
        }
        assert_close(found, expected, 1e-5)

    @pytest.mark.parametrize("structure", ["isotropic", "diagonal", "diagonal 1e-10 to 1e15", "dense", "sum"])
    def test_a_strong_prior_slides_to_simple_averaging(self, structure: str) -> None:
        like = DOUBLES["several"]
        centers = [moved(like, task) for task in range(2)]
        precisions = [STRUCTURES[structure](like), Isotropic(0.1)]
        sites = named([GaussianSite(center, precision) for center, precision in zip(centers, precisions, strict=True)])
        found = merge(Gaussian(like, Isotropic(1e25)), sites, at_weights(sites, 0.5, 0.5)).params
        assert_close(found, {key: 0.5 * (centers[0][key] + centers[1][key]) for key in like}, 1e-7)

    def test_a_weak_prior_slides_to_curvature_weighting(self) -> None:
        like = {"w": torch.zeros(2, dtype=torch.float64)}
        left = GaussianSite(
            {"w": torch.tensor([1.0, 1.0]).double()}, Diagonal({"w": torch.tensor([3.0, 0.0]).double()})
        )
        right = GaussianSite(
            {"w": torch.tensor([5.0, 5.0]).double()}, Diagonal({"w": torch.tensor([1.0, 4.0]).double()})
        )
        found = merge(Gaussian(like, Isotropic(1e-12)), {"a": left, "b": right}, uniform(["a", "b"])).params["w"]
        torch.testing.assert_close(found, torch.tensor([2.0, 5.0]).double())

    @pytest.mark.parametrize("structure", ["isotropic", "diagonal", "dense", "sum"])
    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_the_result_is_rounded_once(self, structure: str, dtype: torch.dtype) -> None:
        like = {name: tensor.to(dtype) for name, tensor in HARD["several"].items()}
        precision = STRUCTURES[structure](HARD["several"])
        centers = [moved(like, task) for task in range(3)]
        low = named([GaussianSite(center, precision * (task + 1.0)) for task, center in enumerate(centers)])
        wide = named(
            [
                GaussianSite({key: t.float() for key, t in center.items()}, precision * (task + 1.0))
                for task, center in enumerate(centers)
            ]
        )
        weights = at_weights(low, 0.2, 0.3, 0.5)
        found = merge(Gaussian(like, Isotropic(0.5)), low, weights).params
        expected = merge(Gaussian({key: t.float() for key, t in like.items()}, Isotropic(0.5)), wide, weights).params
        assert_same(found, {key: tensor.to(dtype) for key, tensor in expected.items()})

    @pytest.mark.parametrize("structure", ["isotropic", "diagonal", "dense", "sum"])
    def test_inputs_are_never_modified(self, structure: str) -> None:
        like = DOUBLES["non-contiguous"]
        centers, gradient = [moved(like, task) for task in range(2)], moved(like, 9)
        buffers = {"mean": torch.ones(2)}
        everything = [dict(like), *centers, gradient, buffers]
        kept = [{key: tensor.clone() for key, tensor in each.items()} for each in everything]
        sites: dict[str, Site] = {
            "a": GaussianSite(centers[0], STRUCTURES[structure](like), carried=buffers),
            "b": GaussianSite(centers[1], STRUCTURES[structure](like), gradient, carried=buffers),
        }
        for weights in (uniform(["a", "b"]), *corners(["a", "b"])):
            for tensor in merge(Gaussian(like, diagonal_like(like, 5)), sites, weights).params.values():
                tensor.fill_(7.0)
        for found, expected in zip(everything, kept, strict=True):
            assert_same(found, expected)


class TestChunks:
    @pytest.mark.parametrize("extra", [-1, 0, 1, 1 << 16])
    def test_every_entry_across_the_boundary_is_merged(self, extra: int) -> None:
        count = foretaste.pieces.CHUNK + extra
        mean = {"w": normal(count, seed=1), "after": normal(2, seed=2)}
        sites = named([GaussianSite(moved(mean, task), diagonal_like(mean, task)) for task in range(2)])
        found = merge(Gaussian(mean, Isotropic(0.5)), sites, at_weights(sites, 0.3, 0.7)).params
        assert_close(found, {key: _by_hand(tensor, sites, key, (0.3, 0.7), 0.5) for key, tensor in mean.items()}, 1e-6)

    def test_a_non_contiguous_tensor_longer_than_a_chunk(self) -> None:
        mean = {"w": normal(300, 400, seed=1).T}
        sites = named([GaussianSite(moved(mean, task), diagonal_like(mean, task)) for task in range(2)])
        found = merge(Gaussian(mean, Isotropic(0.5)), sites, at_weights(sites, 0.3, 0.7)).params
        assert_close(found, {"w": _by_hand(mean["w"], sites, "w", (0.3, 0.7), 0.5)}, 1e-6)


def _by_hand(mean: Tensor, sites: Mapping[str, Site], key: str, shares: Sequence[float], delta: float) -> Tensor:
    """(delta + sum a h)^-1 (delta m + sum a [h c + delta (c - m)]) in float64."""
    top, bottom = delta * mean.double(), torch.full(mean.shape, delta, dtype=torch.float64)
    for share, site in zip(shares, sites.values(), strict=True):
        assert isinstance(site, GaussianSite)
        assert isinstance(site.precision, Diagonal)
        center, curvature = site.center[key].double(), site.precision.entries[key].double()
        top += share * (curvature * center + delta * (center - mean.double()))
        bottom += share * curvature
    return top / bottom


class TestOwnership:
    PRIOR = Gaussian(
        {"body": torch.zeros(2), "pair": torch.zeros(1), "head.a": torch.zeros(1), "head.b": torch.zeros(1)},
        Isotropic(1.0),
    )

    def sites(self) -> dict[str, Site]:
        """``pair`` belongs to a and b; the heads to one task each; c has the body alone."""
        return {
            "a": GaussianSite.flat(
                {"body": torch.tensor([1.0, 2.0]), "pair": torch.tensor([10.0]), "head.a": torch.tensor([0.1])}
            ),
            "b": GaussianSite.flat(
                {"body": torch.tensor([3.0, 4.0]), "pair": torch.tensor([20.0]), "head.b": torch.tensor([0.2])}
            ),
            "c": GaussianSite.flat({"body": torch.tensor([5.0, 6.0])}),
        }

    @pytest.mark.parametrize("shares", [(0.5, 0.25, 0.25), (0.0, 0.5, 0.5), (0.0, 0.0, 1.0), (1.0, 0.0, 0.0)])
    def test_private_parameters_travel_untouched(self, shares: tuple[float, float, float]) -> None:
        found = merge(self.PRIOR, self.sites(), TaskWeights("abc", shares)).params
        assert torch.equal(found["head.a"], torch.tensor([0.1]))
        assert torch.equal(found["head.b"], torch.tensor([0.2]))

    def test_parameters_of_some_tasks_get_weights_that_sum_to_one(self) -> None:
        found = merge(self.PRIOR, self.sites(), TaskWeights("abc", (0.1, 0.3, 0.6))).params
        torch.testing.assert_close(found["pair"], torch.tensor([0.25 * 10 + 0.75 * 20]))
        torch.testing.assert_close(found["body"], torch.tensor([0.1 + 0.9 + 3.0, 0.2 + 1.2 + 3.6]))

    def test_parameters_whose_owners_weigh_nothing_are_averaged_evenly(self) -> None:
        found = merge(self.PRIOR, self.sites(), TaskWeights("abc", (0.0, 0.0, 1.0))).params
        torch.testing.assert_close(found["pair"], torch.tensor([15.0]))
        assert torch.equal(found["body"], torch.tensor([5.0, 6.0]))

    def test_a_sole_owner_among_weights_keeps_its_bits(self) -> None:
        found = merge(self.PRIOR, self.sites(), TaskWeights("abc", (0.3, 0.0, 0.7))).params
        assert torch.equal(found["pair"], torch.tensor([10.0]))

    def test_curvature_of_some_tasks_uses_the_same_weights(self) -> None:
        sites = self.sites()
        prior = self.PRIOR
        for name, scale in (("a", 1.0), ("b", 5.0)):
            sites[name] = GaussianSite(sites[name].params, Isotropic(scale))
        found = merge(prior, sites, TaskWeights("abc", (0.1, 0.3, 0.6))).params["pair"]
        expected = (0.25 * (1 + 1) * 10 + 0.75 * (1 + 5) * 20) / (1 + 0.25 * 1 + 0.75 * 5)
        torch.testing.assert_close(found, torch.tensor([expected]))

    def test_the_precision_covers_what_all_tasks_share(self) -> None:
        sites = {name: GaussianSite(site.params, diagonal_like(site.params)) for name, site in self.sites().items()}
        found = merge(self.PRIOR, sites, uniform(["a", "b", "c"])).precision()
        assert isinstance(found, Diagonal)
        assert list(found.entries) == ["body"]

    def test_a_parameter_that_no_task_has_is_named(self) -> None:
        sites = {name: site for name, site in self.sites().items() if name != "b"}
        with pytest.raises(ParamsError, match=r"no task has the parameter head\.b"):
            merge(self.PRIOR, sites, uniform(["a", "c"]))


class TestBuffers:
    def test_floating_ones_are_averaged_by_alpha(self) -> None:
        sites = {
            "a": GaussianSite(
                {"w": torch.ones(1)}, Isotropic(100.0), carried={"mean": torch.tensor([1.0]), "only": torch.tensor(3.0)}
            ),
            "b": GaussianSite({"w": torch.ones(1)}, Isotropic(1.0), carried={"mean": torch.tensor([5.0])}),
        }
        found = merge(Gaussian({"w": torch.zeros(1)}, Isotropic(1.0)), sites, TaskWeights("ab", (0.25, 0.75))).params
        assert_same(
            {key: found[key] for key in ("mean", "only")}, {"mean": torch.tensor([4.0]), "only": torch.tensor(3.0)}
        )

    def test_a_corner_keeps_their_bits_and_types(self) -> None:
        carried = {
            "a": {"m": normal(3, seed=1, dtype=torch.bfloat16)},
            "b": {"m": normal(3, seed=2, dtype=torch.bfloat16) * 1e30},
        }
        sites = {name: GaussianSite.flat({"w": torch.ones(1)}, carried[name]) for name in "ab"}
        found = merge(Gaussian({"w": torch.zeros(1)}, Isotropic(1.0)), sites, TaskWeights("ab", (1.0, 0.0))).params
        assert_same({"m": found["m"]}, carried["a"])

    def test_the_result_has_parameters_and_buffers_and_nothing_else(self) -> None:
        site = GaussianSite.flat({"w": torch.ones(1)}, {"m": torch.ones(1)})
        assert list(merge(Gaussian({"w": torch.zeros(1)}, Isotropic(1.0)), {"a": site}, uniform(["a"])).params) == [
            "w",
            "m",
        ]


class TestRefusals:
    PRIOR = Gaussian({"w": torch.zeros(3), "v": torch.zeros(2)}, Isotropic(1.0))
    GOOD: Mapping[str, Tensor] = {"w": torch.ones(3), "v": torch.ones(2)}

    def refused(self, bad: Site, match: str, shares: tuple[float, float] = (0.5, 0.5)) -> None:
        sites = {"movies": GaussianSite(self.GOOD, Isotropic(1.0)), "news": bad}
        with pytest.raises(ParamsError, match=match):
            merge(self.PRIOR, sites, TaskWeights(("movies", "news"), shares))

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize("shares", [(0.5, 0.5), (0.0, 1.0)])
    @pytest.mark.parametrize("precision", [Isotropic(1.0), diagonal_like(GOOD), dense_like(GOOD)])
    def test_params_that_are_not_finite(self, precision: Precision, shares: tuple[float, float], value: float) -> None:
        center = {"w": torch.ones(3), "v": torch.tensor([0.0, value])}
        self.refused(GaussianSite(center, precision), "the params of task 'news' hold NaN or infinity in v", shares)

    def test_a_private_head_that_is_not_finite(self) -> None:
        prior = Gaussian({"w": torch.zeros(1), "head": torch.zeros(1)}, Isotropic(1.0))
        sites = {
            "movies": GaussianSite.flat({"w": torch.ones(1)}),
            "news": GaussianSite.flat({"w": torch.ones(1), "head": torch.tensor([math.nan])}),
        }
        with pytest.raises(ParamsError, match="task 'news' hold NaN or infinity in head"):
            merge(prior, sites, uniform(["movies", "news"]))

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_curvature_that_is_not_finite(self, value: float) -> None:
        entries = {"w": torch.ones(3), "v": torch.tensor([1.0, value])}
        self.refused(
            GaussianSite(self.GOOD, Diagonal(entries)), "the curvature of task 'news' holds NaN or infinity in v"
        )

    def test_a_gradient_that_is_not_finite(self) -> None:
        gradient = {"w": torch.tensor([0.0, math.nan, 0.0]), "v": torch.zeros(2)}
        self.refused(
            GaussianSite(self.GOOD, Isotropic(1.0), gradient), "the gradient of task 'news' holds NaN or infinity in w"
        )

    def test_pretrained_params_that_are_not_finite(self) -> None:
        prior = Gaussian({"w": torch.tensor([math.nan])}, Isotropic(1.0))
        sites = {name: GaussianSite({"w": torch.ones(1)}, Isotropic(1.0)) for name in "ab"}
        with pytest.raises(ParamsError, match="the pretrained params hold NaN or infinity in w"):
            merge(prior, sites, uniform(["a", "b"]))

    def test_no_curvature_anywhere(self) -> None:
        prior = Gaussian({"w": torch.zeros(2)}, Diagonal({"w": torch.tensor([1.0, 0.0])}))
        sites = {name: GaussianSite({"w": torch.ones(2)}, Diagonal({"w": torch.zeros(2)})) for name in "ab"}
        with pytest.raises(ParamsError, match="preview of w is not finite; give the prior a precision above 0"):
            merge(prior, sites, uniform(["a", "b"]))

    def test_a_large_finite_result_is_not_refused(self) -> None:
        """Its sum overflows float32, its entries do not."""
        prior = Gaussian({"w": torch.zeros(4)}, Isotropic(1.0))
        sites = {name: GaussianSite({"w": torch.full((4,), 1e38)}, Isotropic(1.0)) for name in "ab"}
        for weights in (uniform(["a", "b"]), corners(["a", "b"])[0]):
            torch.testing.assert_close(merge(prior, sites, weights).params["w"], torch.full((4,), 1e38))

    def test_other_shapes_are_listed(self) -> None:
        center = {"w": torch.ones(4), "v": torch.ones(2, 1)}
        match = r"params of task 'news'.*shape of w is \[4\], not \[3\]; shape of v is \[2, 1\], not \[2\]"
        self.refused(GaussianSite(center, Isotropic(1.0)), match)

    def test_names_that_the_pretrained_model_lacks_are_listed(self) -> None:
        center = {**self.GOOD, "y": torch.ones(1), "x": torch.ones(1)}
        self.refused(GaussianSite(center, Isotropic(1.0)), "params of task 'news'.*additional x, y")

    def test_curvature_that_lacks_a_tensor(self) -> None:
        self.refused(GaussianSite(self.GOOD, Diagonal({"w": torch.ones(3)})), "no entries for v")

    def test_different_units(self) -> None:
        match = "different units.*'movies': 'example', 'news': 'token'"
        self.refused(GaussianSite(self.GOOD, Isotropic(1.0), record=Record(unit="token")), match)

    @pytest.mark.parametrize("names", [("movies",), ("movies", "sport"), ("movies", "news", "sport")])
    def test_weights_of_other_tasks(self, names: tuple[str, ...]) -> None:
        sites = {name: GaussianSite(self.GOOD, Isotropic(1.0)) for name in ("movies", "news")}
        with pytest.raises(WeightsError, match=r"weights are for movies.*sites for movies, news"):
            merge(self.PRIOR, sites, uniform(names))


class TestMixtures:
    LIKE = DOUBLES["several"]
    PRIOR = Gaussian(LIKE, Isotropic(0.5))

    def mixture(
        self, seed: int, count: int, by: float, tempering: float = 1.0, blocks: Blocks = "whole"
    ) -> MixtureSite:
        centers = [moved(self.LIKE, seed * 10 + index, by) for index in range(count)]
        runs = [GaussianSite(center, diagonal_like(self.LIKE, seed + i)) for i, center in enumerate(centers)]
        return MixtureSite(self.PRIOR, runs, tempering=tempering, blocks=blocks)

    def log_joint(self, mixtures: Mapping[str, MixtureSite], weights: TaskWeights, at: Params) -> float:
        """``log p_0 + sum_t alpha_t (log q_t - log p_0)``, up to a constant."""
        start = self.PRIOR.log_density(at)
        return start + sum(alpha * (mixtures[name].log_density(at) - start) for name, alpha in weights.items())

    @quick
    @given(
        seed=st.integers(0, 1000),
        counts=st.lists(st.integers(1, 4), min_size=1, max_size=3),
        by=st.sampled_from([0.3, 1.0, 3.0]),
    )
    def test_no_step_lowers_the_joint_density(self, seed: int, counts: list[int], by: float) -> None:
        mixtures = {f"t{i}": self.mixture(seed + i, count, by) for i, count in enumerate(counts)}
        numbers = torch.rand(len(counts), generator=random(seed), dtype=torch.float64) + 0.01
        weights = TaskWeights(tuple(mixtures), (numbers / numbers.sum()).tolist())
        points = [
            self.LIKE,
            *(merge(self.PRIOR, mixtures, weights, max_steps=steps).params for steps in (1, 2, 3, 5, 10, 50)),
        ]
        heights = [self.log_joint(mixtures, weights, point) for point in points]
        assert all(after >= before - 1e-9 * abs(before) for before, after in pairwise(heights))
        assert heights[-1] > heights[0]

    def test_a_converged_point_is_a_local_maximum(self) -> None:
        mixtures = {name: self.mixture(seed, 3, 0.5) for seed, name in enumerate("ab")}
        weights = TaskWeights("ab", (0.4, 0.6))
        preview = merge(self.PRIOR, mixtures, weights, max_steps=500)
        assert preview.converged
        best = self.log_joint(mixtures, weights, preview.params)
        for seed in range(20):
            assert self.log_joint(mixtures, weights, moved(preview.params, seed, 0.01)) < best

    def test_one_component_equals_its_gaussian(self) -> None:
        mixtures = {name: self.mixture(seed, 1, 1.0) for seed, name in enumerate("abc")}
        gaussians = {name: mixture.components[0] for name, mixture in mixtures.items()}
        weights = TaskWeights("abc", (0.2, 0.3, 0.5))
        found, expected = (merge(self.PRIOR, sites, weights) for sites in (mixtures, gaussians))
        assert_close(found.params, expected.params, 1e-6)
        assert found.converged

    def test_components_that_agree_equal_one(self) -> None:
        single = {name: self.mixture(seed, 1, 1.0) for seed, name in enumerate("ab")}
        double = {name: MixtureSite(self.PRIOR, [*site.components] * 2) for name, site in single.items()}
        found, expected = (merge(self.PRIOR, sites, uniform(["a", "b"])).params for sites in (double, single))
        assert_close(found, expected, 1e-6)

    def test_steps_are_bounded_and_say_so(self) -> None:
        mixtures = {name: self.mixture(seed, 3, 0.3) for seed, name in enumerate("ab")}
        free = merge(self.PRIOR, mixtures, uniform(["a", "b"]), max_steps=500)
        assert free.converged
        assert free.steps > 2
        bound = merge(self.PRIOR, mixtures, uniform(["a", "b"]), max_steps=free.steps - 1)
        assert not bound.converged
        assert bound.steps == free.steps - 1

    def test_the_surrogates_are_those_at_the_merged_point(self) -> None:
        mixtures = {name: self.mixture(seed, 3, 0.3) for seed, name in enumerate("ab")}
        preview = merge(self.PRIOR, mixtures, uniform(["a", "b"]), max_steps=2)
        for name, mixture in mixtures.items():
            again = mixture.surrogate(preview.params)
            assert [part.power for part in preview.surrogates[name]] == [part.power for part in again]
            assert len({part.power for part in again}) > 1

    def test_mixtures_merge_with_gaussians(self) -> None:
        sites: dict[str, Site] = {
            "a": self.mixture(0, 2, 0.5),
            "b": GaussianSite(moved(self.LIKE, 5), diagonal_like(self.LIKE)),
        }
        preview = merge(self.PRIOR, sites, uniform(["a", "b"]))
        assert preview.converged
        assert isinstance(preview.precision(), Diagonal)

    @pytest.mark.parametrize("blocks", ["whole", "tensor"])
    @pytest.mark.parametrize("tempering", [0.5, 3.0, 1e3])
    def test_no_step_lowers_what_a_tempered_or_blockwise_mixture_climbs(self, tempering: float, blocks: Blocks) -> None:
        mixtures = {name: self.mixture(seed, 3, 1.0, tempering, blocks) for seed, name in enumerate("abc")}
        weights = TaskWeights("abc", (0.2, 0.3, 0.5))
        points = [
            self.LIKE,
            *(merge(self.PRIOR, mixtures, weights, max_steps=steps).params for steps in (1, 2, 3, 5, 10, 50)),
        ]
        heights = [self.log_joint(mixtures, weights, point) for point in points]
        assert all(after >= before - 1e-9 * abs(before) for before, after in pairwise(heights))

    def test_the_control_takes_every_run_alike_wherever_it_starts(self) -> None:
        mixtures = {name: self.mixture(seed, 3, 1.0, math.inf) for seed, name in enumerate("ab")}
        weights = TaskWeights("ab", (0.4, 0.6))
        found, other = (merge(self.PRIOR, mixtures, weights, start=start) for start in (None, moved(self.LIKE, 7, 3.0)))
        assert_close(found.params, other.params, 1e-12)
        runs = {f"{name}{k}": run for name, mixture in mixtures.items() for k, run in enumerate(mixture.components)}
        alike = TaskWeights(tuple(runs), [weights[name[0]] / 3 for name in runs])
        assert_close(found.params, merge(self.PRIOR, runs, alike).params, 1e-6)

    def test_the_start_is_kept_and_decides_between_far_modes(self) -> None:
        """Two runs far apart: EM ends at the one it started near, and the corner is that run bit for bit."""
        far = [
            GaussianSite({name: tensor + shift for name, tensor in self.LIKE.items()}, Isotropic(4.0))
            for shift in (-50.0, 50.0)
        ]
        sites = {"a": MixtureSite(self.PRIOR, far), "b": GaussianSite(self.LIKE, Isotropic(1.0))}
        for run in far:
            preview = merge(self.PRIOR, sites, TaskWeights("ab", (1.0, 0.0)), start=run.center)
            assert preview.start is run.center
            assert preview.converged
            assert_same(preview.params, run.center)

    def test_a_start_of_other_shapes_is_refused(self) -> None:
        with pytest.raises(ParamsError, match="the start of the merge does not fit"):
            merge(self.PRIOR, {"a": self.mixture(0, 2, 1.0)}, uniform(["a"]), start={"w": torch.zeros(1)})


def test_one_step_is_enough_for_gaussians() -> None:
    sites = {name: GaussianSite({"w": torch.ones(1)}, Isotropic(1.0)) for name in "ab"}
    preview = merge(Gaussian({"w": torch.zeros(1)}, Isotropic(1.0)), sites, uniform(["a", "b"]), max_steps=1)
    assert (preview.steps, preview.converged) == (1, True)


def test_a_preview_remembers_what_it_was_made_from() -> None:
    prior = Gaussian({"w": torch.zeros(1)}, Isotropic(1.0))
    sites = {"a": GaussianSite({"w": torch.ones(1)}, Isotropic(1.0))}
    preview = merge(prior, sites, uniform(["a"]))
    assert isinstance(preview, Preview)
    assert preview.weights == uniform(["a"])
    assert preview.prior is prior
    assert preview.surrogates["a"] == (sites["a"],)
    assert preview.start is prior.mean


@pytest.mark.parametrize("wrong", [torch.ones(1), torch.tensor(1.0), torch.ones(2, 3)])
def test_curvature_of_another_shape_is_refused_and_not_broadcast(wrong: torch.Tensor) -> None:
    prior = Gaussian({"w": torch.zeros(3)}, Isotropic(1.0))
    sites = {
        "a": GaussianSite({"w": torch.ones(3)}, Diagonal({"w": torch.ones(3)})),
        "b": GaussianSite({"w": torch.ones(3)}, Diagonal({"w": wrong})),
    }
    with pytest.raises(
        ParamsError, match=re.escape(f"the curvature of task 'b' has shape {list(wrong.shape)} in w, the parameter [3]")
    ):
        merge(prior, sites, TaskWeights(["a", "b"], [0.5, 0.5]))


def test_every_part_of_a_site_is_looked_at() -> None:
    prior, center = Gaussian({"w": torch.zeros(3)}, Isotropic(1.0)), {"w": torch.ones(3)}
    good, bad = GaussianSite(center, Isotropic(1.0)), GaussianSite(center, Diagonal({"w": torch.ones(1)}))
    for site, said in [
        (MixtureSite(prior, [good, bad]), "the curvature of component 2 of task 'b' has shape [1] in w"),
        (
            replace(good, gradient={"w": torch.ones(1)}),
            "the gradient of task 'b' does not fit the pretrained model: shape of w is [1], not [3]",
        ),
    ]:
        with pytest.raises(ParamsError, match=re.escape(said)):
            merge(prior, {"a": good, "b": site}, uniform("ab"))


@pytest.mark.parametrize("wrong", [{"w": torch.ones(3)}, Gaussian({"w": torch.ones(3)}, Isotropic(1.0))])
def test_what_is_no_site_is_refused(wrong: object) -> None:
    prior = Gaussian({"w": torch.zeros(3)}, Isotropic(1.0))
    with pytest.raises(
        ParamsError, match=r"task 'a' has a (dict|Gaussian), not a site; make one, for example GaussianSite"
    ):
        merge(prior, {"a": wrong}, TaskWeights(["a"], [1.0]))  # type: ignore[dict-item]
