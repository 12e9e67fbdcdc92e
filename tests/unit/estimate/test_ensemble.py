import math

import torch

from foretaste.estimate.ensemble import average_runs, average_with_curvature, mix_runs
from foretaste.merge import merge
from foretaste.params import Params
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.site import GaussianSite
from foretaste.weights import TaskWeights
from laws import HARD, assert_close, diagonal_like, normal

LIKE = {name: tensor.double() for name, tensor in HARD["several"].items()}
PRIOR = Gaussian(LIKE, Isotropic(0.5))
WEIGHTS = TaskWeights("ab", (0.3, 0.7))


def _runs(seed: int, count: int = 3) -> list[GaussianSite]:
    return [GaussianSite(_near(seed + k), diagonal_like(LIKE, seed + k)) for k in range(count)]


def _near(seed: int) -> Params:
    return {name: tensor + normal(*tensor.shape, seed=seed, dtype=tensor.dtype) for name, tensor in LIKE.items()}


RUNS = {"a": _runs(0), "b": _runs(10)}


def test_the_plain_control_is_simple_averaging_of_all_runs() -> None:
    found = merge(PRIOR, {task: average_runs(PRIOR, runs) for task, runs in RUNS.items()}, WEIGHTS).params
    parts = [(WEIGHTS[task] / 3, run) for task, runs in RUNS.items() for run in runs]
    assert_close(
        found, {name: sum((share * run.center[name] for share, run in parts), torch.zeros(())) for name in LIKE}, 1e-9
    )


def test_the_weighted_control_is_merging_all_runs_as_if_each_were_a_task() -> None:
    found = merge(PRIOR, {task: average_with_curvature(PRIOR, runs) for task, runs in RUNS.items()}, WEIGHTS).params
    alone = {f"{task}{k}": run for task, runs in RUNS.items() for k, run in enumerate(runs)}
    expected = merge(PRIOR, alone, TaskWeights(tuple(alone), [WEIGHTS[name[0]] / 3 for name in alone])).params
    assert_close(found, expected, 1e-6)


def test_an_ensemble_of_one_is_its_run() -> None:
    sites = {task: mix_runs(PRIOR, runs[:1]) for task, runs in RUNS.items()}
    assert_close(
        merge(PRIOR, sites, WEIGHTS).params,
        merge(PRIOR, {task: runs[0] for task, runs in RUNS.items()}, WEIGHTS).params,
        1e-9,
    )


def test_options_reach_the_mixture() -> None:
    site = mix_runs(PRIOR, RUNS["a"], tempering=7.0, blocks="tensor")
    assert (site.tempering, site.blocks, len(site.components)) == (7.0, "tensor", 3)
    assert math.isinf(average_with_curvature(PRIOR, RUNS["a"]).tempering)
