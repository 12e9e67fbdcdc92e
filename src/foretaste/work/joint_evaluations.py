"""Evaluations of joint finetuning, at full length or cut short."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from foretaste.evaluation import Evaluation, Fidelity
from foretaste.params import Params
from foretaste.train.joint import joint
from foretaste.train.training import Training, settings_of
from foretaste.weights import TaskWeights
from foretaste.work.context import Context
from foretaste.work.evaluation_work import EvaluationWork
from foretaste.work.judge import describe_evaluation, evaluate_row
from foretaste.work.observer import Observer
from foretaste.work.runs import JointRun
from foretaste.work.tracking import logged_run
from foretaste.work.work import Work

__all__ = ["JointEvaluation", "ShortJointRun"]


@dataclass(frozen=True)
class JointEvaluation(EvaluationWork):
    """A joint run, trained if the study lacks it, and evaluated like a preview.

    Args:
        weights: Task weights, alpha.
    """

    weights: TaskWeights

    stage = "joint finetuning"

    @property
    def points(self) -> tuple[TaskWeights, ...]:  # type: ignore[override]
        return (self.weights,)

    def __str__(self) -> str:
        return f"joint finetuning at {self.weights}"

    def includes(self, context: Context) -> tuple[Work[Any], ...]:
        return (JointRun(self.weights),)

    def size(self, context: Context) -> int:
        return context.joint_training.steps

    def is_finished(self, context: Context) -> bool:
        return JointRun(self.weights).is_finished(context) and super().is_finished(context)

    def finish(self, context: Context, observer: Observer) -> tuple[Evaluation, ...]:
        JointRun(self.weights).finish(context, observer)  # counts all the progress
        return super().finish(context, observer.without_progress())

    def inputs_at(self, context: Context, weights: TaskWeights) -> dict[str, object]:
        return {
            "params": JointRun(weights).done(context).artefact,
            "weights": weights.key,
            **describe_evaluation(context),
        }

    def evaluate(
        self, context: Context, points: Sequence[TaskWeights], observer: Observer
    ) -> list[tuple[Evaluation, Params]]:
        run, start = JointRun(self.weights).done(context), time.perf_counter()
        return [
            evaluate_row(
                context, context.study.tensors(run.artefact), self.weights, Fidelity.JOINT, "joint", start, run.seconds
            )
        ]


@dataclass(frozen=True)
class ShortJointRun(EvaluationWork):
    """Joint finetuning for a few steps from the pretrained params, which is sharpening without a preview.

    It costs as much per weighting as a sharpened preview, and needs no single-task run.

    Args:
        steps: Steps of the run; its learning rate rises and falls within them.
        weights: Task weights, alpha.
    """

    steps: int
    weights: TaskWeights

    @property
    def stage(self) -> str:  # type: ignore[override]
        return f"joint finetuning cut to {self.steps} steps"

    @property
    def points(self) -> tuple[TaskWeights, ...]:  # type: ignore[override]
        return (self.weights,)

    def __str__(self) -> str:
        return f"joint finetuning cut to {self.steps} steps at {self.weights}"

    def inputs_at(self, context: Context, weights: TaskWeights) -> dict[str, object]:
        training, realise = settings_of(self._training(context)), context.recipe.joint.realise
        return {
            "method": "pretrained",
            "weights": weights.key,
            "training": training,
            "realise": realise,
            **describe_evaluation(context),
        }

    def evaluate(
        self, context: Context, points: Sequence[TaskWeights], observer: Observer
    ) -> list[tuple[Evaluation, Params]]:
        start, problem, realise = time.perf_counter(), context.problem, context.recipe.joint.realise
        training, name, key = self._training(context), f"pretrained+{self.steps} {self.weights}", self.keys(context)[0]
        with logged_run(context, name, key, training, observer) as log:
            run = joint(problem.model, None, problem.tasks, self.weights, training, realise=realise, observer=log)
        row = evaluate_row(context, run.params, self.weights, Fidelity.SHARPENED, "pretrained", start, steps=self.steps)
        return [row]

    def _training(self, context: Context) -> Training:
        return replace(context.joint_training, steps=self.steps)
