"""Write data and a tiny model for the recipes in `text/` and `lora/`; nothing is downloaded.

The data are lines of the reference of the Python language, which every Python holds for `help()`. Usage:

    python prepare.py text
    python prepare.py lora
"""

import argparse
import json
import random
import zlib
from collections.abc import Iterable
from pathlib import Path
from pydoc_data.topics import topics

import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import WordLevelTrainer

HERE = Path(__file__).parent
SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
ENDS = {"bos_token": "[CLS]", "eos_token": "[SEP]"}
ABOUT_STATEMENTS = ("assert", "assignment", "break", "compound", "continue", "del", "import", "raise", "return", "try")
ABOUT_TYPES = ("bltin-null-object", "customization", "numbers", "sequence-types", "strings", "typesmapping", "typesseq")
ROWS = {"train": 600, "validation": 200}


def lines_about(names: Iterable[str]) -> list[str]:
    """Return the lines of some topics that have three words or more; code is indented."""
    lines = [line for name in names if name in topics for line in topics[name].splitlines()]
    first = {line.strip(): line for line in reversed(lines)}  # a text counts once, as code or as prose
    return [line for line in first.values() if len(line.split()) >= 3]


def is_code(line: str) -> bool:
    """Tell whether a line is code: the reference indents it by three spaces."""
    return line.startswith("   ")


def labelled_tasks() -> dict[str, list[dict[str, str]]]:
    """Make the rows of two tasks: tell code from prose, and statements from types."""
    every = lines_about(topics)
    form = {"code": [line for line in every if is_code(line)], "prose": [line for line in every if not is_code(line)]}
    subject = {"statements": lines_about(ABOUT_STATEMENTS), "types": lines_about(ABOUT_TYPES)}
    return {"form": balanced_rows(form), "subject": balanced_rows(subject)}


def balanced_rows(lines: dict[str, list[str]]) -> list[dict[str, str]]:
    """Return shuffled rows with as many of each label."""
    count = min(len(own) for own in lines.values())
    rows = [
        {"text": line.strip(), "label": label}
        for label, own in lines.items()
        for line in random.Random(0).sample(own, count)
    ]
    random.Random(1).shuffle(rows)
    return rows


def written_tasks() -> dict[str, list[dict[str, str]]]:
    """Make the rows of two tasks of a language model: write code, and write prose."""
    every = lines_about(topics)
    random.Random(0).shuffle(every)
    code, prose = ([{"text": line.strip()} for line in every if is_code(line) == wanted] for wanted in (True, False))
    return {"code": code, "prose": prose}


def write_data(folder: Path, tasks: dict[str, list[dict[str, str]]]) -> None:
    """Write the training and validation rows of every task as JSON lines."""
    folder.mkdir(exist_ok=True)
    for name, rows in tasks.items():
        for part, count in ROWS.items():
            own = [row for row in rows if part_of(row["text"]) == part][:count]
            text = "".join(json.dumps(row) + "\n" for row in own)
            (folder / f"{name}-{part}.jsonl").write_text(text, encoding="utf-8")


def part_of(text: str) -> str:
    """Choose the part that a text belongs to, the same in every task: none is trained on and judged by."""
    return "validation" if zlib.crc32(text.encode()) % 4 == 0 else "train"


def make_tokenizer(texts: Iterable[str]) -> transformers.PreTrainedTokenizerFast:
    """Make a tokenizer whose tokens are the most frequent words."""
    tokenizer = Tokenizer(WordLevel(unk_token=SPECIAL["unk_token"]))
    tokenizer.pre_tokenizer = BertPreTokenizer()
    special = list(SPECIAL.values())
    tokenizer.train_from_iterator(texts, WordLevelTrainer(vocab_size=2000, special_tokens=special, show_progress=False))
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL, **ENDS)


def make_model(kind: str, words: int) -> transformers.PreTrainedModel:
    """Build a tiny model with random params."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    if kind == "text":
        config = transformers.BertConfig(vocab_size=words, max_position_embeddings=80, **sizes)
        return transformers.BertForSequenceClassification(config)
    ends = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=words, **ends, **sizes))


def main() -> None:
    """Write the folders `data` and `model` beside a recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["text", "lora"])
    transformers.utils.logging.disable_progress_bar()
    kind = parser.parse_args().kind
    tasks = labelled_tasks() if kind == "text" else written_tasks()
    write_data(HERE / kind / "data", tasks)
    tokenizer = make_tokenizer(
        row["text"] for rows in tasks.values() for row in rows if part_of(row["text"]) == "train"
    )
    for part in (tokenizer, make_model(kind, len(tokenizer))):
        part.save_pretrained(HERE / kind / "model")
    counts = ", ".join(f"{len(rows)} lines of {name}" for name, rows in tasks.items())
    print(f"wrote {kind}/data and {kind}/model: {counts}")


if __name__ == "__main__":
    main()
