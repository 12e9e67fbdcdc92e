"""The variational method: every task trained by IVON, which learns mean and curvature together."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from foretaste.estimate.variational import build, finish
from foretaste.methods.method import Method
from foretaste.methods.simple import task_runs
from foretaste.methods.site_set import SiteSet
from foretaste.params import parameters_of
from foretaste.posterior.site import GaussianSite
from foretaste.store.study import Done
from foretaste.train.curve import loss_ends
from foretaste.train.finetune import finetune
from foretaste.train.run import Snapshot, Trained
from foretaste.train.training import Training, settings_of
from foretaste.work.context import Context
from foretaste.work.observer import Observer
from foretaste.work.results import Run
from foretaste.work.work import TrainingPiece, Work

__all__ = ["LearnedLittle", "Variational", "VariationalRun", "warn_of_little"]

_LEAST = 1e-4  # the prior's precision where the recipe's training has none; draws need one
_LEARNED = "hessian/"
_FEWEST_STEPS = 20  # the loss of a shorter run tells nothing
_ENOUGH = 0.5  # of the drop of the ordinary run's training loss


class LearnedLittle(UserWarning):
    """Warns that a variational run has not learned its task: its loss fell far less than the ordinary run's."""


class Variational(Method):
    """Sites from variational runs; the tasks' ordinary runs are there to compare losses."""

    name = "variational"

    def work(self, context: Context) -> tuple[Work[Any], ...]:
        return (*task_runs(context).values(), *(VariationalRun(task) for task in context.problem.names))

    def sites(self, context: Context) -> SiteSet:
        runs = {task: VariationalRun(task) for task in context.problem.names}
        for task, ordinary in task_runs(context).items():
            warn_of_little(task, runs[task].stored_result(context).history, ordinary.stored_result(context).history)
        sites = cache(lambda: {task: run.site(context) for task, run in runs.items()})
        return SiteSet({task: (run.done(context),) for task, run in runs.items()}, lambda prior: sites())


@dataclass(frozen=True)
class VariationalRun(TrainingPiece[Run]):
    """Finetuning on one task by IVON.

    Args:
        task: The task's name.
    """

    task: str

    stage = "variational finetuning"
    kind = "finetune"

    @property
    def run_name(self) -> str:
        return f"variational {self.task}"

    def __str__(self) -> str:
        return f"variational finetuning on task {self.task!r}"

    def inputs(self, context: Context) -> dict[str, object]:
        return {
            "base": context.base,
            "task": [self.task, context.task(self.task).identity],
            "training": settings_of(self.training(context)),
            "variational": {**context.recipe.variational.model_dump(), "weight_decay": self._decay(context)},
        }

    def train(self, context: Context, start: Snapshot | None, observer: Observer) -> Trained:
        plan, task, training = context.recipe.variational, context.task(self.task), self.training(context)
        optimizer = build(
            task,
            training.steps,
            ess=plan.ess,
            learning_rate=plan.learning_rate,
            hessian_init=plan.hessian_init,
            weight_decay=self._decay(context),
        )
        return finetune(
            context.problem.model, None, task, training, optimizer=optimizer, start=start, observer=observer
        )

    def read(self, context: Context, done: Done) -> Run:
        return Run.of(done)

    def site(self, context: Context) -> GaussianSite:
        """Make the site that the finished run has learned."""
        model, task = context.problem.model, context.task(self.task)
        tensors, own = context.study.tensors(self.done(context).artefact), parameters_of(context.problem.model)
        learned = {name.removeprefix(_LEARNED): tensor for name, tensor in tensors.items() if name.startswith(_LEARNED)}
        carried = {
            name: tensor for name, tensor in tensors.items() if name not in own and not name.startswith(_LEARNED)
        }
        center = {name: tensors[name] for name in parameters_of(model, task.names)}
        return finish(center, learned, task, steps=self.training(context).steps, carried=carried)

    def training(self, context: Context) -> Training:
        """Return the settings of the training, without a prior, since the optimizer has one."""
        rate = context.recipe.variational.learning_rate
        return replace(context.training_of(self.task), learning_rate=rate, prior_precision=0.0)

    def _decay(self, context: Context) -> float:
        return context.training_of(self.task).prior_precision or _LEAST


def warn_of_little(task: str, history: Sequence[float], ordinary: Sequence[float]) -> None:
    """Compare the training losses of a task's variational run and its ordinary one.

    Args:
        task: The task's name.
        history: The variational run's loss by step.
        ordinary: The ordinary run's loss by step. An imported model has none, and nothing is compared.

    Warns:
        LearnedLittle: Over 20 steps or more, the variational run's loss fell less than half as far as the ordinary
            run's.

    >>> warn_of_little("a", [1.0] * 10 + [0.4] * 10, [1.0] * 10 + [0.2] * 10)
    """
    if not ordinary or len(history) < _FEWEST_STEPS:
        return
    (start, end), (_, expected) = loss_ends(history), loss_ends(ordinary)
    if start - end < _ENOUGH * (start - expected):
        text = (
            f"the variational run of task {task!r} ended at a training loss of {end:.3g}, the ordinary one at"
            f" {expected:.3g} (from {start:.3g}): IVON learns little in {len(history)} steps at these settings; give it"
            " more steps, or under 'variational' a larger learning_rate and hessian_init (3 and 1 did better on"
            " MobileNetV2, with ess 100 times the examples)"
        )
        warnings.warn(text, LearnedLittle, stacklevel=2)
