"""A posterior file at the end of an ordinary run of transformers' `Trainer`, or of TRL's `SFTTrainer`.

With one more callback, the run leaves a site beside its checkpoint::

    callback = PosteriorCallback()
    trainer = Trainer(model, arguments, train_dataset=data, callbacks=[callback])
    trainer.train()
    callback.site, callback.path  # the posterior, and the file that it is in

The data set, its collator and the model's own reading of labels are those of the run (see `foretaste.sources.loop`).
A loss other than cross-entropy is named: ``PosteriorCallback(loss="squared")``.
With ``estimate="adam"`` the curvature is the second moment of the run's optimizer, at no cost. Everything that would
prevent the posterior is checked before the first step, and raises an error there. Afterwards nothing raises: if the
posterior cannot be made, there is a warning, and the trained model is what it would be without the callback.
"""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from foretaste.digests import digest
from foretaste.errors import ForetasteError, ParamsError, RunFailed
from foretaste.estimate.fisher import Labels
from foretaste.loss.cross_entropy import ClassLoss
from foretaste.loss.loss import Loss
from foretaste.loss.names import LossName, loss_named
from foretaste.params import parameters_of
from foretaste.posterior.site import GaussianSite
from foretaste.sources.extra import transformers
from foretaste.sources.loop import Collate, Estimator, capture, describe_site, task_of, unwrapped
from foretaste.sources.site_file import NAME, save_site
from foretaste.sources.trainer_adam import check_adam, site_of_adam
from foretaste.task import Unit

__all__ = ["NoPosterior", "PosteriorCallback"]


class NoPosterior(UserWarning):
    """A warning that a run ended well without a posterior; the message has the call that makes it later.

    >>> issubclass(NoPosterior, UserWarning)
    True
    """


class PosteriorCallback(transformers.TrainerCallback):  # type: ignore[misc] # transformers is not typed
    """Captures a task's site when training ends, and writes it to a file.

    Args:
        path: The file; ``foretaste-site.safetensors`` in the run's ``output_dir`` if left out.
        estimate: ``fisher`` (diagonal, from per-example gradients), ``kfac`` (Kronecker), or ``adam`` (diagonal, from
            the optimizer's second moment).
        labels: ``sampled`` (default), ``empirical`` or ``exact``; Adam's are the data's own.
        loss: The loss that is trained: ``cross-entropy``, ``squared``, ``bernoulli``, or a `Loss`.
        max_examples: Most examples to use, chosen at random; None for all.
        unit: Unit that losses are means over; by default label tokens of sequences, and examples otherwise.
        examples: Other examples than the run's training data, for the same collator.
        batch_size: Examples per pass; the run's batch size per device if left out.
        clip: For ``adam``: the factor by which clipping multiplied gradients; from the run's log if left out.
        mean: Whether the file has the params besides the curvature.
        seed: Seed of the chosen examples and the drawn labels.

    Attributes:
        site: The site, on the CPU; None until there is one.
        path: The site's file; None until a path is given or a run begins.

    Raises:
        ParamsError: ``adam`` is asked of a loss that is not cross-entropy.
        TaskError: There is no such loss.

    >>> PosteriorCallback("news.safetensors", labels="exact").path
    PosixPath('news.safetensors')
    """

    def __init__(
        self,
        path: Path | str | None = None,
        *,
        estimate: Estimator | Literal["adam"] = "fisher",
        labels: Labels = "sampled",
        loss: LossName | Loss = "cross-entropy",
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
        self._loss = loss_named(loss)
        if estimate == "adam" and not isinstance(self._loss, ClassLoss):
            raise ParamsError(
                f"estimate='adam' is for cross-entropy and not for {self._loss}: libraries scale other losses by"
                " factors of their own, which Adam squares; give estimate='fisher'"
            )
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
        """Check that this model and data can have a posterior, and record the params that training starts from.

        Raises:
            ForetasteError: They cannot; the message says why and what to do.
        """
        if not state.is_world_process_zero:
            return
        self.site, self.path = None, self.path if self._named else Path(args.output_dir) / NAME
        if self._estimate == "adam":
            check_adam(args, state, optimizer, self._clip)
        try:
            self._check(model, train_dataloader, fresh=state.global_step == 0)
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
            NoPosterior: The site could not be made or written.
        """
        if not state.is_world_process_zero:
            return
        try:
            if self._estimate == "adam":
                self._keep(self._of_adam(args, state, model, optimizer, train_dataloader))
            else:
                size = self._batch_size or args.per_device_train_batch_size
                self._keep(self._of_data(model, self._data(train_dataloader), train_dataloader.collate_fn, size))
        except Exception as error:  # no error may cost the user a model that was trained for hours
            self._warn(error, model)

    def capture(self, model: nn.Module, data: object, collate: Collate | None = None) -> GaussianSite:
        """Make the site by hand, for example of a model loaded from a checkpoint.

        The estimate is ``fisher`` if the callback's is ``adam``.

        Args:
            model: The model, which `foretaste.sources.loop.capture` can read.
            data: The training data: a `DataLoader` (``trainer.get_train_dataloader()``) or a data set.
            collate: Function from examples to a batch; the loader's if left out.

        Returns:
            The site. It is also written if the callback has a path.

        Raises:
            ForetasteError: The site cannot be made or written.
        """
        return self._keep(self._of_data(model, data, collate, self._batch_size))

    def _of_data(self, model: nn.Module, data: object, collate: Collate | None, size: int | None) -> GaussianSite:
        return capture(
            model,
            data,
            estimate="kfac" if self._estimate == "kfac" else "fisher",
            labels=self._labels,
            loss=self._loss,
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

    def _check(self, model: nn.Module, loader: DataLoader[Any], *, fresh: bool) -> None:
        with unwrapped(model) as own, torch.random.fork_rng([]):
            data = self._data(loader)
            if not isinstance(data, IterableDataset):  # a stream would lose the examples that are checked
                task_of(own, data, loss=self._loss, unit=self._unit, collate=loader.collate_fn)
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
