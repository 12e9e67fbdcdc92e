from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from foretaste.errors import DataError, TaskError
from foretaste.export.settings import LoraSettings, Settings, Trainer, WrittenMixture
from foretaste.export.trainer_checks import check_columns, check_trainer
from foretaste.sources.kinds import kind_named
from foretaste.train.training import Training

TRAINERS: tuple[Trainer, ...] = get_args(Trainer)
SETTINGS = Settings("gpt2", Training(steps=5))
KIND = kind_named(SETTINGS.kind)


def mixture(roles: tuple[str, ...], *others: str) -> WrittenMixture:
    return WrittenMixture(Path("/m/train.jsonl"), "token", roles, (*roles, *others), {"a": 8}, {"a": 40})


@pytest.mark.parametrize("trainer", TRAINERS)
class TestEveryTrainer:
    def test_a_causal_language_model_by_tokens_can_be_trained(self, trainer: Trainer) -> None:
        check_trainer(trainer, "token", SETTINGS)

    def test_the_model_must_be_known(self, trainer: Trainer) -> None:
        with pytest.raises(TaskError, match=r"needs to know the model; give settings=Settings\(model, training\)"):
            check_trainer(trainer, "token", None)

    def test_alpha_of_examples_is_refused(self, trainer: Trainer) -> None:
        message = r"means over examples, and .* averages over label tokens, .*study with unit: token"
        with pytest.raises(TaskError, match=message):
            check_trainer(trainer, "example", SETTINGS)

    @pytest.mark.parametrize("kind", ["seq2seq", "text-classification", "image-classification"])
    def test_other_models_are_refused(self, trainer: Trainer, kind: str) -> None:
        message = f"for causal language models, and this model is of the kind '{kind}'; export without it"
        with pytest.raises(TaskError, match=message):
            check_trainer(trainer, "token", replace(SETTINGS, kind=kind))

    @pytest.mark.parametrize(
        ("change", "message"),
        [({"train_a": False}, "trains B alone"), ({"alpha": 0.5}, "whole number for LoRA's alpha")],
    )
    def test_lora_that_no_trainer_can_be_configured_for(
        self, trainer: Trainer, change: dict[str, Any], message: str
    ) -> None:
        lora = LoraSettings(**{"r": 8, "alpha": 32, "targets": ("q_proj",), **change})
        with pytest.raises(TaskError, match=message):
            check_trainer(trainer, "token", replace(SETTINGS, lora=lora))

    def test_columns_are_those_of_the_kind(self, trainer: Trainer) -> None:
        for roles in (("messages",), ("prompt", "completion")):
            check_columns(trainer, KIND, mixture(roles))
        with pytest.raises(DataError, match=r"needs columns messages, or .*; the mixture has source, target"):
            check_columns(trainer, KIND, mixture(("source", "target")))


def test_only_axolotl_can_freeze_modules() -> None:
    frozen = replace(SETTINGS, trained=("head.weight",))
    check_trainer("axolotl", "token", frozen)
    with pytest.raises(TaskError, match="freezes some modules"):
        check_trainer("trl", "token", frozen)


def test_a_column_that_axolotl_would_put_into_prompts() -> None:
    with pytest.raises(DataError, match="axolotl would put the column 'system' into prompts"):
        check_columns("axolotl", KIND, mixture(("prompt", "completion"), "system"))
    check_columns("axolotl", KIND, mixture(("text",), "system"))


def test_nemo_automodel_reads_neither_plain_texts_nor_parquet_and_has_no_rslora() -> None:
    with pytest.raises(DataError, match=r"reads chats, or prompts and .* from JSON lines; the mixture has text"):
        check_columns("nemo-automodel", KIND, mixture(("text",)))
    with pytest.raises(DataError, match="write jsonl"):
        check_columns("nemo-automodel", KIND, replace(mixture(("messages",)), data=Path("train.parquet")))
    lora = LoraSettings(r=8, alpha=32, targets=("q_proj",), rslora=True)
    with pytest.raises(TaskError, match="rslora"):
        check_trainer("nemo-automodel", "token", replace(SETTINGS, lora=lora))
    check_trainer("trl", "token", replace(SETTINGS, lora=lora))
    check_columns("trl", KIND, mixture(("text",)))
