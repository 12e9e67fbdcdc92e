"""The plain average of a task's runs: a control of the mixture."""

from typing import Any

from foretaste.estimate.ensemble import average_runs
from foretaste.methods.members import EVEN, combine_sites, member_curvatures
from foretaste.methods.method import Method
from foretaste.methods.site_set import SiteSet
from foretaste.work.context import Context
from foretaste.work.work import Work

__all__ = ["Average"]


class Average(Method):
    """The average of each task's runs, without curvature."""

    name = "average"

    def work(self, context: Context) -> tuple[Work[Any], ...]:
        return tuple(work for curvatures in member_curvatures(context).values() for work in curvatures)

    def sites(self, context: Context) -> SiteSet:
        works = {
            task: tuple(work.run.done(context) for work in curvatures)
            for task, curvatures in member_curvatures(context).items()
        }
        return SiteSet(works, combine_sites(context, average_runs), options=EVEN)
