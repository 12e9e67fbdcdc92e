"""The variational method: every task trained by IVON, which learns mean and curvature together."""

import statistics
import warnings
from collections.abc import Mapping, Sequence
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

__all__ = ["LearnedLittle", "tell_little", "variational"]

_LEAST = 1e-4  # prior precision where the recipe's training has none: a draw needs one
_LEARNED = "hessian/"
_JUDGED = 20  # steps: in fewer no loss says anything
_ENOUGH = 0.5  # of what the ordinary run's training loss came down by


class LearnedLittle(UserWarning):
    """A variational run's loss came down far less than the ordinary run's: its preview is of a model that has not learned its task."""


def variational(session: Session, fitted: Mapping[str, Fitted]) -> Made:
    """Sites from variational runs; the tasks' ordinary runs are not used.

    Args:
        session: The recipe at work.
        fitted: Every task's first run.
    """
    tasks = session.problem.tasks
    session.watch.begin("variational finetuning", len(tasks) * session.training.steps)
    runs = {task.name: _trained(session, task) for task in tasks}
    for task, run in runs.items():
        tell_little(task, run.result["history"], fitted[task].run.result["history"])
    sites = {task.name: _site(session, task, session.study.tensors(runs[task.name].artefact)) for task in tasks}
    return Made({task: (run,) for task, run in runs.items()}, lambda prior: sites)


def tell_little(task: str, history: Sequence[float], ordinary: Sequence[float]) -> None:
    """Compare the training losses of a task's variational run and its ordinary one.

    Args:
        task: Its name.
        history: Loss by step.
        ordinary: The same; of an imported model there is none, and nothing is compared.

    Warns:
        LearnedLittle: The first came down by less than half of what the other did, over 20 steps or more.

    >>> tell_little("a", [1.0] * 10 + [0.4] * 10, [1.0] * 10 + [0.2] * 10)
    """
    if not ordinary or len(history) < _JUDGED:
        return
    (start, end), (_, expected) = _ends(history), _ends(ordinary)
    if start - end < _ENOUGH * (start - expected):
        text = (
            f"the variational run of task {task!r} ended at a training loss of {end:.3g}, the ordinary one at {expected:.3g} (from "
            f"{start:.3g}): IVON learns little in {len(history)} steps at these settings; give it more steps, or under 'variational' "
            "a larger learning_rate and hessian_init (3 and 1 did better on MobileNetV2, with ess 100 times the examples)"
        )
        warnings.warn(text, LearnedLittle, stacklevel=2)


def _ends(history: Sequence[float]) -> tuple[float, float]:
    """Mean loss at the beginning and at the end: a tenth of the steps each."""
    part = max(1, len(history) // 10)
    return statistics.mean(history[:part]), statistics.mean(history[-part:])


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
        "task": [task.name, task.identity],
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
