"""Memory and speed of LoRA on a language model, against a plain PEFT loop in the same precision on the same rows.

    python benchmarks/lora_memory.py --model FOLDER --data DATA              # minutes on two cores

FOLDER is a transformers checkpoint of a causal language model (SmolLM2-135M-Instruct in the recorded figures); DATA
holds translation/{en-de,en-fr}/{train,validation}.jsonl with columns source and target. Every part runs in a process of
its own, which reports the largest resident memory that it ever had (`resource.getrusage`) and, for the two loops, the
median time of a step; the loops take turns. `plain` is benchmarks/lora_plain.py, without foretaste. `loop` is
foretaste's training on the same batches. The others are verbs of a study: `fit` trains and measures both tasks,
`simple` previews, `diagonal` and `kronecker` estimate curvature, choose the prior's precision and preview. All begin
with the checks of `foretaste check`. `loop` also compares the memory that such a check estimates, `estimate_mb`, with
what its training took, `used_mb`: the peak, less what was resident before, plus the model. Results are written to
benchmarks/results/lora_memory.json.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
import transformers

import foretaste as ft
from foretaste.loading import load
from foretaste.params import tensors_of
from foretaste.recipe import parse
from foretaste.task import Batch, Example
from foretaste.train.finetune import finetune
from foretaste.train.run import Silent
from foretaste.train.training import Training
from foretaste.workflow.peak_memory import training_memory
from lora_plain import BATCH, LENGTH, STEPS, batches

RESULT = Path(__file__).parent / "results" / "lora_memory.json"
PLAIN = Path(__file__).parent / "lora_plain.py"
ROWS = 128
RECIPE = """
name: memory
model: {{source: transformers, path: {model}, kind: causal-lm, max_length: {length}, dtype: {dtype}}}
tasks:
  german: {{train: {data}/translation/en-de/train.jsonl, validation: {data}/translation/en-de/validation.jsonl,
    prompt: source, completion: target, max_train: {rows}, max_validation: {rows}}}
  french: {{train: {data}/translation/en-fr/train.jsonl, validation: {data}/translation/en-fr/validation.jsonl,
    prompt: source, completion: target, max_train: {rows}, max_validation: {rows}}}
finetune: {{steps: {steps}, batch_size: {batch}, learning_rate: 5.0e-4, method: lora, r: 8, alpha: 16}}
curvature: {{max_examples: 32}}
preview: {{methods: [{method}], points: 3}}
joint: {{points: 0}}
"""
LOOPS, VERBS = ("plain", "loop"), ("fit", "simple", "diagonal", "kronecker")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--dtype", nargs="+", default=["bfloat16", "float32"])
    parser.add_argument("--repeats", type=int, default=3, help="turns of the two loops")
    parser.add_argument("--part", choices=[*LOOPS, *VERBS], help="one part alone, in this process")
    parser.add_argument("--study", type=Path, help="the study's folder, for a part")
    asked = parser.parse_args()
    if asked.part:
        print(json.dumps(run_part(asked)))
        return
    results = {dtype: measure(dtype, asked) for dtype in asked.dtype}
    facts = {
        "command": "python benchmarks/lora_memory.py --model FOLDER --data DATA"
        f" --dtype {' '.join(asked.dtype)} --repeats {asked.repeats}",
        "versions": f"torch {torch.__version__}, transformers {transformers.__version__}",
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "date": time.strftime("%Y-%m-%d"),
        "setting": f"LoRA r = 8, batches of {BATCH} rows of at most {LENGTH} tokens, {ROWS} validation rows a task",
    }
    RESULT.write_text(json.dumps(facts | results, indent=1) + "\n")


def measure(dtype: str, asked: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Run every part in one precision, the loops in turn, and compare peaks and steps with the plain loop's."""
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "study"
        turns = [{loop: spawn(loop, dtype, study, asked) for loop in LOOPS} for _ in range(asked.repeats)]
        parts = {
            loop: {key: statistics.median(turn[loop][key] for turn in turns) for key in turns[0][loop]}
            for loop in LOOPS
        }
        parts |= {verb: spawn(verb, dtype, study, asked) for verb in VERBS}
    plain = parts["plain"]
    for name, part in parts.items():
        for key, ratio in (("peak_mb", "peak_ratio"), ("step_s", "step_ratio")):
            if key in part:
                part[ratio] = round(part[key] / plain[key], 3)
        print(f"{dtype:9} {name:10} {part}", flush=True)
    return parts


def spawn(part: str, dtype: str, study: Path, asked: argparse.Namespace) -> dict[str, float]:
    """Run one part in a process of its own."""
    command = [sys.executable, str(PLAIN if part == "plain" else __file__), "--model", str(asked.model)]
    command += ["--dtype", dtype]
    if part == "plain":
        command += ["--rows", str(rows_of(asked))]
    else:
        command += ["--data", str(asked.data), "--part", part, "--study", str(study)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def rows_of(asked: argparse.Namespace) -> Path:
    path: Path = asked.data / "translation" / "en-de" / "train.jsonl"
    return path


def run_part(asked: argparse.Namespace) -> dict[str, float]:
    """Run one part, and tell the largest resident memory of this process."""
    result: dict[str, float] = {}
    if asked.part == "loop":
        result |= own_loop(asked)
    else:
        study = open_study(asked, "simple" if asked.part == "fit" else asked.part)
        study.fit() if asked.part == "fit" else study.preview()
    return {"peak_mb": round(peak_mb()), **result}


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def own_loop(asked: argparse.Namespace) -> dict[str, float]:
    """Train with foretaste on the plain loop's batches; return the median time of a step, and memory in MiB."""
    text = recipe_text(asked, "simple")
    problem = load(parse(text), text, "")
    made = batches(asked.model, rows_of(asked))
    rows = [{key: batch[key][place] for key in batch} for batch in made for place in range(BATCH)]
    task = replace(problem.tasks[0], train=rows, collate=collate)
    seconds, last = list[float](), time.perf_counter()

    class Clock(Silent):
        def on_step(self, done: int, loss: float) -> None:
            nonlocal last
            seconds.append(time.perf_counter() - last)
            last = time.perf_counter()

    training = Training(steps=STEPS, batch_size=BATCH, learning_rate=5e-4, decay="constant")
    before = resident_mb() - sum(tensor.nbytes for tensor in tensors_of(problem.model).values()) / 2**20
    finetune(problem.model, None, task, training, observer=Clock())
    used = peak_mb() - before
    estimate = training_memory(problem, BATCH, "adamw") / 2**20
    return {
        "step_s": round(statistics.median(seconds[1:]), 3),
        "used_mb": round(used),
        "estimate_mb": round(estimate),
    }


def collate(examples: Sequence[Example]) -> Batch:
    """Stack rows, each place with the label of the next one."""
    batch: Mapping[str, torch.Tensor] = {key: torch.stack([each[key] for each in examples]) for key in examples[0]}
    ahead = torch.cat([batch["labels"][:, 1:], torch.full((len(examples), 1), -100)], 1)
    return {**batch, "labels": ahead}


def recipe_text(asked: argparse.Namespace, method: str) -> str:
    return RECIPE.format(
        model=asked.model,
        data=asked.data,
        dtype=asked.dtype[0],
        length=LENGTH,
        rows=ROWS,
        steps=STEPS,
        batch=BATCH,
        method=method,
    )


def open_study(asked: argparse.Namespace, method: str) -> ft.Study:
    """Open the study that the verbs share, so that each finds what the one before it made."""
    path = asked.study.with_suffix(".yaml")
    path.write_text(recipe_text(asked, method))
    return ft.Study(asked.study, path, progress=False)


if __name__ == "__main__":
    main()
