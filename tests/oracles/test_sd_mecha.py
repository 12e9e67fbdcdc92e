"""Flat sites, and buffers, against sd-mecha's weighted sums."""

from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor

from foretaste.merge import merge
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.site import GaussianSite
from foretaste.weights import TaskWeights

sd_mecha = pytest.importorskip("sd_mecha", reason="an independent merge: pip install sd-mecha")


def params(seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"embed": (50, 8), "layer.weight": (8, 8), "layer.bias": (8,), "kernel": (4, 2, 3, 3)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def weighted(models: Sequence[Mapping[str, Tensor]], shares: Sequence[float]) -> dict[str, Tensor]:
    """``sum_t alpha_t theta_t`` as nested sums of two, in float64, rounded to float32 at the end."""
    total, weight = sd_mecha.model(dict(models[0])), shares[0]
    for model, share in zip(models[1:], shares[1:], strict=True):
        weight += share
        total = sd_mecha.weighted_sum(total, sd_mecha.model(dict(model)), alpha=share / weight)
    merged = sd_mecha.merge(total, merge_dtype=torch.float64, output_dtype=torch.float32)
    return {name: merged[name] for name in models[0]}


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.2, 0.8), (0.1, 0.3, 0.6), (0.7, 0.0, 0.3), (0.25, 0.25, 0.25, 0.25)])
def test_weighted_sum(shares: Sequence[float]) -> None:
    experts = [params(seed + 1) for seed in range(len(shares))]
    expected = weighted(experts, shares)
    flat = {f"t{index}": GaussianSite.flat(expert) for index, expert in enumerate(experts)}
    weights = TaskWeights(tuple(flat), shares)
    found = merge(Gaussian(params(0), Isotropic(1.0)), flat, weights).params
    nothing = Gaussian({"w": torch.zeros(1)}, Isotropic(1.0))
    carried = {name: GaussianSite.flat({"w": torch.zeros(1)}, site.center) for name, site in flat.items()}
    buffers = merge(nothing, carried, weights).params
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(buffers[name], tensor, rtol=1e-6, atol=1e-6)
