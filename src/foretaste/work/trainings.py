"""The settings of training runs: those of a recipe, with steps that its tasks' rows are counted for."""

import math
from collections.abc import Sequence
from dataclasses import replace

from foretaste.plan import Recipe
from foretaste.task import Task
from foretaste.train.training import Training

__all__ = ["joint_training", "task_training"]


def task_training(recipe: Recipe, task: Task) -> Training:
    """Return how a recipe trains on one task alone.

    Args:
        recipe: The recipe; what it says of the task comes before what it says of all.
        task: The task, whose training rows an epoch passes over.

    >>> from foretaste.recipe import parse
    >>> from foretaste.sources.digits import digits
    >>> recipe = parse("{name: a, model: {source: digits}, finetune: {epochs: 2, tasks: {low: {batch_size: 10}}}}")
    >>> [task_training(recipe, task).steps for task in digits().tasks]
    [60, 19, 19]
    """
    plan = recipe.finetune
    own = plan.of_task(task.name)
    training = Training(**plan.numbers, seed=recipe.seed)
    training = replace(
        training,
        learning_rate=own.learning_rate or training.learning_rate,
        batch_size=own.batch_size or training.batch_size,
    )
    steps, epochs = own.steps, own.epochs or plan.epochs
    if steps is None and epochs is not None:
        steps = _steps(epochs, len(task.train), training.batch_size)
    return training if steps is None else replace(training, steps=steps)


def joint_training(recipe: Recipe, tasks: Sequence[Task]) -> Training:
    """Return how a recipe trains jointly.

    What a recipe says of single tasks is for their own runs, and does not count here.

    Args:
        recipe: The recipe.
        tasks: All tasks; an epoch of a joint run passes over the training rows of all of them.

    >>> from foretaste.recipe import parse
    >>> from foretaste.sources.digits import digits
    >>> text = "{{name: a, model: {{source: digits}}, finetune: {{steps: 7}}, joint: {{steps: {}}}}}"
    >>> [joint_training(parse(text.format(steps)), digits().tasks).steps for steps in (9, "all", "null")]
    [9, 21, 7]
    """
    plan, steps = recipe.finetune, recipe.joint.steps
    training = Training(**plan.numbers, seed=recipe.seed)
    if steps == "all":
        return replace(training, steps=sum(task_training(recipe, task).steps for task in tasks))
    if steps is None and plan.epochs is not None:
        steps = _steps(plan.epochs, sum(len(task.train) for task in tasks), plan.batch_size)
    return training if steps is None else replace(training, steps=steps)


def _steps(epochs: float, rows: int, batch_size: int) -> int:
    return max(1, math.ceil(epochs * rows / batch_size - 1e-9))
