"""The site of a transformers `Trainer`'s Adam, corrected for how `Trainer` averages, clips and scales gradients.

B is the number of examples (or label tokens) of one step. The factor c of `foretaste.estimate.adam` has two parts.

*Clipping.* `Trainer` logs norms of gradients before they are clipped; with ``c_i = min(1, max_grad_norm / norm_i)`` of
the logged steps i and Adam's own weights ``w_i = beta2^(k - i)``, ``c^2 = sum_i w_i c_i^2 / sum_i w_i``.

*Scale.* With gradient accumulation or several devices `Trainer` leaves the mean over a step to models whose ``forward``
takes ``**kwargs``, and passes them ``num_items_in_batch``. Some models ignore it, such as BERT's classifier. Then the
means of the parts are added up, and gradients are as many times larger as there are parts (which does not change Adam's
steps). The model's loss reveals whether it ignores the argument.
"""

import math
from inspect import Parameter, signature

import torch
from torch import nn

from foretaste.errors import ParamsError
from foretaste.estimate.adam import AdamRun, Moments, adam
from foretaste.estimate.passes import batches_of
from foretaste.loss.unit import count_units
from foretaste.params import buffers_of, in_eval_mode, parameters_of
from foretaste.posterior.site import GaussianSite
from foretaste.sources.extra import transformers
from foretaste.sources.loop_batches import below_adapter
from foretaste.task import Batch, Task

__all__ = ["check_adam", "clip_of", "site_of_adam"]

_INSTEAD = "or estimate='fisher'"
_SAME = 1e-4  # relative difference of equal losses


def check_adam(
    args: "transformers.TrainingArguments",
    state: "transformers.TrainerState",
    optimizer: torch.optim.Optimizer,
    clip: float | None,
) -> None:
    """Check before training that Adam's moments will give a site.

    Args:
        args: The run's arguments.
        state: The run's state at its beginning.
        optimizer: The optimizer, or Accelerate's wrapper of it.
        clip: The user's factor of clipping; None if it should come from the log.

    Raises:
        ParamsError: The optimizer is not Adam, weight decay is part of its gradients, or clipping would not be logged.

    >>> optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))])
    >>> check_adam(transformers.TrainingArguments("out", use_cpu=True), transformers.TrainerState(), optimizer, None)
    Traceback (most recent call last):
    ...
    foretaste.errors.ParamsError: SGD does not keep the second moment that estimate='adam' needs; train with AdamW, or
    estimate='fisher'
    """
    own = _own(optimizer)
    for group in own.param_groups:
        if "betas" not in group:
            kind = type(own).__name__
            raise ParamsError(
                f"{kind} does not keep the second moment that estimate='adam' needs; train with AdamW, {_INSTEAD}"
            )
        if type(own) is torch.optim.Adam and group["weight_decay"] and not group.get("decoupled_weight_decay"):
            raise ParamsError(
                f"Adam's weight decay is among the gradients that it squares; train with AdamW, {_INSTEAD}"
            )
    by_step = args.logging_strategy == "steps" and not args.logging_first_step
    silent = args.logging_strategy == "no" or (by_step and state.logging_steps > state.max_steps > 0)
    if args.max_grad_norm and clip is None and silent:
        raise ParamsError(
            f"gradients are clipped to {args.max_grad_norm:g} and their norms will not be logged, so that nobody will"
            f" know by how much; set logging_steps to a fraction of the run, max_grad_norm=0, clip=..., {_INSTEAD}"
        )


def clip_of(args: "transformers.TrainingArguments", state: "transformers.TrainerState", beta2: float) -> float:
    """Compute the factor c of clipping, which gradients were multiplied by, from the norms in the run's log.

    Args:
        args: The run's arguments; a ``max_grad_norm`` of 0 means no clipping.
        state: The run's state at its end.
        beta2: Adam's decay of the second moment.

    Raises:
        ParamsError: Gradients were clipped, and the log has no norm.

    >>> args = transformers.TrainingArguments("out", use_cpu=True, max_grad_norm=1.0)
    >>> clip_of(
    ...     args, transformers.TrainerState(global_step=2, log_history=[{"grad_norm": 4.0, "step": 2}]), beta2=0.999
    ... )
    0.24999...
    """
    if not args.max_grad_norm:
        return 1.0
    norms = [
        (float(entry["grad_norm"]), int(entry["step"]))
        for entry in state.log_history
        if entry.get("grad_norm") is not None
    ]
    factors = [(min(1.0, args.max_grad_norm / (norm + 1e-6)), step) for norm, step in norms if math.isfinite(norm)]
    weights = [beta2 ** (state.global_step - step) for _, step in factors]
    if not sum(weights):
        raise ParamsError(
            f"gradients were clipped to {args.max_grad_norm:g} and no norm of them is in the log; give clip=...,"
            f" {_INSTEAD}"
        )
    return math.sqrt(
        sum(weight * factor**2 for weight, (factor, _) in zip(weights, factors, strict=True)) / sum(weights)
    )


def site_of_adam(
    model: nn.Module,
    task: Task,
    optimizer: torch.optim.Optimizer,
    args: "transformers.TrainingArguments",
    state: "transformers.TrainerState",
    *,
    clip: float | None = None,
    max_examples: int | None = None,
    seed: int = 0,
) -> GaussianSite:
    """Make the site from the moments of a `Trainer`'s Adam.

    Args:
        model: The trained model, without wrappers.
        task: The training data, read as the model's loss reads it; the task's unit is the loss's.
        optimizer: The optimizer, or Accelerate's wrapper of it.
        args: The run's arguments.
        state: The run's state at its end.
        clip: The factor by which clipping multiplied gradients; from the log if left out.
        max_examples: Number of examples on which label tokens are counted.
        seed: Seed of the chosen examples.

    Raises:
        ParamsError: The moments cannot be corrected, or belong to other params than the model's.

    >>> from foretaste.sources.loop import task_of
    >>> layer, data = nn.Linear(1, 2), [{"inputs": torch.ones(1), "labels": 1}]
    >>> optimizer = torch.optim.AdamW(layer.parameters())
    >>> layer(torch.ones(1, 1)).logsumexp(1).sum().backward()
    >>> optimizer.step()
    >>> args = transformers.TrainingArguments("out", use_cpu=True, max_grad_norm=0)
    >>> state = transformers.TrainerState(global_step=1, train_batch_size=1)
    >>> site_of_adam(layer, task_of(layer, data), optimizer, args, state).record.details["batch"]
    '1'
    """
    best, last = state.best_global_step, state.global_step
    if args.load_best_model_at_end and best not in (None, last):
        raise ParamsError(
            f"the model went back to its best step {best}, Adam's moments are of step {last}; set"
            f" load_best_model_at_end=False, {_INSTEAD}"
        )
    if task.unit == "example" and _first_batch(model, task)["labels"].dim() > 1:
        raise ParamsError(
            "the gradients that Adam squared are of a mean over label tokens, not examples; give unit='token',"
            f" {_INSTEAD}"
        )
    moments = Moments.of(_own(optimizer), model.named_parameters())
    assert not isinstance(moments.beta2, float)
    factor = clip_of(args, state, max(moments.beta2.values())) if clip is None else clip
    factor *= _scale(model, task, args)
    run = _run(model, task, args, state, factor, max_examples, seed)
    return adam(parameters_of(model, task.names), moments, run=run, carried=buffers_of(model))


def _own(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Take an optimizer out of Accelerate's wrapper."""
    unwrapped = getattr(optimizer, "optimizer", optimizer)
    assert isinstance(unwrapped, torch.optim.Optimizer)
    return unwrapped


def _run(
    model: nn.Module,
    task: Task,
    args: "transformers.TrainingArguments",
    state: "transformers.TrainerState",
    clip: float,
    most: int | None,
    seed: int,
) -> AdamRun:
    """Describe the run to the estimator of Adam; label tokens are counted on whole batches."""
    count = len(task.train)
    size = min(state.train_batch_size or args.train_batch_size, count)
    parts, devices = args.gradient_accumulation_steps, args.world_size
    if task.unit == "example":
        return AdamRun(size, parts, devices, clip, unit=task.unit, examples=count, units=count)
    drawn = batches_of(model, task, torch.Generator().manual_seed(seed), max(most or count, size), size)
    tokens = [count_units(task.loss.counts(batch), task.unit) for batch in drawn]
    whole = tokens[: max(1, min(most or count, count) // size)]
    mean = sum(whole) / len(whole)
    return AdamRun(
        max(1, round(mean * parts * devices)),
        clip=clip,
        unit=task.unit,
        examples=count,
        units=round(mean * count / size),
    )


def _scale(model: nn.Module, task: Task, args: "transformers.TrainingArguments") -> float:
    """Return the factor by which gradients are too large, because the model ignores the count of items in a batch."""
    parts = args.gradient_accumulation_steps * (
        max(args.world_size, args.n_gpu) if args.average_tokens_across_devices else 1
    )
    return parts if parts > 1 and _is_told(model) and not _listens(model, task) else 1


def _is_told(model: nn.Module) -> bool:
    """Tell whether `Trainer` passes the model ``num_items_in_batch``."""
    base = below_adapter(model)
    takes = any(parameter.kind is Parameter.VAR_KEYWORD for parameter in signature(base.forward).parameters.values())
    return bool(getattr(base, "accepts_loss_kwargs", takes))


def _first_batch(model: nn.Module, task: Task) -> Batch:
    return task.batch(task.train, range(min(len(task.train), 4)), next(model.parameters()).device)


def _listens(model: nn.Module, task: Task) -> bool:
    batch = _first_batch(model, task)
    count = task.loss.counts(batch).sum()
    with in_eval_mode(model), torch.no_grad():
        one, other = (model(**batch, num_items_in_batch=count * times)["loss"] for times in (1, 2))
    return abs(float(one - other)) > _SAME * abs(float(one))
