"""Streaming: many previews from one reading of params that need not fit into memory.

Where no precision couples entries, each entry of a preview is a quotient of sums over the tasks, so that
all weightings of a chunk are two matrix products, ``[K, T] @ [T, n]`` (m, S: the prior; c, h, g: a site)::

    mean_k = m + sum_t alpha_kt p_t / (S + sum_t alpha_kt h_t)        p_t = (S + h_t) (c_t - m)   or   h_t (c_t - m) -
    g_t

Where all h are 0 and S is one number this is ``sum_t alpha_kt c_t``, for which the prior is not read. Nor is it for
params in 16 bits where S is one number and there are no gradients: that is ``sum_t w_kt c_t / sum_t w_kt`` with ``w_kt
= alpha_kt (S + h_t)``, whose rounding in float32 is far below the params' own.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce

import torch
from torch import Tensor

from foretaste.errors import ParamsError
from foretaste.params import Params, dtype_of, shape_of, wide
from foretaste.pieces import CHUNK, Factor, check_sites, is_finite, name_culprit, owned, pieces_of, renormalise
from foretaste.posterior.conjugate import EXACT, Stop
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.precision import Piece, Precision, couple
from foretaste.posterior.site import GaussianSite, product
from foretaste.weights import TaskWeights

__all__ = ["MEMORY", "stream"]

MEMORY = 2 << 30  # bytes

_FEWEST = 1 << 13  # entries of a slice: with fewer nearly all the time is Python's
_SHORT = 2  # bytes
_BLOCK = 31 << 20  # bytes; at 32 MiB glibc always asks the system

_Part = tuple[Mapping[str, GaussianSite], list[list[float]], list[str], int]


def stream(
    prior: Gaussian,
    sites: Mapping[str, GaussianSite],
    weightings: Sequence[TaskWeights],
    *,
    stop: Stop = EXACT,
    memory: int = MEMORY,
) -> Iterator[tuple[Piece, list[dict[str, Tensor]]]]:
    """The previews of several weightings, piece by piece.

    Args:
        prior: Centred on the pretrained params, which give the order.
        sites: One Gaussian site per task; centres, curvature and gradients may be `Stored`.
        weightings: Each over exactly these tasks.
        stop: See `foretaste.posterior.site.product`; for pieces whose precisions are coupled.
        memory: Most bytes that a piece may take, with all that it is made of and all previews of it. Slices are as long
            as fits, up to 2^17 entries, which is fastest: many weightings have use for more than the default, few for
            much less.

    Yields:
        A piece of the params, and for each weighting what belongs there: tensors by name, flat where the
        piece is a slice; in float32 or wider, except where a task's own come back bit for bit.

    Raises:
        WeightsError: Other tasks in the weights than in the sites.
        ParamsError: Params that do not fit, sites of different units, too little memory, or NaN in a result.

    >>> sites = {"a": GaussianSite.flat({"w": torch.ones(1)}), "b": GaussianSite.flat({"w": torch.zeros(1)})}
    >>> weightings = [TaskWeights(["a", "b"], [share, 1 - share]) for share in (0.25, 1.0)]
    >>> [
    ...     [each["w"] for each in found]
    ...     for _, found in stream(Gaussian({"w": torch.zeros(1)}, Isotropic(1.0)), sites, weightings)
    ... ]
    [[tensor([0.2500]), tensor([1.])]]
    """
    for weights in weightings:
        check_sites(prior, sites, weights)
    parts: list[_Part] = []
    for owners, names in owned(prior, {name: (site,) for name, site in sites.items()}).items():
        shares = [renormalise({task: weights[task] for task, _ in owners}) for weights in weightings]
        used = {task: sites[task] for task, _ in owners if any(share[task] > 0 for share in shares)}
        table = [[share[task] for task in used] for share in shares]
        parts.append((used, table, names, _entries_within(memory, prior, used, names, len(weightings))))
    return _streamed(prior, parts, stop)


def _streamed(prior: Gaussian, parts: Sequence[_Part], stop: Stop) -> Iterator[tuple[Piece, list[dict[str, Tensor]]]]:
    torch.empty(
        _BLOCK, dtype=torch.uint8
    )  # once freed, glibc keeps what pieces give back; else it zeroes pages for each
    for used, table, names, entries in parts:
        for piece in pieces_of(prior, _factors(used, table[0]), names, entries):
            yield piece, _checked(prior, used, piece, table, stop)


def _entries_within(
    memory: int, prior: Gaussian, sites: Mapping[str, GaussianSite], names: list[str], count: int
) -> int:
    """How long slices may be.

    Held at once per entry: of every site centre, curvature, gradient and two intermediates; of every weighting a
    numerator, a denominator, what was given out before, and as much again in gaps between; and eight more. What is
    coupled is held whole: every centre, every preview and three more at least.
    """
    every = [
        dtype_of(params, name) for params in (prior.mean, *(site.center for site in sites.values())) for name in names
    ]
    width = max(torch.promote_types(torch.float32, dtype).itemsize for dtype in every)
    bytes_per_entry = (5 * len(sites) + 5 * count + 8) * width
    groups = couple([prior.precision, *(site.precision for site in sites.values())], names)
    needed, what = _FEWEST * bytes_per_entry, "a slice"
    if groups is not None:
        longest = max(sum(math.prod(shape_of(prior.mean, name)) for name in group) for group in groups)
        needed, what = longest * (len(sites) + count + 3) * width, "what is coupled"
    if needed > memory:
        raise ParamsError(
            f"a memory budget of {memory / 2**20:.1f} MiB is too small: the buffers for {what} (tasks: {len(sites)},"
            f" weightings: {count}) take {needed / 2**20:.1f} MiB at least; allow more (--memory)"
        )
    return max(1, min(CHUNK, memory // bytes_per_entry))


def _factors(sites: Mapping[str, GaussianSite], shares: Sequence[float]) -> list[Factor]:
    return [(task, site, share) for (task, site), share in zip(sites.items(), shares, strict=True)]


def _checked(
    prior: Gaussian, sites: Mapping[str, GaussianSite], piece: Piece, table: Sequence[Sequence[float]], stop: Stop
) -> list[dict[str, Tensor]]:
    merged = _merged(prior, [site.on(piece) for site in sites.values()], piece, table, stop)
    for shares, tensors in zip(table, merged, strict=True):
        for name, tensor in tensors.items():
            if not is_finite(tensor):
                raise ParamsError(name_culprit(name, piece, prior, _factors(sites, shares)))
    return merged


def _merged(
    prior: Gaussian, parts: Sequence[GaussianSite], piece: Piece, table: Sequence[Sequence[float]], stop: Stop
) -> list[dict[str, Tensor]]:
    """One piece of every preview."""
    alone = [_alone(parts, shares) for shares in table]
    inside = [list(shares) for shares, own in zip(table, alone, strict=True) if own is None]
    merged = iter(_together(prior, parts, piece, inside, stop) if inside else [])
    return [dict(own) if own is not None else next(merged) for own in alone]


def _alone(parts: Sequence[GaussianSite], shares: Sequence[float]) -> Params | None:
    """A task's own params, where it has all the weight and nothing moves it."""
    weighed = [(part, share) for part, share in zip(parts, shares, strict=True) if share > 0]
    part, share = weighed[0]
    return part.center if len(weighed) == 1 and share * part.power == 1.0 and part.gradient is None else None


def _together(
    prior: Gaussian, parts: Sequence[GaussianSite], piece: Piece, table: list[list[float]], stop: Stop
) -> list[dict[str, Tensor]]:
    plain = all(part.power == 1.0 and isinstance(part.precision, Isotropic | Diagonal) for part in parts)
    shares = torch.tensor(table, dtype=torch.float64)
    still = plain and isinstance(prior.precision, Isotropic) and all(part.gradient is None for part in parts)
    if still and all(isinstance(part.precision, Isotropic) and part.precision.scale == 0 for part in parts):
        params = {name: _sums([part.center[name] for part in parts], shares) for name in piece.names}
    elif still and _are_short((prior.mean, *(part.center for part in parts)), piece.names):
        params = {name: _averages(prior.precision, parts, name, shares) for name in piece.names}
    else:
        part = Gaussian(piece.of(prior.mean), prior.precision.restrict(piece))
        if not (plain and isinstance(part.precision, Isotropic | Diagonal)):
            means = (
                product(part, [site**share for site, share in zip(parts, row, strict=True)], stop).mean for row in table
            )
            return [dict(mean) for mean in means]
        params = {name: _quotients(part, parts, name, shares) for name in piece.names}
    return [{name: tensor[place] for name, tensor in params.items()} for place in range(len(table))]


def _are_short(every: Sequence[Params], names: Sequence[str]) -> bool:
    return all(dtype_of(params, name).itemsize <= _SHORT for params in every for name in names)


def _averages(prior: Precision, parts: Sequence[GaussianSite], name: str, table: Tensor) -> Tensor:
    """`[K, n]`: one tensor of every preview, as averages of the centres by curvature."""
    own, centers = _entries(prior, name), [part.center[name] for part in parts]
    if len(table) == 1:  # task by task, so that what was read is gone through as seldom as possible
        above, below = torch.zeros(2, *centers[0].shape).unbind()
        for part, center, share in zip(parts, centers, table[0].tolist(), strict=True):
            weight = torch.add(own * share, _entries(part.precision, name), alpha=share)
            above.addcmul_(wide(center), weight)
            below.add_(weight)
        return above.div_(below).unsqueeze(0)
    pulls = _stacked(centers)
    weights = torch.empty_like(pulls)
    for row, part in zip(weights, parts, strict=True):
        row.copy_(_entries(part.precision, name)).add_(own)
    table = table.to(pulls.dtype)
    return (table @ pulls.mul_(weights)).div_(table @ weights)


def _sums(centers: Sequence[Tensor], table: Tensor) -> Tensor:
    """`[K, n]`: one tensor of every preview, as plain averages of the centres."""
    stacked = _stacked(centers)
    return table.to(stacked.dtype) @ stacked


def _quotients(prior: Gaussian, parts: Sequence[GaussianSite], name: str, table: Tensor) -> Tensor:
    """`[K, n]`: one tensor of every preview, where no entry is coupled with any other."""
    mean, own = wide(prior.mean[name]), _entries(prior.precision, name)
    moves = _stacked([part.center[name] for part in parts]).sub_(mean)
    curvature = torch.empty_like(moves)
    for row, part, rising in zip(moves, parts, curvature, strict=True):
        rising.copy_(_entries(part.precision, name))
        row.mul_(rising if part.gradient is not None else rising + own)
        if part.gradient is not None:
            row.sub_(wide(part.gradient[name]))
    table = table.to(moves.dtype)
    return (table @ moves).div_((table @ curvature).add_(own)).add_(mean)


def _entries(precision: Precision, name: str) -> Tensor:
    assert isinstance(precision, Isotropic | Diagonal)
    return (
        torch.tensor(precision.scale, dtype=torch.float64)
        if isinstance(precision, Isotropic)
        else precision.entries[name]
    )


def _stacked(tensors: Sequence[Tensor]) -> Tensor:
    """`[T, n]`, in float32 or the widest of their types."""
    dtype = reduce(torch.promote_types, [tensor.dtype for tensor in tensors], torch.float32)
    stacked = torch.empty(len(tensors), *tensors[0].shape, dtype=dtype)
    for row, tensor in zip(stacked, tensors, strict=True):
        row.copy_(tensor)
    return stacked
