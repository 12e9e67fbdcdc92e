"""Speed and memory, as ratios against a baseline in the same run.

    python benchmarks/speed.py --model FOLDER --data DATA [--out benchmarks/results/speed.json]
    python benchmarks/speed.py [--out benchmarks/results/speed.json]

FOLDER is a transformers checkpoint of all-MiniLM-L6-v2, DATA holds sentiment/*/{train,validation}.jsonl; without
them only what needs neither is measured, and written beside the figures that the file already has.
Every figure is the median over repetitions that alternate with its baseline.
"""

import argparse
import copy
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from foretaste import __version__
from foretaste.estimate.fisher import build, init, update
from foretaste.estimate.ivon import IVON
from foretaste.evaluate import evaluate
from foretaste.loading import load
from foretaste.loss.class_labels import losses
from foretaste.merge import merge
from foretaste.metrics import METRICS
from foretaste.params import parameters_of, snapshot, tensors_of
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.site import GaussianSite
from foretaste.recipe import read
from foretaste.sources.problem import Problem
from foretaste.task import Batch, Rows, Task
from foretaste.weights import TaskWeights

RECIPE = Path(__file__).parent / "recipes" / "sentiment.yaml"


def main() -> None:
    options = _options()
    if options.model is None:
        alone = {"fisher_causal": _fisher_causal(options.repeats) | {"date": time.strftime("%Y-%m-%d"), **_machine()}}
        _tell(
            (json.loads(options.out.read_text()) if options.out and options.out.exists() else {}) | alone, options.out
        )
        return
    variables = {"minilm": str(options.model), "data": str(options.data)}
    recipe, text = read(RECIPE, variables)
    problem = load(recipe, text, str(RECIPE))
    found = {
        "help": _help(),
        "check": _check(variables),
        "fisher": _fisher(problem, options.repeats),
        "fisher_causal": _fisher_causal(options.repeats),
        "merge": _merge(problem, options.repeats),
        "evaluate": _evaluate(problem, options.repeats),
        "ivon": {f"{tokens} tokens": _ivon(problem, tokens, options.repeats) for tokens in (32, 64, 128)},
    }
    facts = {
        "command": "python benchmarks/speed.py --model FOLDER --data DATA",
        "date": time.strftime("%Y-%m-%d"),
        **_machine(),
    }
    _tell(facts | found, options.out)


def _tell(found: dict[str, object], out: Path | None) -> None:
    print(json.dumps(found, indent=2))
    if out:
        out.write_text(json.dumps(found, indent=2) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if (options.model is None) != (options.data is None):
        parser.error("give --model and --data together, or neither")
    return options


def _machine() -> dict[str, object]:
    versions = f"foretaste {__version__}, torch {torch.__version__}, Python {platform.python_version()}"
    return {"versions": versions, "threads": torch.get_num_threads(), "cores": os.cpu_count()}


def _paired(
    ours: Callable[[], object],
    baseline: Callable[[], object],
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Medians of alternating runs, after one of each to warm up."""
    times: dict[str, list[float]] = {"ours": [], "baseline": []}
    for _ in range(repeats + 1):
        for name, work in (("baseline", baseline), ("ours", ours)):
            start = clock()
            work()
            times[name].append(clock() - start)
    ratios = [mine / theirs for mine, theirs in zip(times["ours"][1:], times["baseline"][1:], strict=True)]
    medians = {f"{name}_seconds": round(statistics.median(found[1:]), 4) for name, found in times.items()}
    return medians | {"ratio": round(statistics.median(ratios), 3), "worst_ratio": round(max(ratios), 3)}


def _help() -> dict[str, float]:
    """`foretaste --help` against starting Python."""
    return _paired(
        lambda: subprocess.run([sys.executable, "-m", "foretaste", "--help"], check=True, capture_output=True),
        lambda: subprocess.run([sys.executable, "-c", "pass"], check=True),
        7,
    )


def _check(variables: dict[str, str]) -> dict[str, float]:
    """`foretaste check` against importing the libraries and loading the model and its tokenizer."""
    loading = (
        "import sys, torch, accelerate, datasets, sklearn.metrics\n"
        "from transformers import AutoModelForSequenceClassification as M, AutoTokenizer\n"
        "M.from_pretrained(sys.argv[1]); AutoTokenizer.from_pretrained(sys.argv[1])"
    )
    command = [
        sys.executable,
        "-m",
        "foretaste",
        "check",
        str(RECIPE),
        *(f"--var={name}={value}" for name, value in variables.items()),
    ]
    found = _paired(
        lambda: subprocess.run(command, check=True, capture_output=True),
        lambda: subprocess.run([sys.executable, "-c", loading, variables["minilm"]], check=True, capture_output=True),
        3,
    )
    return found | {"more_seconds": round(found["ours_seconds"] - found["baseline_seconds"], 2)}


def _fisher(problem: Problem, repeats: int) -> dict[str, float]:
    """The diagonal Fisher of two batches of 32 against one forward and backward pass on the same."""
    model, task = problem.model.eval(), problem.tasks[0]
    batches = [task.batch(task.train, range(start, start + 32), torch.device("cpu")) for start in (0, 32)]
    estimate = build(model, task, generator=torch.Generator())
    state = init(estimate, batches[0])

    def ours() -> None:
        for batch in batches:
            update(estimate, state, batch)

    return _paired(ours, lambda: _forward_backward(model, task, batches), repeats)


def _fisher_causal(repeats: int) -> dict[str, dict[str, float]]:
    """The diagonal Fisher of a random causal model of 7.4 million parameters, with its head tied or not.

    Against one forward and backward pass on the same 8 rows of 128 random tokens; processor time.
    """
    found = {}
    for name, tied in (("own head", False), ("tied head", True)):
        sizes = {
            "vocab_size": 8192,
            "hidden_size": 256,
            "intermediate_size": 688,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
        }
        model = LlamaForCausalLM(LlamaConfig(**sizes, tie_word_embeddings=tied)).eval()
        tokens = torch.randint(0, 8192, (8, 128), generator=torch.Generator().manual_seed(0))
        rows = Rows(tokens, tokens.roll(-1, 1))
        task = Task("tokens", rows, rows, [METRICS["accuracy"]], predict=_logits, unit="token")
        batch = task.batch(rows, range(8), torch.device("cpu"))
        estimate = build(model, task, generator=torch.Generator())
        state = init(estimate, batch)
        ours, baseline = partial(update, estimate, state, batch), partial(_forward_backward, model, task, [batch])
        found[name] = _paired(ours, baseline, repeats, time.process_time)
    return found


def _logits(model: nn.Module, batch: Batch) -> torch.Tensor:
    logits: torch.Tensor = model(input_ids=batch["inputs"], use_cache=False).logits
    return logits


def _forward_backward(model: nn.Module, task: Task, batches: Sequence[Batch]) -> None:
    for batch in batches:
        torch.autograd.backward(losses(task.predict(model, batch), batch["labels"]).mean())
        model.zero_grad(set_to_none=True)


def _merge(problem: Problem, repeats: int) -> dict[str, float]:
    """A diagonal preview from three sites against reading the same bytes and writing the result by copies."""
    mean = snapshot(parameters_of(problem.model))
    prior = Gaussian(mean, Isotropic(1e-3))
    generator = torch.Generator().manual_seed(0)
    sites = {
        name: GaussianSite(
            {key: tensor + 0.01 * torch.randn(tensor.shape, generator=generator) for key, tensor in mean.items()},
            Diagonal({key: torch.rand(tensor.shape, generator=generator) for key, tensor in mean.items()}),
        )
        for name in problem.names
    }
    weights = TaskWeights(problem.names, [0.2, 0.3, 0.5])
    sources = [
        mean,
        *(site.center for site in sites.values()),
        *(site.precision.to_tensors() for site in sites.values()),
    ]

    def copies() -> dict[str, torch.Tensor]:
        out = {key: torch.empty_like(tensor) for key, tensor in mean.items()}
        for source in sources:
            for key, target in out.items():
                target.copy_(source[key])
        return out

    found = _paired(lambda: merge(prior, sites, weights), copies, repeats)
    size = sum(tensor.numel() * tensor.element_size() for tensor in mean.values())
    return found | {"peak_memory_in_copies_of_the_params": round(_peak(lambda: merge(prior, sites, weights)) / size, 3)}


def _peak(work: Callable[[], object]) -> int:
    """Bytes that the resident set grew by at its highest during the work, its result included (Linux)."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    kept = work()
    peak = _status("VmHWM") - before
    del kept
    return peak


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def _evaluate(problem: Problem, repeats: int) -> dict[str, float]:
    """Evaluating other params against evaluating the model's own, on 200 validation rows of each task."""
    data = {task.name: [task.validation[index] for index in range(200)] for task in problem.tasks}
    params = snapshot(tensors_of(problem.model))
    return _paired(
        lambda: evaluate(problem.model, params, problem.tasks, data=data),
        lambda: evaluate(problem.model, None, problem.tasks, data=data),
        max(repeats // 2, 3),
    )


def _ivon(problem: Problem, tokens: int, repeats: int) -> dict[str, float]:
    """A training step of IVON against one of AdamW, on the same batch of 32 and a copy of the model each.

    Texts are cut at 32 tokens here; they are repeated to be longer.
    """
    task = problem.tasks[0]
    found = task.batch(task.train, range(32), torch.device("cpu"))
    batch = {key: tensor if key == "labels" else tensor.repeat(1, 4)[:, :tokens] for key, tensor in found.items()}
    ours, theirs = copy.deepcopy(problem.model).train(), copy.deepcopy(problem.model).train()
    ivon = IVON(ours.parameters(), ess=10 * len(task.train), steps=100)
    adamw = torch.optim.AdamW(theirs.parameters())

    def step() -> None:
        ivon.zero_grad()
        with ivon.sampled():
            torch.autograd.backward(losses(task.predict(ours, batch), batch["labels"]).mean())
        ivon.step()

    def baseline() -> None:
        adamw.zero_grad()
        torch.autograd.backward(losses(task.predict(theirs, batch), batch["labels"]).mean())
        adamw.step()

    return _paired(step, baseline, repeats)


if __name__ == "__main__":
    main()
