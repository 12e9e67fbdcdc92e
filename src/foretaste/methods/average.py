"""The plain average of a task's runs: a control of the mixture."""

from typing import Any

from foretaste.estimate.ensemble import average_runs
from foretaste.methods.members import EVEN, combined_sites, member_curvatures
from foretaste.methods.method import Method
from foretaste.methods.site_set import SiteSet
from foretaste.work.context import Context
from foretaste.work.work import Work

__all__ = ["Average"]


class Average(Method):
    """Each task's runs averaged, without curvature."""

    name = "average"

    def work(self, context: Context) -> tuple[Work[Any], ...]:
        return tuple(each for own in member_curvatures(context).values() for each in own)

    def sites(self, context: Context) -> SiteSet:
        works = {
            task: tuple(each.run.done(context) for each in own) for task, own in member_curvatures(context).items()
        }
        return SiteSet(works, combined_sites(context, average_runs), options=EVEN)
