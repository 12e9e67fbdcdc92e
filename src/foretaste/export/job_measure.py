"""Measure a trained model on the validation rows beside this file, and write metrics.json.

Needs torch and transformers, and peft for an adapter; not foretaste. A row of ``validation-TASK.jsonl`` has the tokens
of the study itself: ``input_ids``, and the ``labels`` that the model should predict at some ``places``. So the numbers
are those that foretaste measures: means over all labels.

Usage: python measure.py FOLDER
"""

import json
import math
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import nn
from transformers import AutoModelForCausalLM

__all__ = ["find_model", "main", "measure"]

_CONFIGURATIONS = ("adapter_config.json", "config.json")
_LARGEST = 700.0  # losses above count as this much in a perplexity


def find_model(folder: Path) -> Path:
    """Find the folder of a model or adapter: this one, or else the one below it that was written last.

    Args:
        folder: A trainer's output.

    Raises:
        SystemExit: No folder there has a configuration with params beside it.
    """
    folders = {path.parent for name in _CONFIGURATIONS for path in folder.rglob(name) if _has_params(path.parent)}
    if not folders:
        raise SystemExit(f"{folder} holds no trained model or adapter; name the folder that does")
    return folder if folder in folders else max(folders, key=lambda path: path.stat().st_mtime)


def _has_params(folder: Path) -> bool:
    return any(folder.glob("*.safetensors")) or any(folder.glob("*.bin"))


def measure(model: nn.Module, rows: Iterable[Mapping[str, list[int]]]) -> dict[str, float]:
    """Measure loss, perplexity, token accuracy and exact match over all labels of some rows.

    Args:
        model: A causal language model of transformers.
        rows: At least one, each with at least one label.
    """
    device = next(model.parameters()).device
    loss, right, tokens, whole, count = 0.0, 0, 0, 0, 0
    for row in rows:
        labels = torch.tensor(row["labels"], device=device)
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([row["input_ids"]], device=device), use_cache=False).logits
        scores = logits[0, row["places"]].float()
        losses = torch.logsumexp(scores, -1) - scores.gather(-1, labels[:, None])[:, 0]
        hits = scores.max(-1).indices == labels
        loss, right, tokens = loss + float(losses.double().sum()), right + int(hits.sum()), tokens + len(labels)
        whole, count = whole + bool(hits.all()), count + 1
    mean = loss / tokens
    perplexity = math.exp(min(mean, _LARGEST))
    return {"loss": mean, "perplexity": perplexity, "token_accuracy": right / tokens, "exact_match": whole / count}


def main(folder: Path, trained: Path) -> None:
    """Measure every task's validation rows, and write metrics.json when all are done.

    Args:
        folder: The job's folder.
        trained: What the trainer wrote.
    """
    model = AutoModelForCausalLM.from_pretrained(find_model(trained)).eval()
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    metrics = {}
    for task, file in json.loads((folder / "job.json").read_text(encoding="utf-8"))["validation"].items():
        with (folder / file).open(encoding="utf-8") as lines:
            metrics[task] = measure(model, map(json.loads, lines))
    temporary = folder / "metrics.json.part"
    temporary.write_text(json.dumps(metrics, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    temporary.replace(folder / "metrics.json")


if __name__ == "__main__":
    main(Path(__file__).resolve().parent, Path(sys.argv[1]))
