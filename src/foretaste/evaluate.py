"""Evaluation: params on tasks give losses and metrics, with a result per example."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from foretaste.errors import TaskError
from foretaste.metric_kinds import AnyMetric, Predictions
from foretaste.one_line import one_line
from foretaste.params import Params, in_eval_mode, swapped
from foretaste.task import Batch, Examples, Judge, Rows, Task

__all__ = [
    "Columns",
    "Result",
    "batches",
    "evaluate",
    "join_batches",
    "judge_model",
    "measure",
    "padded",
    "predict_examples",
    "result_of",
]

Columns = tuple[Tensor, Tensor, Tensor, Tensor]  # losses, predictions, labels, and which count, `[B, S]` each

_WINDOW = 4  # batches that are sorted by size together


@dataclass(frozen=True)
class Result:
    """One task's evaluation.

    Args:
        metrics: ``loss`` (mean per unit) and each metric.
        losses: `[N]`, the mean loss of each example's labels.
        predicted: `[N]`, the predicted label; for tokens `[number of label tokens]`.
        texts: `[N]`, what the model wrote, where a metric judges texts.
    """

    metrics: Mapping[str, float]
    losses: Tensor
    predicted: Tensor
    texts: tuple[str, ...] = ()

    __repr__ = one_line


def evaluate(
    model: nn.Module,
    params: Params | None,
    tasks: Sequence[Task],
    *,
    batch_size: int = 128,
    data: Mapping[str, Examples] | None = None,
    loss_only: bool = False,
) -> dict[str, Result]:
    """Every task's loss and metrics.

    The model is put in evaluation mode and lent the params; both are undone on leaving.

    Args:
        model: The module the tasks predict with, on its own device.
        params: Params to evaluate, or None for the model's own.
        tasks: What to evaluate on.
        batch_size: Examples per forward pass.
        data: Other examples than the validation ones, by task.
        loss_only: Leave the metrics out, and the texts and judges that some of them need.

    Returns:
        A result per task, by name.

    Raises:
        TaskError: A metric that fails or is no number.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.tensor([0, 1]))
    >>> task = Task("a", rows, rows, [METRICS["accuracy"]])
    >>> evaluate(nn.Linear(2, 2), {"weight": torch.eye(2), "bias": torch.zeros(2)}, [task])["a"].metrics["accuracy"]
    1.0
    """
    with in_eval_mode(model), swapped(model, params or {}):
        examples_by_task = {task.name: (data or {}).get(task.name, task.validation) for task in tasks}
        judgements = {} if loss_only else judge_model(model, tasks)
        return {
            task.name: measure(
                model,
                task,
                examples_by_task[task.name],
                batch_size,
                loss_only=loss_only,
                judgements=judgements.get(task.judge),
            )
            for task in tasks
        }


def judge_model(model: nn.Module, tasks: Sequence[Task]) -> dict[Judge | None, Mapping[str, float]]:
    """What each judge says of the model as it stands; one that judges for several tasks is asked once.

    >>> judge_model(nn.Linear(1, 1), [])
    {}
    """
    metrics_by_judge: dict[Judge, list[str]] = {}
    for task in tasks:
        if task.judge is not None and task.judged:
            metrics_by_judge.setdefault(task.judge, []).extend(task.judged)
    return {judge: judge(model, tuple(dict.fromkeys(names)), None) for judge, names in metrics_by_judge.items()}


def measure(
    model: nn.Module,
    task: Task,
    examples: Examples,
    batch_size: int,
    *,
    loss_only: bool = False,
    judgements: Mapping[str, float] | None = None,
) -> Result:
    """The result of the model as it stands on these examples.

    Batches hold examples of similar length, since a batch costs as much as its longest; results
    come back in the examples' order. Other examples than the validation ones are a trial, for which
    the task's judge looks at no more documents than there are examples.

    Args:
        model: In evaluation mode, on its own device.
        task: Predicts with the model, and has the metrics.
        examples: N of them, at least one.
        batch_size: Examples per forward pass.
        loss_only: Leave the metrics out.
        judgements: What the task's judge said of the model; it is asked, if left out.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.tensor([0, 1]))
    >>> measure(nn.Linear(2, 2), Task("a", rows, rows, [METRICS["accuracy"]]), rows, batch_size=1).losses.shape
    torch.Size([2])
    """
    predictions = predict_examples(model, task, examples, batch_size, texts=not loss_only)
    if judgements is None and task.judge is not None and task.judged and not loss_only:
        judgements = task.judge(model, task.judged, None if examples is task.validation else len(examples))
    return result_of(task, replace(predictions, judged=judgements or {}), () if loss_only else task.metrics)


def predict_examples(
    model: nn.Module, task: Task, examples: Examples, batch_size: int, *, texts: bool = True
) -> Predictions:
    """What the model as it stands says of these examples, in their order; the task's judge is not asked.

    Args:
        model: In evaluation mode, on its own device.
        task: Predicts with the model.
        examples: N of them, at least one.
        batch_size: Examples per forward pass.
        texts: Whether the model writes, where a metric judges texts.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.tensor([0, 1]))
    >>> predict_examples(
    ...     nn.Linear(2, 2), Task("a", rows, rows, [METRICS["accuracy"]]), rows, batch_size=1
    ... ).predicted.shape
    torch.Size([2, 1])
    """
    device = next(model.parameters()).device
    order: list[int] = []
    parts: list[Columns] = []
    documents: list[tuple[str, str]] = []
    for indices, batch_examples in batches(examples, batch_size):
        batch = {key: tensor.to(device) for key, tensor in task.collate_all(batch_examples).items()}
        columns = zip(*(_predict_part(model, task, part) for part in task.parts(batch)), strict=True)
        losses, guess, labels, counts = (torch.cat(column) for column in columns)
        parts.append((losses, guess, labels, counts))
        order += indices
        if task.write is not None and task.writes and texts:
            documents += task.write(model, [batch_examples[place] for place in range(len(batch_examples))])
    back = torch.tensor(order).argsort()
    return join_batches(
        parts, task.loss.padding, back, tuple(documents[place] for place in back.tolist()) if documents else ()
    )


def _predict_part(model: nn.Module, task: Task, batch: Batch) -> Columns:
    with torch.no_grad():
        outputs = task.predict(model, batch)
    columns = (
        task.loss.per_unit(outputs, batch),
        task.loss.predict(outputs),
        batch["labels"],
        task.loss.counts(batch),
    )
    unit_losses, guess, labels, counts = (column.reshape(len(batch["labels"]), -1).cpu() for column in columns)
    return unit_losses.double(), guess, labels, counts


def join_batches(
    parts: Sequence[Columns], padding: float, order: Tensor, texts: tuple[tuple[str, str], ...]
) -> Predictions:
    """Put together what was seen of the examples of several batches.

    Args:
        parts: The columns of each batch; S may differ.
        padding: Fills up shorter rows of labels.
        order: `[N]`, the place of each example among those of all batches.
        texts: See `Predictions`.

    >>> parts = [
    ...     (torch.ones(1, size), *[torch.ones(1, size).long()] * 2, torch.ones(1, size).bool()) for size in (2, 1)
    ... ]
    >>> join_batches(parts, -1.0, torch.tensor([1, 0]), ()).labels
    tensor([[ 1, -1],
            [ 1,  1]])
    """
    unit_losses, guess, labels, counts = zip(*parts, strict=True)
    return Predictions(
        padded(unit_losses)[order], padded(guess)[order], padded(labels, padding)[order], padded(counts)[order], texts
    )


def padded(parts: Sequence[Tensor], filling: float = 0) -> Tensor:
    """Batches `[B, ..., S]` of different S as one tensor.

    >>> padded([torch.tensor([[1, 2]]), torch.tensor([[3]])])
    tensor([[1, 2],
            [3, 0]])
    """
    width = max(part.shape[-1] for part in parts)
    short = [width - part.shape[-1] for part in parts]
    return torch.cat(
        [
            nn.functional.pad(part, (0, more), value=filling) if more else part
            for part, more in zip(parts, short, strict=True)
        ]
    )


def batches(examples: Examples, batch_size: int) -> Iterator[tuple[list[int], Examples]]:
    """Examples in batches of similar size, sorted within a few batches' worth at a time; with their places.

    Examples of `Rows` have one size, and stay in their order.

    >>> sizes = (3, 1, 2)
    >>> [places for places, _ in batches([{"labels": torch.zeros(size)} for size in sizes], batch_size=2)]
    [[1, 2], [0]]
    """
    if type(examples) is Rows:
        for start in range(0, len(examples), batch_size):
            places = list(range(start, min(start + batch_size, len(examples))))
            yield places, examples.take(places)
        return
    for start in range(0, len(examples), _WINDOW * batch_size):
        window = range(start, min(start + _WINDOW * batch_size, len(examples)))
        fetched = {index: examples[index] for index in window}
        ordered = sorted(window, key=lambda index: sum(tensor.numel() for tensor in fetched[index].values()))
        for place in range(0, len(ordered), batch_size):
            chosen = ordered[place : place + batch_size]
            yield chosen, [fetched[index] for index in chosen]


def result_of(task: Task, predictions: Predictions, judges: Sequence[AnyMetric]) -> Result:
    """What was seen of a task's examples, as its loss and metrics.

    Args:
        task: Has the unit of the loss.
        predictions: What evaluation saw of N examples.
        judges: Metrics to compute.

    Raises:
        TaskError: A metric that fails or is no number.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.tensor([0, 1]))
    >>> predictions = Predictions(
    ...     torch.tensor([[0.5], [1.5]]), torch.tensor([[0], [0]]), torch.tensor([[0], [1]]), torch.ones(2, 1).bool()
    ... )
    >>> result_of(Task("a", rows, rows, [METRICS["accuracy"]]), predictions, [METRICS["accuracy"]]).metrics
    {'loss': 1.0, 'accuracy': 0.5}
    """
    means = predictions.losses.sum(1) / predictions.counted.sum(1).clamp(min=1)
    total, count = float(predictions.losses.sum()), max(int(predictions.counted.sum()), 1)
    metrics = {"loss": float(means.mean()) if task.unit == "example" else total / count}
    for metric in judges:
        try:
            metrics[metric.name] = float(metric.of(predictions))
        except Exception as error:
            raise TaskError(f"metric {metric.name!r} of task {task.name!r} failed: {error}") from error
        if not math.isfinite(metrics[metric.name]):
            raise TaskError(
                f"metric {metric.name!r} of task {task.name!r} gave {metrics[metric.name]}; it must be a finite number"
            )
    return Result(
        metrics, means.float(), predictions.predicted[predictions.counted], tuple(text for text, _ in predictions.texts)
    )
