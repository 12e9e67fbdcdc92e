"""Curvature of a task's loss at the params of a run, which makes the task's site."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from foretaste.estimate.estimators import EstimatePlan, Estimator, estimate_site
from foretaste.estimate.secant import secant
from foretaste.params import Params
from foretaste.plan import Recipe
from foretaste.posterior.site import GaussianSite
from foretaste.posterior.site_form import facts_of, site_from, tensors_of
from foretaste.store.study import Done, Json
from foretaste.task import Task
from foretaste.work.context import Context
from foretaste.work.imported_models import imported_models, site_of_model
from foretaste.work.observer import Observer
from foretaste.work.results import SiteRecord
from foretaste.work.runs import ImportedRun, JointRun, SingleTaskRun, TaskRun, single_task_run
from foretaste.work.work import Computation, Work

__all__ = ["Curvature", "FisherCurvature", "KroneckerCurvature", "SecantCurvature", "mean_curvature", "task_curvature"]

_LEAST = 1e-12


class Curvature(Computation[SiteRecord]):
    """An estimate of a task's curvature at a run's params; each subclass is one estimator."""

    task: str
    run: SingleTaskRun | ImportedRun | JointRun

    stage = "curvature"
    kind = "site"
    revision = 2

    def __str__(self) -> str:
        return f"{self.stage} of task {self.task!r}"

    def needs(self, context: Context) -> tuple[Work[Any], ...]:
        return (self.run,)

    def size(self, context: Context) -> int:
        examples = len(context.task(self.task).train)
        return min(examples, context.recipe.curvature.max_examples or examples)

    def inputs(self, context: Context) -> dict[str, object]:
        return {
            "params": self.run.done(context).artefact,
            "task": [self.task, context.task(self.task).identity],
            "curvature": context.recipe.curvature.model_dump(),
            "seed": context.recipe.seed,
            **context.space.inputs,
            **self.own_inputs(context),
        }

    @abstractmethod
    def own_inputs(self, context: Context) -> dict[str, object]:
        """Describe what the estimate depends on besides the params, the task and the recipe's curvature."""

    @abstractmethod
    def estimate(self, context: Context, task: Task, params: Params, on_batch: Callable[[int], None]) -> GaussianSite:
        """Estimate the site.

        Args:
            context: The model and the recipe.
            task: The task, with the names of the tensors to look at.
            params: The run's params.
            on_batch: Called with the number of examples so far.
        """

    def make(self, context: Context, observer: Observer) -> tuple[Json, Params]:
        def on_batch(examples: int) -> None:
            observer.advance_to(examples, self.task)
            observer.stop_if_asked()

        stored, model = context.study.tensors(self.run.done(context).artefact), context.problem.model
        params = context.space.lent(model, context.task(self.task).names, stored)
        with context.space.watched(model, context.task(self.task)) as task:
            site = self.estimate(context, task, params, on_batch)
        return facts_of(site), tensors_of(site)

    def read(self, context: Context, done: Done) -> SiteRecord:
        return SiteRecord.of(done)

    def site(self, context: Context) -> GaussianSite:
        """Read the site of a finished estimate; its centre is the task's own params."""
        done, params = self.done(context), context.study.tensors(self.run.done(context).artefact)
        model, space = context.problem.model, context.space
        center = space.center(model, context.task(self.task).names, params)
        return site_from(done.result, context.study.tensors(done.artefact), center, space.carried(model, params))


@dataclass(frozen=True)
class FisherCurvature(Curvature):
    """The diagonal Fisher, read from the site file of an imported model if there is one, and estimated otherwise.

    Args:
        task: The task's name.
        run: The run at whose params it is taken.
    """

    task: str
    run: TaskRun

    def own_inputs(self, context: Context) -> dict[str, object]:
        site = self._site_file(context)
        return {"site file": site} if site else {}

    def estimate(self, context: Context, task: Task, params: Params, on_batch: Callable[[int], None]) -> GaussianSite:
        if self._site_file(context):
            return site_of_model(context, task, imported_models(context.study)[self.task], params)
        return estimate_site(context.problem.model, params, task, _plan(context.recipe, "fisher"), on_batch)

    def _site_file(self, context: Context) -> str | None:
        """Return the hash of the site file that came with the run's imported model, or None."""
        if not isinstance(self.run, ImportedRun):
            return None
        model = imported_models(context.study).get(self.task)
        return model.site if model is not None and model.digest == self.run.digest else None


@dataclass(frozen=True)
class KroneckerCurvature(Curvature):
    """Kronecker-factored curvature (EKFAC).

    Args:
        task: The task's name.
        run: The run at whose params it is taken.
        gradient: Whether the site has the loss's gradient, as it must at a joint run.
    """

    task: str
    run: SingleTaskRun | ImportedRun | JointRun
    gradient: bool = False

    stage = "Kronecker curvature"

    def own_inputs(self, context: Context) -> dict[str, object]:
        return {"estimator": "kfac", "gradient": self.gradient}

    def estimate(self, context: Context, task: Task, params: Params, on_batch: Callable[[int], None]) -> GaussianSite:
        plan = _plan(context.recipe, "kfac", gradient=self.gradient)
        return estimate_site(context.problem.model, params, task, plan, on_batch)


@dataclass(frozen=True)
class SecantCurvature(Curvature):
    """Diagonal and low-rank curvature from secants between a task's runs.

    The pretrained params are too far from the optimum for secants to them to be of use.

    Args:
        task: The task's name.
        run: The run at whose params it is taken.
        others: The task's other runs.
    """

    task: str
    run: TaskRun
    others: tuple[SingleTaskRun, ...]

    stage = "low-rank curvature"

    def needs(self, context: Context) -> tuple[Work[Any], ...]:
        return (self.run, *self.others)

    def own_inputs(self, context: Context) -> dict[str, object]:
        return {"estimator": "secant", "checkpoints": self._artefacts(context)}

    def estimate(self, context: Context, task: Task, params: Params, on_batch: Callable[[int], None]) -> GaussianSite:
        generator, plan = torch.Generator().manual_seed(context.recipe.seed), context.recipe.curvature
        return secant(
            context.problem.model,
            params,
            task,
            [context.study.tensors(artefact) for artefact in self._artefacts(context)],
            generator=generator,
            on_batch=on_batch,
            labels=plan.labels,
            max_examples=plan.max_examples,
            batch_size=plan.batch_size,
        )

    def _artefacts(self, context: Context) -> list[str | None]:
        return [run.done(context).artefact for run in self.others]


def _plan(recipe: Recipe, estimator: Estimator, *, gradient: bool = False) -> EstimatePlan:
    """Make the plan of an estimate from the recipe and its seed."""
    plan = recipe.curvature
    return EstimatePlan(estimator, plan.labels, plan.max_examples, plan.batch_size, recipe.seed, gradient)


def task_curvature(context: Context, task: str) -> FisherCurvature:
    """Return the work that estimates the diagonal curvature at a task's model."""
    return FisherCurvature(task, single_task_run(context, task))


def mean_curvature(sites: Sequence[GaussianSite]) -> float:
    """Compute the mean over all entries of diagonal sites; it is at least 1e-12.

    >>> from foretaste.posterior.diagonal import Diagonal
    >>> mean_curvature([GaussianSite({"w": torch.zeros(2)}, Diagonal({"w": torch.tensor([1.0, 3.0])}))])
    2.0
    """
    entries = [tensor for site in sites for tensor in site.precision.to_tensors().values()]
    total = sum(float(tensor.double().sum()) for tensor in entries)
    return max(total / sum(tensor.numel() for tensor in entries), _LEAST)
