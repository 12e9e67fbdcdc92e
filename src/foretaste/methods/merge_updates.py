"""Merging the updates of models that were trained by LoRA."""

from collections.abc import Mapping
from dataclasses import replace

import torch

from foretaste.merge import Preview, merge
from foretaste.params import Params
from foretaste.posterior.conjugate import Stop
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.site import GaussianSite, Site
from foretaste.updates import Updates, add_updates
from foretaste.weights import TaskWeights

__all__ = ["merge_updates"]


def merge_updates(
    prior: Gaussian,
    mean: Updates,
    sites: Mapping[str, Site],
    weights: TaskWeights,
    start: Params | None,
    stop: Stop,
    device: torch.device | None,
) -> Preview:
    """Merge sites whose params are updates of weights.

    Without curvature, factors are put side by side, and no dense matrix is made. With curvature the merged updates are
    dense, but for weightings where one task has all the weight: its own factors are the result there.

    Args:
        prior: The prior, around updates of zero.
        mean: The prior's mean.
        sites: One site per task.
        weights: alpha.
        start: See `foretaste.merge.merge`.
        stop: See `foretaste.merge.merge`.
        device: See `foretaste.merge.merge`.

    >>> from foretaste.lora import Factors
    >>> mean = Updates({}, {}, {"q.weight": (2, 3)})
    >>> own = Updates({"q.weight": Factors(torch.ones(1, 3), torch.ones(2, 1), alpha=1)}, {}, mean.shapes)
    >>> sites = {task: GaussianSite.flat(own) for task in "ab"}
    >>> weights = TaskWeights(["a", "b"], [0.5, 0.5])
    >>> merge_updates(Gaussian(mean, Isotropic(1.0)), mean, sites, weights, None, Stop(), None).params
    Updates(...)
    """
    centers = {
        task: site.center
        for task, site in sites.items()
        if isinstance(site, GaussianSite) and site.gradient is None and isinstance(site.center, Updates)
    }
    if len(centers) == len(sites) and (weights.corner is not None or all(_is_flat(site) for site in sites.values())):
        flat = {task: GaussianSite.flat(centers[task].whole, site.buffers) for task, site in sites.items()}
        preview = merge(Gaussian(mean.whole, prior.precision), flat, weights, device=device)
        return replace(preview, params=add_updates(weights, centers, preview.params))
    preview = merge(prior, sites, weights, start=start, stop=stop, device=device)
    return replace(preview, params=mean.overlaid(preview.params))


def _is_flat(site: Site) -> bool:
    return isinstance(site, GaussianSite) and isinstance(site.precision, Isotropic) and site.precision.scale == 0
