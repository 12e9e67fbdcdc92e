"""Dense updates written as factors."""

import torch
from torch import Tensor

from foretaste.lora import Factors, Layout

__all__ = ["dense_factors"]

_EXACT = 1024  # the shorter side of a matrix whose singular values are all computed
_MORE, _ROUNDS = 8, 4  # of the randomised method for larger ones


def dense_factors(update: Tensor, layout: Layout, *, transposed: bool, rank: int | None = None) -> Factors:
    """Write a dense update as factors.

    Args:
        update: In the weight's shape.
        layout: What kind of layer it is of.
        transposed: Whether the weight is kept as ``[in, out]``.
        rank: The largest rank, without which nothing is left out.

    Returns:
        Factors with a scaling of 1.

    >>> update = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    >>> dense_factors(update, "linear", transposed=False, rank=1).rank
    1
    """
    turned = update.T if transposed or layout == "embedding" else update
    matrix = turned.flatten(1).double() if min(update.shape[0], update[0].numel()) <= _EXACT else turned.flatten(1)
    most = min(matrix.shape) if rank is None else min(rank, *matrix.shape)
    if min(matrix.shape) <= _EXACT or rank is None:
        left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    else:
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            left, values, columns = torch.svd_lowrank(matrix, q=min(most + _MORE, *matrix.shape), niter=_ROUNDS)
        right = columns.T
    a, b = right[:most].float(), (left[:, :most] * values[:most]).float()
    if layout == "convolution":
        a, b = a.reshape(most, *update.shape[1:]), b.reshape(*b.shape, *[1] * (update.ndim - 2))
    return Factors(a, b, alpha=most, layout=layout)
