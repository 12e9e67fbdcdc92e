"""Variational learning with transformers' own `Trainer`, unchanged.

A callback moves the params to a draw before the first micro-batch of a step, and back before the optimizer's step. So
evaluation, saving and logging use the mean::

    optimizer = IVON(model.parameters(), ess=10 * len(data), steps=arguments.max_steps)
    with VariationalCallback() as callback:
        trainer = Trainer(model, arguments, train_dataset=data, optimizers=(optimizer, None), callbacks=[callback])
        trainer.train()
    site = callback.site(model, examples=len(data))

`Trainer` clips a gradient after IVON has read it. Resuming from a checkpoint, bf16 and several parameter groups work as
usual.

h scales with the loss, which must therefore be a mean over the whole step. With gradient accumulation `Trainer` leaves
that to any model whose ``forward`` takes ``**kwargs``, and some models, such as BERT's classifier, do not do it. For
these, set ``model.accepts_loss_kwargs = False`` before `Trainer` is created, which then divides by the number of
micro-batches.
"""

from types import TracebackType
from typing import Self

import torch
from torch import nn

from foretaste.errors import ParamsError, RunFailed
from foretaste.estimate.ivon import IVON, learned_share
from foretaste.estimate.variational import gather
from foretaste.params import buffers_of, parameters_of, snapshot
from foretaste.posterior.site import GaussianSite
from foretaste.sources.extra import transformers
from foretaste.task import Unit

__all__ = ["VariationalCallback"]


class VariationalCallback(transformers.TrainerCallback):  # type: ignore[misc] # transformers is not typed
    """Makes a `Trainer` with the optimizer `IVON` take its gradients at draws.

    As a context manager it also moves the params back if training raises.

    >>> with VariationalCallback() as callback:
    ...     isinstance(callback, transformers.TrainerCallback)
    True
    """

    def __init__(self) -> None:
        self._optimizer: IVON | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def on_train_begin(
        self,
        args: transformers.TrainingArguments,
        state: transformers.TrainerState,
        control: transformers.TrainerControl,
        *,
        optimizer: torch.optim.Optimizer,
        **kwargs: object,
    ) -> None:
        """Check that the run suits IVON.

        Raises:
            ParamsError: The optimizer is not IVON, or the run uses fp16.
            RunFailed: There are several processes, each of which would use a draw of its own.
        """
        self._restore()  # an earlier run may have been interrupted at a draw
        unwrapped = getattr(optimizer, "optimizer", optimizer)  # accelerate wraps it
        if not isinstance(unwrapped, IVON):
            raise ParamsError(
                f"VariationalCallback needs the optimizer IVON, not {type(unwrapped).__name__}; give Trainer"
                " optimizers=(IVON(...), None)"
            )
        if args.fp16:
            raise ParamsError(
                "IVON would learn the curvature from fp16's scaled gradients; set bf16=True, or neither, in its"
                " arguments"
            )
        if args.world_size > 1:
            raise RunFailed(f"IVON was started in {args.world_size} processes, each with draws of its own; start one")
        self._optimizer = unwrapped

    def on_step_begin(
        self,
        args: transformers.TrainingArguments,
        state: transformers.TrainerState,
        control: transformers.TrainerControl,
        **kwargs: object,
    ) -> None:
        """Move the params to a draw."""
        self._ready().perturb()

    def on_pre_optimizer_step(
        self,
        args: transformers.TrainingArguments,
        state: transformers.TrainerState,
        control: transformers.TrainerControl,
        **kwargs: object,
    ) -> None:
        """Move the params back."""
        self._restore()

    def on_epoch_end(
        self,
        args: transformers.TrainingArguments,
        state: transformers.TrainerState,
        control: transformers.TrainerControl,
        **kwargs: object,
    ) -> None:
        """Move the params back if another callback stopped training between two micro-batches."""
        self._restore()

    def site(self, model: nn.Module, *, examples: int, unit: Unit = "example") -> GaussianSite:
        """Make the site that the run has learned, on the CPU.

        Args:
            model: The trained model.
            examples: Number of training examples, for the record.
            unit: Unit that the loss was a mean over.

        Raises:
            RunFailed: No training has begun.
            ParamsError: The model has none of the trained parameters.

        Warns:
            StaleCurvature: Less than half of h comes from the data.
        """
        optimizer = self._ready()
        self._restore()
        entries = optimizer.estimates()["hessian"]
        hessian = {name: entries[parameter] for name, parameter in model.named_parameters() if parameter in entries}
        steps, beta2 = _least_learned(optimizer)
        return gather(
            snapshot(parameters_of(model)),
            snapshot(hessian),
            unit=unit,
            examples=examples,
            steps=steps,
            beta2=beta2,
            carried=snapshot(buffers_of(model)),
        )

    def _ready(self) -> IVON:
        if self._optimizer is None:
            raise RunFailed(
                "nothing was trained with this VariationalCallback; give it to Trainer in callbacks=[...] and train"
            )
        return self._optimizer

    def _restore(self) -> None:
        if self._optimizer is not None:
            self._optimizer.restore()


def _least_learned(optimizer: IVON) -> tuple[int, float]:
    """Return steps and decay of the parameter whose h is nearest to its initial value."""
    hessian = optimizer.estimates()["hessian"]
    pairs = [
        (int(optimizer.state[parameter]["step"]), float(group["beta2"]))
        for group in optimizer.param_groups
        for parameter in group["params"]
        if parameter in hessian
    ]
    return min(pairs, key=lambda pair: learned_share(pair[1], pair[0]), default=(0, 0.0))
