"""Trying a problem before any work: a full batch of every task, and every label of data that nobody looked at yet."""

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn

from foretaste.errors import BadInput, ForetasteError, Stopped, TaskError
from foretaste.evaluate import measure
from foretaste.params import in_eval_mode, wide
from foretaste.sources.class_warnings import one_class_warnings
from foretaste.sources.problem import Problem
from foretaste.task import Batch, Examples, Rows, Task

__all__ = ["time_batches", "try_batches", "try_labels"]

_R = TypeVar("_R")

_FORWARDS = 3  # a training batch takes as long as so many forward passes
_TIMES = 3


def try_batches(problem: Problem, train_size: int, validation_size: int) -> dict[str, int]:
    """Take every task through one batch of training and of validation data, as large as in the study.

    Args:
        problem: Its model holds the params to try.
        train_size: Examples of a training batch.
        validation_size: Examples of a batch of evaluation.

    Returns:
        The width of each task's outputs, their last dimension: the classes of a classifier.

    Raises:
        BadInput: Something does not fit or is not finite; the recipe's field is named.

    >>> from foretaste.sources.digits import digits
    >>> try_batches(digits(), 32, 128)
    {'low': 10, 'mid': 10, 'high': 10}
    """
    classes, model = {}, problem.model
    with in_eval_mode(model):
        for task in problem.tasks:
            for part, examples, size in (
                ("train", task.train, train_size),
                ("validation", task.validation, validation_size),
            ):
                few, many = min(2, len(examples)), min(size, len(examples))
                _try(task, part, few, partial(_measure_few, model, task, examples, few))
                classes[task.name] = _try(task, part, many, partial(_check_batch, model, task, examples, many))
    return classes


def time_batches(problem: Problem, train_size: int, validation_size: int) -> tuple[float, float]:
    """Estimate the time of a training batch and of evaluating all tasks once, from forward passes.

    A training batch is taken to last three times as long as its forward pass: the backward pass has two products of
    matrices for each one of the forward pass.

    Args:
        problem: Which `try_batches` has tried, so that nothing is done for the first time here.
        train_size: Examples of a training batch.
        validation_size: Examples of a batch of evaluation.

    Returns:
        Seconds of a training batch, as a mean over tasks, and of evaluating every task once.

    >>> from foretaste.sources.digits import digits
    >>> training, evaluation = time_batches(digits(), 32, 128)
    >>> 0 < training < 10, 0 < evaluation < 10
    (True, True)
    """
    training, evaluation = 0.0, 0.0
    with in_eval_mode(problem.model), torch.no_grad():
        for task in problem.tasks:
            few, many = min(train_size, len(task.train)), min(validation_size, len(task.validation))
            training += _try(task, "train", few, partial(_time, problem.model, task, task.train, few))
            seconds = _try(task, "validation", many, partial(_time, problem.model, task, task.validation, many))
            evaluation += seconds * len(task.validation) / many
    return _FORWARDS * training / len(problem.tasks), evaluation


def _time(model: nn.Module, task: Task, examples: Examples, count: int) -> float:
    """Time a forward pass, with what makes the batch: the shortest of three, or one that takes long."""
    seconds = list[float]()
    while len(seconds) < _TIMES and sum(seconds) < 1:
        start = time.perf_counter()
        task.predict(model, task.batch(examples, range(count), next(model.parameters()).device))
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def try_labels(problem: Problem, classes: Mapping[str, int]) -> tuple[str, ...]:
    """Check every label of every task.

    Args:
        problem: Whose tasks were not made from files, which are looked at as they are read.
        classes: The width of each task's outputs, as `try_batches` gives it.

    Returns:
        A warning for each task whose validation data have one class, where a metric tells classes apart.

    Raises:
        BadInput: A label that the task's loss has no place for, or an example that cannot be read; the recipe's field
            is named.

    >>> from foretaste.sources.digits import digits
    >>> try_labels(digits(), {"low": 10, "mid": 10, "high": 10})
    ()
    """
    warnings: list[str] = []
    for task in problem.tasks:
        _check_labels(task, "train", task.train, classes[task.name])
        labels = _check_labels(task, "validation", task.validation, classes[task.name])
        warnings += one_class_warnings(task.name, task.metrics, labels, len(task.validation))
    return tuple(warnings)


def _check_labels(task: Task, part: str, examples: Examples, width: int) -> set[float]:
    """The labels that occur, all of which can be ones."""
    values: set[float] = set()
    for place, labels in _labels(task, part, examples):
        try:
            task.loss.check_labels(labels, width)
        except TaskError as error:
            where = f"the {part} examples" if place is None else f"{part} example {place + 1}"
            raise TaskError(f"{where} of task {task.name!r}: {error}").at("tasks", task.name, part) from error
        rows = labels if place is None else labels.unsqueeze(0)
        values.update(rows.reshape(len(rows), -1)[task.loss.counts({"labels": rows})].tolist())
    return values


def _try(task: Task, part: str, count: int, trial: Callable[[], _R]) -> _R:
    """What a trial gives; what it raises is said to be the trial's."""
    action = f"trying task {task.name!r} on {'two' if count == 2 else count} {part} rows"
    try:
        return trial()
    except ForetasteError as error:
        raise (error.at("tasks", task.name, part) if isinstance(error, BadInput) else error) from error.__cause__
    except KeyboardInterrupt:
        raise Stopped(f"interrupted while {action}; nothing was written") from None
    except SystemExit as error:
        fault = f"{action} called sys.exit({error.code!r}); raise an error instead"
        raise TaskError(fault).at("tasks", task.name, part) from error
    except Exception as error:
        raise TaskError(f"{action} failed: {type(error).__name__}: {error}").at("tasks", task.name, part) from error


def _measure_few(model: nn.Module, task: Task, examples: Examples, count: int) -> None:
    """The task's metrics on a few examples."""
    measure(model, task, [examples[index] for index in range(count)], batch_size=count)


def _check_batch(model: nn.Module, task: Task, examples: Examples, count: int) -> int:
    """The width of a batch's outputs, which are finite, as the losses are."""
    batch: Batch = task.batch(examples, range(count), next(model.parameters()).device)
    with torch.no_grad():
        outputs = task.predict(model, batch)
    task.loss.check(outputs, batch)
    for name, values in (("outputs", outputs), ("losses", task.loss.per_unit(outputs, batch))):
        row = _first_bad_row(values)
        if row is not None:
            raise TaskError(
                f"the model's {name} on task {task.name!r} hold NaN or infinity, first at row {row + 1} of {count};"
                " look at that row's values and at the pretrained params"
            )
    return outputs.shape[-1] if outputs.dim() > 1 else 1


def _first_bad_row(values: Tensor) -> int | None:
    bad = ~torch.isfinite(wide(values)).reshape(len(values), -1).all(1)
    return int(bad.nonzero()[0]) if bool(bad.any()) else None


def _labels(task: Task, part: str, examples: Examples) -> Iterator[tuple[int | None, Tensor]]:
    """All labels at once where they are one tensor, and else example by example, with its place."""
    if isinstance(examples, Rows):
        yield None, examples.labels
        return
    for place in range(len(examples)):
        try:
            labels = torch.as_tensor(examples[place]["labels"])
        except Exception as error:
            fault = f"{part} example {place + 1} of task {task.name!r} cannot be read: {type(error).__name__}: {error}"
            raise TaskError(fault).at("tasks", task.name, part) from error
        yield place, labels
