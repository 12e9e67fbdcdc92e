"""The configuration with which NeMo AutoModel trains on a written mixture.

Written from the documentation of NeMo AutoModel 0.7 (26.10, Apache-2.0), and never run here, since it needs an NVIDIA
GPU: https://docs.nvidia.com/nemo/automodel/v0.7/recipes-e2e-examples/sft-peft for the sections and the command,
``datasets/columnmapped-dataset`` and the guide of ``ChatDataset`` for the rows, ``development/checkpointing`` for the
folder that is written, ``development/mixed-precision-training`` for the precision, and the reference of
``components/optim/scheduler`` for the learning rate.
"""

import math
from collections.abc import Mapping

from foretaste.export.settings import LoraSettings, Settings, WrittenMixture, batch_sizes
from foretaste.train.training import Training

__all__ = ["nemo_automodel_values"]

_DATASETS = "nemo_automodel.components.datasets"
_COLLATE = {"_target_": f"{_DATASETS}.utils.default_collater"}
_NO_CLIPPING = 1e30


def nemo_automodel_values(mixed: WrittenMixture, settings: Settings) -> dict[str, object]:
    """Return the sections of the recipe that trains one epoch of a mixture, in its order on one device.

    Args:
        mixed: The mixture, of chats or of prompts with completions.
        settings: The model, and how to train it.

    >>> from pathlib import Path
    >>> mixed = WrittenMixture(Path("train.jsonl"), "token", ("messages",), ("task", "messages"), {"a": 8}, {"a": 40})
    >>> nemo_automodel_values(mixed, Settings("gpt2", Training(steps=2, batch_size=4)))["step_scheduler"]
    {'global_batch_size': 4, 'local_batch_size': 4, 'num_epochs': 1, 'ckpt_every_steps': 2}
    """
    training, steps = settings.training, math.ceil(mixed.rows / settings.training.batch_size)
    batches = {"global_batch_size": training.batch_size, "local_batch_size": batch_sizes(training)[0]}
    return {
        "recipe": "TrainFinetuneRecipeForNextTokenPrediction",
        "seed": training.seed,
        "step_scheduler": {**batches, "num_epochs": 1, "ckpt_every_steps": steps},
        "dist_env": {"backend": "nccl", "timeout_minutes": 30},
        "distributed": {"strategy": "fsdp2", "dp_size": None, "tp_size": 1, "cp_size": 1},
        "model": {
            "_target_": "nemo_automodel.NeMoAutoModelForCausalLM.from_pretrained",
            "pretrained_model_name_or_path": settings.model,
            "dtype": "float32",
        },
        **({"peft": _peft(settings.lora)} if settings.lora else {}),
        "loss_fn": {"_target_": "nemo_automodel.components.loss.masked_ce.MaskedCrossEntropy"},
        "dataset": _dataset(mixed, settings),
        "dataloader": {
            "_target_": "torchdata.stateful_dataloader.StatefulDataLoader",
            "collate_fn": _COLLATE,
            "shuffle": False,
        },
        "optimizer": {
            "_target_": "torch.optim.AdamW",
            "lr": training.learning_rate,
            "weight_decay": training.weight_decay,
        },
        "lr_scheduler": _schedule(training, steps),
        "clip_grad_norm": {"max_norm": training.clip or _NO_CLIPPING},
        "checkpoint": {
            "enabled": True,
            "checkpoint_dir": mixed.output("nemo-automodel"),
            "model_save_format": "safetensors",
            "save_consolidated": "final",
        },
    }


def _dataset(mixed: WrittenMixture, settings: Settings) -> dict[str, object]:
    length = {"seq_length": settings.max_length, "padding": "do_not_pad", "truncation": "longest_first"}
    if mixed.roles == ("messages",):
        target: Mapping[str, object] = {"_target_": f"{_DATASETS}.llm.chat_dataset.ChatDataset"}
        return {**target, "path_or_dataset_id": str(mixed.data), **length}
    name = "ColumnMappedTextInstructionDataset"
    return {
        "_target_": f"{_DATASETS}.llm.column_mapped_text_instruction_dataset.{name}",
        "path_or_dataset_id": [str(mixed.data)],
        "column_mapping": {"question": "prompt", "answer": "completion"},
        "answer_only_loss_mask": True,
        **length,
    }


def _schedule(training: Training, steps: int) -> dict[str, object]:
    """Return the learning rate's schedule; without these values it would begin at a tenth and end at a hundredth."""
    return {
        "lr_decay_style": training.decay,
        "lr_warmup_steps": math.ceil(training.warmup * steps),
        "lr_decay_steps": steps,
        "init_lr": 0.0,
        "min_lr": 0.0,
    }


def _peft(lora: LoraSettings) -> dict[str, object]:
    """Return the factors' settings; a target without a dot is the end of a layer's name."""
    return {
        "_target_": "nemo_automodel.components._peft.lora.PeftConfig",
        "target_modules": [target if "." in target else f"*.{target}" for target in lora.targets],
        "dim": lora.r,
        "alpha": int(lora.alpha),
        "dropout": lora.dropout,
        "dropout_position": "pre",
        "lora_A_init": "uniform",
    }
