"""The method that merges no models: it predicts once with each task's model, and mixes the predictions for any weights.

Its previews have no params, so they can be neither sharpened nor exported. A task's private head stays with the task,
as in every preview: each model's trunk is evaluated through it. At a corner the mixture is the single-task model.
"""

from dataclasses import dataclass
from typing import Any

from foretaste.errors import RecipeError
from foretaste.methods.method import Method, prior_of
from foretaste.methods.simple import Simple
from foretaste.methods.site_set import Sites, SiteSet
from foretaste.outputs import outputs_of
from foretaste.params import Params
from foretaste.posterior.gaussian import Gaussian
from foretaste.store.study import Done, Json
from foretaste.weights import corners
from foretaste.work.context import Context
from foretaste.work.judge import describe_precision, use_precision
from foretaste.work.observer import Observer
from foretaste.work.work import Computation, Work

__all__ = ["Predictive", "TaskOutputs", "without_params"]


class Predictive(Method):
    """The predictive distributions of the tasks' models, mixed by alpha."""

    name = "predictive"

    def work(self, context: Context) -> tuple[Work[Any], ...]:
        return tuple(TaskOutputs(task) for task in context.problem.names)

    def sites(self, context: Context) -> SiteSet:
        works = Simple().sites(context).works

        def refuse(prior: Gaussian) -> Sites:
            raise without_params(self.name)

        return SiteSet({task: (*own, TaskOutputs(task).done(context)) for task, own in works.items()}, refuse)


@dataclass(frozen=True)
class TaskOutputs(Computation[Done]):
    """The outputs of every task's model on one task's validation data.

    Args:
        task: The task whose data it is.
    """

    task: str

    stage = "predictions of the single-task models"
    kind = "outputs"

    def __str__(self) -> str:
        return f"outputs of all models for task {self.task!r}"

    def needs(self, context: Context) -> tuple[Work[Any], ...]:
        return Simple().work(context)

    def size(self, context: Context) -> int:
        return len(context.problem.names) * len(context.task(self.task).validation)

    def inputs(self, context: Context) -> dict[str, object]:
        models, task = Simple().sites(context).artefacts, [self.task, context.task(self.task).identity]
        return {"base": context.base, "models": models, "task": task, **describe_precision(context.recipe)}

    def make(self, context: Context, observer: Observer) -> tuple[Json, Params]:
        def on_batch(count: int) -> None:
            observer.advance(count, self.task)
            observer.stop_if_asked()

        merger = Simple().sites(context).under(prior_of(context, 1.0))
        models = [merger.merge(corner).params for corner in corners(context.problem.names)]
        task, size = context.task(self.task), context.recipe.preview.batch_size
        with use_precision(context):
            return {}, outputs_of(context.problem.model, models, task, batch_size=size, on_batch=on_batch).to_tensors()

    def read(self, context: Context, done: Done) -> Done:
        return done


def without_params(method: str) -> RecipeError:
    """Make the error for params of a method whose previews have none.

    Args:
        method: The method's name.

    >>> str(without_params("predictive"))
    "method predictive mixes the tasks' predictions and has no params to sharpen or export; take another, such as
    simple, ..."
    """
    return RecipeError(
        f"method {method} mixes the tasks' predictions and has no params to sharpen or export; "
        "take another, such as simple, with --method, or a joint run (foretaste confirm, foretaste export --joint)"
    )
