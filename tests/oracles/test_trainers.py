"""Configurations of other trainers, read by the trainers' own parsers."""

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from foretaste.export.settings import LoraSettings, Settings, Trainer, WrittenMixture
from foretaste.export.trainers import configuration
from foretaste.train.training import Training

PLAIN = Settings("org/model", Training(steps=5, batch_size=4, learning_rate=2e-4, seed=7), max_length=64)
LORA = replace(
    PLAIN,
    lora=LoraSettings(r=8, alpha=32, targets=("q_proj", "model.layers.0.mlp.down_proj"), dropout=0.05, rslora=True),
)
FROZEN = replace(PLAIN, trained=("model.layers.1.mlp.down_proj.weight", "lm_head.weight"))


def written(trainer: Trainer, settings: Settings, folder: Path) -> Path:
    data = folder / "train.jsonl"
    data.write_text('{"prompt": "2 + 2?", "completion": "4"}\n')
    mixed = WrittenMixture(
        data, "token", ("prompt", "completion"), ("task", "prompt", "completion"), {"a": 1}, {"a": 1}
    )
    for name, text in configuration(trainer, mixed, settings).items():
        (folder / name).write_text(text)
    return folder / f"{trainer}.yaml"


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning")  # TRL's own default
def test_trl(tmp_path: Path) -> None:
    trl = pytest.importorskip("trl", reason="TRL's own parser: pip install trl")
    data = importlib.import_module("trl.scripts.utils").DatasetMixtureConfig

    def parsed(settings: Settings) -> tuple[Any, ...]:
        parser = trl.TrlParser(
            (trl.ScriptArguments, trl.SFTConfig, trl.ModelConfig, data)
        )  # it remembers what it has read
        file = str(written("trl", settings, tmp_path))
        found: tuple[Any, ...] = parser.parse_args_and_config(args=["--config", file], fail_with_unknown_args=True)
        return found

    _, training, model, mixture = parsed(LORA)
    config = trl.get_peft_config(model)
    assert (config.r, config.lora_alpha, config.lora_dropout, config.use_rslora) == (8, 32, 0.05, True)
    assert set(config.target_modules) == {"q_proj", "model.layers.0.mlp.down_proj"}
    assert (config.task_type, config.modules_to_save) == ("CAUSAL_LM", None)
    assert (training.learning_rate, training.seed, training.max_length) == (2e-4, 7, 64)
    assert mixture.datasets[0].data_files == str(tmp_path / "train.jsonl")
    _, _, model, _ = parsed(PLAIN)
    assert trl.get_peft_config(model) is None


def test_llama_factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISABLE_VERSION_CHECK", "1")
    parser = pytest.importorskip(
        "llamafactory.hparams.parser", reason="LLaMA-Factory's own parser: pip install llamafactory"
    )
    values = yaml.safe_load(written("llama-factory", LORA, tmp_path).read_text())
    *_, finetuning, _ = parser._parse_train_args(values)
    assert (finetuning.finetuning_type, finetuning.lora_rank, finetuning.lora_alpha) == ("lora", 8, 32)
    assert (finetuning.lora_dropout, finetuning.use_rslora) == (0.05, True)
    assert finetuning.lora_target == ["q_proj", "model.layers.0.mlp.down_proj"]
    *_, finetuning, _ = parser._parse_train_args(yaml.safe_load(written("llama-factory", PLAIN, tmp_path).read_text()))
    assert finetuning.finetuning_type == "full"


def test_axolotl(tmp_path: Path) -> None:
    schema = pytest.importorskip("axolotl.utils.schemas.config", reason="axolotl's own schema: pip install axolotl")
    found = schema.AxolotlInputConfig(**yaml.safe_load(written("axolotl", LORA, tmp_path).read_text()))
    assert (found.adapter, found.lora_r, found.lora_alpha, found.lora_dropout, found.peft_use_rslora) == (
        "lora",
        8,
        32,
        0.05,
        True,
    )
    assert found.lora_target_modules == ["q_proj", "model.layers.0.mlp.down_proj"]
    found = schema.AxolotlInputConfig(**yaml.safe_load(written("axolotl", FROZEN, tmp_path).read_text()))
    assert (found.adapter, found.unfrozen_parameters) == (
        None,
        ["model.layers.1.mlp.down_proj.weight$", "lm_head.weight$"],
    )
