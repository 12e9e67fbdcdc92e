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
from foretaste.task import Example, Examples, Task
from foretaste.train.batch_norm import has_batch_norm, reestimate
from foretaste.train.mixture import predict_alike
from foretaste.weights import TaskWeights, corners, uniform
from foretaste.workflow.session import Session

__all__ = [
    "CHOOSING",
    "Some",
    "at_precision",
    "judged_by",
    "made_row",
    "objective",
    "per_example",
    "precision",
    "reestimates",
    "row",
    "shuffled",
    "with_statistics",
]

CHOOSING = 100  # validation examples a task


def with_statistics(session: Session, params: Params, weights: TaskWeights) -> Params:
    """Merged params; inside the simplex with batch-norm statistics of their own, unless these are to be averaged.

    >>> import pathlib, tempfile
    >>> from foretaste.recipe import parse
    >>> from foretaste.weights import uniform
    >>> from foretaste.workflow.session import load
    >>> from foretaste.workflow.start import start
    >>> recipe = parse(text := "{name: a, model: {source: digits}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), pathlib.Path(folder))
    ...     with session.study:
    ...         with_statistics(session, {}, uniform(session.problem.names)), reestimates(session)
    ({}, False)
    """
    if weights.corner is not None or not reestimates(session):
        return params
    generator = torch.Generator().manual_seed(session.recipe.seed)
    return reestimate(session.problem.model, params, session.problem.tasks, weights, generator=generator)


def reestimates(session: Session) -> bool:
    """Whether merged params get batch-norm statistics of their own: where there are any, and training changes them too."""
    recipe, problem = session.recipe, session.problem
    wanted = recipe.preview.batch_norm == "reestimate" and recipe.finetune.batch_norm == "update"
    return wanted and has_batch_norm(problem.model) and predict_alike(problem.tasks)


def judged_by(session: Session) -> dict[str, object]:
    """What every evaluation depends on beside its params.

    >>> import pathlib, tempfile
    >>> from foretaste.recipe import parse
    >>> from foretaste.workflow.session import load
    >>> from foretaste.workflow.start import start
    >>> recipe = parse(text := "{name: a, model: {source: digits}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), pathlib.Path(folder))
    ...     with session.study:
    ...         judged_by(session)["metrics"]
    {'low': ['accuracy'], 'mid': ['accuracy'], 'high': ['accuracy']}
    """
    metrics = {task.name: [metric.name for metric in task.metrics] for task in session.problem.tasks}
    return {"base": session.base, "data": session.data, "metrics": metrics, **precision(session)}


def precision(session: Session) -> dict[str, object]:
    """How models compute while they are evaluated, where not in the precision of their params.

    >>> from foretaste.recipe import parse
    >>> recipe = parse("{name: a, model: {source: digits}, preview: {mixed_precision: bf16}}")
    >>> precision(Session(None, recipe, None, "", None))
    {'mixed_precision': 'bf16'}
    """
    kind = session.recipe.preview.mixed_precision
    return {} if kind == "no" else {"mixed_precision": kind}


@contextmanager
def at_precision(session: Session) -> Iterator[None]:
    """What is evaluated inside is computed in the recipe's precision; params, losses and metrics stay as wide as ever.

    >>> import dataclasses
    >>> from foretaste.recipe import parse
    >>> from foretaste.sources.digits import digits
    >>> recipe, problem = parse("{name: a, model: {source: digits}, preview: {mixed_precision: bf16}}"), digits()
    >>> with at_precision(Session(None, recipe, problem, "", None)):
    ...     problem.model(torch.zeros(1, 64)).dtype
    torch.bfloat16
    """
    kind = next(session.problem.model.parameters()).device.type
    # Without autocast's cache: it knows tensors by where they lie, and evaluation lends the model other params in the same place.
    with torch.autocast(kind, torch.bfloat16, enabled=bool(precision(session)), cache_enabled=False):
        yield


def row(
    session: Session, params: Params, weights: TaskWeights, fidelity: Fidelity, method: str, start: float, spent: float = 0.0
) -> tuple[Evaluation, Params]:
    """Evaluate params on every task: a row, and the results per example.

    Args:
        session: The recipe at work.
        params: To evaluate.
        weights: alpha.
        fidelity: How the params were made.
        method: By which posterior, or ``joint``.
        start: When work on this row began.
        spent: Seconds spent on it before.

    >>> import pathlib, tempfile
    >>> from foretaste.recipe import parse
    >>> from foretaste.params import parameters_of
    >>> from foretaste.weights import uniform
    >>> from foretaste.workflow.session import load
    >>> from foretaste.workflow.start import start
    >>> recipe = parse(text := "{name: a, model: {source: digits}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), pathlib.Path(folder))
    ...     own, weights = parameters_of(session.problem.model), uniform(session.problem.names)
    ...     with session.study:
    ...         found, each = row(session, own, weights, Fidelity.PREVIEW, "simple", time.perf_counter())
    >>> sorted(found.metrics["low"]), each["low/losses"].shape
    (['accuracy', 'loss'], torch.Size([398]))
    """
    with at_precision(session):
        results = evaluate(session.problem.model, params, session.problem.tasks, batch_size=session.recipe.preview.batch_size)
    cost = spent + time.perf_counter() - start
    return made_row(session, results, weights, fidelity, method, cost), per_example(results)


def made_row(
    session: Session, results: Mapping[str, Result], weights: TaskWeights, fidelity: Fidelity, method: str, cost: float
) -> Evaluation:
    """What was found of params, as a row.

    Args:
        session: The recipe at work.
        results: Of each task.
        weights: alpha.
        fidelity: How the params were made.
        method: By which posterior, or ``joint``.
        cost: Seconds spent.

    >>> from foretaste.recipe import parse
    >>> from foretaste.weights import uniform
    >>> recipe = parse("{name: a, seed: 3, model: {source: digits}}")
    >>> made_row(Session(None, recipe, None, "", None), {}, uniform("ab"), Fidelity.PREVIEW, "simple", 0.1).seed
    3
    """
    metrics = {task: result.metrics for task, result in results.items()}
    return Evaluation(weights, metrics, fidelity, method, session.recipe.seed, cost)


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


def objective(session: Session, merge: Callable[[TaskWeights], Params]) -> float:
    """What choices are made on: the joint loss ``sum_t alpha_t l_t`` of merged params, summed over a few weightings.

    These are uniform weights and those half-way from there to each corner: inside the simplex, so that it can
    be asked of tasks with heads of their own too. (At uniform weights alone the loss was measured to have
    several minima in the prior's precision, and the lowest not to be where previews are best.) Losses are on
    at most 100 validation examples a task, the same for every choice.

    Args:
        session: The recipe at work.
        merge: From weights to params.

    >>> import pathlib, tempfile
    >>> from foretaste.recipe import parse
    >>> from foretaste.params import parameters_of
    >>> from foretaste.workflow.session import load
    >>> from foretaste.workflow.start import start
    >>> recipe = parse(text := "{name: a, model: {source: digits}}")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     session = start(recipe, text, load(recipe, text, ""), pathlib.Path(folder))
    ...     with session.study:
    ...         objective(session, lambda weights: parameters_of(session.problem.model)) > 0
    True
    """
    problem, total = session.problem, 0.0
    data = {task.name: Some(task.validation, shuffled(task, session.recipe.seed)[:CHOOSING]) for task in problem.tasks}
    for weights in _inside(problem.names):
        held = with_statistics(session, merge(weights), weights)
        size = session.recipe.preview.batch_size
        with at_precision(session):
            results = evaluate(problem.model, held, problem.tasks, batch_size=size, data=data, loss_only=True)
        total += math.fsum(weights[task] * result.metrics["loss"] for task, result in results.items())
    return total


def _inside(names: Sequence[str]) -> list[TaskWeights]:
    middle = uniform(names)
    return [middle, *(TaskWeights(names, [(corner[name] + middle[name]) / 2 for name in names]) for corner in corners(names))]


@dataclass(frozen=True)
class Some:
    """Some of a task's examples, in an order.

    Args:
        examples: All of them.
        order: Which, by their places.

    >>> len(Some([{}, {}, {}], [2, 0]))
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
