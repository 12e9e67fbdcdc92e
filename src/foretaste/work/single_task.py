"""Evaluations on one task alone, without any merging: of the task's own model, and of the pretrained one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from foretaste.errors import TaskError
from foretaste.evaluate import evaluate
from foretaste.params import Params
from foretaste.store.study import Done, Json
from foretaste.work.context import Context
from foretaste.work.judge import describe_evaluation, use_precision
from foretaste.work.observer import Observer
from foretaste.work.runs import single_task_run
from foretaste.work.work import Computation, Work

__all__ = ["PretrainedMetrics", "SingleTaskMetrics"]


@dataclass(frozen=True)
class _TaskMetrics(Computation[Mapping[str, float]]):
    task: str

    kind = "alone"

    def size(self, context: Context) -> int:
        return 1

    def read(self, context: Context, done: Done) -> Mapping[str, float]:
        metrics: Mapping[str, float] = done.result["metrics"]
        return metrics


@dataclass(frozen=True)
class SingleTaskMetrics(_TaskMetrics):
    """The metrics of a task's own model.

    Args:
        task: The task's name.
    """

    stage = "single-task models"

    def __str__(self) -> str:
        return f"evaluating the model of task {self.task!r}"

    def needs(self, context: Context) -> tuple[Work[Any], ...]:
        return (single_task_run(context, self.task),)

    def inputs(self, context: Context) -> dict[str, object]:
        run = single_task_run(context, self.task).done(context)
        return {"task": self.task, "params": run.artefact, **describe_evaluation(context)}

    def make(self, context: Context, observer: Observer) -> tuple[Json, None]:
        stored = context.study.tensors(single_task_run(context, self.task).done(context).artefact)
        params = context.space.lent(context.problem.model, context.task(self.task).names, stored)
        return {"metrics": _measure(context, params, self.task)}, None


@dataclass(frozen=True)
class PretrainedMetrics(_TaskMetrics):
    """The metrics of the pretrained model on a task; empty where they cannot be computed.

    Args:
        task: The task's name.
    """

    stage = "pretrained model"

    def __str__(self) -> str:
        return f"evaluating the pretrained model on task {self.task!r}"

    def inputs(self, context: Context) -> dict[str, object]:
        return {"task": self.task, "params": "pretrained", **describe_evaluation(context)}

    def make(self, context: Context, observer: Observer) -> tuple[Json, None]:
        try:
            return {"metrics": _measure(context, None, self.task)}, None
        except TaskError as error:  # a metric may need a model that has learned something
            observer.say(f"the pretrained model is not measured on task {self.task!r}: {error}")
            return {"metrics": {}}, None


def _measure(context: Context, params: Params | None, task: str) -> dict[str, float]:
    """Compute the loss and the metrics of params on one task; None stands for the pretrained params."""
    size = context.recipe.preview.batch_size
    with use_precision(context):
        results = evaluate(context.problem.model, params, [context.task(task)], batch_size=size)
    return dict(results[task].metrics)
