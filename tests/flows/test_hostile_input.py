"""Mutated files of every format are read, or refused with an error of ours; FORETASTE_FUZZ sets how many."""

import json
import os
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import datasets
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from checkpoints import sentences, table
from foretaste.errors import BadInput
from foretaste.recipe import parse
from foretaste.sources.adapter import CONFIG, PREFIX, TENSORS, open_adapter
from foretaste.sources.checkpoint import INDEX, open_checkpoint
from foretaste.sources.data import read_rows
from foretaste.sources.expert import open_expert
from foretaste.sources.pretrained import quiet
from foretaste.stored import Stored
from hostile import mutated_bytes, mutated_json

COUNT = int(os.environ.get("FORETASTE_FUZZ", "40"))
MANY = settings(max_examples=COUNT, deadline=None, suppress_health_check=list(HealthCheck), database=None)
DRAWS = st.integers(0, 2**64).map(random.Random)

RECIPE = r"""
name: reviews
seed: 3
model: {source: transformers, path: bert, kind: text-classification, head: auto, max_length: 64}
tasks:
  movies: {train: a.jsonl, validation: b.jsonl, text: [one, two], metrics: [accuracy, f1], labels: [0, 1]}
  news: {train: a.jsonl, validation: b.jsonl, text: text, max_train: 100}
finetune: {steps: 10, batch_size: 4, learning_rate: 1e-3, method: lora, r: 4, alpha: 8.0, targets: [q, v]}
preview: {methods: [simple, anchored], points: 20, prior_precision: auto}
joint: {points: 3, steps: 20}
recommend: {prefer: movies=2, floors: ['all>=97%', 'news>=0.5']}
"""
CONFIGURATION = {
    "model_type": "bert",
    "hidden_size": 4,
    "num_labels": 2,
    "id2label": {"0": "a"},
    "architectures": ["BertModel"],
}
QUANTISATION = {
    "quant_method": "gptq",
    "bits": 4,
    "modules_to_not_convert": ["lm_head"],
    "config": {"groups": {"size": 128}},
}
ADAPTER = {
    "peft_type": "LORA",
    "r": 2,
    "lora_alpha": 4,
    "rank_pattern": {"layers.0.q": 2, r"layers\.\d+\.v": 2},
    "alpha_pattern": {"q": 3},
    "target_modules": ["q", "v"],
    "modules_to_save": ["head"],
    "bias": "none",
    "init_lora_weights": True,
    "use_rslora": False,
    "base_model_name_or_path": "llama",
}


def tolerated(read: object, *arguments: object) -> None:
    """It is read, or refused with one short error on purpose."""
    assert callable(read)
    message = "read"
    try:
        read(*arguments)
    except BadInput as error:
        message = str(error)
    assert 0 < len(message) < 20_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    found = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", found / "cache")
        yield found


@MANY
@given(draw=DRAWS)
def test_recipes(folder: Path, draw: random.Random) -> None:
    text = mutated_bytes(RECIPE.encode(), draw).decode("utf-8", "replace")
    tolerated(parse, text, "recipe.yaml", {}, folder)


def stored(path: Path) -> None:
    found = Stored.open([path])
    for name in found:
        _ = found[name]


@MANY
@given(draw=DRAWS)
def test_safetensors(folder: Path, draw: random.Random) -> None:
    header = {
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "b": {"dtype": "BF16", "shape": [4], "data_offsets": [24, 32]},
    }
    text, path = mutated_json(header, draw), folder / "model.safetensors"
    length = len(text) if draw.random() < 0.9 else draw.choice([0, 1, len(text) + 40, 2**63, 2**64 - 1])
    content = struct.pack("<Q", length) + text + bytes(range(32))
    path.write_bytes(mutated_bytes(content, draw) if draw.random() < 0.2 else content)
    tolerated(stored, path)


def checkpoint(folder: Path, config: bytes, index: bytes | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_bytes(config)
    if not (folder / "model.safetensors").exists():
        save_file({"w": torch.ones(2), "v": torch.ones(3)}, folder / "model.safetensors")
    if index is not None:
        (folder / INDEX).write_bytes(index)
    return folder


@MANY
@given(draw=DRAWS)
def test_configurations(folder: Path, draw: random.Random) -> None:
    path = checkpoint(folder / "configuration", mutated_json(CONFIGURATION, draw))
    tolerated(open_checkpoint, path)
    tolerated(open_expert, path)


@MANY
@given(draw=DRAWS)
def test_quantisation_configurations(folder: Path, draw: random.Random) -> None:
    whole = {**CONFIGURATION, "quantization_config": json.loads(json.dumps(QUANTISATION))}
    tolerated(open_checkpoint, checkpoint(folder / "quantised", mutated_json(whole, draw)))
    value = draw.choice([None, True, 3, "gptq", [], [1], [["a", 1]], {}, {"quant_method": None}])
    tolerated(
        open_checkpoint, checkpoint(folder / "quantised", json.dumps(whole | {"quantization_config": value}).encode())
    )


@MANY
@given(draw=DRAWS)
def test_indexes(folder: Path, draw: random.Random) -> None:
    index = {"metadata": {"total_size": 20}, "weight_map": {"w": "model.safetensors", "v": "model.safetensors"}}
    tolerated(
        open_checkpoint, checkpoint(folder / "index", json.dumps(CONFIGURATION).encode(), mutated_json(index, draw))
    )


@MANY
@given(draw=DRAWS)
def test_adapters(folder: Path, draw: random.Random) -> None:
    path = folder / "adapter"
    path.mkdir(exist_ok=True)
    if not (path / TENSORS).exists():
        names = [f"{PREFIX}model.layers.{layer}.{part}" for layer in range(3) for part in "qv"]
        shapes = {"lora_A": (2, 3), "lora_B": (4, 2)}
        factors = {f"{name}.{part}.weight": torch.ones(shape) for name in names for part, shape in shapes.items()}
        save_file(factors, path / TENSORS)
    (path / CONFIG).write_bytes(mutated_json(ADAPTER, draw))
    tolerated(open_adapter, path)
    tolerated(open_expert, path)


@MANY
@given(draw=DRAWS)
def test_json_lines(folder: Path, draw: random.Random) -> None:
    honest, path = folder / "honest.jsonl", folder / "rows.jsonl"
    content = (honest if honest.exists() else table(honest, sentences(6, 1))).read_bytes()
    lines = content.splitlines(keepends=True)
    if draw.random() < 0.5:
        place = draw.randrange(len(lines))
        lines[place] = mutated_json(json.loads(lines[place]), draw) + b"\n"
        path.write_bytes(b"".join(lines))
    else:
        path.write_bytes(mutated_bytes(content, draw))
    with quiet():
        tolerated(read_rows, str(path), "train", None)


def test_the_honest_ones_are_read(folder: Path) -> None:
    """Otherwise nothing but refusals would have been tried."""
    assert parse(RECIPE, "recipe.yaml", {}, folder).name == "reviews"
    assert list(open_checkpoint(checkpoint(folder / "fine", json.dumps(CONFIGURATION).encode())).params) == ["v", "w"]
