"""Batches of users' own training loops: which tensors are inputs and labels, and how they become logits."""

from collections.abc import Mapping
from inspect import Parameter, signature
from typing import Any

import torch
from torch import Tensor, nn

from foretaste.errors import TaskError
from foretaste.loss.class_labels import shift_labels
from foretaste.loss.cross_entropy import ClassLoss, ShapedCrossEntropy
from foretaste.loss.loss import Loss
from foretaste.params import in_eval_mode
from foretaste.sources.packed import unpack_rows
from foretaste.task import Batch, Predict

__all__ = ["below_adapter", "check_own_loss", "labels_are_next", "name_tensors", "predictor_for"]

_CLOSE = 0.01  # difference of equal losses; some models compute theirs in half precision


def below_adapter(model: nn.Module) -> nn.Module:
    """Return the model below an adapter of PEFT, or a model without one itself.

    >>> type(below_adapter(nn.Linear(1, 1))).__name__
    'Linear'
    """
    below = getattr(model, "get_base_model", None)
    base = below() if callable(below) else model
    assert isinstance(base, nn.Module)
    return base


def name_tensors(batch: object, loss: Loss) -> dict[str, Tensor]:
    """Return a batch as tensors by name, with ``labels``.

    Args:
        batch: What a collator made.
        loss: The loss that was trained; class numbers become ``int64``.

    Raises:
        TaskError: The batch has another form, or cross-entropy has labels that are no class numbers.
    """
    if isinstance(batch, Mapping):
        tensors: dict[str, Any] = unpack_rows({str(key): value for key, value in batch.items() if value is not None})
    elif isinstance(batch, tuple | list) and len(batch) == 2:
        tensors = {"inputs": batch[0], "labels": batch[1]}
    else:
        raise TaskError(
            f"a batch is a {type(batch).__name__}; it should be (inputs, labels), or a mapping with 'labels': give"
            " collate=..."
        )
    if "labels" not in tensors and "label" in tensors:
        tensors["labels"] = tensors.pop("label")
    if "labels" not in tensors:
        raise TaskError(
            f"a batch has {', '.join(tensors) or 'nothing'} and no labels; let the collator make them, as for training"
        )
    for key, value in tensors.items():
        if not isinstance(value, Tensor):
            raise TaskError(
                f"{key} of a batch is a {type(value).__name__} and no tensor; leave it out, or give collate=..."
            )
    return {**tensors, "labels": _class_numbers(tensors["labels"])} if isinstance(loss, ClassLoss) else tensors


def _class_numbers(labels: Tensor) -> Tensor:
    if labels.is_floating_point() or not labels.dim():
        raise TaskError(
            f"labels are {labels.dtype} of shape {list(labels.shape)}, not classes by number, as cross-entropy needs;"
            " if another loss was trained, say which: loss='squared' for numbers, loss='bernoulli' for label sets"
        )
    return labels.long()


def labels_are_next(model: nn.Module, batch: Batch) -> bool:
    """Tell whether the model's own loss compares each label with the logits of the place before.

    Raises:
        TaskError: The model's loss is not the cross-entropy of its logits and labels.
    """
    if _is_pair(batch) or not _takes_labels(model):
        return False
    outputs, loss = _own_loss(model, batch)
    labels, by_name = batch["labels"], _is_causal(model)
    if loss is None:
        return labels.dim() > 1 and by_name
    readings = {False: labels, True: shift_labels(labels)} if labels.dim() > 1 else {False: labels}
    losses = {shift: _mean_loss(_logits(outputs), reading) for shift, reading in readings.items()}
    best = min(losses, key=lambda shift: (round(abs(losses[shift] - loss), 4), shift != by_name))
    if not _are_close(losses[best], loss):
        raise TaskError(
            f"the model's own loss on {len(labels)} examples is {loss:.4g}, the cross-entropy of its logits and labels"
            f" {losses[best]:.4g}; another loss has another curvature: give predict=... with the logits whose"
            " cross-entropy was trained"
        )
    return best


def check_own_loss(model: nn.Module, batch: Batch, loss: Loss) -> None:
    """Check that the model's own loss is this one, or twice this one, if the model computes a loss.

    A factor of two is what libraries differ in: torch's mean squared error is without the half.

    Args:
        model: Any module.
        batch: A batch of it, with labels.
        loss: The loss that was trained.

    Raises:
        TaskError: The model's own loss is another one.

    >>> check_own_loss(nn.Linear(1, 1), {"inputs": torch.ones(1, 1), "labels": torch.ones(1, 1)}, ShapedCrossEntropy())
    """
    if _is_pair(batch) or not _takes_labels(model):
        return
    outputs, own = _own_loss(model, batch)
    if own is None:
        return
    total, counted = float(loss.per_unit(_logits(outputs), batch).sum()), loss.counts(batch)
    means = [total / max(count, 1) for count in (int(counted.sum()), len(counted))]
    if not any(_are_close(factor * mean, own) for mean in means for factor in (1, 2)):
        raise TaskError(
            f"the model's own loss on {len(counted)} examples is {own:.4g}, and {loss} of its outputs and labels is"
            f" {means[0]:.4g} per label; another loss has another curvature: give the loss that was trained, or"
            " predict=... with the outputs that it is of"
        )


def _own_loss(model: nn.Module, batch: Batch) -> tuple[object, float | None]:
    """Run the model with labels; return its outputs, and its loss if it gives a finite one."""
    with in_eval_mode(model), torch.no_grad():
        outputs = _outputs(model, batch)
    own = outputs.get("loss") if isinstance(outputs, Mapping) else None
    return outputs, None if own is None or not bool(torch.isfinite(own).all()) else float(own.float().mean())


def _are_close(loss: float, own: float) -> bool:
    return abs(loss - own) <= _CLOSE * max(1.0, abs(own))


def _is_pair(batch: Batch) -> bool:
    return set(batch) == {"inputs", "labels"}


def _takes_labels(model: nn.Module) -> bool:
    parameters = signature(model.forward).parameters
    return "labels" in parameters or any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters.values())


def _mean_loss(logits: Tensor, labels: Tensor) -> float:
    loss, batch = ShapedCrossEntropy(), {"labels": labels}
    return float(loss.per_unit(logits, batch).sum() / loss.counts(batch).sum())


def _is_causal(model: nn.Module) -> bool:
    return type(below_adapter(model)).__name__.endswith(("ForCausalLM", "LMHeadModel")) and not _has_decoder(model)


def _has_decoder(model: nn.Module) -> bool:
    return bool(getattr(getattr(model, "config", None), "is_encoder_decoder", False))


def predictor_for(model: nn.Module, batch: Batch) -> Predict:
    """Choose the function from a batch to logits; only models with a decoder get the labels, as its inputs."""
    if _is_pair(batch):
        return _from_pair
    return _from_all if _has_decoder(model) else _from_inputs


def _from_pair(model: nn.Module, batch: Batch) -> Tensor:
    return _logits(model(batch["inputs"]))


def _from_inputs(model: nn.Module, batch: Batch) -> Tensor:
    return _logits(_outputs(model, {key: tensor for key, tensor in batch.items() if key != "labels"}))


def _from_all(model: nn.Module, batch: Batch) -> Tensor:
    return _logits(_outputs(model, batch))


def _outputs(model: nn.Module, batch: Batch) -> object:
    """Run the model without a cache, because with one transformers lets texts that share a row see each other."""
    cached = "use_cache" in signature(below_adapter(model).forward).parameters
    return model(**batch, use_cache=False) if cached else model(**batch)


def _logits(outputs: object) -> Tensor:
    logits = outputs.get("logits") if isinstance(outputs, Mapping) else outputs
    if not isinstance(logits, Tensor):
        raise TaskError(
            f"the model gives a {type(outputs).__name__} without logits (a fused loss?); switch that off, or give"
            " predict=..."
        )
    return logits
