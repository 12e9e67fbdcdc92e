"""Kinds of metrics: computed from predictions, from sequences, from texts, or by the task's judge of the model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from foretaste.one_line import one_line

__all__ = ["AnyMetric", "Metric", "ModelMetric", "Predictions", "SequenceMetric", "TextMetric"]


@dataclass(frozen=True)
class Predictions:
    """What a model predicts for a task's N examples, of up to S labels each: what metrics are computed from.

    Args:
        losses: `[N, S]`, 0 where no label counts.
        predicted: `[N, S]`, what the model predicts: the likeliest classes, or numbers.
        labels: `[N, S]`.
        counted: `[N, S]`, which labels count.
        texts: Per example what the model wrote and what it should have; empty where no metric asks for texts.
        judged: Values that the task's judge gave, by metric; empty where no metric asks for one.

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
    """A number to judge predictions by.

    Args:
        name: As it appears in tables, for example ``accuracy``.
        compute: From predicted and true labels that count, each `[P]`, to a number.
        higher_is_better: Direction.
    """

    name: str
    compute: Callable[[Tensor, Tensor], float]
    higher_is_better: bool = True

    __repr__ = one_line

    def of(self, predictions: Predictions) -> float:
        """The number, from the labels that count."""
        return self.compute(predictions.predicted[predictions.counted], predictions.labels[predictions.counted])


@dataclass(frozen=True)
class SequenceMetric:
    """A number to judge sequences by, which needs to know where each begins, or its losses.

    Args:
        name: As it appears in tables.
        compute: From all predictions to a number.
        higher_is_better: Direction.
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
    """A number to judge texts by that the model writes; its task must know how, see `Task.write`.

    Args:
        name: As it appears in tables.
        compute: From what was written and what should have been, N texts each, to a number.
        higher_is_better: Direction.
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
    """A number to judge the model itself by, whatever the examples; its task must know how, see `Task.judge`.

    Args:
        name: As it appears in tables.
        higher_is_better: Direction.
    """

    name: str
    higher_is_better: bool = True

    def of(self, predictions: Predictions) -> float:
        """Compute the metric from the predictions."""
        return predictions.judged[self.name]


AnyMetric = Metric | SequenceMetric | TextMetric | ModelMetric
