"""Kinds of metrics: computed from predictions, from sequences, from texts, or by the task's judge of the model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from foretaste.one_line import one_line

__all__ = ["AnyMetric", "Metric", "ModelMetric", "Predictions", "SequenceMetric", "TextMetric"]


@dataclass(frozen=True)
class Predictions:
    """A model's predictions for a task's N examples, with up to S labels each, from which metrics are computed.

    Args:
        losses: `[N, S]`, 0 where no label counts.
        predicted: `[N, S]`, the model's predictions: the likeliest classes, or numbers.
        labels: `[N, S]`, the true labels.
        counted: `[N, S]`, which labels count.
        texts: For each example, the text that the model wrote and the reference; empty where no metric needs texts.
        judged: Values that the task's judge gave, by metric; empty where no metric needs any.

    >>> import torch
    >>> predictions = Predictions(
    ...     torch.zeros(1, 2), torch.tensor([[4, 5]]), torch.tensor([[4, 0]]), torch.tensor([[True, False]])
    ... )
    >>> predictions.labels[predictions.counted]
    tensor([4])
    """

    losses: Tensor
    predicted: Tensor
    labels: Tensor
    counted: Tensor
    texts: tuple[tuple[str, str], ...] = ()
    judged: Mapping[str, float] = field(default_factory=dict)

    __repr__ = one_line


@dataclass(frozen=True)
class Metric:
    """A metric of predictions.

    Args:
        name: The name in tables, for example ``accuracy``.
        compute: Computes the metric from predicted and true labels that count, each `[P]`.
        higher_is_better: Whether higher values are better.
    """

    name: str
    compute: Callable[[Tensor, Tensor], float]
    higher_is_better: bool = True

    __repr__ = one_line

    def of(self, predictions: Predictions) -> float:
        """Compute the metric from the labels that count."""
        return self.compute(predictions.predicted[predictions.counted], predictions.labels[predictions.counted])


@dataclass(frozen=True)
class SequenceMetric:
    """A metric of sequences, which needs to know where each begins, or its losses.

    Args:
        name: The name in tables.
        compute: Computes the metric from all predictions.
        higher_is_better: Whether higher values are better.
    """

    name: str
    compute: Callable[[Predictions], float]
    higher_is_better: bool = True

    __repr__ = one_line

    def of(self, predictions: Predictions) -> float:
        """Compute the metric from the predictions."""
        return self.compute(predictions)


@dataclass(frozen=True)
class TextMetric:
    """A metric of texts that the model writes; the task must have `Task.write`.

    Args:
        name: The name in tables.
        compute: Computes the metric from N written texts and N references.
        higher_is_better: Whether higher values are better.
    """

    name: str
    compute: Callable[[Sequence[str], Sequence[str]], float]
    higher_is_better: bool = True

    __repr__ = one_line

    def of(self, predictions: Predictions) -> float:
        """Compute the metric from the predictions."""
        return self.compute([text for text, _ in predictions.texts], [reference for _, reference in predictions.texts])


@dataclass(frozen=True)
class ModelMetric:
    """A metric of the model itself, whatever the examples; the task must have `Task.judge`.

    Args:
        name: The name in tables.
        higher_is_better: Whether higher values are better.
    """

    name: str
    higher_is_better: bool = True

    def of(self, predictions: Predictions) -> float:
        """Compute the metric from the predictions."""
        return predictions.judged[self.name]


AnyMetric = Metric | SequenceMetric | TextMetric | ModelMetric
