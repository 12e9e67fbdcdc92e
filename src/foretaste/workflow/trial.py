"""Trying a problem before any work: a batch of every task, and every label of data that nobody looked at yet."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn

from foretaste.errors import BadInput, ForetasteError, Stopped, TaskError
from foretaste.evaluate import measure
from foretaste.one_line import one_line
from foretaste.params import in_eval_mode, wide
from foretaste.sources.class_warnings import one_class_warnings
from foretaste.sources.problem import Problem
from foretaste.task import Batch, Examples, Rows, Task
from foretaste.work.context import Unwatched, Watch
from foretaste.work.observer import stop_if_asked

__all__ = ["Trial", "try_batches", "try_labels"]

_R = TypeVar("_R")

_FORWARDS = 3  # a training batch takes as long as so many forward passes
_TIMES, _LONG = 3, 0.2  # a batch is timed so often, unless it took so many seconds
_ENOUGH = 2.0  # most seconds that a batch may be expected to take
_GROWTH = 4  # of a batch that is too slow to be tried at its full size at once


@dataclass(frozen=True)
class Trial:
    """What trying a problem showed.

    Args:
        classes: The width of each task's outputs, their last dimension: the classes of a classifier.
        training_seconds: About how long a training batch takes, as a mean over tasks: three times its forward pass,
            because the backward pass has two products of matrices for each one of the forward pass.
        evaluation_seconds: About how long evaluating every task once takes.
    """

    classes: Mapping[str, int]
    training_seconds: float
    evaluation_seconds: float

    __repr__ = one_line


def try_batches(problem: Problem, train_size: int, validation_size: int, watch: Watch | None = None) -> Trial:
    """Take every task through one batch of training and of validation data.

    A batch is as large as in the study, unless it would take longer than two seconds: then it has fewer rows, and the
    time of the full one is estimated.

    Args:
        problem: Its model holds the params to try.
        train_size: Examples of a training batch.
        validation_size: Examples of a batch of evaluation.
        watch: Shows progress.

    Raises:
        Stopped: The user asked to stop.
        BadInput: Something does not fit or is not finite; the recipe's field is named.

    >>> from foretaste.sources.digits import digits
    >>> try_batches(digits(), 32, 128).classes
    {'low': 10, 'mid': 10, 'high': 10}
    """
    classes, model, watch = {}, problem.model, watch or Unwatched()
    training, evaluation = 0.0, 0.0
    watch.begin("trying batches", 2 * len(problem.tasks))
    with in_eval_mode(model):
        for task in problem.tasks:
            stop_if_asked(watch)
            _, seconds = _try_part(model, task, "train", task.train, train_size)
            training += seconds
            watch.advance(1, task.name)
            classes[task.name], seconds = _try_part(model, task, "validation", task.validation, validation_size)
            evaluation += seconds * max(1.0, len(task.validation) / validation_size)
            watch.advance(1, task.name)
    return Trial(classes, _FORWARDS * training / len(problem.tasks), evaluation)


def _try_part(model: nn.Module, task: Task, part: str, examples: Examples, size: int) -> tuple[int, float]:
    """Try two rows, then a batch; return the width of its outputs, and about how long a full batch takes."""
    few, many = min(2, len(examples)), min(size, len(examples))
    _try(task, part, few, partial(_measure_few, model, task, examples, few))

    def time_batch(count: int) -> tuple[int, float]:
        start = time.perf_counter()
        width = _try(task, part, count, partial(_check_batch, model, task, examples, count))
        return width, time.perf_counter() - start

    count, (width, seconds) = few, time_batch(few)
    while count < many and seconds * min(_GROWTH, many / count) <= _ENOUGH:
        count = many if seconds * many / count <= _ENOUGH else min(many, _GROWTH * count)
        width, seconds = time_batch(count)
    times = [seconds]
    while len(times) < _TIMES and sum(times) < _LONG:
        times.append(time_batch(count)[1])
    return width, min(times) * many / count


def try_labels(problem: Problem, classes: Mapping[str, int]) -> tuple[str, ...]:
    """Check every label of every task.

    Args:
        problem: Whose tasks were not made from files, which are looked at as they are read.
        classes: The width of each task's outputs, as a `Trial` has it.

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
    width, done = 1, 0
    for part in task.parts(batch):
        with torch.no_grad():
            outputs = task.predict(model, part)
        task.loss.check(outputs, part)
        for name, values in (("outputs", outputs), ("losses", task.loss.per_unit(outputs, part))):
            row = _first_bad_row(values)
            if row is not None:
                raise TaskError(
                    f"the model's {name} on task {task.name!r} hold NaN or infinity, first at row {done + row + 1} of"
                    f" {count}; look at that row's values and at the pretrained params"
                )
        width, done = outputs.shape[-1] if outputs.dim() > 1 else 1, done + len(part["labels"])
    return width


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
