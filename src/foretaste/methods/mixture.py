"""Mixtures: several runs of a task as one posterior, merged by EM."""

from functools import partial
from typing import Any

from foretaste.estimate.ensemble import average_with_curvature, mix_runs
from foretaste.methods.members import combine_sites, finished_works, member_curvatures
from foretaste.methods.method import Method
from foretaste.methods.site_set import SiteSet
from foretaste.work.context import Context
from foretaste.work.work import Work

__all__ = ["Mixture"]


class Mixture(Method):
    """Each task's runs as a mixture of diagonal Gaussians.

    Its controls use the same runs. They show whether its gain comes from the mixture or from averaging more runs.
    """

    name = "mixture"

    def work(self, context: Context) -> tuple[Work[Any], ...]:
        return tuple(work for curvatures in member_curvatures(context).values() for work in curvatures)

    def sites(self, context: Context) -> SiteSet:
        plan = context.recipe.ensemble
        return SiteSet(
            finished_works(context),
            combine_sites(context, partial(mix_runs, blocks=plan.blocks)),
            start=combine_sites(context, average_with_curvature),
            temperatures=tuple(plan.temperatures),
            options={"ensemble": plan.model_dump()},
        )
