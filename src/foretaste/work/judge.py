"""Judging params: batch-norm statistics of their own where due, then every task's evaluation."""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from foretaste.evaluate import Result, evaluate
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.one_line import one_line
from foretaste.params import Params
from foretaste.plan import Recipe
from foretaste.task import Example, Examples, Task
from foretaste.train.batch_norm import has_batch_norm, reestimate
from foretaste.train.mixture import predict_alike
from foretaste.weights import TaskWeights, corners, uniform
from foretaste.work.context import Context

__all__ = [
    "CHOOSING",
    "Subset",
    "at_precision",
    "judged_by",
    "objective",
    "per_example",
    "precision",
    "reestimates",
    "row",
    "row_of",
    "shuffled",
    "with_statistics",
]

CHOOSING = 100  # validation examples a task


def with_statistics(context: Context, params: Params, weights: TaskWeights) -> Params:
    """Merged params; inside the simplex with batch-norm statistics of their own, unless these are to be averaged.

    >>> from foretaste.weights import uniform
    >>> from foretaste.workflow.example import small_study
    >>> with small_study() as context:
    ...     with_statistics(context, {}, uniform(context.problem.names)), reestimates(context)
    ({}, False)
    """
    if weights.corner is not None or not reestimates(context):
        return params
    generator = torch.Generator().manual_seed(context.recipe.seed)
    return reestimate(context.problem.model, params, context.problem.tasks, weights, generator=generator)


def reestimates(context: Context) -> bool:
    """Tell whether merged params need batch-norm statistics of their own: there are some, and training changes them."""
    recipe, problem = context.recipe, context.problem
    wanted = recipe.preview.batch_norm == "reestimate" and recipe.finetune.batch_norm == "update"
    return wanted and has_batch_norm(problem.model) and predict_alike(problem.tasks)


def judged_by(context: Context) -> dict[str, object]:
    """What every evaluation depends on beside its params.

    >>> from foretaste.workflow.example import small_study
    >>> with small_study() as context:
    ...     judged_by(context)["metrics"]
    {'low': ['accuracy'], 'mid': ['accuracy'], 'high': ['accuracy']}
    """
    metrics = {task.name: [metric.name for metric in task.metrics] for task in context.problem.tasks}
    return {"base": context.base, "data": context.data, "metrics": metrics, **precision(context.recipe)}


def precision(recipe: Recipe) -> dict[str, object]:
    """How models compute while they are evaluated, where not in the precision of their params.

    >>> from foretaste.recipe import parse
    >>> recipe = parse("{name: a, model: {source: digits}, preview: {mixed_precision: bf16}}")
    >>> precision(recipe)
    {'mixed_precision': 'bf16'}
    """
    kind = recipe.preview.mixed_precision
    return {} if kind == "no" else {"mixed_precision": kind}


@contextmanager
def at_precision(context: Context) -> Iterator[None]:
    """What is evaluated inside is computed in the recipe's precision; params, losses and metrics stay as wide as ever.

    >>> from foretaste.workflow.example import small_study
    >>> with small_study("preview: {mixed_precision: bf16}") as context, at_precision(context):
    ...     context.problem.model(torch.zeros(1, 64)).dtype
    torch.bfloat16
    """
    kind = next(context.problem.model.parameters()).device.type
    # Without autocast's cache: it knows tensors by where they lie, and evaluation lends the model other params in the
    # same place.
    with torch.autocast(kind, torch.bfloat16, enabled=bool(precision(context.recipe)), cache_enabled=False):
        yield


def row(
    context: Context,
    params: Params,
    weights: TaskWeights,
    fidelity: Fidelity,
    method: str,
    start: float,
    spent: float = 0.0,
) -> tuple[Evaluation, Params]:
    """Evaluate params on every task: a row, and the results per example.

    Args:
        context: The model, the tasks and the recipe.
        params: To evaluate.
        weights: alpha.
        fidelity: How the params were made.
        method: By which posterior, or ``joint``.
        start: When work on this row began.
        spent: Seconds spent on it before.

    >>> from foretaste.params import parameters_of
    >>> from foretaste.weights import uniform
    >>> from foretaste.workflow.example import small_study
    >>> with small_study() as context:
    ...     own, weights = parameters_of(context.problem.model), uniform(context.problem.names)
    ...     found, each = row(context, own, weights, Fidelity.PREVIEW, "simple", time.perf_counter())
    >>> sorted(found.metrics["low"]), each["low/losses"].shape
    (['accuracy', 'loss'], torch.Size([398]))
    """
    with at_precision(context):
        results = evaluate(
            context.problem.model, params, context.problem.tasks, batch_size=context.recipe.preview.batch_size
        )
    cost = spent + time.perf_counter() - start
    return row_of(results, weights, fidelity, method, seed=context.recipe.seed, cost=cost), per_example(results)


def row_of(
    results: Mapping[str, Result], weights: TaskWeights, fidelity: Fidelity, method: str, *, seed: int, cost: float
) -> Evaluation:
    """The results of an evaluation as a row.

    Args:
        results: Of each task.
        weights: alpha.
        fidelity: How the params were made.
        method: By which posterior, or ``joint``.
        seed: The recipe's.
        cost: Seconds spent.

    >>> row_of({}, uniform("ab"), Fidelity.PREVIEW, "simple", seed=3, cost=0.1).seed
    3
    """
    return Evaluation(weights, {task: result.metrics for task, result in results.items()}, fidelity, method, seed, cost)


def per_example(results: Mapping[str, Result]) -> dict[str, Tensor]:
    """What is kept of each example; texts as the bytes of a JSON list.

    >>> sorted(per_example({"a": Result({}, torch.zeros(2), torch.zeros(2).long())}))
    ['a/losses', 'a/predicted']
    """
    found = {}
    for task, result in results.items():
        classes = not result.predicted.is_floating_point()
        found[f"{task}/losses"] = result.losses
        found[f"{task}/predicted"] = result.predicted.to(torch.int32) if classes else result.predicted.float()
        if result.texts:
            found[f"{task}/texts"] = torch.tensor(list(json.dumps(result.texts).encode()), dtype=torch.uint8)
    return found


def objective(context: Context, merge: Callable[[TaskWeights], Params]) -> float:
    """What choices are made on: the joint loss ``sum_t alpha_t l_t`` of merged params, summed over a few weightings.

    These are uniform weights and those half-way from there to each corner: inside the simplex, so that it can
    be asked of tasks with heads of their own too. (At uniform weights alone the loss was measured to have
    several minima in the prior's precision, and the lowest not to be where previews are best.) Losses are on
    at most 100 validation examples a task, the same for every choice.

    Args:
        context: The model, the tasks and the recipe.
        merge: From weights to params.

    >>> from foretaste.params import parameters_of
    >>> from foretaste.workflow.example import small_study
    >>> with small_study() as context:
    ...     objective(context, lambda weights: parameters_of(context.problem.model)) > 0
    True
    """
    problem, total = context.problem, 0.0
    data = {
        task.name: Subset(task.validation, shuffled(task, context.recipe.seed)[:CHOOSING]) for task in problem.tasks
    }
    for weights in _inside(problem.names):
        held = with_statistics(context, merge(weights), weights)
        size = context.recipe.preview.batch_size
        with at_precision(context):
            results = evaluate(problem.model, held, problem.tasks, batch_size=size, data=data, loss_only=True)
        total += math.fsum(weights[task] * result.metrics["loss"] for task, result in results.items())
    return total


def _inside(names: Sequence[str]) -> list[TaskWeights]:
    middle = uniform(names)
    return [
        middle,
        *(TaskWeights(names, [(corner[name] + middle[name]) / 2 for name in names]) for corner in corners(names)),
    ]


@dataclass(frozen=True)
class Subset:
    """Some of a task's examples, in an order.

    Args:
        examples: All of them.
        order: Which, by their places.

    >>> len(Subset([{}, {}, {}], [2, 0]))
    2
    """

    examples: Examples
    order: Sequence[int]

    __repr__ = one_line

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int, /) -> Example:
        return self.examples[self.order[index]]


def shuffled(task: Task, seed: int) -> list[int]:
    """The places of a task's validation examples in random order: files are often sorted.

    >>> from foretaste.sources.digits import digits
    >>> order = shuffled(digits().tasks[0], 0)
    >>> order == sorted(order), sorted(order) == list(range(398))
    (False, True)
    """
    order: list[int] = torch.randperm(len(task.validation), generator=torch.Generator().manual_seed(seed)).tolist()
    return order
