"""Diagonal curvature against Fisher merging as published, and against FusionBench's."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from foretaste.merge import merge
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.site import GaussianSite
from foretaste.weights import TaskWeights

SHARES = [(0.5, 0.5), (0.2, 0.8), (0.1, 0.3, 0.6), (0.7, 0.0, 0.3)]
FLOOR = 1e-6  # FusionBench's, added to every entry


def params(seed: int, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"embed": (50, 8), "layer.weight": (8, 8), "layer.bias": (8,), "kernel": (4, 2, 3, 3), "scale": ()}
    return {
        name: torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for name, shape in shapes.items()
    }


def curvatures(seed: int, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Over six orders of magnitude."""
    return {name: (10 ** (2 * tensor.double())).to(dtype) for name, tensor in params(seed + 100, dtype).items()}


def experts(count: int, dtype: torch.dtype = torch.float64) -> tuple[list[dict[str, Tensor]], list[dict[str, Tensor]]]:
    return [params(seed, dtype) for seed in range(1, count + 1)], [
        curvatures(seed, dtype) for seed in range(1, count + 1)
    ]


def previewed(shares: Sequence[float], delta: float, dtype: torch.dtype = torch.float64) -> Mapping[str, Tensor]:
    centers, fishers = experts(len(shares), dtype)
    sites = {
        f"t{k}": GaussianSite(center, Diagonal(each))
        for k, (center, each) in enumerate(zip(centers, fishers, strict=True))
    }
    return merge(Gaussian(params(0, dtype), Isotropic(delta)), sites, TaskWeights(tuple(sites), shares)).params


def published(shares: Sequence[float]) -> dict[str, npt.NDArray[np.float64]]:
    """Merge by ``sum_t a_t F_t theta_t / sum_t a_t F_t``, as Matena and Raffel do (2021)."""
    centers, fishers = experts(len(shares))
    merged = {}
    for name in centers[0]:
        thetas, weights = (np.stack([each[name].numpy() for each in those]) for those in (centers, fishers))
        scaled = np.asarray(shares).reshape(-1, *[1] * (weights.ndim - 1)) * weights
        merged[name] = (scaled * thetas).sum(0) / scaled.sum(0)
    return merged


@pytest.mark.parametrize("shares", SHARES)
def test_without_a_prior_it_is_fisher_merging(shares: Sequence[float]) -> None:
    found = previewed(shares, 1e-13)
    for name, expected in published(shares).items():
        np.testing.assert_allclose(found[name].numpy(), expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shares", SHARES)
def test_the_priors_precision_is_fusion_benchs_floor(shares: Sequence[float], dtype: torch.dtype) -> None:
    """The prior is a floor under every task's curvature, so that the two formulas are one."""
    fusion = pytest.importorskip(
        "fusion_bench.method.fisher_merging.fisher_merging",
        reason="fusion-bench brings lightning, hydra and more: run this test in an environment of its own",
    )
    centers, fishers = experts(len(shares), dtype)
    together = {name: [center[name] for center in centers] for name in centers[0]}
    scaling = torch.tensor(shares, dtype=dtype)
    expected = fusion.merging_with_fisher_weights(
        together, fishers, scaling, normalize_fisher_weight=False, minimal_fisher_weight=FLOOR
    )
    found = previewed(shares, FLOOR, dtype)
    assert set(found) == set(expected)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-9
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=tolerance, atol=tolerance)
