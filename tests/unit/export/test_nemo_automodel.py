from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from foretaste.export.nemo_automodel import nemo_automodel_values
from foretaste.export.settings import LoraSettings, Settings, WrittenMixture
from foretaste.export.trainers import configuration
from foretaste.train.training import Training

SETTINGS = Settings(
    "org/model", Training(steps=5, batch_size=12, micro_batch=5, learning_rate=3e-5, warmup=0.25, seed=7), max_length=64
)
# The sections that the documentation calls required, and those that it shows as optional.
REQUIRED = {"recipe", "model", "dataset", "dataloader", "loss_fn", "optimizer", "distributed"}
OPTIONAL = {"step_scheduler", "dist_env", "peft", "lr_scheduler", "clip_grad_norm", "checkpoint", "seed"}


def mixed(*roles: str) -> WrittenMixture:
    return WrittenMixture(
        Path("train.jsonl"), "token", roles, ("task", *roles), {"a": 75, "b": 25}, {"a": 150, "b": 150}
    )


def values_of(settings: Settings = SETTINGS, *roles: str) -> dict[str, Any]:
    """The configuration as it is read back from the file."""
    text = configuration("nemo-automodel", mixed(*(roles or ("prompt", "completion"))), settings)
    values: dict[str, Any] = yaml.safe_load(text["nemo-automodel.yaml"])
    return values


def test_sections_are_those_of_the_documentation() -> None:
    plain = set(values_of())
    assert plain >= REQUIRED
    assert plain <= REQUIRED | OPTIONAL
    assert "peft" not in plain


def test_one_epoch_of_the_rows_in_their_order_as_the_joint_run_trains() -> None:
    values = values_of()
    assert values["step_scheduler"] == {
        "global_batch_size": 12,
        "local_batch_size": 4,
        "num_epochs": 1,
        "ckpt_every_steps": 9,  # ceil(100 / 12): one checkpoint, at the end
    }
    assert values["dataloader"]["shuffle"] is False
    assert values["lr_scheduler"] == {
        "lr_decay_style": "linear",
        "lr_warmup_steps": 3,
        "lr_decay_steps": 9,
        "init_lr": 0.0,
        "min_lr": 0.0,
    }
    assert (values["optimizer"]["lr"], values["seed"], values["clip_grad_norm"]) == (3e-5, 7, {"max_norm": 1.0})
    assert values["model"]["pretrained_model_name_or_path"] == "org/model"
    assert values["checkpoint"]["checkpoint_dir"] == "trained-by-nemo-automodel"
    assert values["checkpoint"]["save_consolidated"] == "final"


def test_no_clipping_is_a_bound_that_nothing_reaches() -> None:
    values = nemo_automodel_values(mixed("messages"), replace(SETTINGS, training=replace(SETTINGS.training, clip=None)))
    assert values["clip_grad_norm"] == {"max_norm": 1e30}


@pytest.mark.parametrize(
    ("roles", "name"), [(("messages",), "ChatDataset"), (("prompt", "completion"), "ColumnMapped")]
)
def test_rows_are_read_by_the_data_set_of_their_format(roles: tuple[str, ...], name: str) -> None:
    dataset = values_of(SETTINGS, *roles)["dataset"]
    assert name in dataset["_target_"]
    assert "train.jsonl" in dataset["path_or_dataset_id"]
    assert (dataset["seq_length"], dataset["truncation"]) == (64, "longest_first")


def test_prompts_are_not_learned() -> None:
    dataset = values_of()["dataset"]
    assert dataset["column_mapping"] == {"question": "prompt", "answer": "completion"}
    assert dataset["answer_only_loss_mask"] is True


def test_factors_are_those_of_the_recipe() -> None:
    lora = LoraSettings(r=8, alpha=32, targets=("q_proj", "model.layers.0.mlp.down_proj"), dropout=0.05)
    peft = values_of(replace(SETTINGS, lora=lora))["peft"]
    assert peft["target_modules"] == ["*.q_proj", "model.layers.0.mlp.down_proj"]
    assert (peft["dim"], peft["alpha"], peft["dropout"], peft["dropout_position"]) == (8, 32, 0.05, "pre")
