"""The Kronecker method: factors of every task, one basis for all, each task's eigenvalues in it."""

from collections.abc import Mapping

import torch

from foretaste.engine import do
from foretaste.estimate.kfac import Factors, factors, kfac, shared_basis
from foretaste.params import Params, parameters_of
from foretaste.posterior.kronecker import Basis
from foretaste.posterior.site import GaussianSite
from foretaste.store.study import Done
from foretaste.task import Task
from foretaste.workflow.fit import Fitted, Reported, estimated
from foretaste.workflow.made import Made
from foretaste.workflow.session import Session

__all__ = ["kronecker", "kronecker_at", "shared"]


def kronecker(session: Session, fitted: Mapping[str, Fitted]) -> Made:
    """Every task's Kronecker site, in a basis that all tasks share: any weights then have a closed form.

    Args:
        session: The recipe at work.
        fitted: Every task's first run.
    """
    basis, passes = shared(session, fitted)
    session.watch.begin("Kronecker curvature", sum(len(task.train) for task in session.problem.tasks))
    found = {task.name: kronecker_at(session, task, fitted[task.name].run, basis, passes) for task in session.problem.tasks}
    works = {task: (each.run, *passes, found[task][0]) for task, each in fitted.items()}
    return Made(works, lambda prior: {task: site for task, (_, site) in found.items()})


def shared(session: Session, fitted: Mapping[str, Fitted]) -> tuple[Basis, tuple[Done, ...]]:
    """The eigenbasis that all tasks share, from the sum of their Kronecker factors, and the work that made it."""
    passes = tuple(_factors(session, task, fitted[task.name].run) for task in session.problem.tasks)
    return shared_basis([Factors.from_tensors(session.study.tensors(done.artefact)) for done in passes]), passes


def _factors(session: Session, task: Task, run: Done) -> Done:
    plan = session.recipe.curvature

    def make() -> tuple[dict[str, object], Params]:
        generator = torch.Generator().manual_seed(session.recipe.seed)
        params = session.study.tensors(run.artefact)
        chosen = {"labels": plan.labels, "max_examples": plan.max_examples, "batch_size": plan.batch_size}
        return {}, factors(session.problem.model, params, task, generator=generator, **chosen).to_tensors()

    inputs = {"params": run.artefact, "task": [task.name, task.fingerprint], "curvature": plan.model_dump(), "seed": session.recipe.seed}
    return do(session.study, "factors", inputs, make, session.watch)


def kronecker_at(
    session: Session, task: Task, run: Done, basis: Basis, passes: tuple[Done, ...], gradient: bool = False
) -> tuple[Done, GaussianSite]:
    """A task's Kronecker site at a run's params, in a basis made before.

    Args:
        session: The recipe at work.
        task: Whose site it is.
        run: The task's own run, or a joint one.
        basis: Shared by all tasks.
        passes: The work that the basis was made by.
        gradient: Whether the site has the loss's gradient there.
    """
    plan = session.recipe.curvature

    def make(params: Params, on_batch: Reported) -> GaussianSite:
        generator = torch.Generator().manual_seed(session.recipe.seed)
        own = {name: params[name] for name in params if task.names is None or name in task.names or name not in parameters}
        chosen = {"labels": plan.labels, "max_examples": plan.max_examples, "batch_size": plan.batch_size}
        return kfac(session.problem.model, own, task, generator=generator, gradient=gradient, basis=basis, on_batch=on_batch, **chosen)

    parameters = parameters_of(session.problem.model)
    inputs = {"estimator": "kfac", "basis": [done.artefact for done in passes], "gradient": gradient}
    return estimated(session, task, run, inputs, make)
