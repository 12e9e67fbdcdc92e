"""Mixtures of K runs of one task, and two controls that show what the mixture adds.

A mixture of K runs can be better than one run for two reasons: the runs' average is a better point, or the mixture has
several modes. The controls have the average without the modes::

    average_runs            1/K sum_k of the runs, without curvature           (simple averaging of all K T runs)
    average_with_curvature  every responsibility 1/K: curvatures add up        (diagonal merging of all K T runs)

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

__all__ = ["average_runs", "average_with_curvature", "mix_runs"]


def mix_runs(
    prior: Gaussian, runs: Sequence[GaussianSite], *, tempering: float = 1.0, blocks: Blocks = "whole"
) -> MixtureSite:
    """Mix a task's runs.

    Args:
        prior: The merge's prior.
        runs: K stationary sites of one task, from different seeds.
        tempering: tau; see `MixtureSite`.
        blocks: The blocks of params that have a responsibility of their own.

    Raises:
        ParamsError: The runs do not fit each other.

    >>> import torch
    >>> from foretaste.posterior.isotropic import Isotropic
    >>> prior = Gaussian({"w": torch.zeros(1)}, Isotropic(1.0))
    >>> runs = [GaussianSite({"w": torch.tensor([x])}, Isotropic(9.0)) for x in (-1.0, 1.0)]
    >>> len(mix_runs(prior, runs).surrogate({"w": torch.tensor([0.2])}))
    2
    """
    return MixtureSite(prior, tuple(runs), tempering=tempering, blocks=blocks)


def average_with_curvature(prior: Gaussian, runs: Sequence[GaussianSite]) -> MixtureSite:
    """Make the control with curvature: every run has the responsibility 1/K everywhere.

    >>> import torch
    >>> from foretaste.posterior.isotropic import Isotropic
    >>> prior = Gaussian({"w": torch.zeros(1)}, Isotropic(1.0))
    >>> runs = [GaussianSite({"w": torch.tensor([x])}, Isotropic(9.0)) for x in (-1.0, 1.0)]
    >>> [part.power for part in average_with_curvature(prior, runs).surrogate({"w": torch.tensor([0.2])})]
    [0.5, 0.5]
    """
    return MixtureSite(prior, tuple(runs), tempering=math.inf)


def average_runs(prior: Gaussian, runs: Sequence[GaussianSite]) -> MixtureSite:
    """Make the control without curvature: simple averaging of the runs.

    >>> import torch
    >>> from foretaste.posterior.isotropic import Isotropic
    >>> prior = Gaussian({"w": torch.zeros(1)}, Isotropic(1.0))
    >>> runs = [GaussianSite({"w": torch.tensor([x])}, Isotropic(9.0)) for x in (-1.0, 1.0)]
    >>> {part.precision.scale for part in average_runs(prior, runs).surrogate({"w": torch.tensor([0.2])})}
    {0.0}
    """
    return average_with_curvature(prior, [GaussianSite.flat(run.center, run.carried) for run in runs])
