"""Evaluation of a task's own model on its task, without any merging."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from foretaste.evaluate import evaluate
from foretaste.store.study import Done, Json
from foretaste.work.context import Context
from foretaste.work.judge import describe_evaluation, use_precision
from foretaste.work.observer import Observer
from foretaste.work.runs import single_task_run
from foretaste.work.work import Computation, Work

__all__ = ["SingleTaskMetrics"]


@dataclass(frozen=True)
class SingleTaskMetrics(Computation[Mapping[str, float]]):
    """The metrics of a task's own model.

    Args:
        task: The task's name.
    """

    task: str

    stage = "single-task models"
    kind = "alone"

    def __str__(self) -> str:
        return f"evaluating the model of task {self.task!r}"

    def needs(self, context: Context) -> tuple[Work[Any], ...]:
        return (single_task_run(context, self.task),)

    def size(self, context: Context) -> int:
        return 1

    def inputs(self, context: Context) -> dict[str, object]:
        run = single_task_run(context, self.task).done(context)
        return {"task": self.task, "params": run.artefact, **describe_evaluation(context)}

    def make(self, context: Context, observer: Observer) -> tuple[Json, None]:
        params = context.study.tensors(single_task_run(context, self.task).done(context).artefact)
        with use_precision(context):
            results = evaluate(
                context.problem.model, params, [context.task(self.task)], batch_size=context.recipe.preview.batch_size
            )
        return {"metrics": dict(results[self.task].metrics)}, None

    def read(self, context: Context, done: Done) -> Mapping[str, float]:
        metrics: Mapping[str, float] = done.result["metrics"]
        return metrics
