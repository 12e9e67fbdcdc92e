"""Diagonal Gaussians: the tasks' models with their diagonal Fisher."""

from functools import cache
from typing import Any

from foretaste.methods.method import Method
from foretaste.methods.site_set import SiteSet
from foretaste.work.context import Context
from foretaste.work.curvature import FisherCurvature, task_curvature
from foretaste.work.work import Work

__all__ = ["Diagonal", "task_curvatures"]


class Diagonal(Method):
    """Each task's model with its diagonal curvature."""

    name = "diagonal"

    def work(self, context: Context) -> tuple[Work[Any], ...]:
        return tuple(task_curvatures(context).values())

    def sites(self, context: Context) -> SiteSet:
        curvatures = task_curvatures(context)
        sites = cache(lambda: {task: work.site(context) for task, work in curvatures.items()})
        works = {task: (work.run.done(context), work.done(context)) for task, work in curvatures.items()}
        return SiteSet(works, lambda prior: sites())


def task_curvatures(context: Context) -> dict[str, FisherCurvature]:
    """List the work that estimates the diagonal curvature at each task's model."""
    return {task: task_curvature(context, task) for task in context.problem.names}
