"""Flat sites against mergekit's linear and task-arithmetic merges."""

from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor

from foretaste.merge import merge
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.site import GaussianSite
from foretaste.weights import TaskWeights

merge_methods = pytest.importorskip(
    "mergekit.merge_methods",
    reason="mergekit pins its own torch and transformers: run this file in an environment of its own",
)

SHARES = [(0.5, 0.5), (0.2, 0.8), (0.1, 0.3, 0.6), (0.7, 0.0, 0.3), (1.0, 0.0)]


def params(seed: int, dtype: torch.dtype) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"embed": (50, 8), "layer.weight": (8, 8), "layer.bias": (8,), "kernel": (4, 2, 3, 3)}
    return {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in shapes.items()}


def previewed(
    base: Mapping[str, Tensor], experts: Sequence[Mapping[str, Tensor]], shares: Sequence[float]
) -> Mapping[str, Tensor]:
    sites = {f"t{index}": GaussianSite.flat(expert) for index, expert in enumerate(experts)}
    return merge(Gaussian(base, Isotropic(1.0)), sites, TaskWeights(tuple(sites), shares)).params


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shares", SHARES)
def test_linear(shares: Sequence[float], dtype: torch.dtype) -> None:
    base, *experts = (params(seed, dtype) for seed in range(len(shares) + 1))
    expected = merge_methods.merge_state_dicts(
        experts, "linear", parameters={"weight": list(shares), "normalize": False}
    )
    found = previewed(base, experts, shares)
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shares", SHARES)
def test_task_arithmetic(shares: Sequence[float], dtype: torch.dtype) -> None:
    base, *experts = (params(seed, dtype) for seed in range(len(shares) + 1))
    models = {"base": base} | {f"t{index}": expert for index, expert in enumerate(experts)}
    weight = {f"t{index}": share for index, share in enumerate(shares)}
    options = {"weight": weight, "normalize": False}
    expected = merge_methods.merge_state_dicts(models, "task_arithmetic", base="base", parameters=options)
    found = previewed(base, experts, shares)
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-6, atol=1e-6)
