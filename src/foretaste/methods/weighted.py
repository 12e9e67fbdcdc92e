"""The curvature-weighted average of a task's runs: a control of the mixture."""

from typing import Any

from foretaste.estimate.ensemble import average_with_curvature
from foretaste.methods.members import EVEN, combine_sites, finished_works, member_curvatures
from foretaste.methods.method import Method
from foretaste.methods.site_set import SiteSet
from foretaste.work.context import Context
from foretaste.work.work import Work

__all__ = ["Weighted"]


class Weighted(Method):
    """The average of each task's runs, weighted by their curvature."""

    name = "weighted"

    def work(self, context: Context) -> tuple[Work[Any], ...]:
        return tuple(work for curvatures in member_curvatures(context).values() for work in curvatures)

    def sites(self, context: Context) -> SiteSet:
        return SiteSet(finished_works(context), combine_sites(context, average_with_curvature), options=EVEN)
