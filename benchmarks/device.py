"""A sweep of previews by where sites lie and in which precision previews are evaluated: on an accelerator, or on a CPU.

    python benchmarks/device.py [--layers 4] [--width 256] [--previews 4] [--out benchmarks/results/device.json]
    python benchmarks/device.py --layers 16 --width 2048 --previews 16   # 1.1 G parameters: for an accelerator

A random Llama of that many layers, three tasks of 16 rows of 128 random tokens, diagonal sites. Every preview is merged
and evaluated on all rows. Ways: sites in main memory, merged there and lent to the model; streamed to the device piece
by piece and merged there; resident on the device. On a CPU the three are one. Seconds are the wall's, median over
repetitions in which the ways alternate, per preview; ratios are to main memory in float32.
"""

import argparse
import contextlib
import json
import os
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from foretaste import __version__
from foretaste.evaluate import evaluate
from foretaste.methods.site_set import Merger
from foretaste.metrics import METRICS
from foretaste.params import parameters_of, snapshot
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.site import GaussianSite
from foretaste.simplex import lattice
from foretaste.task import Batch, Rows, Task
from foretaste.weights import TaskWeights

NAMES, ROWS, TOKENS, VOCABULARY = ("a", "b", "c"), 16, 128, 8192


def main() -> None:
    options = _options()
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    model, tasks, host = _problem(options.layers, options.width, options.seed)
    if device is not None:
        model.to(device)
    ways = {"main memory": host}
    if device is not None:
        ways |= {"streamed": replace(host, device=device), "resident": host.on(device)}
    points = lattice(NAMES, 7)[: options.previews]
    seconds: dict[str, list[float]] = {}
    for _ in range(options.repeats + 1):
        for way, ready in ways.items():
            for precision in (torch.float32, torch.bfloat16):
                spent = _sweep(model, tasks, ready, points, precision)
                seconds.setdefault(f"{way}, {str(precision).removeprefix('torch.')}", []).append(spent / len(points))
    medians = {way: statistics.median(found[1:]) for way, found in seconds.items()}
    _tell(
        {
            "command": (
                f"python benchmarks/device.py --layers {options.layers} --width {options.width} --previews"
                f" {options.previews}"
            ),
            "date": time.strftime("%Y-%m-%d"),
            **_machine(device),
            "parameters": sum(tensor.numel() for tensor in model.parameters()),
            "sites, bytes": host.bytes,
            "seconds per preview": {way: round(found, 4) for way, found in medians.items()},
            "ratio": {way: round(found / medians["main memory, float32"], 3) for way, found in medians.items()},
            "largest difference of a loss": _differences(model, tasks, ways, points[-1]),
        },
        options.out,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in (("layers", 4), ("width", 256), ("previews", 4), ("repeats", 3), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def _problem(layers: int, width: int, seed: int) -> tuple[nn.Module, list[Task], Merger]:
    torch.manual_seed(seed)
    sizes = {
        "hidden_size": width,
        "intermediate_size": 11 * width // 4,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 64,
    }
    model = LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, **sizes)).eval()
    tasks = []
    for name in NAMES:
        tokens = torch.randint(0, VOCABULARY, (ROWS, TOKENS))
        rows = Rows(tokens, tokens.roll(-1, 1))
        tasks.append(Task(name, rows, rows, [METRICS["accuracy"]], predict=_logits, unit="token"))
    mean = snapshot(parameters_of(model))
    sites = {
        name: GaussianSite(
            {key: tensor + 0.01 * torch.randn_like(tensor) for key, tensor in mean.items()},
            Diagonal({key: torch.rand_like(tensor) for key, tensor in mean.items()}),
        )
        for name in NAMES
    }
    return model, tasks, Merger(Gaussian(mean, Isotropic(1e-3)), sites)


def _logits(model: nn.Module, batch: Batch) -> torch.Tensor:
    logits: torch.Tensor = model(input_ids=batch["inputs"], use_cache=False).logits
    return logits


def _sweep(
    model: nn.Module, tasks: Sequence[Task], ready: Merger, points: Sequence[TaskWeights], precision: torch.dtype
) -> float:
    _wait(model)
    start = time.perf_counter()
    for weights in points:
        _losses(model, tasks, ready, weights, precision)
    _wait(model)
    return time.perf_counter() - start


def _losses(
    model: nn.Module, tasks: Sequence[Task], ready: Merger, weights: TaskWeights, precision: torch.dtype
) -> list[float]:
    kind = next(model.parameters()).device.type
    with (
        torch.autocast(kind, precision, cache_enabled=False) if precision != torch.float32 else contextlib.nullcontext()
    ):
        found = evaluate(model, ready.merge(weights).params, tasks, batch_size=16)
    return [result.metrics["loss"] for result in found.values()]


def _differences(
    model: nn.Module, tasks: Sequence[Task], ways: Mapping[str, Merger], weights: TaskWeights
) -> dict[str, float]:
    usual = _losses(model, tasks, ways["main memory"], weights, torch.float32)
    others = {f"{way}, float32": (ready, torch.float32) for way, ready in ways.items() if way != "main memory"}
    others["main memory, bfloat16"] = (ways["main memory"], torch.bfloat16)
    return {
        way: max(
            abs(one - other) for one, other in zip(usual, _losses(model, tasks, ready, weights, precision), strict=True)
        )
        for way, (ready, precision) in others.items()
    }


def _wait(model: nn.Module) -> None:
    if next(model.parameters()).device.type != "cpu":
        torch.accelerator.synchronize()


def _machine(device: torch.device | None) -> dict[str, object]:
    versions = f"foretaste {__version__}, torch {torch.__version__}, Python {platform.python_version()}"
    if device is None:
        return {"versions": versions, "device": "cpu", "threads": torch.get_num_threads(), "cores": os.cpu_count()}
    name = torch.cuda.get_device_name() if device.type == "cuda" else device.type
    return {"versions": versions, "device": name, "most memory, bytes": torch.accelerator.max_memory_allocated()}


def _tell(found: dict[str, object], out: Path | None) -> None:
    print(json.dumps(found, indent=1))
    if out:
        out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
