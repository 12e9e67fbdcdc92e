"""Tiny transformers checkpoints and data files, made here and never fetched; and the fixtures that hold them."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import datasets
import huggingface_hub
import PIL.Image
import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders
from tokenizers.models import BPE, WordLevel
from tokenizers.pre_tokenizers import ByteLevel, Metaspace, Whitespace
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer

__all__ = [
    "Checkpoints",
    "bert",
    "chats",
    "checkpoints",
    "gpt2",
    "image_folder",
    "language_recipe",
    "llama",
    "mobilenet",
    "offline",
    "parquet",
    "pictures",
    "sentences",
    "t5",
    "table",
    "transformers_recipe",
    "translations",
    "vit",
]

_WORDS = {
    "good": ("fine", "great", "superb"),
    "bad": ("dull", "poor", "awful"),
    "none": ("film", "book", "the", "a", "is", "was"),
}
_SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
_SIDE = 32


@dataclass(frozen=True)
class Checkpoints:
    """Folders that ``save_pretrained`` made."""

    bert: Path
    vit: Path
    mobilenet: Path
    gpt2: Path
    llama: Path
    t5: Path


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Checkpoints:
    folder = tmp_path_factory.mktemp("checkpoints")
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    made = {each.__name__: each(folder / each.__name__) for each in (bert, vit, mobilenet, gpt2, llama, t5)}
    return Checkpoints(**made)


@pytest.fixture(scope="session", autouse=True)
def offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is fetched, and what `datasets` keeps of data files goes away with the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
        patch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
        patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        yield


def bert(folder: Path) -> Path:
    """A BERT of one layer with a vocabulary of words."""
    words = [*_SPECIAL.values(), *(word for group in _WORDS.values() for word in group)]
    tokenizer = Tokenizer(WordLevel({word: place for place, word in enumerate(words)}, unk_token=_SPECIAL["unk_token"]))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **_SPECIAL).save_pretrained(folder)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.BertConfig(vocab_size=len(words), max_position_embeddings=40, initializer_range=0.3, **sizes)
    return _saved(transformers.BertForSequenceClassification, config, folder)


def vit(folder: Path) -> Path:
    """A ViT of one layer for 8 x 8 pixels."""
    transformers.ViTImageProcessor(size={"height": 8, "width": 8}).save_pretrained(folder)
    config = transformers.ViTConfig(
        image_size=8, patch_size=4, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    return _saved(transformers.ViTForImageClassification, config, folder)


def mobilenet(folder: Path) -> Path:
    """The thinnest MobileNetV2, with batch norm, for 32 x 32 pixels."""
    crop = {"height": _SIDE, "width": _SIDE}
    transformers.MobileNetV2ImageProcessor(size={"shortest_edge": _SIDE}, crop_size=crop).save_pretrained(folder)
    config = transformers.MobileNetV2Config(image_size=_SIDE, depth_multiplier=0.1, min_depth=4, depth_divisible_by=4)
    return _saved(transformers.MobileNetV2ForImageClassification, config, folder)


def gpt2(folder: Path) -> Path:
    """A GPT-2 of one layer: its tokenizer has an end token, and none for the beginning or padding."""
    size = _tokenizer(folder, ByteLevel(add_prefix_space=False), decoders.ByteLevel(), {"eos_token": "<|endoftext|>"})
    sizes = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64, "initializer_range": 0.3}
    config = transformers.GPT2Config(vocab_size=size, bos_token_id=0, eos_token_id=0, **sizes)
    return _saved(transformers.GPT2LMHeadModel, config, folder)


def llama(folder: Path) -> Path:
    """A Llama of one layer: its tokenizer begins with a token of its own, and has a chat template."""
    special = {"bos_token": "<s>", "eos_token": "</s>"}
    start = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    size = _tokenizer(folder, ByteLevel(add_prefix_space=False), decoders.ByteLevel(), special, start, CHAT_TEMPLATE)
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
    }
    config = transformers.LlamaConfig(
        vocab_size=size, bos_token_id=0, eos_token_id=1, max_position_embeddings=96, initializer_range=0.3, **sizes
    )
    return _saved(transformers.LlamaForCausalLM, config, folder)


CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}[{{ message['role'] }}]{{ message['content'] }}{{ eos_token }}\n{%"
    " endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
)


def t5(folder: Path) -> Path:
    """A T5 of one layer: its tokenizer ends every text, and has a padding token."""
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    end = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    size = _tokenizer(folder, Metaspace(), decoders.Metaspace(), special, end)
    sizes = {"d_model": 16, "num_layers": 1, "num_heads": 2, "d_ff": 16, "d_kv": 8, "dropout_rate": 0.0}
    config = transformers.T5Config(vocab_size=size + 3, decoder_start_token_id=0, **sizes)
    return _saved(transformers.T5ForConditionalGeneration, config, folder)


def _tokenizer(
    folder: Path,
    splitter: ByteLevel | Metaspace,
    joiner: decoders.ByteLevel | decoders.Metaspace,
    special: Mapping[str, str],
    ends: TemplateProcessing | None = None,
    chat_template: str | None = None,
) -> int:
    """Byte pairs learned from the words that rows are made of; returns how many tokens there are."""
    found = Tokenizer(BPE(unk_token=special.get("unk_token")))
    found.pre_tokenizer, found.decoder = splitter, joiner
    alphabet = sorted(ByteLevel.alphabet()) if isinstance(splitter, ByteLevel) else []
    trainer = BpeTrainer(
        vocab_size=320, special_tokens=list(special.values()), initial_alphabet=alphabet, show_progress=False
    )
    texts = [str(text) for seed in range(2) for row in translations(20, seed, 1) for text in row.values()]
    found.train_from_iterator(texts, trainer)
    if ends is not None:
        found.post_processor = ends
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=found, **special)
    made.chat_template = chat_template
    made.save_pretrained(folder)
    return len(made)


def translations(count: int, seed: int, shift: int) -> list[dict[str, str]]:
    """Rows whose target says the source in another tongue: every word the one ``shift`` further."""
    generator, words = torch.Generator().manual_seed(seed), [word for group in _WORDS.values() for word in group]
    rows = []
    for index in range(count):
        places = torch.randint(len(words), (2 + index % 3,), generator=generator).tolist()
        target = " ".join(words[(place + shift) % len(words)] for place in places)
        rows.append({"source": " ".join(words[place] for place in places), "target": target})
    return rows


def chats(count: int, seed: int) -> list[dict[str, list[dict[str, str]]]]:
    """Rows of one or two turns, by the words of `translations`."""
    found = []
    for index, row in enumerate(translations(count, seed, 1)):
        turn = [{"role": "user", "content": row["source"]}, {"role": "assistant", "content": row["target"]}]
        found.append({"messages": turn * (1 + index % 2)})
    return found


def _saved(kind: type, config: object, folder: Path) -> Path:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        kind(config).save_pretrained(folder)
    return folder


def sentences(count: int, seed: int, labels: Sequence[str | int] = ("bad", "good")) -> list[dict[str, str | int]]:
    """Rows with a text whose words tell its label."""
    generator = torch.Generator().manual_seed(seed)
    rows: list[dict[str, str | int]] = []
    for index in range(count):
        place = index % 2
        words = [
            _drawn(_WORDS["none"], generator),
            _drawn(_WORDS[("bad", "good")[place]], generator),
            _drawn(_WORDS["none"], generator),
        ]
        rows.append({"text": " ".join(words[: 2 + index % 3]), "label": labels[place]})
    return rows


def _drawn(words: Sequence[str], generator: torch.Generator) -> str:
    return words[int(torch.randint(len(words), (), generator=generator))]


def table(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    """Rows as JSON lines, CSV or TSV, by the file's ending."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writeheader()
        writer.writerows(rows)
    return path


def pictures(count: int, seed: int, classes: int) -> Iterator[tuple[PIL.Image.Image, int]]:
    """Noisy images, brighter for every class, with their class."""
    generator = torch.Generator().manual_seed(seed)
    for index in range(count):
        place = index % classes
        pixels = 20 + 200 * place // max(classes - 1, 1) + torch.randint(0, 20, (_SIDE, _SIDE, 3), generator=generator)
        yield PIL.Image.frombytes("RGB", (_SIDE, _SIDE), bytes(pixels.flatten().tolist())), place


def parquet(path: Path, count: int, seed: int, names: Sequence[str]) -> Path:
    """Images in a Parquet file that knows its labels' names."""
    rows = list(pictures(count, seed, len(names)))
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(names))})
    columns = {"image": [image for image, _ in rows], "label": [place for _, place in rows]}
    datasets.Dataset.from_dict(columns, features=features).to_parquet(str(path))
    return path


def image_folder(path: Path, count: int, seed: int, names: Sequence[str]) -> Path:
    """Images in one folder per label."""
    for index, (image, place) in enumerate(pictures(count, seed, len(names))):
        (path / names[place]).mkdir(parents=True, exist_ok=True)
        image.save(path / names[place] / f"{index}.png")
    return path


def transformers_recipe(
    path: Path,
    checkpoint: Path,
    tasks: Mapping[str, tuple[Path, Path]],
    *,
    kind: str = "text",
    head: str = "auto",
    column: str | None = None,
) -> Path:
    """A recipe small enough for a test: training and validation data by task."""
    lines = [
        "name: tiny",
        "snapshot_seconds: 20",
        (
            f"model: {{source: transformers, path: '{checkpoint}', kind: {kind}-classification, head: {head},"
            " max_length: 16}"
        ),
        "tasks:",
    ]
    for name, (train, validation) in tasks.items():
        lines += [f"  {name}:", f"    train: {train}", f"    validation: {validation}", f"    {kind}: {column or kind}"]
    lines.append("finetune: {steps: 6, batch_size: 4, learning_rate: 0.01}")
    lines += ["curvature: {max_examples: 8}", "preview: {points: 3}", "joint: {points: 1}"]
    path.write_text("\n".join(lines) + "\n")
    return path


def language_recipe(
    path: Path,
    checkpoint: Path,
    kind: str,
    tasks: Mapping[str, tuple[Path, Path]],
    task: str = "",
    model: str = "",
    **parts: str,
) -> Path:
    """A recipe small enough for a test: what all tasks and the model say beside, and other parts."""
    lines = ["name: tiny", "snapshot_seconds: 20"]
    lines.append(
        f"model: {{source: transformers, path: '{checkpoint}', kind: {kind}, max_length: 32{model and ', ' + model}}}"
    )
    lines.append("tasks:")
    lines += [
        f"  {name}: {{train: {train}, validation: {other}{task and ', ' + task}}}"
        for name, (train, other) in tasks.items()
    ]
    defaults = {
        "finetune": "{steps: 6, batch_size: 4, learning_rate: 0.01}",
        "curvature": "{max_examples: 8}",
        "preview": "{points: 3}",
        "joint": "{points: 1}",
    }
    lines += [f"{part}: {said}" for part, said in {**defaults, **parts}.items()]
    path.write_text("\n".join(lines) + "\n")
    return path
