"""Pieces: which tasks share a parameter, and the smallest parts of it that are merged on their own.

Rules for tensors that are not plain shared parameters:

- a parameter that several but not all tasks have is merged among them, their weights scaled to
  sum to 1; one that a single task has (its own head) is that task's, untouched;
- parts are as small as the coupling of the precisions allows: a slice of one tensor where nothing is
  coupled, so that params may stay in files and be merged a few entries at a time.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from foretaste.errors import ParamsError, WeightsError
from foretaste.params import check_fit, first_nonfinite, shape_of
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.precision import Piece, couple
from foretaste.posterior.site import GaussianSite, Site
from foretaste.weights import TaskWeights

__all__ = [
    "CHUNK",
    "Factor",
    "Surrogate",
    "check_sites",
    "is_finite",
    "name_culprit",
    "nonfinite_error",
    "owned",
    "pieces_of",
    "renormalise",
]

CHUNK = 1 << 17  # entries: a few of these stay in the cache, and few enough steps are Python's
_STILL = 1e-6

Surrogate = tuple[GaussianSite, ...]
Factor = tuple[str, GaussianSite, float]  # a task, one of its Gaussians, its share


def check_sites(prior: Gaussian, sites: Mapping[str, Site], weights: TaskWeights) -> None:
    """Check that sites can be merged.

    Args:
        prior: Centred on the pretrained params.
        sites: One per task.
        weights: Over these tasks.

    Raises:
        WeightsError: Other tasks in the weights than in the sites.
        ParamsError: Params or curvature that do not fit, what is no site, or sites of different units.

    >>> from foretaste.posterior.isotropic import Isotropic
    >>> site = GaussianSite.flat({"w": torch.ones(1)})
    >>> check_sites(Gaussian({"w": torch.zeros(1)}, Isotropic(1.0)), {"a": site}, TaskWeights(["b"], [1.0]))
    Traceback (most recent call last):
    ...
    foretaste.errors.WeightsError: weights are for b, sites for a; give one weight per site
    """
    for name, site in sites.items():
        if not isinstance(site, Site):
            raise ParamsError(
                f"task {name!r} has a {type(site).__name__}, not a site; make one, for example GaussianSite(params,"
                " Diagonal(curvature))"
            )
        site.check(f"task {name!r}")
    if set(sites) != set(weights):
        raise WeightsError(
            f"weights are for {', '.join(weights)}, sites for {', '.join(sites)}; give one weight per site"
        )
    units = {name: site.record.unit for name, site in sites.items()}
    if len(set(units.values())) > 1:
        raise ParamsError(f"sites of different units cannot be merged: {units}; estimate them again in one unit")
    for name, site in sites.items():
        check_fit(prior.mean, site.params, f"the params of task {name!r}", among=set(site.params) & set(prior.mean))
    for key in prior.mean:
        if not any(key in site.params for site in sites.values()):
            raise ParamsError(f"no task has the parameter {key} of the pretrained model")


def owned(prior: Gaussian, surrogates: Mapping[str, Surrogate]) -> dict[tuple[tuple[str, int], ...], list[str]]:
    """The prior's names by the tasks' Gaussians that have them: task and place.

    >>> from foretaste.posterior.isotropic import Isotropic
    >>> a, b = (GaussianSite.flat(dict.fromkeys(names, torch.ones(1))) for names in ("vw", "w"))
    >>> owned(Gaussian({"v": torch.zeros(1), "w": torch.zeros(1)}, Isotropic(1.0)), {"a": (a,), "b": (b,)})
    {(('a', 0),): ['v'], (('a', 0), ('b', 0)): ['w']}
    """
    groups: dict[tuple[tuple[str, int], ...], list[str]] = {}
    for key in prior.mean:
        owners = tuple(
            (task, place)
            for task, parts in surrogates.items()
            for place, part in enumerate(parts)
            if key in part.center
        )
        groups.setdefault(owners, []).append(key)
    return groups


def renormalise(alpha: Mapping[str, float]) -> dict[str, float]:
    """Weights among the tasks that have a parameter; equal if none of them has any weight.

    >>> renormalise({"a": 0.25, "b": 0.25})
    {'a': 0.5, 'b': 0.5}
    """
    total = sum(alpha.values())
    if total == 0:
        return {name: 1 / len(alpha) for name in alpha}
    return {name: value / total if abs(total - 1) > _STILL else value for name, value in alpha.items()}


def pieces_of(prior: Gaussian, factors: Sequence[Factor], names: list[str], entries: int = CHUNK) -> Iterator[Piece]:
    """The smallest parts that every precision treats on their own, in the prior's order.

    Args:
        prior: Its precision is one of them.
        factors: The sites.
        names: Names of the params to part.
        entries: Most entries of a slice, where nothing is coupled.

    >>> from foretaste.posterior.isotropic import Isotropic
    >>> prior = Gaussian({"w": torch.zeros(CHUNK + 1)}, Isotropic(1.0))
    >>> [piece.cut for piece in pieces_of(prior, [], ["w"])]
    [slice(0, 131072, None), slice(131072, 131073, None)]
    """
    groups = couple([prior.precision, *(site.precision for _, site, _ in factors)], names)
    if groups is not None:
        yield from (Piece(group) for group in groups)
        return
    for name in names:
        count = math.prod(shape_of(prior.mean, name))
        for start in range(0, count, entries):
            yield Piece([name], slice(start, min(start + entries, count)))


def name_culprit(name: str, piece: Piece, prior: Gaussian, factors: Sequence[Factor]) -> str:
    """What made the merged tensor non-finite; in a coupled piece that may be another tensor.

    >>> from foretaste.posterior.isotropic import Isotropic
    >>> prior = Gaussian({"w": torch.zeros(1)}, Isotropic(1.0))
    >>> name_culprit("w", Piece(["w"]), prior, [("a", GaussianSite.flat({"w": torch.tensor([torch.nan])}), 1.0)])
    "the params of task 'a' hold NaN or infinity in w; train that task again with a lower learning rate"
    """
    start = piece.of(prior.mean)
    if culprit := first_nonfinite(start):
        return f"the pretrained params hold NaN or infinity in {culprit}; load them again"
    for task, site, _ in factors:
        part = site.on(piece)
        if culprit := first_nonfinite(part.center):
            return nonfinite_error(task, culprit)
        curvature = part.precision.apply({key: torch.ones_like(tensor) for key, tensor in start.items()})
        if culprit := first_nonfinite(curvature):
            return f"the curvature of task {task!r} holds NaN or infinity in {culprit}; estimate it again"
        if culprit := first_nonfinite(part.gradient or {}):
            return f"the gradient of task {task!r} holds NaN or infinity in {culprit}; estimate it again"
    return f"the preview of {name} is not finite; give the prior a precision above 0 (it has no curvature there)"


def nonfinite_error(task: str, name: str) -> str:
    """What is wrong with a task's tensor that is not finite, and what to do."""
    return (
        f"the params of task {task!r} hold NaN or infinity in {name}; train that task again with a lower learning rate"
    )


def is_finite(tensor: Tensor) -> bool:
    """Whether all entries are: the sum is quick, but may overflow.

    >>> is_finite(torch.full((2,), 3e38)), is_finite(torch.tensor([torch.inf]))
    (True, False)
    """
    return bool(torch.isfinite(tensor.sum())) or bool(torch.isfinite(tensor).all())
