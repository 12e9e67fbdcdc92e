import json
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import transformers
import yaml

from foretaste.errors import DataError, TaskError
from foretaste.export.settings import LoraSettings, Settings, Source, Trainer, WrittenMixture
from foretaste.export.trainer_notes import notes
from foretaste.export.trainers import configuration
from foretaste.train.training import Training

TRAINERS: tuple[Trainer, ...] = ("trl", "axolotl", "llama-factory")
ROLES = [("messages",), ("prompt", "completion"), ("text",)]
SETTINGS = Settings(
    "org/model", Training(steps=5, batch_size=12, micro_batch=5, learning_rate=3e-5, warmup=0.25, seed=7), max_length=64
)


def mixed(*roles: str) -> WrittenMixture:
    return WrittenMixture(
        Path("/m/train.parquet"), "token", roles, ("task", *roles), {"a": 75, "b": 25}, {"a": 150, "b": 150}
    )


def values_of(trainer: Trainer, mixture: WrittenMixture, settings: Settings = SETTINGS) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(configuration(trainer, mixture, settings)[f"{trainer}.yaml"])
    return values


@pytest.mark.parametrize("roles", ROLES)
@pytest.mark.parametrize("trainer", TRAINERS)
class TestEveryTrainer:
    def test_one_epoch_as_the_joint_run_trains(self, trainer: Trainer, roles: tuple[str, ...]) -> None:
        values = values_of(trainer, mixed(*roles))
        assert values["num_epochs" if trainer == "axolotl" else "num_train_epochs"] == 1
        assert values["base_model" if trainer == "axolotl" else "model_name_or_path"] == "org/model"
        assert values["micro_batch_size" if trainer == "axolotl" else "per_device_train_batch_size"] == 4
        assert values["gradient_accumulation_steps"] == 3
        assert (values["learning_rate"], values["seed"], values["weight_decay"], values["max_grad_norm"]) == (
            3e-5,
            7,
            0,
            1,
        )
        assert values["warmup_steps"] == 3  # a quarter of 9 steps
        assert values["lr_scheduler" if trainer == "axolotl" else "lr_scheduler_type"] == "linear"
        assert (values["bf16"], values["fp16"]) == (False, False)
        assert (
            values[
                "sequence_len" if trainer == "axolotl" else "cutoff_len" if trainer == "llama-factory" else "max_length"
            ]
            == 64
        )

    def test_notes_are_comments(self, trainer: Trainer, roles: tuple[str, ...]) -> None:
        text = configuration(trainer, mixed(*roles), SETTINGS)[f"{trainer}.yaml"]
        for note in notes(trainer, mixed(*roles), SETTINGS):
            assert f"# {note}\n" in text
        assert "Reads train.parquet: " in text

    def test_jsonl_too(self, trainer: Trainer, roles: tuple[str, ...]) -> None:
        files = configuration(trainer, replace(mixed(*roles), data=Path("/m/train.jsonl")), SETTINGS)
        assert any(
            "train.jsonl" in line for text in files.values() for line in text.splitlines() if not line.startswith("#")
        )


@pytest.mark.parametrize("trainer", TRAINERS)
def test_other_columns_are_refused(trainer: Trainer) -> None:
    with pytest.raises(
        DataError, match="needs columns messages, or prompt and completion, or text; the mixture has source, target"
    ):
        configuration(trainer, mixed("source", "target"), SETTINGS)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_notes_name_what_cannot_be_carried_over(trainer: Trainer) -> None:
    training = Training(
        steps=5, prior_precision=0.1, optimizer="sgd", weight_decay=0.01, clip=None, warmup=0.1, decay="constant"
    )
    settings = replace(SETTINGS, training=replace(training, mixed_precision="bf16"))
    text = " ".join(notes(trainer, mixed("text"), settings))
    assert "prior_precision" in text
    assert "uses sgd; this is AdamW" in text
    assert "Weight decay leaves out biases" in text
    assert "Warm-up begins at 0" in text
    values = values_of(trainer, mixed("text"), settings)
    assert (values["max_grad_norm"], values["bf16"]) == (0, True)
    assert "constant_with_warmup" in values.values()


def test_transformers_knows_the_options() -> None:
    """TRL and LLaMA-Factory hand these on to it; the order's option is new in transformers 5."""
    known = {field.name for field in fields(transformers.TrainingArguments)} | {"train_sampling_strategy"}
    values = set(values_of("trl", mixed("text"))) & set(values_of("llama-factory", mixed("text"))) - {
        "model_name_or_path",
        "packing",
    }
    assert len(values) > 10
    assert values | {"eval_strategy", "train_sampling_strategy"} <= known


class TestTrl:
    def test_order_and_columns(self) -> None:
        values = values_of("trl", mixed("prompt", "completion"))
        assert values["datasets"] == [
            {"path": "parquet", "data_files": "/m/train.parquet", "split": "train", "columns": ["prompt", "completion"]}
        ]
        assert (values["shuffle_dataset"], values["train_sampling_strategy"], values["packing"]) == (
            False,
            "sequential",
            False,
        )
        assert values["eval_strategy"] == "no"

    @pytest.mark.parametrize(
        ("roles", "learned"),
        [
            (("messages",), ("assistant_only_loss", True)),
            (("prompt", "completion"), ("completion_only_loss", True)),
            (("text",), ("dataset_text_field", "text")),
        ],
    )
    def test_what_is_learned(self, roles: tuple[str, ...], learned: tuple[str, object]) -> None:
        assert learned in values_of("trl", mixed(*roles)).items()


class TestAxolotl:
    def test_nothing_is_shuffled_dropped_or_split(self) -> None:
        values = values_of("axolotl", mixed("text"))
        assert values["datasets"] == [
            {"path": "/m/train.parquet", "ds_type": "parquet", "split": "train", "type": "completion", "field": "text"}
        ]
        assert (values["shuffle_merged_datasets"], values["curriculum_sampling"], values["sample_packing"]) == (
            False,
            True,
            False,
        )
        assert (values["dataset_exact_deduplication"], values["val_set_size"], values["excess_length_strategy"]) == (
            False,
            0,
            "truncate",
        )

    def test_prompts_are_taken_as_they_are(self) -> None:
        kind = values_of("axolotl", mixed("prompt", "completion"))["datasets"][0]["type"]
        assert (kind["field_instruction"], kind["field_output"]) == ("prompt", "completion")
        assert kind["no_input_format"].format(instruction="2 + 2?") == "2 + 2?"
        assert kind["system_prompt"] == ""

    def test_chats(self) -> None:
        values = values_of("axolotl", mixed("messages"))["datasets"][0]
        assert (values["type"], values["field_messages"], values["roles_to_train"]) == (
            "chat_template",
            "messages",
            ["assistant"],
        )

    @pytest.mark.parametrize("column", ["input", "system"])
    def test_columns_that_it_would_put_into_prompts(self, column: str) -> None:
        columns = ("task", "prompt", "completion", column)
        with pytest.raises(
            DataError, match=f"axolotl would put the column '{column}' into prompts; rename or remove it"
        ):
            configuration("axolotl", replace(mixed("prompt", "completion"), columns=columns), SETTINGS)
        assert configuration("axolotl", replace(mixed("messages"), columns=("task", "messages", column)), SETTINGS)


class TestLlamaFactory:
    def info(self, mixture: WrittenMixture) -> dict[str, Any]:
        values: dict[str, Any] = json.loads(configuration("llama-factory", mixture, SETTINGS)["dataset_info.json"])
        return values

    def test_the_mixture_in_its_order(self) -> None:
        values = values_of("llama-factory", mixed("prompt", "completion"))
        assert (values["dataset"], values["dataset_dir"], values["disable_shuffling"]) == (
            "foretaste-mixture",
            "/m",
            True,
        )
        assert (values["stage"], values["template"], values["packing"], values["finetuning_type"]) == (
            "sft",
            "empty",
            False,
            "full",
        )
        assert self.info(mixed("prompt", "completion")) == {
            "foretaste-mixture": {
                "file_name": "train.parquet",
                "columns": {"prompt": "prompt", "response": "completion"},
            }
        }

    def test_texts_and_chats(self) -> None:
        assert values_of("llama-factory", mixed("text"))["stage"] == "pt"
        assert self.info(mixed("text"))["foretaste-mixture"]["columns"] == {"prompt": "text"}
        assert "template" not in values_of("llama-factory", mixed("messages"))
        entry = self.info(mixed("messages"))["foretaste-mixture"]
        assert (entry["formatting"], entry["tags"]["assistant_tag"]) == ("sharegpt", "assistant")

    def test_one_token_less_in_a_row_is_said_in_numbers(self) -> None:
        assert (
            "the shares of tokens become a=0.375, b=0.625"
            in notes("llama-factory", mixed("prompt", "completion"), SETTINGS)[-1]
        )

    def test_sources_by_exact_counts(self) -> None:
        sources = {"a": Source(Path("/d/a.csv"), {"text": "body"}), "b": Source(Path("/d/b.jsonl"), {"text": "text"})}
        files = configuration("llama-factory", replace(mixed("text"), sources=sources), SETTINGS)
        values = yaml.safe_load(files["llama-factory-sources.yaml"])
        assert (values["dataset"], values["mix_strategy"], values["num_train_epochs"]) == ("a,b", "concat", 1)
        assert "disable_shuffling" not in values
        entries = json.loads(files["dataset_info.json"])
        assert entries["a"] == {"file_name": "/d/a.csv", "columns": {"prompt": "body"}, "num_samples": 75}
        assert entries["b"]["num_samples"] == 25

    def test_why_there_are_no_sources(self) -> None:
        assert (
            "needs each task's rows to be all rows of one .jsonl" in notes("llama-factory", mixed("text"), SETTINGS)[0]
        )
        assert list(configuration("llama-factory", mixed("text"), SETTINGS)) == [
            "llama-factory.yaml",
            "dataset_info.json",
        ]


class TestLora:
    LORA = replace(SETTINGS, lora=LoraSettings(r=8, alpha=32, targets=("q_proj", "v_proj"), dropout=0.05, rslora=True))
    EXPECTED: Mapping[Trainer, Mapping[str, object]] = {
        "trl": {
            "use_peft": True,
            "lora_r": 8,
            "lora_alpha": 32,
            "lora_dropout": 0.05,
            "lora_target_modules": ["q_proj", "v_proj"],
            "use_rslora": True,
        },
        "axolotl": {
            "adapter": "lora",
            "lora_r": 8,
            "lora_alpha": 32,
            "lora_dropout": 0.05,
            "lora_target_modules": ["q_proj", "v_proj"],
            "peft_use_rslora": True,
        },
        "llama-factory": {
            "finetuning_type": "lora",
            "lora_rank": 8,
            "lora_alpha": 32,
            "lora_dropout": 0.05,
            "lora_target": "q_proj,v_proj",
            "use_rslora": True,
        },
    }

    @pytest.mark.parametrize("trainer", TRAINERS)
    def test_is_what_the_trainer_trains(self, trainer: Trainer) -> None:
        values = values_of(trainer, mixed("text"), self.LORA)
        assert {name: values[name] for name in self.EXPECTED[trainer]} == self.EXPECTED[trainer]
        plain = values_of(trainer, mixed("text"))
        assert {name for name in self.EXPECTED[trainer] if name in plain} <= {"finetuning_type"}


@pytest.mark.parametrize("trainer", TRAINERS)
def test_frozen_modules(trainer: Trainer) -> None:
    settings = replace(SETTINGS, trained=("h.1.mlp.weight",))
    if trainer == "axolotl":
        assert values_of(trainer, mixed("text"), settings)["unfrozen_parameters"] == ["h.1.mlp.weight$"]
        return
    with pytest.raises(
        TaskError, match=r"freezes some modules \(finetune\.freeze\), which .* cannot say; export for axolotl"
    ):
        configuration(trainer, mixed("text"), settings)
