"""Simple averaging: isotropic Gaussians around the tasks' models."""

from functools import cache
from typing import Any

from foretaste.methods.method import Method
from foretaste.methods.site_set import SiteSet
from foretaste.posterior.site import GaussianSite
from foretaste.sources.space import Space
from foretaste.work.context import Context
from foretaste.work.runs import TaskRun, single_task_run
from foretaste.work.work import Work

__all__ = ["Simple", "flat_site", "task_runs"]


class Simple(Method):
    """Each task's model without curvature; a merge is their average under alpha."""

    name = "simple"

    def work(self, context: Context) -> tuple[Work[Any], ...]:
        return tuple(task_runs(context).values())

    def sites(self, context: Context) -> SiteSet:
        runs = task_runs(context)
        sites = cache(lambda: {task: flat_site(context, task, run) for task, run in runs.items()})
        return SiteSet({task: (run.done(context),) for task, run in runs.items()}, lambda prior: sites())


def task_runs(context: Context) -> dict[str, TaskRun]:
    """List the run that gives each task's model."""
    return {task: single_task_run(context, task) for task in context.problem.names}


def flat_site(context: Context, task: str, run: TaskRun, space: Space | None = None) -> GaussianSite:
    """Make a task's site without curvature, at a run's params; in the problem's coordinates if none are given."""
    params = context.study.tensors(run.done(context).artefact)
    model, space = context.problem.model, space or context.space
    return GaussianSite.flat(space.center(model, context.task(task).names, params), space.carried(model, params))
