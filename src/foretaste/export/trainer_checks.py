"""Checks before a configuration is written: what a trainer cannot train is refused."""

from foretaste.errors import DataError, TaskError
from foretaste.export.settings import TRAINER_NAMES, LoraSettings, Settings, Trainer, WrittenMixture
from foretaste.sources.kind import ModelKind
from foretaste.sources.kinds import kind_named
from foretaste.task import Unit

__all__ = ["check_columns", "check_trainer"]


def check_trainer(trainer: Trainer, unit: Unit, settings: Settings | None) -> None:
    """Check that a trainer can train with these settings.

    Args:
        trainer: The trainer.
        unit: The unit that alpha's losses are means over.
        settings: The model, and how to train it.

    Raises:
        TaskError: There are no settings, the trainer cannot train this kind of model or these params, or alpha's unit
            is not tokens.

    >>> from foretaste.train.training import Training
    >>> check_trainer("trl", "token", Settings("gpt2", Training(steps=5)))
    """
    name = TRAINER_NAMES[trainer]
    if settings is None:
        raise TaskError(f"a configuration of {name} needs to know the model; give settings=Settings(model, training)")
    if trainer not in kind_named(settings.kind).trainers:
        raise TaskError(
            f"{name} is configured here for causal language models, and this model is of the kind {settings.kind!r}; "
            "export without it, and train on the mixture with a script of your own: one epoch, without shuffling"
        )
    if unit != "token":
        raise TaskError(
            f"alpha weighs losses that are means over examples, and {name} averages over label tokens, so tasks with"
            " long answers would weigh more than alpha says; study with unit: token, or export without a trainer's"
            " configuration"
        )
    if settings.lora is not None:
        _check_lora(trainer, settings.lora)
    if settings.trained is not None and trainer != "axolotl":
        raise TaskError(
            f"the recipe freezes some modules (finetune.freeze), which {name}'s configuration cannot say; "
            "export for axolotl, or without a trainer's configuration"
        )


def check_columns(trainer: Trainer, kind: ModelKind, mixed: WrittenMixture) -> None:
    """Check that a trainer can train on a mixture's columns.

    Args:
        trainer: The trainer.
        kind: The model's kind, which says what it is trained on.
        mixed: The mixture.

    Raises:
        DataError: Other columns than the kind's, or one that the trainer would put into prompts.

    >>> from pathlib import Path
    >>> mixed = WrittenMixture(Path("/m/train.jsonl"), "token", ("image", "label"), ("image",), {"a": 8}, {"a": 8})
    >>> check_columns("trl", kind_named("causal-lm"), mixed)
    Traceback (most recent call last):
    ...
    foretaste.errors.DataError: TRL needs columns ...; the mixture has image, label
    """
    if mixed.roles not in kind.formats:
        usual = ", or ".join(" and ".join(roles) for roles in kind.formats)
        raise DataError(f"{TRAINER_NAMES[trainer]} needs columns {usual}; the mixture has {', '.join(mixed.roles)}")
    if trainer == "nemo-automodel" and (mixed.roles == ("text",) or mixed.builder != "json"):
        raise DataError(
            "NeMo AutoModel reads chats, or prompts and completions, from JSON lines; the mixture has"
            f" {', '.join(mixed.roles)} in {mixed.data.name}; give the data such columns, and write jsonl"
        )
    for column in ("input", "system"):
        if trainer == "axolotl" and "prompt" in mixed.roles and column in mixed.columns:
            raise DataError(f"axolotl would put the column {column!r} into prompts; rename or remove it in the data")


def _check_lora(trainer: Trainer, lora: LoraSettings) -> None:
    name = TRAINER_NAMES[trainer]
    if lora.rslora and trainer == "nemo-automodel":
        raise TaskError(
            f"the recipe scales factors by the root of their rank (finetune.rslora), which {name} cannot; train without"
            " rslora, or export for another trainer"
        )
    if not lora.train_a:
        raise TaskError(
            f"the recipe trains B alone (finetune.train_a: false), which {name}'s configuration cannot say; "
            "train A too, or export without a trainer's configuration"
        )
    if not float(lora.alpha).is_integer():
        raise TaskError(
            f"{name} takes a whole number for LoRA's alpha, and the recipe has {lora.alpha}; choose a whole one"
        )
