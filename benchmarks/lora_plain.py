"""LoRA finetuning as people write it by hand, with transformers, PEFT and one loop: the baseline of lora_memory.py."""

import argparse
import json
import resource
import statistics
import time
from pathlib import Path

import peft
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

__all__ = ["BATCH", "LENGTH", "STEPS", "batches"]

BATCH, LENGTH, STEPS = 8, 96, 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder of a causal language model")
    parser.add_argument("--rows", type=Path, required=True, help="JSON lines with source and target")
    parser.add_argument("--dtype", default="bfloat16")
    asked = parser.parse_args()
    seconds = train(asked.model, batches(asked.model, asked.rows), asked.dtype)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"peak_mb": round(peak), "step_s": round(seconds, 3)}))


def train(folder: Path, made: list[dict[str, torch.Tensor]], dtype: str) -> float:
    """Train, and return the median time of a step."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
    model = peft.get_peft_model(model, peft.LoraConfig(r=8, lora_alpha=16, task_type="CAUSAL_LM"))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-4)
    seconds = []
    for batch in made:
        start = time.perf_counter()
        loss = model(**batch, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        float(loss.detach())
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def batches(folder: Path, rows: Path) -> list[dict[str, torch.Tensor]]:
    """Make the batches that both loops see, all of the same length, with the prompt's tokens masked."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    read = [json.loads(line) for line in rows.read_text().splitlines()[: BATCH * STEPS]]
    made = []
    for start in range(0, len(read), BATCH):
        ids = torch.zeros(BATCH, LENGTH, dtype=torch.long)
        labels, mask = torch.full_like(ids, -100), torch.zeros_like(ids)
        for place, row in enumerate(read[start : start + BATCH]):
            prompt = tokenizer(row["source"]).input_ids
            both = (prompt + tokenizer(" " + row["target"]).input_ids)[:LENGTH]
            ids[place, : len(both)], mask[place, : len(both)] = torch.tensor(both), 1
            labels[place, len(prompt) : len(both)] = torch.tensor(both[len(prompt) :])
        made.append({"input_ids": ids, "attention_mask": mask, "labels": labels})
    return made


if __name__ == "__main__":
    main()
