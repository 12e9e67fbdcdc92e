"""LoRA factors averaged apart, a control: what merges of updates gain over averages of A and of B."""

from functools import cache
from typing import Any

from foretaste.methods.method import Method
from foretaste.methods.simple import flat_site, task_runs
from foretaste.methods.site_set import SiteSet
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.sources.space import OWN
from foretaste.work.context import Context
from foretaste.work.work import Work

__all__ = ["FactorsApart"]


class FactorsApart(Method):
    """The average of the tasks' factors: ``(sum_t alpha_t B_t)(sum_t alpha_t A_t)`` has products of different tasks."""

    name = "factors"

    def work(self, context: Context) -> tuple[Work[Any], ...]:
        return tuple(task_runs(context).values())

    def sites(self, context: Context) -> SiteSet:
        runs, problem = task_runs(context), context.problem
        sites = cache(lambda: {task: flat_site(context, task, run, OWN) for task, run in runs.items()})
        prior = Gaussian(OWN.prior_mean(problem.model, problem.trained), Isotropic(1.0))
        works = {task: (run.done(context),) for task, run in runs.items()}
        return SiteSet(works, lambda _: sites(), options={"coordinates": "factors"}, prior=prior)
