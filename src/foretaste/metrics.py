"""Metrics: what is counted of a model's answers, by name; and what each example adds to them.

A metric is a function of predicted and right labels, of what was seen of every label, of texts, or of the model itself;
a user's own are made in the same way (`foretaste.metric_kinds`).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import SupportsFloat

import torch
from torch import Tensor

from foretaste.loss.bernoulli import Bernoulli
from foretaste.loss.cross_entropy import ClassLoss
from foretaste.loss.squared import Squared
from foretaste.loss.token_cross_entropy import TokenCrossEntropy
from foretaste.metric_kinds import AnyMetric, Metric, Predictions, SequenceMetric
from foretaste.one_line import one_line

__all__ = [
    "LABEL_SET_METRICS",
    "METRICS",
    "REGRESSION_METRICS",
    "SEQUENCE_METRICS",
    "ExampleSums",
    "accuracy",
    "exact_match",
    "example_sums",
    "f1",
    "macro_f1",
    "mcc",
    "mean_absolute_error",
    "metric_named",
    "needs_classes",
    "perplexity",
    "r2",
    "usual_metrics",
]

_LARGEST = 700.0  # its exponential is near the largest float


def accuracy(predicted: Tensor, labels: Tensor) -> float:
    """Share of labels that were predicted.

    >>> accuracy(torch.tensor([1, 0]), torch.tensor([1, 1]))
    0.5
    """
    return float((predicted == labels).double().mean())


def f1(predicted: Tensor, labels: Tensor) -> float:
    """F1: of class 1 where the labels are 0 and 1, else the unweighted mean over the labels' classes.

    >>> f1(torch.tensor([1, 0, 1]), torch.tensor([1, 0, 0]))
    0.6666666666666666
    """
    from sklearn.metrics import f1_score

    classes = sorted(set(labels.tolist()))
    if classes[-1] <= 1:
        return float(f1_score(labels.numpy() == 1, predicted.numpy() == 1, zero_division=0.0))
    return float(f1_score(labels.numpy(), predicted.numpy(), labels=classes, average="macro", zero_division=0.0))


def mcc(predicted: Tensor, labels: Tensor) -> float:
    """Matthews correlation coefficient; 0 where it is undefined.

    >>> mcc(torch.tensor([1, 0]), torch.tensor([1, 0]))
    1.0
    """
    from sklearn.metrics import matthews_corrcoef

    values = torch.cat([predicted, labels])
    if bool((values == values[0]).all()):
        return 0.0  # undefined; scikit-learn gives 0 too, and warns
    return float(matthews_corrcoef(labels.numpy(), predicted.numpy()))


def needs_classes(metric: AnyMetric) -> bool:
    """Whether a metric tells classes apart, so that it says nothing where all labels are the same.

    >>> [name for name, metric in METRICS.items() if needs_classes(metric)]
    ['f1', 'mcc']
    """
    return isinstance(metric, Metric) and metric.compute in (f1, mcc)


METRICS: Mapping[str, Metric] = {
    metric.name: metric for metric in (Metric("accuracy", accuracy), Metric("f1", f1), Metric("mcc", mcc))
}


def perplexity(predictions: Predictions) -> float:
    """``exp`` of the mean loss per label token, whatever the task's unit; less is better.

    Losses above 700 count as 700: a preview may be as bad as that, and a study goes on.

    >>> perplexity(
    ...     Predictions(
    ...         torch.tensor([[0.0, 4.0]]).log1p(), torch.zeros(1, 2), torch.zeros(1, 2), torch.ones(1, 2).bool()
    ...     )
    ... )
    2.23606...
    """
    mean = float(predictions.losses.sum()) / max(int(predictions.counted.sum()), 1)
    return math.exp(min(mean, _LARGEST))


def exact_match(predictions: Predictions) -> float:
    """Share of the examples at whose every label the likeliest token is the right one.

    The likeliest tokens are those after the reference's own beginning (teacher forcing). Where all of them are
    right, greedy decoding goes the same way and gives the reference exactly, and nowhere else. Examples without
    labels are left out.

    >>> labels = torch.tensor([[1, 2], [3, 2]])
    >>> exact_match(Predictions(torch.zeros(2, 2), torch.tensor([[1, 2], [1, 2]]), labels, torch.ones(2, 2).bool()))
    0.5
    """
    right = ((predictions.predicted == predictions.labels) | ~predictions.counted).all(1)
    return float(right[predictions.counted.any(1)].double().mean())


SEQUENCE_METRICS: Mapping[str, AnyMetric] = {
    metric.name: metric
    for metric in (
        SequenceMetric("perplexity", perplexity, higher_is_better=False),
        Metric("token_accuracy", accuracy),
        SequenceMetric("exact_match", exact_match),
    )
}


def r2(predictions: Predictions) -> float:
    """Share of the targets' variance that predictions explain; of vectors the mean over their numbers.

    Numbers with fewer than two targets are left out; without any others the result is 0, as where all targets are the
    same.

    >>> targets, predicted = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[1.0], [2.0], [2.0]])
    >>> r2(Predictions(torch.zeros(3, 1), predicted, targets, torch.ones(3, 1).bool()))
    0.5
    """
    from sklearn.metrics import r2_score

    return _mean_over_columns(predictions, r2_score, least=2)


def mean_absolute_error(predictions: Predictions) -> float:
    """Mean distance of predictions from their targets; less is better.

    >>> targets, predicted = torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [5.0]])
    >>> mean_absolute_error(Predictions(torch.zeros(2, 1), predicted, targets, torch.ones(2, 1).bool()))
    1.5
    """
    return float(_absolute_errors(predictions).sum()) / max(int(predictions.counted.sum()), 1)


def macro_f1(predictions: Predictions) -> float:
    """Mean F1 over the labels of a set; 0 for a label that is never there and never predicted.

    >>> sets, predicted = torch.tensor([[1, 0], [1, 1]]), torch.tensor([[1, 0], [1, 0]])
    >>> macro_f1(Predictions(torch.zeros(2, 2), predicted, sets, torch.ones(2, 2).bool()))
    0.5
    """
    from sklearn.metrics import f1_score

    return _mean_over_columns(predictions, partial(f1_score, zero_division=0.0), least=1)


def _mean_over_columns(predictions: Predictions, score: Callable[..., SupportsFloat], least: int) -> float:
    """The mean of scikit-learn's score over the columns that have so many labels at least."""
    columns = zip(predictions.labels.T, predictions.predicted.T, predictions.counted.T, strict=True)
    pairs = [
        (labels[counts].double().numpy(), predicted[counts].double().numpy()) for labels, predicted, counts in columns
    ]
    scores = [float(score(*pair)) for pair in pairs if len(pair[0]) >= least]
    return sum(scores) / max(len(scores), 1)


def _absolute_errors(predictions: Predictions) -> Tensor:
    return torch.where(predictions.counted, (predictions.predicted - predictions.labels).double().abs(), 0)


REGRESSION_METRICS: Mapping[str, AnyMetric] = {
    metric.name: metric
    for metric in (
        SequenceMetric("r2", r2),
        SequenceMetric("mean_absolute_error", mean_absolute_error, higher_is_better=False),
    )
}

LABEL_SET_METRICS: Mapping[str, AnyMetric] = {
    metric.name: metric for metric in (SequenceMetric("macro_f1", macro_f1), SequenceMetric("exact_match", exact_match))
}


def metric_named(name: str) -> AnyMetric:
    """Return one of this module's metrics.

    >>> metric_named("r2").higher_is_better
    True
    """
    return {**METRICS, **SEQUENCE_METRICS, **REGRESSION_METRICS, **LABEL_SET_METRICS}[name]


def usual_metrics(loss: object) -> tuple[AnyMetric, ...]:
    """Return the metrics of a task that names none, the headline first; empty for a loss that is not foretaste's.

    >>> [metric.name for metric in usual_metrics(Squared())]
    ['r2', 'mean_absolute_error']
    """
    match loss:
        case TokenCrossEntropy():
            return (SEQUENCE_METRICS["perplexity"], SEQUENCE_METRICS["token_accuracy"])
        case ClassLoss():
            return (METRICS["accuracy"],)
        case Squared():
            return tuple(REGRESSION_METRICS.values())
        case Bernoulli():
            return tuple(LABEL_SET_METRICS.values())
    return ()


@dataclass(frozen=True)
class ExampleSums:
    """What each of N examples adds to a metric that is a ratio of sums over examples, or that ratio's exponential.

    Args:
        added: `[N]`.
        counts: `[N]`, what the sum is divided by; the same whatever was predicted.
        exponential: Whether the metric is the ratio's exponential.
    """

    added: Tensor
    counts: Tensor
    exponential: bool = False

    __repr__ = one_line


def example_sums(metric: AnyMetric, predictions: Predictions) -> ExampleSums | None:
    """What each example adds to a metric, or None where the metric is no such ratio.

    Accuracy, of tokens too, exact match, perplexity and mean absolute error are, under any name; R2, F1, Matthews
    correlation and metrics of texts or of the model itself are not, and of a metric of one's own nobody knows.

    >>> labels, counts = torch.tensor([[1, 2], [3, 0]]), torch.tensor([[True, True], [True, False]])
    >>> predictions = Predictions(torch.zeros(2, 2), torch.tensor([[1, 2], [1, 0]]), labels, counts)
    >>> sums = example_sums(SEQUENCE_METRICS["token_accuracy"], predictions)
    >>> sums.added.tolist(), sums.counts.tolist(), sums.exponential
    ([2.0, 0.0], [2.0, 1.0], False)
    >>> example_sums(METRICS["f1"], predictions) is None
    True
    """
    right, labels = (
        (predictions.predicted == predictions.labels) & predictions.counted,
        predictions.counted.sum(1).double(),
    )
    match metric:
        case Metric() if metric.compute is accuracy:
            return ExampleSums(right.sum(1).double(), labels)
        case SequenceMetric() if metric.compute is exact_match:
            has_any = predictions.counted.any(1)
            return ExampleSums(((right | ~predictions.counted).all(1) & has_any).double(), has_any.double())
        case SequenceMetric() if metric.compute is perplexity:
            return ExampleSums(predictions.losses.sum(1), labels, exponential=True)
        case SequenceMetric() if metric.compute is mean_absolute_error:
            return ExampleSums(_absolute_errors(predictions).sum(1), labels)
    return None
