"""Configurations of other trainers, with which they train on a written mixture as foretaste's joint run would.

"Mixing" means different things in them, by their documentation:

- TRL 1.8, https://huggingface.co/docs/trl/v1.8.0/script_utils (``DatasetMixtureConfig``) and ``sft_trainer``: data sets
  are concatenated. There is no weight: a data set's share is its size.
- axolotl of 2026, https://docs.axolotl.ai/docs/config-reference.html and axolotl-ai-cloud/axolotl issue 3108, pull
  request 3690: concatenated. ``weight`` is the part of a data set that is kept (at most 1), not its share.
- LLaMA-Factory 0.9, https://github.com/hiyouga/LLaMA-Factory, ``data/README.md`` and ``hparams/data_args.py``:
  ``interleave_probs`` are shares on average, and rows end with the first (``interleave_under``) or last data set
  (``interleave_over``), or are not repeated (``interleave_once``), which gives the shares up. A data set's
  ``num_samples`` is an exact count: all rows once, then some again. That has the meaning of alpha.
- NeMo AutoModel 0.7: see `foretaste.export.nemo_automodel`. Several files of one data set are concatenated.

So all of them read the written mixture, and LLaMA-Factory can read the sources as well. All average over a step's label
tokens.
"""

import json
import math
from collections.abc import Mapping, Sequence

import yaml

from foretaste.export.nemo_automodel import nemo_automodel_values
from foretaste.export.settings import TRAINER_NAMES, LoraSettings, Settings, Trainer, WrittenMixture, batch_sizes
from foretaste.export.trainer_checks import check_columns, check_trainer
from foretaste.export.trainer_notes import notes
from foretaste.sources.kind import ModelKind
from foretaste.sources.kinds import kind_named
from foretaste.train.training import Training

__all__ = ["configuration", "run_command"]

_RUN: Mapping[Trainer, str] = {
    "trl": "trl {} --config",
    "axolotl": "axolotl train",
    "llama-factory": "llamafactory-cli train",
    "nemo-automodel": "automodel",
}
_MIXTURE = "foretaste-mixture"


def configuration(trainer: Trainer, mixed: WrittenMixture, settings: Settings) -> dict[str, str]:
    """Write the files that make a trainer train one epoch of a mixture, in its order.

    Args:
        trainer: ``trl`` (``trl sft``), ``axolotl``, ``llama-factory`` or ``nemo-automodel``.
        mixed: The mixture.
        settings: The model, and how to train.

    Returns:
        Texts by file name, with `notes` as comments.

    Raises:
        TaskError: See `check_trainer`.
        DataError: The trainer cannot train on the mixture's columns.

    >>> from pathlib import Path
    >>> mixed = WrittenMixture(
    ...     Path("/m/train.jsonl"), "token", ("text",), ("task", "text"), {"a": 8, "b": 2}, {"a": 40, "b": 40}
    ... )
    >>> files = configuration("trl", mixed, Settings("gpt2", Training(steps=5, batch_size=2)))
    >>> list(files), yaml.safe_load(files["trl.yaml"])["datasets"]
    (['trl.yaml'], [{'path': 'json', 'data_files': '/m/train.jsonl', 'split': 'train', 'columns': ['text']}])
    """
    check_trainer(trainer, mixed.unit, settings)
    kind = kind_named(settings.kind)
    check_columns(trainer, kind, mixed)
    comments = notes(trainer, mixed, settings)
    if trainer == "llama-factory":
        return _llama_factory_files(mixed, settings, kind, comments)
    values = {"trl": _trl, "axolotl": _axolotl, "nemo-automodel": nemo_automodel_values}[trainer](mixed, settings)
    return {f"{trainer}.yaml": _text(trainer, kind, f"{trainer}.yaml", mixed, comments, values)}


def run_command(trainer: Trainer, kind: ModelKind, file: str = "") -> str:
    """Return the command that trains by a configuration, in the configuration's folder.

    Args:
        trainer: The trainer.
        kind: The model's kind.
        file: The configuration; the trainer's own if left out.

    >>> run_command("trl", kind_named("causal-lm"))
    'trl sft --config trl.yaml'
    """
    return f"{_RUN[trainer].format(kind.trainers[trainer])} {file or f'{trainer}.yaml'}"


def _text(
    trainer: Trainer,
    kind: ModelKind,
    file: str,
    mixed: WrittenMixture,
    notes: Sequence[str],
    values: Mapping[str, object],
) -> str:
    run = f"{TRAINER_NAMES[trainer]}, written by foretaste. Run in this folder: {run_command(trainer, kind, file)}."
    moved = " If it moves, correct the paths." if mixed.data.is_absolute() else ""
    comments = "".join(f"# {line}\n" for line in (run + moved, *notes))
    return comments + yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=1000)


def _common(mixed: WrittenMixture, training: Training) -> dict[str, object]:
    """Return the settings that three trainers call the same, since they use transformers' Trainer."""
    return {
        "gradient_accumulation_steps": batch_sizes(training)[1],
        "learning_rate": training.learning_rate,
        "warmup_steps": math.ceil(training.warmup * math.ceil(mixed.rows / training.batch_size)),
        "weight_decay": training.weight_decay,
        "max_grad_norm": training.clip or 0.0,
        "bf16": training.mixed_precision == "bf16",
        "fp16": training.mixed_precision == "fp16",
        "seed": training.seed,
    }


def _schedule(training: Training) -> str:
    return "constant_with_warmup" if training.decay == "constant" and training.warmup else training.decay


def _transformers(mixed: WrittenMixture, training: Training) -> dict[str, object]:
    """Return the settings under the names that TRL and LLaMA-Factory use."""
    size = {"num_train_epochs": 1, "per_device_train_batch_size": batch_sizes(training)[0]}
    return {**size, "lr_scheduler_type": _schedule(training), "optim": "adamw_torch", **_common(mixed, training)}


def _trl(mixed: WrittenMixture, settings: Settings) -> dict[str, object]:
    data = {"path": mixed.builder, "data_files": str(mixed.data), "split": "train", "columns": list(mixed.roles)}
    loss_settings: dict[str, dict[str, object]] = {
        "messages": {"assistant_only_loss": True},
        "prompt": {"completion_only_loss": True},
        "text": {"dataset_text_field": "text"},
    }
    return {
        "model_name_or_path": settings.model,
        "output_dir": mixed.output("trl"),
        "datasets": [data],
        "shuffle_dataset": False,
        "train_sampling_strategy": "sequential",
        "packing": False,
        **loss_settings[mixed.roles[0]],
        "max_length": settings.max_length,
        "eval_strategy": "no",
        **_transformers(mixed, settings.training),
        **(_trl_lora(settings, settings.lora) if settings.lora else {}),
    }


def _trl_lora(settings: Settings, lora: LoraSettings) -> dict[str, object]:
    return {
        "use_peft": True,
        "lora_r": lora.r,
        "lora_alpha": int(lora.alpha),
        "lora_dropout": lora.dropout,
        "lora_target_modules": list(lora.targets),
        "lora_task_type": kind_named(settings.kind).peft_type,
        "use_rslora": lora.rslora,
    }


def _axolotl(mixed: WrittenMixture, settings: Settings) -> dict[str, object]:
    plain = {
        "system_prompt": "",
        "field_instruction": "prompt",
        "field_output": "completion",
        "format": "{instruction}",
    }
    formats: dict[str, dict[str, object]] = {
        "messages": {
            "type": "chat_template",
            "field_messages": "messages",
            "roles_to_train": ["assistant"],
            "train_on_eos": "turn",
        },
        "prompt": {"type": {**plain, "no_input_format": "{instruction}"}},
        "text": {"type": "completion", "field": "text"},
    }
    return {
        "base_model": settings.model,
        "output_dir": mixed.output("axolotl"),
        "datasets": [{"path": str(mixed.data), "ds_type": mixed.builder, "split": "train", **formats[mixed.roles[0]]}],
        "shuffle_merged_datasets": False,
        "curriculum_sampling": True,
        "sample_packing": False,
        "dataset_exact_deduplication": False,
        "val_set_size": 0.0,
        "train_on_inputs": False,
        "sequence_len": settings.max_length,
        "excess_length_strategy": "truncate",
        "num_epochs": 1,
        "micro_batch_size": batch_sizes(settings.training)[0],
        "lr_scheduler": _schedule(settings.training),
        "optimizer": "adamw_torch",
        **_common(mixed, settings.training),
        **(_axolotl_lora(settings.lora) if settings.lora else {}),
        **({"unfrozen_parameters": [f"{name}$" for name in settings.trained]} if settings.trained else {}),
    }


def _axolotl_lora(lora: LoraSettings) -> dict[str, object]:
    return {
        "adapter": "lora",
        "lora_r": lora.r,
        "lora_alpha": int(lora.alpha),
        "lora_dropout": lora.dropout,
        "lora_target_modules": list(lora.targets),
        "peft_use_rslora": lora.rslora,
    }


def _llama_factory_files(
    mixed: WrittenMixture, settings: Settings, kind: ModelKind, comments: Sequence[str]
) -> dict[str, str]:
    native, entries = {}, {_MIXTURE: _entry(mixed.data.name, {role: role for role in mixed.roles})}
    for task, source in mixed.sources.items():
        entries[task] = {**_entry(str(source.file), source.columns), "num_samples": mixed.counts[task]}
    if mixed.sources:
        reads = (
            "Reads the sources themselves: each task's rows are all of its file's, then some again, as many as"
            " num_samples in dataset_info.json says. These are the mixture's counts; order and repeats are drawn by"
            " LLaMA-Factory."
        )
        values = _llama_factory(mixed, settings, {"dataset": ",".join(mixed.sources), "mix_strategy": "concat"})
        native["llama-factory-sources.yaml"] = _text(
            "llama-factory", kind, "llama-factory-sources.yaml", mixed, [reads, *comments[2:]], values
        )
    values = _llama_factory(mixed, settings, {"dataset": _MIXTURE, "disable_shuffling": True})
    text, data_sets = (
        _text("llama-factory", kind, "llama-factory.yaml", mixed, comments, values),
        json.dumps(entries, indent=1, ensure_ascii=False),
    )
    return {"llama-factory.yaml": text, **native, "dataset_info.json": data_sets + "\n"}


def _entry(file: str, columns: Mapping[str, str]) -> dict[str, object]:
    """Make the entry of a file in ``dataset_info.json``."""
    if "messages" in columns:
        tags = {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
            "system_tag": "system",
        }
        return {"file_name": file, "formatting": "sharegpt", "columns": {"messages": columns["messages"]}, "tags": tags}
    if "text" in columns:
        return {"file_name": file, "columns": {"prompt": columns["text"]}}
    return {"file_name": file, "columns": {"prompt": columns["prompt"], "response": columns["completion"]}}


def _llama_factory(mixed: WrittenMixture, settings: Settings, data: Mapping[str, object]) -> dict[str, object]:
    return {
        "model_name_or_path": settings.model,
        "stage": "pt" if mixed.roles == ("text",) else kind_named(settings.kind).trainers["llama-factory"],
        "do_train": True,
        **(_llama_factory_lora(settings.lora) if settings.lora else {"finetuning_type": "full"}),
        "output_dir": mixed.output("llama-factory"),
        "dataset_dir": str(mixed.data.parent),
        **data,
        **({"template": "empty"} if mixed.roles == ("prompt", "completion") else {}),
        "cutoff_len": settings.max_length,
        "packing": False,
        **_transformers(mixed, settings.training),
    }


def _llama_factory_lora(lora: LoraSettings) -> dict[str, object]:
    return {
        "finetuning_type": "lora",
        "lora_rank": lora.r,
        "lora_alpha": int(lora.alpha),
        "lora_dropout": lora.dropout,
        "lora_target": ",".join(lora.targets),
        "use_rslora": lora.rslora,
    }
