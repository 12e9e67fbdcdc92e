from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from foretaste.errors import ParamsError, WeightsError
from foretaste.merge import merge
from foretaste.params import Params
from foretaste.pieces import CHUNK
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.precision import Precision
from foretaste.posterior.site import GaussianSite
from foretaste.simplex import lattice
from foretaste.stored import Stored
from foretaste.stream import stream
from foretaste.weights import TaskWeights
from laws import HARD, STRUCTURES, assert_close, diagonal_like, kronecker_like, normal

TASKS = ("a", "b", "c")
GRID = lattice(TASKS, 3)


def near(like: Params, seed: int) -> dict[str, Tensor]:
    scale = max([float(tensor.abs().max()) for tensor in like.values() if tensor.numel()], default=1.0)
    return {
        name: (
            (tensor.float() + scale * normal(*tensor.shape, seed=40 + 10 * seed + place)).to(tensor.dtype).contiguous()
        )
        for place, (name, tensor) in enumerate(like.items())
    }


def collected(
    prior: Gaussian, sites: Mapping[str, GaussianSite], weightings: Sequence[TaskWeights]
) -> list[dict[str, Tensor]]:
    """Every preview put together, in the types that `merge` gives."""
    parts: list[dict[str, list[Tensor]]] = [{} for _ in weightings]
    for _, found in stream(prior, sites, weightings):
        for own, tensors in zip(parts, found, strict=True):
            for name, tensor in tensors.items():
                own.setdefault(name, []).append(tensor.flatten())
    return [
        {
            name: torch.cat(own[name]).reshape(mean.shape).to(mean.dtype)
            for name, mean in prior.mean.items()
            if name in own
        }
        for own in parts
    ]


def tolerance(like: Params) -> float:
    return max({torch.bfloat16: 1e-2, torch.float16: 1e-3}.get(tensor.dtype, 1e-5) for tensor in like.values())


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("family", HARD)
@pytest.mark.parametrize(
    "structure", ["isotropic", "diagonal", "diagonal 1e-10 to 1e15", "kronecker with biases", "lowrank"]
)
def test_every_weighting_is_what_merging_it_alone_gives(structure: str, family: str, gradients: bool) -> None:
    like = HARD[family]
    prior = Gaussian(like, Isotropic(0.7))
    slopes = near(like, 9) if gradients else None
    sites = {
        task: GaussianSite(near(like, seed), STRUCTURES[structure](like), slopes) for seed, task in enumerate(TASKS)
    }
    for weights, found in zip(GRID, collected(prior, sites, GRID), strict=True):
        expected = {name: tensor for name, tensor in merge(prior, sites, weights).params.items() if tensor.numel()}
        assert_close({name: tensor for name, tensor in found.items() if tensor.numel()}, expected, tolerance(like))


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("family", HARD)
@pytest.mark.parametrize("structure", ["isotropic", "diagonal", "diagonal 1e-10 to 1e15"])
def test_one_weighting_alone_is_what_merging_gives(structure: str, family: str, gradients: bool) -> None:
    like = HARD[family]
    prior = Gaussian(like, Isotropic(0.7))
    slopes = near(like, 9) if gradients else None
    sites = {
        task: GaussianSite(near(like, seed), STRUCTURES[structure](like), slopes) for seed, task in enumerate(TASKS)
    }
    before = {task: {name: tensor.clone() for name, tensor in site.center.items()} for task, site in sites.items()}
    for weights in GRID:
        (found,) = collected(prior, sites, [weights])
        for name, expected in merge(prior, sites, weights).params.items():
            if expected.numel():
                rounding = 1e-6 * max(float(params[name].abs().max()) for params in (like, *before.values()))
                torch.testing.assert_close(found[name], expected, rtol=tolerance(like), atol=rounding)
    for task, site in sites.items():
        assert all(torch.equal(site.center[name], tensor) for name, tensor in before[task].items())


LONG = {"w": normal(3 * CHUNK)}
INSIDE = [TaskWeights(TASKS, [0.2, 0.3, 0.5]), TaskWeights(TASKS, [0.5, 0.3, 0.2])]


class TestMemory:
    """Sites of 3 tasks at K weightings take (5 * 3 + 5 K + 8) * 4 bytes per entry."""

    def found(self, memory: int, weightings: Sequence[TaskWeights]) -> list[Tensor]:
        sites = {task: GaussianSite(near(LONG, seed), diagonal_like(LONG, seed)) for seed, task in enumerate(TASKS)}
        return [own["w"] for _, (own, *_) in stream(Gaussian(LONG, Isotropic(1.0)), sites, weightings, memory=memory)]

    def test_slices_are_as_long_as_fits(self) -> None:
        assert [len(own) for own in self.found(112 * 20_000, INSIDE[:1])] == [20_000] * 19 + [3 * CHUNK - 19 * 20_000]
        assert [len(own) for own in self.found(132 * 60_000, INSIDE)][:1] == [60_000]
        assert [len(own) for own in self.found(1 << 30, INSIDE)] == [CHUNK] * 3

    def test_their_length_does_not_matter(self) -> None:
        assert torch.equal(torch.cat(self.found(2_000_000, INSIDE[:1])), torch.cat(self.found(1 << 30, INSIDE[:1])))

    def test_too_little_is_refused_before_anything_is_read(self) -> None:
        sites = {task: GaussianSite.flat(LONG) for task in TASKS}
        said = (
            r"budget of 0\.5 MiB is too small: the buffers for a slice \(tasks: 3, weightings: 2\) take 1\.0 MiB at"
            r" least; allow more"
        )
        with pytest.raises(ParamsError, match=said):
            stream(Gaussian(LONG, Isotropic(1.0)), sites, INSIDE, memory=1 << 19)

    def test_what_is_coupled_is_held_whole(self) -> None:
        like = HARD["several"]
        sites = {task: GaussianSite(near(like, seed), kronecker_like(like)) for seed, task in enumerate(TASKS)}
        prior, largest = Gaussian(like, Isotropic(1.0)), max(tensor.numel() for tensor in like.values())
        with pytest.raises(ParamsError, match="the buffers for what is coupled"):
            stream(prior, sites, INSIDE, memory=8 * 4 * largest - 1)
        assert list(stream(prior, sites, INSIDE, memory=16 * 4 * largest))


@pytest.mark.parametrize(
    "precision", [Isotropic(0.0), diagonal_like({"w": torch.zeros(CHUNK + 9), "v": torch.zeros(3, 2)}, 1, -3, 3)]
)
def test_params_in_files_give_the_same_as_params_in_memory(tmp_path: Path, precision: Precision) -> None:
    like = {"w": normal(CHUNK + 9, seed=1).bfloat16(), "v": normal(3, 2, seed=2)}
    sites, stored = {}, {}
    for seed, task in enumerate(TASKS):
        save_file(near(like, seed), tmp_path / f"{task}.safetensors")
        sites[task] = GaussianSite(near(like, seed), precision)
        stored[task] = GaussianSite(Stored.open([tmp_path / f"{task}.safetensors"]), precision)
    save_file(like, tmp_path / "prior.safetensors")
    files = Gaussian(Stored.open([tmp_path / "prior.safetensors"]), Isotropic(1.0))
    inside = [weights for weights in GRID if weights.corner is None]
    for one, other in zip(
        collected(Gaussian(like, Isotropic(1.0)), sites, inside), collected(files, stored, inside), strict=True
    ):
        assert all(one[name].equal(other[name]) for name in like)


@pytest.mark.parametrize("weightings", [1, 3])
@pytest.mark.parametrize("curved", [False, True])
@pytest.mark.parametrize("expert", [torch.float64, torch.float32])
def test_doubles_are_merged_in_double(weightings: int, curved: bool, expert: torch.dtype) -> None:
    """Weights too: a third is not rounded to float32 on its way. Experts may be in another type than the base."""
    mean = normal(50, seed=1, dtype=torch.float64)
    centers = {task: normal(50, seed=seed, dtype=torch.float64).to(expert) for seed, task in enumerate(TASKS, start=2)}
    entries = {task: normal(50, seed=seed, dtype=torch.float64).square() for seed, task in enumerate(TASKS, start=7)}
    sites = {
        task: GaussianSite({"w": center}, Diagonal({"w": entries[task].to(expert)}) if curved else Isotropic(0.0))
        for task, center in centers.items()
    }
    wanted = [TaskWeights(TASKS, [1 / 3, 1 / 7, 1 - 1 / 3 - 1 / 7])] * weightings
    (_, merged), *_ = stream(Gaussian({"w": mean}, Isotropic(0.5)), sites, wanted)
    h = {task: entries[task].to(expert).double() if curved else torch.zeros(50, dtype=torch.float64) for task in TASKS}
    top = sum(share * (0.5 + h[task]) * (centers[task].double() - mean) for task, share in wanted[0].items())
    expected = mean + top / (0.5 + sum(share * h[task] for task, share in wanted[0].items()))
    exact = 1e-13 if expert == torch.float64 else 1e-5
    for found in merged:
        torch.testing.assert_close(found["w"].double(), expected, rtol=exact, atol=exact)


def test_a_corner_is_the_task_bit_for_bit() -> None:
    like = HARD["mixed types"]
    sites = {task: GaussianSite(near(like, seed), diagonal_like(like, seed)) for seed, task in enumerate(TASKS)}
    weightings = [TaskWeights(TASKS, [0, 1, 0]), TaskWeights(TASKS, [0.5, 0.5, 0])]
    for _, (corner, _) in stream(Gaussian(like, Isotropic(1.0)), sites, weightings):
        for name, tensor in corner.items():
            assert tensor.dtype == like[name].dtype
            assert tensor.equal(sites["b"].center[name].flatten()[: len(tensor)])


def test_simple_averaging_does_not_read_the_prior(tmp_path: Path) -> None:
    save_file({"w": torch.zeros(3)}, tmp_path / "prior.safetensors")
    prior = Gaussian(Stored.open([tmp_path / "prior.safetensors"]), Isotropic(1.0))
    (tmp_path / "prior.safetensors").unlink()
    sites = {"a": GaussianSite.flat({"w": torch.ones(3)}), "b": GaussianSite.flat({"w": torch.zeros(3)})}
    (_, (found,)), *_ = stream(prior, sites, [TaskWeights(["a", "b"], [0.25, 0.75])])
    assert found["w"].tolist() == [0.25] * 3


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_averages_by_curvature_of_short_params_do_not_read_the_prior(
    tmp_path: Path, dtype: torch.dtype, count: int
) -> None:
    save_file({"w": torch.zeros(1000, dtype=dtype)}, tmp_path / "prior.safetensors")
    prior = Gaussian(Stored.open([tmp_path / "prior.safetensors"]), Isotropic(0.5))
    (tmp_path / "prior.safetensors").unlink()
    centers = [normal(1000, seed=seed).to(dtype) for seed in range(3)]
    curvature = [normal(1000, seed=seed).exp() for seed in range(3, 6)]
    sites = {
        task: GaussianSite({"w": c}, Diagonal({"w": h})) for task, c, h in zip(TASKS, centers, curvature, strict=True)
    }
    (_, found), *_ = stream(prior, sites, INSIDE[:count])
    for weights, own in zip(INSIDE, found, strict=False):
        pulls = torch.stack([share * (0.5 + h.double()) for share, h in zip(weights.values(), curvature, strict=True)])
        expected = (pulls * torch.stack(centers).double()).sum(0) / pulls.sum(0)
        torch.testing.assert_close(own["w"].double(), expected, rtol=1e-6, atol=1e-6)


def test_a_task_without_weight_is_not_read(tmp_path: Path) -> None:
    for name in "abc":
        save_file({"w": torch.ones(3)}, tmp_path / f"{name}.safetensors")
    sites = {name: GaussianSite.flat(Stored.open([tmp_path / f"{name}.safetensors"])) for name in "abc"}
    (tmp_path / "c.safetensors").unlink()
    weightings = [TaskWeights(TASKS, [0.5, 0.5, 0.0]), TaskWeights(TASKS, [1.0, 0.0, 0.0])]
    assert len(collected(Gaussian({"w": torch.zeros(3)}, Isotropic(1.0)), sites, weightings)) == 2


def test_heads_of_their_own_stay_as_they_are() -> None:
    prior = Gaussian({"trunk": torch.zeros(2), "head": torch.zeros(2)}, Isotropic(1.0))
    sites = {
        "a": GaussianSite.flat({"trunk": torch.ones(2), "head": torch.ones(2)}),
        "b": GaussianSite.flat({"trunk": torch.zeros(2)}),
    }
    (found,) = collected(prior, sites, [TaskWeights(["a", "b"], [0.25, 0.75])])
    assert found["trunk"].tolist() == [0.25, 0.25]
    assert found["head"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(("weights", "named"), [([0.5, 0.5, 0.0], "'b'"), ([0.0, 1.0, 0.0], "'b'")])
def test_a_nan_names_its_task_and_tensor(weights: list[float], named: str) -> None:
    sites = {task: GaussianSite.flat({"w": torch.ones(3)}) for task in TASKS}
    sites["b"] = GaussianSite.flat({"w": torch.tensor([1.0, torch.nan, 1.0])})
    with pytest.raises(ParamsError, match=f"the params of task {named} hold NaN or infinity in w"):
        list(stream(Gaussian({"w": torch.zeros(3)}, Isotropic(1.0)), sites, [TaskWeights(TASKS, weights)]))


def test_other_tasks_are_refused() -> None:
    sites = {"a": GaussianSite.flat({"w": torch.ones(3)})}
    with pytest.raises(WeightsError, match="weights are for b, sites for a"):
        list(stream(Gaussian({"w": torch.zeros(3)}, Isotropic(1.0)), sites, [TaskWeights(["b"], [1.0])]))


def test_sites_raised_to_a_power_and_coupled_priors_take_the_general_way() -> None:
    like = HARD["several"]
    sites = {task: GaussianSite(near(like, seed), diagonal_like(like, seed)) ** 0.5 for seed, task in enumerate(TASKS)}
    for prior in (Gaussian(like, Isotropic(1.0)), Gaussian(like, kronecker_like(like) + Isotropic(1.0))):
        weights = TaskWeights(TASKS, [0.2, 0.3, 0.5])
        (found,) = collected(prior, sites, [weights])
        assert_close(found, merge(prior, sites, weights).params, 1e-4)
