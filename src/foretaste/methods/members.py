"""Several runs of every task, each with its curvature, for mixtures and their controls."""

from collections.abc import Callable, Sequence
from functools import cache

from foretaste.methods.site_set import Sites
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.site import GaussianSite, Site
from foretaste.store.study import Done
from foretaste.work.context import Context
from foretaste.work.curvature import FisherCurvature, task_curvature
from foretaste.work.runs import SingleTaskRun

__all__ = ["EVEN", "combine_sites", "finished_works", "member_curvatures"]

EVEN = {"responsibilities": "even"}  # the option of the controls, a part of their keys


def member_curvatures(context: Context) -> dict[str, list[FisherCurvature]]:
    """List the estimates of diagonal curvature at each of a task's runs; the first run is the task's model."""
    members = range(1, context.recipe.ensemble.members)
    return {
        task: [
            task_curvature(context, task),
            *(FisherCurvature(task, SingleTaskRun(task, member)) for member in members),
        ]
        for task in context.problem.names
    }


def finished_works(context: Context) -> dict[str, tuple[Done, ...]]:
    """Look up the finished runs and estimates of each task, run by run."""
    curvatures = member_curvatures(context)
    return {
        task: tuple(done for work in works for done in (work.run.done(context), work.done(context)))
        for task, works in curvatures.items()
    }


def combine_sites(
    context: Context, combine: Callable[[Gaussian, Sequence[GaussianSite]], Site]
) -> Callable[[Gaussian], Sites]:
    """Make a function from the prior to one site per task.

    Args:
        context: A context with the finished estimates.
        combine: Makes the task's site from the prior and the sites of the task's runs.
    """
    load = cache(
        lambda: {task: [work.site(context) for work in works] for task, works in member_curvatures(context).items()}
    )
    return lambda prior: {task: combine(prior, sites) for task, sites in load().items()}
