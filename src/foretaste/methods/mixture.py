"""Mixtures: several runs of a task as one posterior, merged by EM."""

from functools import partial
from typing import Any

from foretaste.estimate.ensemble import average_with_curvature, mix_runs
from foretaste.methods.members import combined_sites, finished_works, member_curvatures
from foretaste.methods.method import Method
from foretaste.methods.site_set import SiteSet
from foretaste.work.context import Context
from foretaste.work.work import Work

__all__ = ["Mixture"]


class Mixture(Method):
    """Each task's runs as a mixture of diagonal Gaussians.

    Its controls use the same runs: without them, its gain may be that of averaging more runs.
    """

    name = "mixture"

    def work(self, context: Context) -> tuple[Work[Any], ...]:
        return tuple(each for own in member_curvatures(context).values() for each in own)

    def sites(self, context: Context) -> SiteSet:
        plan = context.recipe.ensemble
        return SiteSet(
            finished_works(context),
            combined_sites(context, partial(mix_runs, blocks=plan.blocks)),
            start=combined_sites(context, average_with_curvature),
            temperatures=tuple(plan.temperatures),
            options={"ensemble": plan.model_dump()},
        )
