"""Tasks: what the user supplies."""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from foretaste.digests import digest, examples_digest
from foretaste.errors import TaskError
from foretaste.loss.cross_entropy import ShapedCrossEntropy
from foretaste.loss.loss import Batch, Loss
from foretaste.loss.unit import Unit
from foretaste.metric_kinds import AnyMetric, ModelMetric, TextMetric
from foretaste.metrics import usual_metrics
from foretaste.names import check_name
from foretaste.one_line import one_line

__all__ = [
    "Batch",
    "Example",
    "Examples",
    "Judge",
    "Predict",
    "Rows",
    "Task",
    "Unit",
    "Write",
    "predict_inputs",
]

_PART = 1 << 25  # outputs of a part of a batch: 128 MiB in float32

Example = Mapping[str, Tensor]
Predict = Callable[[nn.Module, Batch], Tensor]
Write = Callable[[nn.Module, Sequence[Example]], Sequence[tuple[str, str]]]
Judge = Callable[[nn.Module, Collection[str], int | None], Mapping[str, float]]


class Examples(Protocol):
    """Anything with a length whose items are examples, such as a map-style data set."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Example: ...


@dataclass(frozen=True)
class Rows:
    """Examples from two tensors.

    Args:
        inputs: `[N, ...]`.
        labels: `[N]` classes, `[N, S]` label tokens, or other labels that the task's loss is for.

    >>> Rows(torch.zeros(2, 3), torch.tensor([0, 1]))[1]["labels"]
    tensor(1)
    """

    inputs: Tensor
    labels: Tensor

    __repr__ = one_line

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int, /) -> Example:
        return {"inputs": self.inputs[index], "labels": self.labels[index]}

    def take(self, places: Sequence[int]) -> "Rows":
        """Return the examples at these places as rows of their own, in this order."""
        chosen = torch.as_tensor(places, dtype=torch.long)
        return Rows(self.inputs[chosen], self.labels[chosen])


def predict_inputs(model: nn.Module, batch: Batch) -> Tensor:
    """Compute ``model(batch["inputs"])``, the default way from a batch to logits.

    >>> predict_inputs(nn.Identity(), {"inputs": torch.eye(2)})
    tensor([[1., 0.],
            [0., 1.]])
    """
    logits = model(batch["inputs"])
    assert isinstance(logits, Tensor)
    return logits


@dataclass(frozen=True)
class Task:
    """One thing the model should learn: data, loss and metrics.

    Args:
        name: Short; without comma, equals sign, slash or space.
        train: Training examples. Each is a mapping of tensors with ``labels``.
        validation: Examples for evaluation, which are never trained on.
        metrics: The metrics; the first one is the task's headline. If left out, those that are usual for the loss.
        predict: Computes outputs from model and batch: logits `[B, C]` or `[B, S, C]` for cross-entropy.
        collate: Makes a batch of examples.
        unit: What the loss is a mean over: ``example`` or (label) ``token``.
        names: The names of the parameters that this task has; None means all of the model's.
        fingerprint: A hash of the data and its preparation, a part of the keys of work. If left out, see `identity`.
        classes: The names of the labels, if there are any.
        write: Writes a text for each example with a model, and returns it with its reference; for metrics of texts.
        judge: Computes metrics of a model, from the model, the metrics' names, and a bound on the number of documents
            (None for all). Tasks that share a judge call it once.
        loss: The loss of outputs and labels. If left out, it is cross-entropy of one label per example, or of the label
            tokens of a sequence.
        width: Outputs per label where they are many, such as the size of a vocabulary. Passes that need no whole batch
            then take it in parts (see `parts`). 0 means that they are few.

    Raises:
        TaskError: The name is bad, there is no metric or no example, or a metric needs `write` or `judge` and the task
            has none.
    """

    name: str
    train: Examples
    validation: Examples
    metrics: Sequence[AnyMetric] = ()
    predict: Predict = predict_inputs
    collate: Callable[[list[Example]], Batch] = default_collate
    unit: Unit = "example"
    names: frozenset[str] | None = None
    fingerprint: str = ""
    classes: tuple[str, ...] = field(default=())
    write: Write | None = None
    judge: Judge | None = None
    loss: Loss = field(default_factory=ShapedCrossEntropy)
    width: int = 0

    __repr__ = one_line

    def __post_init__(self) -> None:
        check_name(self.name)
        if not self.metrics:
            object.__setattr__(self, "metrics", usual_metrics(self.loss))
        if not self.metrics:
            raise TaskError(f"task {self.name!r} has no metric; give at least one, for example accuracy")
        for part, examples in (("training", self.train), ("validation", self.validation)):
            if not len(examples):
                raise TaskError(f"task {self.name!r} has no {part} examples")
        if self.writes and self.write is None:
            judge = next(metric.name for metric in self.metrics if isinstance(metric, TextMetric))
            raise TaskError(
                f"metric {judge!r} of task {self.name!r} judges texts, which the task cannot write; give it write=..."
            )
        if self.judged and self.judge is None:
            raise TaskError(
                f"metric {self.judged[0]!r} of task {self.name!r} judges the model, which the task cannot; give it"
                " judge=..."
            )

    @property
    def writes(self) -> bool:
        """Whether a metric judges texts that the model must write."""
        return any(isinstance(metric, TextMetric) for metric in self.metrics)

    @property
    def judged(self) -> tuple[str, ...]:
        """The metrics that judge the model itself."""
        return tuple(metric.name for metric in self.metrics if isinstance(metric, ModelMetric))

    @cached_property
    def identity(self) -> str:
        """The fingerprint and the loss, or a hash of everything in the task.

        The hash is there for tasks without a fingerprint, and is computed once. It covers the task's examples, unit,
        classes, parameters, metrics and loss, and the names of its functions.

        Raises:
            TaskError: The examples change from one reading to the next, so a hash cannot recognise them.

        >>> from foretaste.metric_kinds import Metric
        >>> rows = Rows(torch.eye(2), torch.arange(2))
        >>> task = Task("a", rows, rows, [Metric("accuracy", lambda predicted, labels: 1.0)])
        >>> other = Task("a", rows, Rows(torch.eye(2), torch.tensor([1, 0])), task.metrics)
        >>> task.identity == other.identity
        False
        """
        if self.fingerprint:
            return _hash(self.fingerprint, self.loss.key) if self.loss.key else self.fingerprint
        for examples in (self.train, self.validation):
            if digest(examples[0]) != digest(examples[0]):
                raise TaskError(
                    f"the examples of task {self.name!r} change every time they are read (augmented at random?), so"
                    " that a study cannot know its data again; give the task a fingerprint=... that names its data"
                )
        metrics = [(metric.name, metric.higher_is_better) for metric in self.metrics]
        functions = [
            getattr(function, "__qualname__", type(function).__qualname__)
            for function in (self.predict, self.collate, self.write, self.judge)
        ]
        names = None if self.names is None else sorted(self.names)
        parts = [
            examples_digest([self.train, self.validation]),
            self.unit,
            tuple(self.classes),
            names,
            metrics,
            functions,
        ]
        return _hash(*parts, *([self.loss.key] if self.loss.key else []))

    def parts(self, batch: Batch) -> Iterator[Batch]:
        """Cut a batch into parts whose outputs take at most 128 MiB in float32, each of at least one example.

        >>> rows = Rows(torch.zeros(3, 1024), torch.zeros(3, 1024, dtype=torch.long))
        >>> task = Task("a", rows, rows, width=1 << 14)
        >>> [len(part["labels"]) for part in task.parts({"inputs": rows.inputs, "labels": rows.labels})]
        [2, 1]
        """
        count, labels = len(batch["labels"]), batch["labels"].numel()
        most = max(1, _PART * count // max(labels * self.width, 1)) if self.width else count
        if most >= count:
            yield batch
            return
        for start in range(0, count, most):
            yield {key: tensor[start : start + most] for key, tensor in batch.items()}

    def batch(self, examples: Examples, indices: Sequence[int], device: torch.device) -> dict[str, Tensor]:
        """Collate the examples at these indices, on the device."""
        chosen = examples.take(indices) if type(examples) is Rows else [examples[index] for index in indices]
        return {key: tensor.to(device) for key, tensor in self.collate_all(chosen).items()}

    def collate_all(self, examples: Examples) -> Batch:
        """Collate these examples; `Rows` are a batch already, unless a subclass or the task has a way of its own."""
        if type(examples) is Rows and self.collate is default_collate:
            return {"inputs": examples.inputs, "labels": examples.labels}
        return self.collate([examples[index] for index in range(len(examples))])


def _hash(*parts: object) -> str:
    return hashlib.sha256("\0".join(repr(part) for part in parts).encode()).hexdigest()
