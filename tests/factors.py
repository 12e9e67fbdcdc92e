"""LoRA factors for tests, of every layout, and their dense updates entry by entry."""

from collections.abc import Mapping

import torch
from torch import Tensor

from foretaste.lora import Factors, Layout

LAYOUTS: tuple[Layout, ...] = ("linear", "embedding", "convolution")
SHAPES: Mapping[Layout, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "linear": ((7,), ()),
    "embedding": ((9,), ()),
    "convolution": ((3, 2, 2), (1, 1)),
}
OUT = 5


def factors(
    rank: int, seed: int, layout: Layout = "linear", alpha: float = 3.0, *, stabilised: bool = False
) -> Factors:
    generator = torch.Generator().manual_seed(seed)
    inner, ones = SHAPES[layout]
    a, b = torch.randn(rank, *inner, generator=generator), torch.randn(OUT, rank, *ones, generator=generator)
    return Factors(a, b, alpha, stabilised=stabilised, layout=layout)


def dense(own: Factors) -> Tensor:
    """Sum over rank, entry by entry, in float64."""
    formula = {"linear": "or,ri->oi", "embedding": "or,ri->io", "convolution": "orxy,rikl->oikl"}[own.layout]
    scaling: float = own.alpha / own.a.shape[0] ** (0.5 if own.stabilised else 1)
    return torch.einsum(formula, own.b.double(), own.a.double()) * scaling
