"""Outputs: what several models say of a task's validation examples, kept, so that their mixtures need no forward pass.

How predictions are mixed, and what of the outputs that needs, is the loss's own (`foretaste.loss.loss.Loss`). What a
model writes, or what a judge says of it, is no function of outputs.

References:
    Belenki et al.: Optimizing Pre-Training Data Mixtures with Mixtures of Data Expert Models, 2025,
    https://arxiv.org/abs/2502.15950
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foretaste.errors import TaskError
from foretaste.evaluate import Result, batches, padded, result_of
from foretaste.loss.loss import Loss
from foretaste.metric_kinds import ModelMetric, Predictions, TextMetric
from foretaste.one_line import one_line
from foretaste.params import Params, in_eval_mode, swapped
from foretaste.task import Batch, Task
from foretaste.weights import TaskWeights

__all__ = ["Outputs", "check_mixable", "is_mixable", "outputs_of"]

_OF_MODELS = (TextMetric, ModelMetric)


@dataclass(frozen=True)
class Outputs:
    """What M models say of one task's N examples, of up to S labels each, P of which count.

    Args:
        loss: The task's.
        labels: `[N, S]`.
        condensed: What `Loss.condense` keeps of the outputs, example by example.

    >>> from foretaste.loss.cross_entropy import CrossEntropy
    >>> told = torch.tensor([[[0.9, 0.1]], [[0.2, 0.8]]]).log()
    >>> outputs = Outputs(CrossEntropy(), torch.tensor([[1]]), {"right": told[:, :, 1], "told": told})
    >>> lost, predicted = outputs.mixed(torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]))
    >>> (-lost).exp().flatten(), predicted.flatten()
    (tensor([0.1000, 0.4500, 0.8000], dtype=torch.float64), tensor([0, 0, 1]))
    """

    loss: Loss
    labels: Tensor
    condensed: Mapping[str, Tensor]

    __repr__ = one_line

    @property
    def counted(self) -> Tensor:
        """`[N, S]`: which labels count."""
        return self.loss.counts({"labels": self.labels})

    def mixed(self, alphas: Tensor) -> tuple[Tensor, Tensor]:
        """Losses and predictions of any number of mixtures at once.

        Args:
            alphas: `[A, M]`, each row at least 0 with sum 1.

        Returns:
            `[A, P]` losses in float64, and `[A, P]` predictions.
        """
        return self.loss.mix(self.condensed, self.labels[self.counted], alphas.double())

    def results(self, task: Task, points: Sequence[TaskWeights]) -> list[Result]:
        """The task's loss and metrics under mixtures; metrics of texts and of judges are left out.

        Args:
            task: Whose examples these are of.
            points: Weights of the M models, in their order.

        Raises:
            TaskError: See `result_of`.
        """
        judges = [metric for metric in task.metrics if not isinstance(metric, _OF_MODELS)]
        lost, predicted = self.mixed(torch.tensor([list(point.values()) for point in points], dtype=torch.float64))
        return [result_of(task, self._predictions(*pair), judges) for pair in zip(lost, predicted, strict=True)]

    def _predictions(self, lost: Tensor, predicted: Tensor) -> Predictions:
        labels, counts = self.labels, self.counted
        unit_losses, guess = (
            torch.zeros(labels.shape, dtype=torch.float64),
            torch.zeros(labels.shape, dtype=predicted.dtype),
        )
        unit_losses[counts], guess[counts] = lost, predicted
        return Predictions(unit_losses, guess, labels if labels.is_floating_point() else labels.long(), counts)

    def to_tensors(self) -> dict[str, Tensor]:
        """As tensors to keep.

        >>> from foretaste.loss.cross_entropy import CrossEntropy
        >>> told = torch.zeros(1, 2, 1)
        >>> sorted(
        ...     Outputs(CrossEntropy(), torch.zeros(2, 1).long(), {"right": told[:, :, 0], "told": told}).to_tensors()
        ... )
        ['labels', 'right', 'told']
        """
        return {"labels": self.labels if self.labels.is_floating_point() else self.labels.int(), **self.condensed}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], loss: Loss) -> "Outputs":
        """The inverse of `to_tensors`."""
        return cls(loss, tensors["labels"], {name: tensor for name, tensor in tensors.items() if name != "labels"})


def outputs_of(
    model: nn.Module,
    singles: Sequence[Params],
    task: Task,
    *,
    batch_size: int = 128,
    on_batch: Callable[[int], None] = lambda count: None,
) -> Outputs:
    """What models say of a task's validation examples: one forward pass of each over all of them.

    All models see a batch before the next one, and batches are those of `evaluate`. The model is put in evaluation mode
    and lent each one's params; both are undone on leaving.

    Args:
        model: The module the task predicts with, on its own device.
        singles: Params of M models.
        task: What to predict.
        batch_size: Examples per forward pass.
        on_batch: Told how many examples a model has seen, after each batch.

    Raises:
        TaskError: Outputs that do not fit the labels.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.tensor([0, 1]))
    >>> straight, crossed = ({"weight": weight} for weight in (torch.eye(2), torch.eye(2).flip(0)))
    >>> task = Task("a", rows, rows, [METRICS["accuracy"]])
    >>> outputs = outputs_of(nn.Linear(2, 2, bias=False), [straight, crossed], task)
    >>> points = [TaskWeights("ab", [share, 1 - share]) for share in (0.6, 0.4)]
    >>> [result.metrics["accuracy"] for result in outputs.results(task, points)]
    [1.0, 0.0]
    """
    device = next(model.parameters()).device
    order: list[int] = []
    labels, owners, parts = [], [], []
    with in_eval_mode(model), torch.no_grad():
        for indices, batch_examples in batches(task.validation, batch_size):
            batch = {key: tensor.to(device) for key, tensor in task.collate_all(batch_examples).items()}
            parts += [
                task.loss.condense(_outputs_of(model, singles, task, part, on_batch), part)
                for part in task.parts(batch)
            ]
            labels.append(batch["labels"].reshape(len(indices), -1).cpu())
            counts = task.loss.counts(batch).cpu()
            owners.append(torch.tensor(indices).unsqueeze(1).expand(counts.shape)[counts])
            order += indices
    places = torch.cat(owners).argsort(stable=True)  # back to the examples' order
    condensed = {name: _in_order([part[name] for part in parts], places) for name in parts[0]}
    return Outputs(task.loss, padded(labels, task.loss.padding)[torch.tensor(order).argsort()], condensed)


def _outputs_of(
    model: nn.Module, singles: Sequence[Params], task: Task, batch: Batch, on_batch: Callable[[int], None]
) -> Iterator[Tensor]:
    """The outputs under one params after the other."""
    for params in singles:
        with swapped(model, params):
            outputs = task.predict(model, batch)
        yield outputs
        on_batch(len(batch["labels"]))


def _in_order(parts: Sequence[Tensor], places: Tensor) -> Tensor:
    """Reshape batches `[M, b, ...]` of numbers, or `[b, ...]` of integers that all models share, into one tensor."""
    axis = int(parts[0].is_floating_point())
    return torch.cat(list(parts), axis).index_select(axis, places)


def check_mixable(tasks: Sequence[Task]) -> None:
    """Check that predictions can be mixed, and that every task's headline metric follows from them.

    Raises:
        TaskError: One is of texts, or of the model itself; or a task's loss has no mixture of predictions.

    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.tensor([0, 1]))
    >>> check_mixable(
    ...     [Task("a", rows, rows, [TextMetric("bleu", lambda written, wanted: 0.0)], write=lambda model, examples: [])]
    ... )
    Traceback (most recent call last):
    ...
    foretaste.errors.TaskError: metric 'bleu' of task 'a' is of what a model writes, ...
    """
    for task in tasks:
        first = task.metrics[0]
        if not task.loss.mixes:
            raise TaskError(
                f"predictions of task {task.name!r} cannot be mixed under its loss, {type(task.loss).__name__}: "
                "leave out the method predictive"
            )
        if isinstance(first, _OF_MODELS):
            what = "of what a model writes" if isinstance(first, TextMetric) else "measured from a model itself"
            raise TaskError(
                f"metric {first.name!r} of task {task.name!r} is {what}, and mixed predictions come from no model: "
                "leave out the method predictive, or put a metric of labels first, such as accuracy or perplexity"
            )


def is_mixable(tasks: Sequence[Task]) -> bool:
    """Whether `check_mixable` finds nothing.

    >>> is_mixable([])
    True
    """
    return not any(isinstance(task.metrics[0], _OF_MODELS) or not task.loss.mixes for task in tasks)
