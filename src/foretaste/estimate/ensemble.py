"""Mixtures from K runs of one task, and the two controls that say what the mixture adds.

A mixture of K runs can be better than one run for two reasons: the runs' average is a better
point, or the mixture knows several modes. The controls have the first without the second::

    plain       1/K sum_k of the runs, each taken to be isotropic      (simple averaging of all K T runs)
    weighted    every responsibility 1/K: the runs' curvature adds up  (diagonal merging of all K T runs)

References:
    Monzón Maldonado, Möllenhoff, Daheim, Gurevych, Khan: How to Weight Multitask Finetuning? Fast
    Previews via Bayesian Model-Merging, 2024, https://arxiv.org/abs/2412.08147 (mixtures; without
    these controls).
"""

import math
from collections.abc import Sequence

from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.mixture import Blocks, MixtureSite
from foretaste.posterior.site import GaussianSite

__all__ = ["ensemble", "plain", "weighted"]


def ensemble(
    prior: Gaussian, runs: Sequence[GaussianSite], *, tempering: float = 1.0, blocks: Blocks = "whole"
) -> MixtureSite:
    """The mixture of a task's runs.

    Args:
        prior: The merge's prior.
        runs: K stationary sites of one task, from different seeds.
        tempering: tau; see `MixtureSite`.
        blocks: Where responsibilities are shared.

    Raises:
        ParamsError: The runs do not fit each other.

    >>> import torch
    >>> from foretaste.posterior.isotropic import Isotropic
    >>> prior = Gaussian({"w": torch.zeros(1)}, Isotropic(1.0))
    >>> runs = [GaussianSite({"w": torch.tensor([x])}, Isotropic(9.0)) for x in (-1.0, 1.0)]
    >>> len(ensemble(prior, runs).surrogate({"w": torch.tensor([0.2])}))
    2
    """
    return MixtureSite(prior, tuple(runs), tempering=tempering, blocks=blocks)


def weighted(prior: Gaussian, runs: Sequence[GaussianSite]) -> MixtureSite:
    """The control with curvature: every run explains 1/K, wherever.

    >>> import torch
    >>> from foretaste.posterior.isotropic import Isotropic
    >>> prior = Gaussian({"w": torch.zeros(1)}, Isotropic(1.0))
    >>> runs = [GaussianSite({"w": torch.tensor([x])}, Isotropic(9.0)) for x in (-1.0, 1.0)]
    >>> [part.power for part in weighted(prior, runs).surrogate({"w": torch.tensor([0.2])})]
    [0.5, 0.5]
    """
    return MixtureSite(prior, tuple(runs), tempering=math.inf)


def plain(prior: Gaussian, runs: Sequence[GaussianSite]) -> MixtureSite:
    """The control without curvature: simple averaging of the runs.

    >>> import torch
    >>> from foretaste.posterior.isotropic import Isotropic
    >>> prior = Gaussian({"w": torch.zeros(1)}, Isotropic(1.0))
    >>> runs = [GaussianSite({"w": torch.tensor([x])}, Isotropic(9.0)) for x in (-1.0, 1.0)]
    >>> {part.precision.scale for part in plain(prior, runs).surrogate({"w": torch.tensor([0.2])})}
    {0.0}
    """
    return weighted(prior, [GaussianSite.flat(run.center, run.carried) for run in runs])
