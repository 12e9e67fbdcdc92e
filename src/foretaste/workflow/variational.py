"""The variational method: every task trained by IVON, which learns mean and curvature together."""

from collections.abc import Mapping
from dataclasses import asdict, replace

from foretaste.engine import do_training
from foretaste.estimate.variational import build, finish
from foretaste.params import Params, parameters_of
from foretaste.posterior.site import GaussianSite
from foretaste.store.study import Done
from foretaste.task import Task
from foretaste.train.finetune import finetune
from foretaste.workflow.fit import Fitted
from foretaste.workflow.made import Made
from foretaste.workflow.session import Session

__all__ = ["variational"]

_LEAST = 1e-4  # prior precision where the recipe's training has none: a draw needs one
_LEARNED = "hessian/"


def variational(session: Session, fitted: Mapping[str, Fitted]) -> Made:
    """Sites from variational runs; the tasks' ordinary runs are not used.

    Args:
        session: The recipe at work.
        fitted: Every task's first run.
    """
    tasks = session.problem.tasks
    session.watch.begin("variational finetuning", len(tasks) * session.training.steps)
    runs = {task.name: _trained(session, task) for task in tasks}
    sites = {task.name: _site(session, task, session.study.tensors(runs[task.name].artefact)) for task in tasks}
    return Made({task: (run,) for task, run in runs.items()}, lambda prior: sites)


def _trained(session: Session, task: Task) -> Done:
    plan, model = session.recipe.variational, session.problem.model
    decay = session.training.prior_precision or _LEAST
    training = replace(session.training, learning_rate=plan.learning_rate, prior_precision=0.0)  # the prior is the optimizer's
    optimizer = build(
        task,
        training.steps,
        ess=plan.ess,
        learning_rate=plan.learning_rate,
        hessian_init=plan.hessian_init,
        weight_decay=decay,
    )
    inputs = {
        "base": session.base,
        "task": [task.name, task.fingerprint],
        "training": asdict(training),
        "variational": {**plan.model_dump(), "weight_decay": decay},
    }
    return do_training(
        session.study,
        "finetune",
        inputs,
        lambda begin, observer: finetune(model, None, task, training, optimizer=optimizer, start=begin, observer=observer),
        session.watch,
        training.steps,
        session.recipe.snapshot_seconds,
    )


def _site(session: Session, task: Task, tensors: Params) -> GaussianSite:
    own = parameters_of(session.problem.model, task.names)
    learned = {name.removeprefix(_LEARNED): tensor for name, tensor in tensors.items() if name.startswith(_LEARNED)}
    carried = {
        name: tensors[name] for name in tensors if name not in parameters_of(session.problem.model) and not name.startswith(_LEARNED)
    }
    return finish({name: tensors[name] for name in own}, learned, task, steps=session.training.steps, carried=carried)
