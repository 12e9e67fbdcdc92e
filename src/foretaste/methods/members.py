"""Several runs of every task, each with its curvature: what mixtures and their controls are made of."""

from collections.abc import Callable, Sequence
from functools import cache

from foretaste.methods.site_set import Sites
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.site import GaussianSite, Site
from foretaste.store.study import Done
from foretaste.work.context import Context
from foretaste.work.curvature import FisherCurvature, task_curvature
from foretaste.work.runs import SingleTaskRun

__all__ = ["EVEN", "combined_sites", "finished_works", "member_curvatures"]

EVEN = {"responsibilities": "even"}  # of the controls, wherever they are merged


def member_curvatures(context: Context) -> dict[str, list[FisherCurvature]]:
    """The diagonal curvature at each of every task's runs; the first run is the task's model."""
    members = range(1, context.recipe.ensemble.members)
    return {
        task: [
            task_curvature(context, task),
            *(FisherCurvature(task, SingleTaskRun(task, member)) for member in members),
        ]
        for task in context.problem.names
    }


def finished_works(context: Context) -> dict[str, tuple[Done, ...]]:
    """The finished runs and estimates of each task, run by run."""
    curvatures = member_curvatures(context)
    return {
        task: tuple(done for each in own for done in (each.run.done(context), each.done(context)))
        for task, own in curvatures.items()
    }


def combined_sites(
    context: Context, combine: Callable[[Gaussian, Sequence[GaussianSite]], Site]
) -> Callable[[Gaussian], Sites]:
    """From the prior to one site per task.

    Args:
        context: Has the finished estimates.
        combine: From the prior and the sites of a task's runs to the task's site.
    """
    load = cache(
        lambda: {task: [each.site(context) for each in own] for task, own in member_curvatures(context).items()}
    )
    return lambda prior: {task: combine(prior, sites) for task, sites in load().items()}
