"""A posterior file at the end of an ordinary run of transformers' `Trainer`, or of TRL's `SFTTrainer`.

One more callback, and the run leaves a site beside its checkpoint::

    callback = PosteriorCallback()
    trainer = Trainer(model, arguments, train_dataset=data, callbacks=[callback])
    trainer.train()
    callback.site, callback.path  # the posterior, and the file that it is in

The data set, its collator and the model's own reading of labels are the run's (see `foretaste.sources.loop`). With
``estimate="adam"`` the curvature is what the run's optimizer has left behind, at no cost. What would stand in the
way is looked for, and raised, before the first step; after it nothing raises any more: a posterior that cannot be
made is a warning, and the trained model is there as without the callback.
"""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from foretaste.digests import digest
from foretaste.errors import ForetasteError, RunFailed
from foretaste.estimate.fisher import Labels
from foretaste.params import parameters_of
from foretaste.posterior.site import GaussianSite
from foretaste.sources.extra import transformers
from foretaste.sources.loop import Collate, Estimator, capture, describe_site, task_of, unwrapped
from foretaste.sources.site_file import NAME, save_site
from foretaste.sources.trainer_adam import check_adam, site_of_adam
from foretaste.task import Unit

__all__ = ["NoPosterior", "PosteriorCallback"]


class NoPosterior(UserWarning):
    """A run ended well and its posterior could not be made; the message has the call that makes it later.

    >>> issubclass(NoPosterior, UserWarning)
    True
    """


class PosteriorCallback(transformers.TrainerCallback):  # type: ignore[misc] # transformers is not typed
    """Captures a task's site when training ends, and writes it.

    Args:
        path: Of the file; ``foretaste-site.safetensors`` in the run's ``output_dir`` if left out.
        estimate: ``fisher`` (diagonal, from per-example gradients), ``kfac`` (Kronecker), or ``adam`` (diagonal, from
            the optimizer's second moment).
        labels: ``sampled`` (default), ``empirical`` or ``exact``; Adam's are the data's own.
        max_examples: At most so many, chosen at random; None for all.
        unit: What losses are means over; label tokens of sequences, and examples otherwise, if left out.
        examples: Other examples than the run's training data, for the same collator.
        batch_size: Examples per pass; the run's per device if left out.
        clip: For ``adam``: what clipping multiplied gradients with; from the run's log if left out.
        mean: Whether the params are in the file, beside the curvature.
        seed: Chooses the examples and draws the labels.

    Attributes:
        site: The site, on the CPU; None as long as there is none.
        path: The site's file; None as long as no path was given and no run has begun.

    >>> PosteriorCallback("news.safetensors", labels="exact").path
    PosixPath('news.safetensors')
    """

    def __init__(
        self,
        path: Path | str | None = None,
        *,
        estimate: Estimator | Literal["adam"] = "fisher",
        labels: Labels = "sampled",
        max_examples: int | None = 1000,
        unit: Unit | None = None,
        examples: object | None = None,
        batch_size: int | None = None,
        clip: float | None = None,
        mean: bool = True,
        seed: int = 0,
    ) -> None:
        self.path = None if path is None else Path(path)
        self.site: GaussianSite | None = None
        self._estimate, self._labels, self._max_examples, self._unit = estimate, labels, max_examples, unit
        self._examples, self._batch_size, self._clip, self._mean, self._seed = examples, batch_size, clip, mean, seed
        self._named, self._pretrained = path is not None, dict[str, str]()

    def on_train_begin(
        self,
        args: transformers.TrainingArguments,
        state: transformers.TrainerState,
        control: transformers.TrainerControl,
        *,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        train_dataloader: DataLoader[Any],
        **kwargs: object,
    ) -> None:
        """Look whether a posterior could be made of this model and data, and note what training starts from.

        Raises:
            ForetasteError: It could not; the message says why and what to do.
        """
        if not state.is_world_process_zero:
            return
        self.site, self.path = None, self.path if self._named else Path(args.output_dir) / NAME
        if self._estimate == "adam":
            check_adam(args, state, optimizer, self._clip)
        try:
            self._look(model, train_dataloader, fresh=state.global_step == 0)
        except ForetasteError:
            raise
        except Exception as error:
            raise RunFailed(
                f"PosteriorCallback could not run the model once before training ({type(error).__name__}: {error}); "
                "fix it, or leave the callback out and use foretaste.sources.loop.capture later"
            ) from error

    def on_train_end(
        self,
        args: transformers.TrainingArguments,
        state: transformers.TrainerState,
        control: transformers.TrainerControl,
        *,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        train_dataloader: DataLoader[Any],
        **kwargs: object,
    ) -> None:
        """Make the site and write it, in the main process.

        Warns:
            NoPosterior: It could not be made or written.
        """
        if not state.is_world_process_zero:
            return
        try:
            if self._estimate == "adam":
                self._keep(self._of_adam(args, state, model, optimizer, train_dataloader))
            else:
                size = self._batch_size or args.per_device_train_batch_size
                self._keep(self._of_data(model, self._data(train_dataloader), train_dataloader.collate_fn, size))
        except Exception as error:  # of any kind: what was trained for hours is worth more
            self._warn(error, model)

    def capture(self, model: nn.Module, data: object, collate: Collate | None = None) -> GaussianSite:
        """Make the site by hand, of a model loaded from a checkpoint, say.

        By ``fisher`` where the callback's is ``adam``.

        Args:
            model: As of `foretaste.sources.loop.capture`.
            data: The training data: a `DataLoader` (``trainer.get_train_dataloader()``) or a data set.
            collate: From examples to a batch; the loader's if left out.

        Returns:
            The site, which is also written where the callback has a path.

        Raises:
            ForetasteError: It cannot be made or written.
        """
        return self._keep(self._of_data(model, data, collate, self._batch_size))

    def _of_data(self, model: nn.Module, data: object, collate: Collate | None, size: int | None) -> GaussianSite:
        return capture(
            model,
            data,
            estimate="kfac" if self._estimate == "kfac" else "fisher",
            labels=self._labels,
            max_examples=self._max_examples,
            batch_size=size,
            unit=self._unit,
            seed=self._seed,
            collate=collate,
        )

    def _of_adam(
        self,
        args: transformers.TrainingArguments,
        state: transformers.TrainerState,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        loader: DataLoader[Any],
    ) -> GaussianSite:
        with unwrapped(model) as own, torch.random.fork_rng([]):
            torch.default_generator.manual_seed(self._seed)
            task = task_of(own, self._data(loader), most=self._max_examples, unit=self._unit, collate=loader.collate_fn)
            most, seed = self._max_examples, self._seed
            return describe_site(
                site_of_adam(own, task, optimizer, args, state, clip=self._clip, max_examples=most, seed=seed), own
            )

    def _data(self, loader: DataLoader[Any]) -> object:
        return loader.dataset if self._examples is None else self._examples

    def _look(self, model: nn.Module, loader: DataLoader[Any], *, fresh: bool) -> None:
        with unwrapped(model) as own, torch.random.fork_rng([]):
            data = self._data(loader)
            if not isinstance(data, IterableDataset):  # a stream would lose what is looked at
                task_of(own, data, unit=self._unit, collate=loader.collate_fn)
            trained = {name for name, parameter in own.named_parameters() if parameter.requires_grad}
            self._pretrained = {"pretrained": digest(parameters_of(own, trained))} if fresh else {}

    def _keep(self, site: GaussianSite) -> GaussianSite:
        details = {**site.record.details, **self._pretrained}
        self.site = site = replace(site, record=replace(site.record, details=details))
        if self.path is not None:
            save_site(site, self.path, mean=self._mean)
        return site

    def _warn(self, error: Exception, model: nn.Module) -> None:
        name = type(model).__name__
        again = (
            "PeftModel.from_pretrained(MODEL, CHECKPOINT, is_trainable=True)"
            if "Peft" in name
            else f"{name}.from_pretrained(CHECKPOINT)"
        )
        warnings.warn(
            f"the posterior could not be captured ({type(error).__name__}: {error}). The trained model is as it would"
            f" be without it. To make it later: PosteriorCallback({str(self.path)!r}).capture({again},"
            " trainer.get_train_dataloader())",
            NoPosterior,
            stacklevel=2,
        )
