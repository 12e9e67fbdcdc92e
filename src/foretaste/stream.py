"""Streaming: many previews from one reading of params that need not fit into memory.

Where no precision couples entries, each entry of a preview is a quotient of sums over the tasks, so that
all weightings of a chunk are two matrix products, ``[K, T] @ [T, n]`` (m, S: the prior; c, h, g: a site)::

    mean_k = m + sum_t alpha_kt p_t / (S + sum_t alpha_kt h_t)        p_t = (S + h_t) (c_t - m)   or   h_t (c_t - m) - g_t

Where all h are 0 and S is one number this is ``sum_t alpha_kt c_t``, for which the prior is not read.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from foretaste.errors import ParamsError
from foretaste.params import Params, wide
from foretaste.pieces import Factor, blamed, check_sites, is_finite, owned, pieces_of, renormalised
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.precision import EXACT, Piece, Precision, Stop
from foretaste.posterior.site import GaussianSite, product
from foretaste.weights import TaskWeights

__all__ = ["stream"]


def stream(
    prior: Gaussian, sites: Mapping[str, GaussianSite], weightings: Sequence[TaskWeights], *, stop: Stop = EXACT
) -> Iterator[tuple[Piece, list[dict[str, Tensor]]]]:
    """The previews of several weightings, piece by piece.

    Args:
        prior: Centred on the pretrained params, which give the order.
        sites: One Gaussian site per task; centres, curvature and gradients may be `Stored`.
        weightings: Each over exactly these tasks.
        stop: See `foretaste.posterior.site.product`; for pieces whose precisions are coupled.

    Yields:
        A piece of the params, and for each weighting what belongs there: tensors by name, flat where the
        piece is a slice; in float32 or wider, except where a task's own come back bit for bit.

    Raises:
        WeightsError: Other tasks in the weights than in the sites.
        ParamsError: Params that do not fit, sites of different units, or NaN in a result.

    >>> sites = {"a": GaussianSite.flat({"w": torch.ones(1)}), "b": GaussianSite.flat({"w": torch.zeros(1)})}
    >>> weightings = [TaskWeights(["a", "b"], [share, 1 - share]) for share in (0.25, 1.0)]
    >>> [[each["w"] for each in found] for _, found in stream(Gaussian({"w": torch.zeros(1)}, Isotropic(1.0)), sites, weightings)]
    [[tensor([0.2500]), tensor([1.])]]
    """
    for weights in weightings:
        check_sites(prior, sites, weights)
    for owners, names in owned(prior, {name: (site,) for name, site in sites.items()}).items():
        shares = [renormalised({task: weights[task] for task, _ in owners}) for weights in weightings]
        used = {task: sites[task] for task, _ in owners if any(share[task] > 0 for share in shares)}
        table = [[share[task] for task in used] for share in shares]
        for piece in pieces_of(prior, _factors(used, table[0]), names):
            yield piece, _checked(prior, used, piece, table, stop)


def _factors(sites: Mapping[str, GaussianSite], shares: Sequence[float]) -> list[Factor]:
    return [(task, site, share) for (task, site), share in zip(sites.items(), shares, strict=True)]


def _checked(
    prior: Gaussian, sites: Mapping[str, GaussianSite], piece: Piece, table: Sequence[Sequence[float]], stop: Stop
) -> list[dict[str, Tensor]]:
    found = _merged(prior, [site.on(piece) for site in sites.values()], piece, table, stop)
    for shares, tensors in zip(table, found, strict=True):
        for name, tensor in tensors.items():
            if not is_finite(tensor):
                raise ParamsError(blamed(name, piece, prior, _factors(sites, shares)))
    return found


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
    flat = all(isinstance(part.precision, Isotropic) and part.precision.scale == 0 and part.gradient is None for part in parts)
    if plain and flat and isinstance(prior.precision, Isotropic):
        found = {name: torch.tensor(table) @ _stacked([part.center[name] for part in parts]) for name in piece.names}
    else:
        part = Gaussian(piece.of(prior.mean), prior.precision.restrict(piece))
        if not (plain and isinstance(part.precision, Isotropic | Diagonal)):
            means = (product(part, [site**share for site, share in zip(parts, shares, strict=True)], stop).mean for shares in table)
            return [dict(mean) for mean in means]
        found = {name: _quotients(part, parts, name, torch.tensor(table)) for name in piece.names}
    return [{name: tensor[place] for name, tensor in found.items()} for place in range(len(table))]


def _quotients(prior: Gaussian, parts: Sequence[GaussianSite], name: str, table: Tensor) -> Tensor:
    """`[K, n]`: one tensor of every preview, where no entry is coupled with any other."""
    mean, own = wide(prior.mean[name]), _entries(prior.precision, name)
    moves = _stacked([part.center[name] for part in parts]).sub_(mean)
    curvature = torch.empty_like(moves)
    for row, part, rising in zip(moves, parts, curvature, strict=True):
        rising.copy_(torch.as_tensor(_entries(part.precision, name)))
        row.mul_(rising if part.gradient is not None else rising + own)
        if part.gradient is not None:
            row.sub_(wide(part.gradient[name]))
    table = table.to(moves.dtype)
    return (table @ moves).div_((table @ curvature).add_(own)).add_(mean)


def _entries(precision: Precision, name: str) -> Tensor | float:
    assert isinstance(precision, Isotropic | Diagonal)
    return precision.scale if isinstance(precision, Isotropic) else precision.entries[name]


def _stacked(tensors: Sequence[Tensor]) -> Tensor:
    """`[T, n]`, in float32 or wider."""
    found = torch.empty(len(tensors), *tensors[0].shape, dtype=wide(tensors[0][:0]).dtype)
    for row, tensor in zip(found, tensors, strict=True):
        row.copy_(tensor)
    return found
