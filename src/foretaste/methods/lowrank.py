"""Diagonal and low-rank Gaussians, from secants between a task's runs."""

from functools import cache
from typing import Any

from foretaste.methods.method import Method
from foretaste.methods.simple import task_runs
from foretaste.methods.site_set import SiteSet
from foretaste.work.context import Context
from foretaste.work.curvature import SecantCurvature
from foretaste.work.runs import SingleTaskRun
from foretaste.work.work import Work

__all__ = ["LowRank"]


class LowRank(Method):
    """Each task's model with diagonal and low-rank curvature, which needs at least one other run."""

    name = "lowrank"

    def work(self, context: Context) -> tuple[Work[Any], ...]:
        return tuple(self._curvatures(context).values())

    def sites(self, context: Context) -> SiteSet:
        curvatures = self._curvatures(context)
        sites = cache(lambda: {task: work.site(context) for task, work in curvatures.items()})
        works = {
            task: (work.run.done(context), *(run.done(context) for run in work.others), work.done(context))
            for task, work in curvatures.items()
        }
        return SiteSet(works, lambda prior: sites())

    def _curvatures(self, context: Context) -> dict[str, SecantCurvature]:
        members = range(1, max(context.recipe.ensemble.members, 2))
        return {
            task: SecantCurvature(task, run, tuple(SingleTaskRun(task, member) for member in members))
            for task, run in task_runs(context).items()
        }
