"""`correct_preview` and `nearness` of `foretaste.merge`: previews moved by a joint run."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from foretaste.errors import ParamsError, WeightsError
from foretaste.merge import Preview, correct_preview, merge, nearness
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.site import GaussianSite, Site
from foretaste.weights import TaskWeights, corners, uniform
from laws import assert_same, diagonal_like, normal

NAMES = ["a", "b", "c"]
AT = TaskWeights(NAMES, [0.5, 0.3, 0.2])
INSIDE = [uniform(NAMES), TaskWeights(NAMES, [0.8, 0.1, 0.1]), TaskWeights(NAMES, [0.01, 0.01, 0.98])]
FACES = [*corners(NAMES), TaskWeights(NAMES, [0.0, 0.5, 0.5]), TaskWeights(NAMES, [0.9, 0.1, 0.0])]
SHAPES = {"matrix": (3, 2), "scalar": (), "empty": (0, 2)}
JOINT = {name: normal(*shape, seed=99) for name, shape in SHAPES.items()}

shares = st.lists(st.floats(0.01, 1.0), min_size=3, max_size=3).map(
    lambda each: TaskWeights(NAMES, [x / math.fsum(each) for x in each])
)


def preview(weights: TaskWeights, dtype: torch.dtype = torch.float32) -> Preview:
    prior = {name: torch.zeros(shape, dtype=dtype) for name, shape in SHAPES.items()}
    sites: dict[str, Site] = {}
    for seed, task in enumerate(NAMES):
        center = {name: normal(*shape, seed=seed).to(dtype) for name, shape in SHAPES.items()}
        sites[task] = GaussianSite(center, diagonal_like(center, seed), carried={"buffer": torch.tensor([float(seed)])})
    return merge(Gaussian(prior, Isotropic(0.5)), sites, weights)


class TestNearness:
    @given(shares)
    def test_it_is_1_at_the_center_only(self, weights: TaskWeights) -> None:
        assert nearness(weights, weights) == pytest.approx(1.0)
        assert 0 < nearness(AT, weights) <= 1 + 1e-12

    @pytest.mark.parametrize("weights", FACES)
    def test_it_is_0_on_faces(self, weights: TaskWeights) -> None:
        assert nearness(AT, weights) == 0.0

    def test_a_task_that_the_center_does_not_weigh_is_no_face(self) -> None:
        edge = TaskWeights(NAMES, [0.5, 0.5, 0.0])
        assert nearness(edge, edge) == pytest.approx(1.0)
        assert 0 < nearness(edge, uniform(NAMES)) < 1

    @given(shares, shares)
    def test_it_falls_along_every_segment_from_the_center(self, center: TaskWeights, end: TaskWeights) -> None:
        steps = [place / 10 for place in range(11)]
        between = [
            TaskWeights(NAMES, [(1 - step) * center[name] + step * end[name] for name in NAMES]) for step in steps
        ]
        values = [nearness(center, weights) for weights in between]
        assert all(before >= after - 1e-12 for before, after in pairwise(values))

    @given(shares, shares)
    def test_it_is_the_root_of_what_the_divergence_leaves(self, center: TaskWeights, weights: TaskWeights) -> None:
        divergence = math.fsum(center[name] * math.log(center[name] / weights[name]) for name in NAMES)
        assert nearness(center, weights) == pytest.approx(math.exp(-divergence / 2))

    def test_the_order_of_tasks_does_not_matter(self) -> None:
        turned = TaskWeights(["c", "a", "b"], [INSIDE[1][name] for name in "cab"])
        assert nearness(AT, turned) == pytest.approx(nearness(AT, INSIDE[1]))

    def test_other_tasks_are_refused(self) -> None:
        with pytest.raises(WeightsError, match="weights of a, d cannot be compared with weights of a, b, c"):
            nearness(AT, uniform(["a", "d"]))


class TestCorrected:
    @pytest.mark.parametrize("trust", [1e-6, 0.01, 0.5, 1.0])
    def test_at_the_joint_run_s_weights_it_is_the_joint_run(self, trust: float) -> None:
        found = correct_preview(preview(AT), preview(AT), JOINT, trust).params
        torch.testing.assert_close({name: found[name] for name in JOINT}, JOINT)

    @pytest.mark.parametrize("weights", [AT, *INSIDE])
    def test_no_trust_changes_nothing(self, weights: TaskWeights) -> None:
        assert_same(correct_preview(preview(weights), preview(AT), JOINT, 0.0).params, preview(weights).params)

    @pytest.mark.parametrize("trust", [0.01, 0.5, 1.0])
    @pytest.mark.parametrize("weights", FACES)
    def test_faces_stay_as_they_were(self, weights: TaskWeights, trust: float) -> None:
        assert_same(correct_preview(preview(weights), preview(AT), JOINT, trust).params, preview(weights).params)

    @pytest.mark.parametrize("weights", INSIDE)
    def test_whole_trust_moves_all_of_the_inside_alike(self, weights: TaskWeights) -> None:
        found, plain, known = (
            correct_preview(preview(weights), preview(AT), JOINT).params,
            preview(weights).params,
            preview(AT).params,
        )
        torch.testing.assert_close(
            {name: found[name] - plain[name] for name in JOINT}, {name: JOINT[name] - known[name] for name in JOINT}
        )

    @pytest.mark.parametrize("weights", INSIDE)
    def test_the_error_is_carried_by_a_power_of_the_nearness(self, weights: TaskWeights) -> None:
        found, plain, known = (
            correct_preview(preview(weights), preview(AT), JOINT, 0.25).params,
            preview(weights).params,
            preview(AT).params,
        )
        share = nearness(AT, weights) ** 3
        torch.testing.assert_close(found["matrix"], plain["matrix"] + share * (JOINT["matrix"] - known["matrix"]))

    def test_more_trust_carries_it_further(self) -> None:
        plain = preview(INSIDE[1])
        moves = [
            float((correct_preview(plain, preview(AT), JOINT, trust).params["matrix"] - plain.params["matrix"]).norm())
            for trust in (0.0, 0.1, 0.3, 0.6, 1.0)
        ]
        assert all(before < after for before, after in pairwise(moves))

    def test_tensors_that_the_joint_run_lacks_are_left_alone(self) -> None:
        """Private parameters and buffers among them; what only the joint run has is not taken over."""
        plain = preview(INSIDE[0])
        found = correct_preview(plain, preview(AT), {"matrix": JOINT["matrix"], "elsewhere": torch.ones(1)}).params
        assert found.keys() == plain.params.keys()
        assert_same(
            {name: found[name] for name in ("scalar", "buffer")},
            {name: plain.params[name] for name in ("scalar", "buffer")},
        )

    def test_private_parameters_are_corrected_like_others_inside(self) -> None:
        """A head that only one task has is the joint run's at the joint run's weights, and its task's at corners."""
        prior = Gaussian({"body": torch.zeros(1), "head": torch.zeros(1)}, Isotropic(1.0))
        sites: dict[str, Site] = {
            "a": GaussianSite.flat({"body": torch.ones(1), "head": torch.ones(1)}),
            "b": GaussianSite.flat({"body": -torch.ones(1)}),
        }
        even = uniform("ab")
        known = merge(prior, sites, even)
        joint = {"body": torch.tensor([0.3]), "head": torch.tensor([5.0])}
        torch.testing.assert_close(dict(correct_preview(known, known, joint, 0.5).params), joint)
        corner = merge(prior, sites, TaskWeights("ab", (0.0, 1.0)))
        assert_same(correct_preview(corner, known, joint, 0.5).params, {"body": -torch.ones(1), "head": torch.ones(1)})

    def test_buffers_of_the_joint_run_are_carried_too(self) -> None:
        found = correct_preview(preview(AT), preview(AT), {**JOINT, "buffer": torch.tensor([7.0])}).params
        torch.testing.assert_close(found["buffer"], torch.tensor([7.0]))

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
    def test_types_are_the_preview_s(self, dtype: torch.dtype) -> None:
        low = {name: tensor.to(dtype) for name, tensor in JOINT.items()}
        found = correct_preview(preview(INSIDE[0], dtype), preview(AT, dtype), low).params
        assert {found[name].dtype for name in JOINT} == {dtype}

    def test_nothing_that_was_given_changes(self) -> None:
        plain, known = preview(INSIDE[0]), preview(AT)
        correct_preview(plain, known, JOINT)
        assert_same(plain.params, preview(INSIDE[0]).params)
        assert_same(known.params, preview(AT).params)

    def test_the_rest_of_the_preview_stays(self) -> None:
        plain = preview(INSIDE[0])
        found = correct_preview(plain, preview(AT), JOINT)
        assert replace(found, params=plain.params) == plain

    @pytest.mark.parametrize("trust", [-0.1, 1.1, math.nan])
    def test_a_trust_outside_0_to_1_is_refused(self, trust: float) -> None:
        with pytest.raises(ParamsError, match="trust in a joint run is between 0 and 1"):
            correct_preview(preview(AT), preview(AT), JOINT, trust)

    def test_a_joint_run_of_other_shapes_is_refused(self) -> None:
        with pytest.raises(ParamsError, match=r"the joint run.*matrix|matrix.*the joint run"):
            correct_preview(preview(AT), preview(AT), {"matrix": torch.zeros(2, 3)})

    def test_previews_of_other_tasks_are_refused(self) -> None:
        with pytest.raises(WeightsError, match="cannot be compared"):
            correct_preview(replace(preview(AT), weights=uniform(["a", "d"])), preview(AT), JOINT)
