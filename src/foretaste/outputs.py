"""Outputs: what several models say of a task's validation examples, kept, so that their mixtures need no forward pass.

With p_m the probabilities of model m and alpha_m its weight, for every label (of a sequence: for every label token, given
those before it)::

    p_alpha(y | x) = sum_m alpha_m p_m(y | x)       loss = -log p_alpha(label | x)       predicted = argmax_y p_alpha(y | x)

Losses are exact up to how log-probabilities are kept: in float32, so that a mixture's loss is off by at most 2^-24 (6e-8)
times the largest loss of its models. Of up to 128 classes all are kept. Of more, such as a vocabulary, only the 8 likeliest of each
model, with what every model says of these; another class is the mixture's likeliest only where its probability, and so
that of every class, is at most 1/9. What a model writes, or what a judge says of it, is no function of such outputs.

References:
    Belenki et al.: Optimizing Pre-Training Data Mixtures with Mixtures of Data Expert Models, 2025, https://arxiv.org/abs/2502.15950
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foretaste.errors import TaskError
from foretaste.evaluate import Result, batches, padded, result_of
from foretaste.params import Params, in_eval_mode, swapped, wide
from foretaste.task import IGNORED, ModelMetric, Seen, Task, TextMetric, losses
from foretaste.weights import TaskWeights

__all__ = ["Outputs", "check_mixable", "is_mixable", "outputs_of"]

_ALL = 128  # classes of which all are kept
_TOP = 8
_CHUNK = 2**22  # numbers in memory at once
_OF_MODELS = (TextMetric, ModelMetric)


@dataclass(frozen=True)
class Outputs:
    """What M models say of one task's N examples, of up to S labels each, P of which count.

    Args:
        labels: `[N, S]`, -100 where none counts.
        right: `[M, P]`, log-probabilities of the labels that count, example by example.
        told: `[M, P, K]`, log-probabilities of classes.
        classes: `[P, K]`, which these are, in rising order; None where they are all.

    >>> told = torch.tensor([[[0.9, 0.1]], [[0.2, 0.8]]]).log()
    >>> outputs = Outputs(torch.tensor([[1]]), told[:, :, 1], told, None)
    >>> lost, predicted = outputs.mixed(torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]))
    >>> (-lost).exp().flatten(), predicted.flatten()
    (tensor([0.1000, 0.4500, 0.8000], dtype=torch.float64), tensor([0, 0, 1]))
    """

    labels: Tensor
    right: Tensor
    told: Tensor
    classes: Tensor | None

    def mixed(self, alphas: Tensor) -> tuple[Tensor, Tensor]:
        """Losses and likeliest classes of any number of mixtures at once.

        Args:
            alphas: `[A, M]`, each row at least 0 with sum 1.

        Returns:
            `[A, P]` losses in float64, and `[A, P]` classes.
        """
        weights, right = alphas.double(), self.right.double()
        found = [-torch.logsumexp(right[each > 0] + each[each > 0].log().unsqueeze(1), 0) for each in weights]
        return torch.stack(found).clamp(min=0.0), self._likeliest(weights)

    def _likeliest(self, weights: Tensor) -> Tensor:
        models, places, kept = self.told.shape
        step = max(1, _CHUNK // ((len(weights) + models) * kept))
        found = []
        for start in range(0, max(places, 1), step):
            some = self.told[:, start : start + step].double().exp()
            best = (weights @ some.flatten(1)).reshape(len(weights), some.shape[1], kept).argmax(-1)
            found.append(best if self.classes is None else self.classes[start : start + step].gather(1, best.T).T.long())
        return torch.cat(found, 1)

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
        return [result_of(task, self._seen(*pair), judges) for pair in zip(lost, predicted, strict=True)]

    def _seen(self, lost: Tensor, predicted: Tensor) -> Seen:
        counted = self.labels != IGNORED
        each, guess = torch.zeros(self.labels.shape, dtype=torch.float64), torch.full(self.labels.shape, IGNORED)
        each[counted], guess[counted] = lost, predicted
        return Seen(each, guess, self.labels.long())

    def to_tensors(self) -> dict[str, Tensor]:
        """As tensors to keep.

        >>> told = torch.zeros(1, 2, 1)
        >>> sorted(Outputs(torch.zeros(2, 1), told[:, :, 0], told, None).to_tensors())
        ['labels', 'right', 'told']
        """
        kept = {"labels": self.labels.int(), "right": self.right, "told": self.told}
        return kept if self.classes is None else {**kept, "classes": self.classes.int()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "Outputs":
        """What `to_tensors` gave."""
        return cls(tensors["labels"], tensors["right"], tensors["told"], tensors.get("classes"))


def outputs_of(
    model: nn.Module, singles: Sequence[Params], task: Task, *, batch_size: int = 128, on_batch: Callable[[int], None] = lambda count: None
) -> Outputs:
    """What models say of a task's validation examples: one forward pass of each over all of them.

    All models see a batch before the next one, and batches are those of `evaluate`. The model is put in evaluation mode and lent
    each one's params; both are undone on leaving.

    Args:
        model: The module the task predicts with, on its own device.
        singles: Params of M models.
        task: What to predict.
        batch_size: Examples per forward pass.
        on_batch: Told how many examples a model has seen, after each batch.

    Raises:
        TaskError: Logits that do not fit the labels.

    >>> from foretaste.metrics import METRICS
    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.tensor([0, 1]))
    >>> straight, crossed = ({"weight": weight} for weight in (torch.eye(2), torch.eye(2).flip(0)))
    >>> task = Task("a", rows, rows, [METRICS["accuracy"]])
    >>> found = outputs_of(nn.Linear(2, 2, bias=False), [straight, crossed], task)
    >>> [result.metrics["accuracy"] for result in found.results(task, [TaskWeights("ab", [share, 1 - share]) for share in (0.6, 0.4)])]
    [1.0, 0.0]
    """
    device = next(model.parameters()).device
    order: list[int] = []
    columns: list[tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]] = []
    with in_eval_mode(model), torch.no_grad():
        for indices, found in batches(task.validation, batch_size):
            batch = {key: tensor.to(device) for key, tensor in task.collate(found).items()}
            said = []
            for params in singles:
                with swapped(model, params):
                    said.append(_said(task.predict(model, batch), batch["labels"]))
                on_batch(len(indices))
            labels = batch["labels"].reshape(len(indices), -1).cpu()
            owners = torch.tensor(indices).unsqueeze(1).expand(labels.shape)[labels != IGNORED]
            columns.append((labels, owners, *_kept(said)))
            order += indices
    labels_of, owned, right, told, classes = zip(*columns, strict=True)
    places = torch.cat(owned).argsort(stable=True)  # back to the examples' order
    known = [each for each in classes if each is not None]
    return Outputs(
        padded(labels_of)[torch.tensor(order).argsort()],
        torch.cat(right, 1)[:, places],
        torch.cat(told, 1)[:, places],
        torch.cat(known)[places] if known else None,
    )


def _said(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the labels that count, `[b]`, and of all classes there, `[b, C]`."""
    each, counted = losses(logits, labels), labels != IGNORED
    return -each[counted.reshape(each.shape)], nn.functional.log_softmax(wide(logits[counted]), -1)


def _kept(said: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor | None]:
    """Log-probabilities of labels `[M, b]` and classes `[M, b, K]`, and which classes `[b, K]`."""
    right = torch.stack([each for each, _ in said]).float().cpu()
    if said[0][1].shape[-1] <= _ALL:
        return right, torch.stack([each for _, each in said]).float().cpu(), None
    classes = torch.cat([each.topk(_TOP, -1).indices for _, each in said], -1).sort(-1).values
    return right, torch.stack([each.gather(-1, classes) for _, each in said]).float().cpu(), classes.cpu()


def check_mixable(tasks: Sequence[Task]) -> None:
    """Check that every task's headline metric follows from outputs.

    Raises:
        TaskError: One is of texts, or of the model itself.

    >>> from foretaste.task import Rows
    >>> rows = Rows(torch.eye(2), torch.tensor([0, 1]))
    >>> check_mixable([Task("a", rows, rows, [TextMetric("bleu", lambda written, wanted: 0.0)], write=lambda model, examples: [])])
    Traceback (most recent call last):
    ...
    foretaste.errors.TaskError: metric 'bleu' of task 'a' is of what a model writes, and an ensemble is no model: ...
    """
    for task in tasks:
        first = task.metrics[0]
        if isinstance(first, _OF_MODELS):
            what = "of what a model writes" if isinstance(first, TextMetric) else "measured from a model itself"
            raise TaskError(
                f"metric {first.name!r} of task {task.name!r} is {what}, and an ensemble is no model: "
                "leave out the method ensemble, or put a metric of labels first, such as accuracy or perplexity"
            )


def is_mixable(tasks: Sequence[Task]) -> bool:
    """Whether `check_mixable` finds nothing.

    >>> is_mixable([])
    True
    """
    return not any(isinstance(task.metrics[0], _OF_MODELS) for task in tasks)
