"""Evaluation of params on every task, after their batch-norm statistics are computed again where that is due."""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from foretaste.evaluate import Result, evaluate
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.one_line import one_line
from foretaste.params import Params
from foretaste.plan import Recipe
from foretaste.task import Example, Examples, Rows, Task
from foretaste.train.batch_norm import has_batch_norm, reestimate
from foretaste.train.mixture import predict_alike
from foretaste.weights import TaskWeights, corners, uniform
from foretaste.work.context import Context

__all__ = [
    "CHOOSING",
    "Subset",
    "collect_example_results",
    "describe_evaluation",
    "describe_precision",
    "evaluate_row",
    "needs_statistics",
    "objective",
    "reestimate_statistics",
    "row_of",
    "select_examples",
    "shuffle_validation",
    "use_precision",
]

CHOOSING = 100  # validation examples a task


def reestimate_statistics(context: Context, params: Params, weights: TaskWeights) -> Params:
    """Compute the batch-norm statistics of merged params again, and return the params with them.

    Params at a corner are one task's own and stay as they are, and so do all if the recipe averages statistics.

    >>> from foretaste.weights import uniform
    >>> from foretaste.workflow.example import small_study
    >>> with small_study() as context:
    ...     reestimate_statistics(context, {}, uniform(context.problem.names)), needs_statistics(context)
    ({}, False)
    """
    if weights.corner is not None or not needs_statistics(context):
        return params
    generator = torch.Generator().manual_seed(context.recipe.seed)
    return reestimate(context.problem.model, params, context.problem.tasks, weights, generator=generator)


def needs_statistics(context: Context) -> bool:
    """Tell whether merged params need new batch-norm statistics: the model has some, and training changes them."""
    recipe, problem = context.recipe, context.problem
    asks_for_it = recipe.preview.batch_norm == "reestimate" and recipe.finetune.batch_norm == "update"
    return asks_for_it and has_batch_norm(problem.model) and predict_alike(problem.tasks)


def describe_evaluation(context: Context) -> dict[str, object]:
    """Describe everything that an evaluation depends on besides its params, for its key.

    >>> from foretaste.workflow.example import small_study
    >>> with small_study() as context:
    ...     describe_evaluation(context)["metrics"]
    {'low': ['accuracy'], 'mid': ['accuracy'], 'high': ['accuracy']}
    """
    metrics = {task.name: [metric.name for metric in task.metrics] for task in context.problem.tasks}
    return {"base": context.base, "data": context.data, "metrics": metrics, **describe_precision(context.recipe)}


def describe_precision(recipe: Recipe) -> dict[str, object]:
    """Describe the precision that models are evaluated in, for keys; empty if it is that of their params.

    >>> from foretaste.recipe import parse
    >>> recipe = parse("{name: a, model: {source: digits}, preview: {mixed_precision: bf16}}")
    >>> describe_precision(recipe)
    {'mixed_precision': 'bf16'}
    """
    kind = recipe.preview.mixed_precision
    return {} if kind == "no" else {"mixed_precision": kind}


@contextmanager
def use_precision(context: Context) -> Iterator[None]:
    """Compute forward passes in the recipe's precision until the end of the block.

    Params, losses and metrics keep their own precision.

    >>> from foretaste.workflow.example import small_study
    >>> with small_study("preview: {mixed_precision: bf16}") as context, use_precision(context):
    ...     context.problem.model(torch.zeros(1, 64)).dtype
    torch.bfloat16
    """
    kind = next(context.problem.model.parameters()).device.type
    # Autocast's cache finds tensors by their address, where evaluation puts other params: so there is no cache.
    with torch.autocast(kind, torch.bfloat16, enabled=bool(describe_precision(context.recipe)), cache_enabled=False):
        yield


def evaluate_row(
    context: Context,
    params: Params,
    weights: TaskWeights,
    fidelity: Fidelity,
    method: str,
    start: float,
    spent: float = 0.0,
    *,
    steps: int = 0,
) -> tuple[Evaluation, Params]:
    """Evaluate params on every task, and return a row and the results of every example.

    Args:
        context: The model, the tasks and the recipe.
        params: The params to evaluate.
        weights: Task weights, alpha.
        fidelity: How the params were made.
        method: Name of the preview method, or ``joint``.
        start: When work on this row began, by `time.perf_counter`.
        spent: Seconds of work on this row before that.
        steps: Joint steps after a sharpened preview.

    >>> from foretaste.params import parameters_of
    >>> from foretaste.weights import uniform
    >>> from foretaste.workflow.example import small_study
    >>> with small_study() as context:
    ...     own, weights = parameters_of(context.problem.model), uniform(context.problem.names)
    ...     row, results = evaluate_row(context, own, weights, Fidelity.PREVIEW, "simple", time.perf_counter())
    >>> sorted(row.metrics["low"]), results["low/losses"].shape
    (['accuracy', 'loss'], torch.Size([398]))
    """
    with use_precision(context):
        results = evaluate(
            context.problem.model, params, context.problem.tasks, batch_size=context.recipe.preview.batch_size
        )
    cost = spent + time.perf_counter() - start
    row = row_of(results, weights, fidelity, method, seed=context.recipe.seed, cost=cost)
    return replace(row, steps=steps), collect_example_results(results)


def row_of(
    results: Mapping[str, Result], weights: TaskWeights, fidelity: Fidelity, method: str, *, seed: int, cost: float
) -> Evaluation:
    """Make a row of the results of an evaluation.

    Args:
        results: The result by task.
        weights: Task weights, alpha.
        fidelity: How the params were made.
        method: Name of the preview method, or ``joint``.
        seed: The recipe's seed.
        cost: Seconds spent.

    >>> row_of({}, uniform("ab"), Fidelity.PREVIEW, "simple", seed=3, cost=0.1).seed
    3
    """
    return Evaluation(weights, {task: result.metrics for task, result in results.items()}, fidelity, method, seed, cost)


def collect_example_results(results: Mapping[str, Result]) -> dict[str, Tensor]:
    """Collect what the study keeps of every example: losses, predictions, and texts as the bytes of a JSON list.

    >>> sorted(collect_example_results({"a": Result({}, torch.zeros(2), torch.zeros(2).long())}))
    ['a/losses', 'a/predicted']
    """
    tensors = {}
    for task, result in results.items():
        classes = not result.predicted.is_floating_point()
        tensors[f"{task}/losses"] = result.losses
        tensors[f"{task}/predicted"] = result.predicted.to(torch.int32) if classes else result.predicted.float()
        if result.texts:
            tensors[f"{task}/texts"] = torch.tensor(list(json.dumps(result.texts).encode()), dtype=torch.uint8)
    return tensors


def objective(context: Context, merge: Callable[[TaskWeights], Params]) -> float:
    """Compute the objective of choices: the joint loss ``sum_t alpha_t l_t`` of merged params, over a few weightings.

    The weightings are the uniform one and those halfway from it to each corner. They lie inside the simplex, so that
    tasks with private heads can be merged there too. The uniform one alone is not enough: measured there, the loss had
    several minima in the prior's precision, and previews were not best at the lowest. Losses are means over at most
    100 validation examples of each task, the same for every choice.

    Args:
        context: The model, the tasks and the recipe.
        merge: Function from weights to merged params.

    >>> from foretaste.params import parameters_of
    >>> from foretaste.workflow.example import small_study
    >>> with small_study() as context:
    ...     objective(context, lambda weights: parameters_of(context.problem.model)) > 0
    True
    """
    problem, total = context.problem, 0.0
    data = {
        task.name: select_examples(task.validation, shuffle_validation(task, context.recipe.seed)[:CHOOSING])
        for task in problem.tasks
    }
    for weights in _inside(problem.names):
        params = reestimate_statistics(context, merge(weights), weights)
        size = context.recipe.preview.batch_size
        with use_precision(context):
            results = evaluate(problem.model, params, problem.tasks, batch_size=size, data=data, loss_only=True)
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
    """Some of a task's examples, in an order of their own.

    Args:
        examples: All examples.
        order: The places of the chosen ones.

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


def select_examples(examples: Examples, order: Sequence[int]) -> Examples:
    """Select some examples, in an order of their own: `Rows` of rows, a `Subset` of any others.

    >>> select_examples(Rows(torch.eye(2), torch.tensor([4, 5])), [1])[0]["labels"]
    tensor(5)
    """
    return examples.take(order) if type(examples) is Rows else Subset(examples, order)


def shuffle_validation(task: Task, seed: int) -> list[int]:
    """Return the places of a task's validation examples in random order, because files are often sorted.

    >>> from foretaste.sources.digits import digits
    >>> order = shuffle_validation(digits().tasks[0], 0)
    >>> order == sorted(order), sorted(order) == list(range(398))
    (False, True)
    """
    order: list[int] = torch.randperm(len(task.validation), generator=torch.Generator().manual_seed(seed)).tolist()
    return order
