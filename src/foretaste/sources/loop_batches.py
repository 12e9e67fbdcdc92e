"""Batches of users' own training loops: which tensors are inputs and labels, and how they become logits."""

from collections.abc import Mapping
from inspect import Parameter, signature
from typing import Any

import torch
from torch import Tensor, nn

from foretaste.errors import TaskError
from foretaste.loss.class_labels import shift_labels
from foretaste.loss.cross_entropy import ShapedCrossEntropy
from foretaste.params import in_eval_mode
from foretaste.sources.packed import unpack_rows
from foretaste.task import Batch, Predict

__all__ = ["below_adapter", "labels_are_next", "name_tensors", "predictor_for"]

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


def name_tensors(batch: object) -> dict[str, Tensor]:
    """Return a batch as tensors by name, with ``labels``.

    Raises:
        TaskError: The batch has another form.
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
    if tensors["labels"].is_floating_point() or not tensors["labels"].dim():
        kind = f"{tensors['labels'].dtype} of shape {list(tensors['labels'].shape)}"
        raise TaskError(
            f"labels are {kind}, not classes by number; curvature is of cross-entropy (no regression, no multi-label)"
        )
    return {**tensors, "labels": tensors["labels"].long()}


def labels_are_next(model: nn.Module, batch: Batch) -> bool:
    """Tell whether the model's own loss compares each label with the logits of the place before.

    Raises:
        TaskError: The model's loss is not the cross-entropy of its logits and labels.
    """
    if _is_pair(batch) or not _takes_labels(model):
        return False
    with in_eval_mode(model), torch.no_grad():
        outputs = _outputs(model, batch)
    own = outputs.get("loss") if isinstance(outputs, Mapping) else None
    labels, by_name = batch["labels"], _is_causal(model)
    if own is None or not bool(torch.isfinite(own).all()):
        return labels.dim() > 1 and by_name
    readings = {False: labels, True: shift_labels(labels)} if labels.dim() > 1 else {False: labels}
    losses = {shift: _mean_loss(_logits(outputs), reading) for shift, reading in readings.items()}
    loss = float(own.float().mean())
    best = min(losses, key=lambda shift: (round(abs(losses[shift] - loss), 4), shift != by_name))
    if abs(losses[best] - loss) > _CLOSE * max(1.0, abs(loss)):
        raise TaskError(
            f"the model's own loss on {len(labels)} examples is {loss:.4g}, the cross-entropy of its logits and labels"
            f" {losses[best]:.4g}; another loss has another curvature: give predict=... with the logits whose"
            " cross-entropy was trained"
        )
    return best


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
