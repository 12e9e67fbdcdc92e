"""Names of a recipe's fields: which one was meant by a name that is not there, and what other tools call it."""

import difflib
from collections.abc import Mapping, Sequence

__all__ = ["nearest", "suggestion"]

_NAMES_IN_MESSAGE = 8

# What PEFT, TRL, transformers, axolotl and LLaMA-Factory call it: the field here, and what to mind.
_ELSEWHERE: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(("lora_r", "lora_rank", "rank"), ("finetune.r", "")),
    "lora_alpha": ("finetune.alpha", ""),
    "lora_dropout": ("finetune.dropout", ""),
    **dict.fromkeys(
        ("lora_target_modules", "target_modules", "lora_target", "lora_target_linear"), ("finetune.targets", "")
    ),
    **dict.fromkeys(("use_rslora", "peft_use_rslora"), ("finetune.rslora", "")),
    **dict.fromkeys(("use_peft", "adapter", "finetuning_type", "peft", "lora"), ("finetune.method", "method: lora")),
    "modules_to_save": ("", "new heads are trained whole, and nothing else can be yet"),
    **dict.fromkeys(
        ("epochs", "epoch", "num_epochs", "num_train_epochs"),
        ("finetune.epochs", "instead of steps"),
    ),
    **dict.fromkeys(("max_steps", "num_steps", "iterations"), ("finetune.steps", "")),
    **dict.fromkeys(("lr", "learning_rates"), ("finetune.learning_rate", "")),
    **dict.fromkeys(
        ("per_device_train_batch_size", "train_batch_size"), ("finetune.batch_size", "of a whole step, on all devices")
    ),
    **dict.fromkeys(("per_device_eval_batch_size", "eval_batch_size"), ("preview.batch_size", "")),
    "micro_batch_size": ("finetune.micro_batch", ""),
    "gradient_accumulation_steps": (
        "finetune.micro_batch",
        "rows per backward pass: batch_size divided by the accumulation steps",
    ),
    **dict.fromkeys(
        ("max_seq_length", "max_seq_len", "sequence_len", "cutoff_len", "model_max_length"), ("model.max_length", "")
    ),
    **dict.fromkeys(("base_model", "model_name_or_path", "model_name", "pretrained", "checkpoint"), ("model.path", "")),
    "task_type": ("model.kind", ""),
    **dict.fromkeys(
        ("dataset", "datasets", "data", "data_files", "train_file", "train_data"), ("tasks.NAME.train", "")
    ),
    **dict.fromkeys(
        ("eval", "val", "valid", "dev", "eval_dataset", "eval_data", "validation_file"), ("tasks.NAME.validation", "")
    ),
    **dict.fromkeys(("max_samples", "max_train_samples"), ("tasks.NAME.max_train", "")),
    "max_eval_samples": ("tasks.NAME.max_validation", ""),
    **dict.fromkeys(("num_labels", "classes", "label_names"), ("tasks.NAME.labels", "a list of all labels")),
    **dict.fromkeys(("metric", "metric_for_best_model"), ("tasks.NAME.metrics", "a list; the first is the headline")),
    **dict.fromkeys(("warmup_ratio", "warmup_steps"), ("finetune.warmup", "a share of the steps")),
    **dict.fromkeys(("lr_scheduler_type", "lr_scheduler", "scheduler"), ("finetune.decay", "")),
    **dict.fromkeys(("max_grad_norm", "gradient_clip", "grad_clip"), ("finetune.clip", "")),
    **dict.fromkeys(("bf16", "fp16"), ("finetune.mixed_precision", "mixed_precision: bf16, or fp16")),
    **dict.fromkeys(("optim", "optimizers"), ("finetune.optimizer", "")),
    **dict.fromkeys(
        ("freeze_layers", "frozen", "unfrozen_parameters"), ("finetune.freeze", "modules that stay as they are")
    ),
    **dict.fromkeys(
        ("weights", "weight", "alphas", "probs", "interleave_probs"),
        ("", "foretaste looks for the weights; remove this"),
    ),
}


def suggestion(name: str, place: str, allowed: Sequence[str], elsewhere: Mapping[str, Sequence[str]]) -> str:
    """Which field was meant by a name that a part of a recipe does not have.

    Args:
        name: What is there.
        place: The part, as in ``finetune`` or ``tasks.NAME``; empty at the top.
        allowed: The fields of this part.
        elsewhere: The fields of every part, by its place.

    Returns:
        The end of a sentence that begins with "unknown field".

    >>> suggestion("stepz", "finetune", ["steps", "batch_size"], {})
    'did you mean steps?'
    >>> suggestion("lora_alpha", "finetune", ["alpha", "r"], {})
    'did you mean alpha?'
    >>> suggestion("learning_rate", "", ["name", "model"], {"finetune": ["learning_rate"]})
    'did you mean finetune.learning_rate?'
    """
    if name in _ELSEWHERE:
        field, note = _ELSEWHERE[name]
        part, _, last = field.rpartition(".")
        closest = last if part and f"{place}.".startswith(f"{part}.") and last in allowed else field
        question = f"did you mean {closest}?" if closest else ""
        return f"{question} ({note})" if question and note else question or note
    close = _close(name, allowed)
    if close:
        return f"did you mean {close}?"
    places = [f"{part}.{name}".lstrip(".") for part, fields in elsewhere.items() if name in fields and part != place]
    if places:
        return f"did you mean {' or '.join(places)}?"
    return nearest(name, allowed, " (foretaste init --schema lists them)")


def nearest(name: str, allowed: Sequence[str], where: str = "") -> str:
    """Which of the allowed names was meant, or all of them.

    Args:
        name: What is there.
        allowed: What there is; at least one.
        where: Says where all of them are listed, if they are too many to list here.

    >>> nearest("worts", ["mean", "worst"])
    'did you mean worst?'
    """
    close = _close(name, allowed)
    if close:
        return f"did you mean {close}?"
    if len(allowed) <= _NAMES_IN_MESSAGE or not where:
        return f"there are {', '.join(allowed)}" if len(allowed) > 1 else f"there is only {allowed[0]}"
    return f"there are {', '.join(allowed[:_NAMES_IN_MESSAGE])} and {len(allowed) - _NAMES_IN_MESSAGE} more{where}"


def _close(name: str, allowed: Sequence[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name, allowed, n=1, cutoff=0.7)), None)
