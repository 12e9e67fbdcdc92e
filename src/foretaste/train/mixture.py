"""Mixtures: the examples of every training step, chosen so that the steps follow alpha.

``sum_t alpha_t l_t`` can be realised in two ways, where l_t is a mean over examples or label tokens (units):

- *sampling*: task t's share of the examples is proportional to ``alpha_t / u_t``, where u_t is the mean number of
  units in one example, and the loss is the mean over a batch's units. Counts are exact (largest remainders) and spread
  evenly: after any number of examples each task is within one example of its share. Each task's examples are shuffled
  again every epoch.
- *loss*: every step has equally many examples of each task, and task t's mean loss has the factor alpha_t.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

import torch

from foretaste.errors import WeightsError
from foretaste.loss.unit import count_units
from foretaste.one_line import one_line
from foretaste.task import Batch, Rows, Task
from foretaste.weights import TaskWeights, even_rows, row_shares

__all__ = [
    "Portion",
    "Realise",
    "Step",
    "collate_step",
    "count_label_tokens",
    "exact_counts",
    "mixture",
    "predict_alike",
    "units_per_example",
]

Realise = Literal["sampling", "loss"]


@dataclass(frozen=True)
class Portion:
    """One task's part of a training step.

    Args:
        task: The task's name.
        indices: Places of the task's training examples.
        weight: Factor of the portion's mean loss; None if the loss is one mean over the units of the whole step.
    """

    task: str
    indices: tuple[int, ...]
    weight: float | None = None

    __repr__ = one_line


Step = tuple[Portion, ...]


def mixture(
    tasks: Sequence[Task],
    weights: TaskWeights,
    steps: int,
    batch_size: int,
    generator: torch.Generator,
    realise: Realise = "sampling",
) -> list[Step]:
    """Plan the examples of every step of a run.

    Args:
        tasks: The tasks, in the order of the weights.
        weights: Task weights, alpha; tasks of weight 0 have no examples in the plan.
        steps: Steps of the optimizer.
        batch_size: Examples per step, over all tasks.
        generator: Generator that shuffles the examples.
        realise: ``sampling`` or ``loss``.

    Raises:
        WeightsError: The weights are for other tasks, or a batch is too small for ``loss``.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(4), torch.arange(4))
    >>> tasks = [Task(name, rows, rows, [METRICS["accuracy"]]) for name in ("a", "b")]
    >>> plan = mixture(tasks, TaskWeights(("a", "b"), (0.25, 0.75)), 2, 4, torch.Generator())
    >>> [(portion.task, len(portion.indices)) for portion in plan[0]]
    [('a', 1), ('b', 3)]
    """
    if [task.name for task in tasks] != list(weights):
        raise WeightsError(f"weights are for {', '.join(weights)}, tasks are {', '.join(task.name for task in tasks)}")
    if realise == "loss":
        return _by_loss(tasks, weights, steps, batch_size, generator)
    shares = row_shares(weights, {task.name: units_per_example(task) for task in tasks})
    counts = exact_counts(shares, steps * batch_size)
    order = _spread(counts)
    streams = {task.name: iter(_stream(len(task.train), counts[task.name], generator)) for task in tasks}
    plan = []
    for start in range(0, len(order), batch_size):
        drawn: dict[str, list[int]] = {}
        for name in order[start : start + batch_size]:
            drawn.setdefault(name, []).append(next(streams[name]))
        plan.append(tuple(Portion(task.name, tuple(drawn[task.name])) for task in tasks if task.name in drawn))
    return plan


def predict_alike(tasks: Sequence[Task]) -> bool:
    """Tell whether examples of all these tasks can share a batch.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.arange(2))
    >>> tasks = [Task(name, rows, rows, [METRICS["accuracy"]]) for name in ("a", "b")]
    >>> predict_alike(tasks)
    True
    """
    return len({_way(task) for task in tasks}) == 1


def _way(task: Task) -> tuple[object, ...]:
    """Return what must be equal for tasks whose examples share a batch."""
    return (task.predict, task.collate, task.unit, type(task.loss), task.loss.key)


def collate_step(
    step: Step, tasks: Mapping[str, Task], device: torch.device, micro_batch: int | None = None
) -> list[tuple[Task, Batch, list[Portion]]]:
    """Collate a step's examples into batches on a device.

    Tasks that predict and collate alike under the same loss share a batch. So batch statistics are mixed as the tasks
    are.

    Args:
        step: The portions to collate.
        tasks: The tasks by name.
        device: The batches' device.
        micro_batch: Most examples in a batch; None for no bound.

    Returns:
        Per batch: a task to predict by, the batch, and the portion that each example belongs to.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(4), torch.arange(4))
    >>> tasks = {name: Task(name, rows, rows, [METRICS["accuracy"]]) for name in "ab"}
    >>> [(_, batch, owners)] = collate_step((Portion("a", (0,)), Portion("b", (2, 3))), tasks, torch.device("cpu"))
    >>> batch["labels"], [portion.task for portion in owners]
    (tensor([0, 2, 3]), ['a', 'b', 'b'])
    """
    alike: dict[object, list[tuple[Portion, int]]] = {}
    for portion in step:
        task = tasks[portion.task]
        alike.setdefault(_way(task), []).extend((portion, index) for index in portion.indices)
    batches: list[tuple[Task, Batch, list[Portion]]] = []
    for members in alike.values():
        parts = -(-len(members) // (micro_batch or len(members)))
        for chunk in (members[part::parts] for part in range(parts)):
            task = tasks[chunk[0][0].task]
            batch = {key: tensor.to(device) for key, tensor in _collate(chunk, tasks).items()}
            batches.append((task, batch, [portion for portion, _ in chunk]))
    return batches


def _collate(chunk: Sequence[tuple[Portion, int]], tasks: Mapping[str, Task]) -> Batch:
    """Collate examples of several tasks that collate alike; examples of `Rows` are not read one by one."""
    task, parts = tasks[chunk[0][0].task], list[Rows]()
    for name, members in groupby(chunk, key=lambda member: member[0].task):
        train = tasks[name].train
        if type(train) is not Rows:
            return task.collate([tasks[portion.task].train[index] for portion, index in chunk])
        parts.append(train.take([index for _, index in members]))
    return task.collate_all(
        Rows(torch.cat([part.inputs for part in parts]), torch.cat([part.labels for part in parts]))
    )


def units_per_example(task: Task) -> float:
    """Compute the mean number of units in one training example: 1, or the mean number of label tokens.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.tensor([[1, 4], [2, 3]]))
    >>> units_per_example(Task("a", rows, rows, [METRICS["accuracy"]], unit="token"))
    2.0
    """
    if task.unit == "example":
        return 1.0
    return sum(count_label_tokens(task)) / len(task.train)


def count_label_tokens(task: Task) -> list[int]:
    """Count the labels of every training example that have a loss.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.tensor([[1, 1], [2, 3]]))
    >>> count_label_tokens(Task("a", rows, rows, [METRICS["accuracy"]], unit="token"))
    [2, 2]
    """
    labels = (task.train[index]["labels"].unsqueeze(0) for index in range(len(task.train)))
    return [count_units(task.loss.counts({"labels": row_labels}), "token") for row_labels in labels]


def exact_counts(shares: Mapping[str, float], total: int) -> dict[str, int]:
    """Find the whole numbers that sum to ``total`` and are closest to the shares (largest remainders).

    >>> exact_counts({"a": 0.5, "b": 0.3, "c": 0.2}, 9)
    {'a': 4, 'b': 3, 'c': 2}
    """
    counts = {name: int(share * total + 1e-9) for name, share in shares.items()}
    remainders = sorted(shares, key=lambda name: counts[name] - shares[name] * total)
    for name in remainders[: total - sum(counts.values())]:
        counts[name] += 1
    return counts


def _spread(counts: Mapping[str, int]) -> list[str]:
    """Repeat each name as often as counted, and spread them evenly: the one furthest behind comes next."""
    total, used = sum(counts.values()), dict.fromkeys(counts, 0)
    order = []
    for place in range(1, total + 1):
        left = [name for name in counts if used[name] < counts[name]]
        name = max(left, key=lambda name: counts[name] * place / total - used[name])
        used[name] += 1
        order.append(name)
    return order


def _stream(size: int, count: int, generator: torch.Generator) -> list[int]:
    """Return ``count`` indices: whole epochs, each in its own random order."""
    epochs = [torch.randperm(size, generator=generator) for _ in range(-(-count // size))]
    return torch.cat(epochs)[:count].tolist() if epochs else []


def _by_loss(
    tasks: Sequence[Task], weights: TaskWeights, steps: int, batch_size: int, generator: torch.Generator
) -> list[Step]:
    active = [task for task in tasks if weights[task.name] > 0]
    if batch_size < len(active):
        raise WeightsError(
            f"a batch of {batch_size} cannot hold {len(active)} tasks; raise batch_size or realise weights by sampling"
        )
    sizes = even_rows(weights, batch_size)
    streams = [iter(_stream(len(task.train), sizes[task.name] * steps, generator)) for task in active]
    return [
        tuple(
            Portion(task.name, tuple(next(stream) for _ in range(sizes[task.name])), weights[task.name])
            for task, stream in zip(active, streams, strict=True)
        )
        for _ in range(steps)
    ]
