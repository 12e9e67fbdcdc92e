"""A task's site from the user's own training loop: from the trained model and its training data.

`capture` can be the last line of any loop. It takes a data set or a `DataLoader`. Batches are pairs of inputs and
labels, or mappings with ``labels`` as transformers' collators make them. The loss that was trained is cross-entropy
unless another one is named. Where the model computes a loss itself, it must be that one, because another loss has
another curvature.

Cross-entropy is of one label per example, or of the label tokens of a sequence. In a sequence, a label may belong to
its own place, or be the token of the next place (causal language models). Both readings are tried, and the model's own
loss decides.

Examples are drawn evenly from the data set, whatever sampler the loader has.
"""

from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from accelerate.utils import extract_model_from_parallel
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, default_collate

from foretaste.errors import ParamsError, TaskError
from foretaste.estimate.estimators import EstimatePlan, Estimator, estimate_site
from foretaste.estimate.fisher import Labels
from foretaste.loss.class_labels import shift_labels
from foretaste.loss.cross_entropy import ClassLoss
from foretaste.loss.loss import Loss
from foretaste.loss.names import LossName, loss_named
from foretaste.metrics import METRICS, usual_metrics
from foretaste.params import in_eval_mode
from foretaste.posterior.site import GaussianSite
from foretaste.sources.loop_batches import (
    below_adapter,
    check_own_loss,
    labels_are_next,
    name_tensors,
    predictor_for,
)
from foretaste.task import Batch, Examples, Predict, Task, Unit

__all__ = ["Collate", "Estimator", "capture", "describe_site", "task_of", "unwrapped"]

Collate = Callable[[list[Any]], object]

_PROBED = 4  # examples on which the two readings of labels are compared
_BATCH = 8


def capture(
    model: nn.Module,
    data: object,
    *,
    loss: LossName | Loss = "cross-entropy",
    estimate: Estimator = "fisher",
    labels: Labels = "sampled",
    max_examples: int | None = 1000,
    batch_size: int | None = None,
    unit: Unit | None = None,
    seed: int = 0,
    collate: Collate | None = None,
    predict: Predict | None = None,
) -> GaussianSite:
    """Estimate a task's site at the model's current params.

    Args:
        model: Any module, wrapped for several devices or mixed precision or not; it is left as it was.
        data: The training data: a `DataLoader`, a data set with a length, or one that can only be iterated over, of
            which the first ``max_examples`` are taken.
        loss: The loss that was trained: ``cross-entropy``, ``squared`` (half the squared error, of labels `[B]` or
            `[B, D]`), ``bernoulli`` (label sets `[B, C]` of 0 and 1), or a `Loss`. Labels that are NaN do not count.
        estimate: Diagonal ``fisher`` or Kronecker ``kfac``.
        labels: ``sampled`` (default), ``empirical`` or ``exact``.
        max_examples: Most examples to use, chosen at random; None for all.
        batch_size: Examples per pass; the loader's if left out.
        unit: Unit that losses are means over; by default label tokens of sequences, and examples otherwise.
        seed: Seed of the chosen examples and the drawn labels.
        collate: Function from examples to a batch; the loader's if left out.
        predict: Function from model and batch to logits, if neither ``model(inputs)`` nor ``model(**batch)`` returns
            them. The batch's labels then stay as they are.

    Returns:
        A stationary site over the trained params, with the model's type and the seed in its record.

    Raises:
        TaskError: Batches or labels do not fit the loss, the model's own loss is another one, or there are no examples.
        ParamsError: Params are sharded, or none is trained.

    >>> data = [(torch.eye(2)[label], label) for label in (0, 1, 1)]
    >>> site = capture(nn.Linear(2, 2), DataLoader(data, batch_size=2))
    >>> site.record.estimator, site.record.examples, site.record.details["trained"]
    ('fisher:sampled', 3, '2 of 2 tensors')
    """
    with unwrapped(model) as own, torch.random.fork_rng([]):
        torch.default_generator.manual_seed(seed)  # collators may draw, too
        task = task_of(own, data, loss=loss, most=max_examples, unit=unit, collate=collate, predict=predict)
        size = batch_size or _size_of(data)
        site = estimate_site(own, None, task, EstimatePlan(estimate, labels, max_examples, size, seed))
        return describe_site(site, own, seed=str(seed), **({"loss": task.loss.key} if task.loss.key else {}))


def describe_site(site: GaussianSite, model: nn.Module, **more: str) -> GaussianSite:
    """Add to a site's record what it was estimated from.

    Args:
        site: The model's site.
        model: The model, without wrappers.
        more: Further details, by name.

    >>> from foretaste.posterior.site import GaussianSite
    >>> describe_site(GaussianSite.flat({"weight": torch.ones(1, 1)}), nn.Linear(1, 1), seed="3").record.details
    {'model': 'Linear', 'dtype': 'float32', 'trained': '1 of 2 tensors', 'seed': '3'}
    """
    types = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in site.center.values()})
    count = sum(1 for _ in model.named_parameters())
    details = {
        "model": type(below_adapter(model)).__name__,
        "dtype": ", ".join(types),
        "trained": f"{len(site.center)} of {count} tensors",
    }
    if adapters := getattr(model, "peft_config", None):  # peft itself is not needed to recognise its models
        details["adapter"] = ", ".join(
            str(getattr(adapter.peft_type, "value", adapter.peft_type)) for adapter in adapters.values()
        )
    return replace(site, record=replace(site.record, details={**site.record.details, **details, **more}))


@contextmanager
def unwrapped(model: nn.Module) -> Iterator[nn.Module]:
    """Take a model out of its wrappers: `DataParallel`, compilation and mixed precision.

    Args:
        model: The model; Accelerate's changes for mixed precision are made again at the end of the block.

    Raises:
        ParamsError: The params are sharded over processes, so that no process has them all.

    >>> with unwrapped(nn.DataParallel(nn.Linear(1, 1))) as own:
    ...     type(own).__name__
    'Linear'
    """
    own: nn.Module = extract_model_from_parallel(model, keep_torch_compile=False)
    _check_whole(own)
    wrappers: dict[str, object] = {key: vars(own)[key] for key in ("forward", "_original_forward") if key in vars(own)}
    if "_original_forward" in wrappers:
        extract_model_from_parallel(own, keep_fp32_wrapper=False, keep_torch_compile=False)
    try:
        yield own
    finally:
        vars(own).update(wrappers)


def task_of(
    model: nn.Module,
    data: object,
    *,
    loss: LossName | Loss = "cross-entropy",
    most: int | None = None,
    unit: Unit | None = None,
    collate: Collate | None = None,
    predict: Predict | None = None,
) -> Task:
    """Make a task of a loop's data, for the estimators, `evaluate` and `joint`.

    Args:
        model: The model without wrappers (see `unwrapped`); it runs on a few examples.
        data: The training data; see `capture`.
        loss: The loss that was trained; see `capture`.
        most: Number of examples to take from data without a length.
        unit: Unit that losses are means over; see `capture`.
        collate: Function from examples to a batch; see `capture`.
        predict: Function from model and batch to logits; see `capture`.

    Returns:
        A task called ``loop`` whose validation data is its training data.

    Raises:
        TaskError: The data cannot be read with this loss; see `capture`.
        ParamsError: No parameter is trained.

    >>> task = task_of(nn.Linear(2, 2), [{"inputs": torch.eye(2)[0], "labels": 1}])
    >>> task.unit, task.batch(task.train, [0], torch.device("cpu"))
    ('example', {'inputs': tensor([[1., 0.]]), 'labels': tensor([1])})
    """
    names = frozenset(name for name, parameter in model.named_parameters() if parameter.requires_grad)
    if not names:
        raise ParamsError(
            "the model has no parameter that is trained (requires_grad is False everywhere); unfreeze what the run"
            " trained"
        )
    own_loss = loss_named(loss)
    make = collate or (data.collate_fn if isinstance(data, DataLoader) else default_collate)
    examples = _examples(data, most)
    device = next(model.parameters()).device
    batch = {
        key: tensor.to(device)
        for key, tensor in name_tensors(make([examples[place] for place in _first(examples)]), own_loss).items()
    }
    shift = predict is None and _belong_to_next(model, batch, own_loss)
    forward = predict or predictor_for(model, batch)
    with in_eval_mode(model), torch.no_grad():
        logits = forward(model, batch)
    own_loss.check(logits, batch)

    def put_together(rows: list[Any]) -> Batch:
        tensors = name_tensors(make(rows), own_loss)
        own_loss.check_labels(tensors["labels"], logits.shape[-1])
        return {**tensors, "labels": shift_labels(tensors["labels"])} if shift else tensors

    return Task(
        "loop",
        examples,
        examples,
        usual_metrics(own_loss) or [METRICS["accuracy"]],
        predict=forward,
        collate=put_together,
        unit=unit or ("token" if isinstance(own_loss, ClassLoss) and batch["labels"].dim() > 1 else "example"),
        names=names,
        loss=own_loss,
    )


def _belong_to_next(model: nn.Module, batch: Batch, loss: Loss) -> bool:
    """Tell whether each label belongs to the next place, after a check that the model's own loss is this one."""
    if isinstance(loss, ClassLoss):
        return labels_are_next(model, batch)
    check_own_loss(model, batch, loss)
    return False


def _check_whole(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if (
            type(parameter.data).__name__ == "DTensor"
            or "_fsdp_" in name
            or "_flat_param" in name
            or "ds_id" in vars(parameter)
        ):
            raise ParamsError(
                f"{name} is sharded over processes (FSDP, DeepSpeed or tensor parallel); "
                "save the whole model, load it in one process and call foretaste.sources.loop.capture there"
            )


def _examples(data: object, most: int | None) -> Examples:
    """Return data with a length, or the first examples of data without one."""
    dataset: Any = data.dataset if isinstance(data, DataLoader) else data
    if isinstance(dataset, IterableDataset) or not isinstance(dataset, Sized):
        if not isinstance(dataset, IterableDataset) and not callable(getattr(dataset, "__iter__", None)):
            raise TaskError(f"a {type(dataset).__name__} is no data; give a DataLoader or a data set")
        dataset = list(islice(iter(dataset), most))
    if len(dataset) == 0:
        raise TaskError(
            "there are no examples to estimate the curvature on; give the data that the run was trained with"
        )
    examples: Examples = dataset
    return examples


def _size_of(data: object) -> int:
    if not isinstance(data, DataLoader):
        return _BATCH
    return (
        data.batch_size or getattr(data.batch_sampler, "batch_size", None) or _BATCH
    )  # Accelerate's loaders have a sampler


def _first(examples: Examples) -> range:
    return range(min(len(examples), _PROBED))
