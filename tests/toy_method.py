"""A preview method that foretaste does not know: params that finetuning moved far count for more."""

from functools import cache
from typing import Any

from foretaste.method_table import MethodRow
from foretaste.methods.method import Method, prior_of
from foretaste.methods.simple import task_runs
from foretaste.methods.site_set import SiteSet
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.site import GaussianSite
from foretaste.work.context import Context
from foretaste.work.runs import TaskRun
from foretaste.work.work import Work

__all__ = ["MOVED", "Moved"]


class Moved(Method):
    """Each task's model with a curvature that is the square of how far finetuning moved each entry."""

    name = "moved"

    def work(self, context: Context) -> tuple[Work[Any], ...]:
        """One run per task."""
        return tuple(task_runs(context).values())

    def sites(self, context: Context) -> SiteSet:
        """One diagonal site per task."""
        runs = task_runs(context)
        sites = cache(lambda: {task: self._site(context, run) for task, run in runs.items()})
        return SiteSet({task: (run.done(context),) for task, run in runs.items()}, lambda prior: sites())

    def _site(self, context: Context, run: TaskRun) -> GaussianSite:
        pretrained, params = prior_of(context, 1.0).mean, context.study.tensors(run.done(context).artefact)
        center = {name: params[name] for name in pretrained}
        return GaussianSite(center, Diagonal({name: (center[name] - start) ** 2 for name, start in pretrained.items()}))


MOVED = MethodRow("moved", "diagonal Gaussian, squared moves", "toy_method:Moved")
