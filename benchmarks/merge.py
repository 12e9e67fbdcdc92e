"""Merging checkpoints on disk: time and memory against copying the same bytes, and against mergekit.

    python benchmarks/merge.py --folder /tmp/merge                             # a generated 1 GiB checkpoint, three
    experts python benchmarks/merge.py --folder /tmp/merge --mergekit ENV/bin/mergekit-yaml

Everything is measured in the same call on the same files, each way in a process of its own, in turns, with what others
wrote on the disk already; the median of ``--repeats`` is kept. Copying reads every expert and writes one model, which
is what a merge has to do at least.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from foretaste.export.checkpoint import new_checkpoint
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.site import GaussianSite
from foretaste.simplex import dirichlet
from foretaste.sources.checkpoint import open_checkpoint
from foretaste.stored import Stored
from foretaste.stream import stream
from foretaste.weights import TaskWeights
from foretaste.whole import write_whole

EXPERTS = ("a", "b", "c")
WIDTH, INNER, VOCABULARY, SHARDS = 2048, 5632, 16000, 4
CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "num_attention_heads": 16,
    "vocab_size": VOCABULARY,
}
RESULT = Path(__file__).parent / "results" / "merge.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where the checkpoints are generated, once")
    parser.add_argument("--mebibytes", type=int, default=1024, help="size of a checkpoint")
    parser.add_argument("--mergekit", type=Path, help="mergekit-yaml of an environment with mergekit 0.1.5")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.way == "-":
        generate(asked.folder, asked.mebibytes)
        return
    if asked.way:
        print(json.dumps(WAYS[asked.way](asked.folder)))
        return
    # In a process of its own: a child's peak memory counts what its parent held when it was started.
    subprocess.run(
        [sys.executable, __file__, "--folder", str(asked.folder), "--mebibytes", str(asked.mebibytes), "--way", "-"],
        check=True,
    )
    commands = {way: [sys.executable, __file__, "--folder", str(asked.folder), "--way", way] for way in WAYS}
    if asked.mergekit:
        commands["mergekit linear"] = [
            str(asked.mergekit),
            str(recipe(asked.folder)),
            str(asked.folder / "out-mergekit"),
        ]
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    for _ in range(asked.repeats):
        for name, command in commands.items():
            taken[name].append(measured(command))
            print(name, taken[name][-1])
    figures = {
        name: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for name, runs in taken.items()
    }
    keep(figures, asked.mebibytes, asked.repeats)


def generate(folder: Path, mebibytes: int) -> None:
    """A Llama-shaped base, three experts and their curvatures, random, in shards."""
    shapes = shapes_of(mebibytes)
    for seed, name in enumerate(("base", *EXPERTS, *(f"{task}-curvature" for task in EXPERTS))):
        path = folder / name
        if path.exists():
            continue
        path.mkdir(parents=True)
        layers = sum(key.endswith("input_layernorm.weight") for key in shapes)
        (path / "config.json").write_text(json.dumps({**CONFIG, "num_hidden_layers": layers}))
        dtype, per_shard = torch.float32 if "curvature" in name else torch.bfloat16, -(-len(shapes) // SHARDS)
        places: dict[str, str] = {}
        for shard in range(SHARDS):
            generator = torch.Generator().manual_seed(10 * seed + shard)
            file = f"model-{shard + 1:05}-of-{SHARDS:05}.safetensors"
            own = list(shapes)[shard * per_shard : (shard + 1) * per_shard]
            tensors = {key: torch.rand(shapes[key], generator=generator).to(dtype) for key in own}
            save_file(tensors, path / file, metadata={"format": "pt"})
            places |= dict.fromkeys(own, file)
        (path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


def shapes_of(mebibytes: int) -> dict[str, tuple[int, ...]]:
    """Embeddings, as many layers as fit, and the output layer."""
    outer, layer = 2 * VOCABULARY * WIDTH * 2, (4 * WIDTH**2 + 3 * WIDTH * INNER) * 2
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (VOCABULARY, WIDTH)}
    for place in range(max(1, (mebibytes * 2**20 - outer) // layer)):
        own = f"model.layers.{place}."
        found |= {f"{own}self_attn.{name}_proj.weight": (WIDTH, WIDTH) for name in "qkvo"}
        found |= {f"{own}mlp.{name}_proj.weight": (INNER, WIDTH) for name in ("gate", "up")}
        found |= {f"{own}mlp.down_proj.weight": (WIDTH, INNER)}
        found |= {f"{own}{name}_layernorm.weight": (WIDTH,) for name in ("input", "post_attention")}
    return found | {"model.norm.weight": (WIDTH,), "lm_head.weight": (VOCABULARY, WIDTH)}


def recipe(folder: Path) -> Path:
    """The same average for mergekit."""
    models = "\n".join(f"  - model: {folder / name}\n    parameters: {{weight: {1 / 3}}}" for name in EXPERTS)
    path = folder / "linear.yaml"
    path.write_text(f"models:\n{models}\nmerge_method: linear\nparameters: {{normalize: false}}\ndtype: bfloat16\n")
    return path


def measured(command: list[str]) -> dict[str, float]:
    """Seconds of the work (of the whole process too) and peak memory in MiB."""
    os.sync()
    before = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        output.seek(0)
        said = output.read()
    if status:
        raise SystemExit(f"{command} failed")
    whole = time.perf_counter() - before
    own = json.loads(said.splitlines()[-1]) if command[0] == sys.executable else {}
    return {"seconds": own.get("seconds", whole), "process_seconds": whole, "peak_mib": usage.ru_maxrss / 1024}


def copied(folder: Path) -> dict[str, float]:
    """Read every expert, write one."""
    begin = time.perf_counter()
    block = bytearray(1 << 22)
    with (folder / "out-copy").open("wb", buffering=0) as target:
        for name in EXPERTS:
            for path in sorted((folder / name).glob("*.safetensors")):
                with path.open("rb", buffering=0) as file:
                    while read := file.readinto(block):
                        if name == EXPERTS[0]:
                            target.write(memoryview(block)[:read])
        os.fsync(target.fileno())
    return {"seconds": time.perf_counter() - begin}


def merged(folder: Path, method: str) -> dict[str, float]:
    """Write one preview."""
    begin = time.perf_counter()
    base, sites = opened(folder, method)
    weights = TaskWeights(EXPERTS, [1 / 3] * 3)
    with new_checkpoint(
        folder / f"out-{method}", open_checkpoint(folder / "base"), {"method": method}, overwrite=True
    ) as writer:
        for piece, (found,) in stream(base, sites, [weights]):
            writer.put(piece, found)
    return {"seconds": time.perf_counter() - begin}


def opened(folder: Path, method: str) -> tuple[Gaussian, dict[str, GaussianSite]]:
    """A prior and sites that stay in their files."""
    params: dict[str, Stored] = {name: open_checkpoint(folder / name).params for name in ("base", *EXPERTS)}
    curvature = {
        task: Isotropic(0.0) if method == "linear" else Diagonal(open_checkpoint(folder / f"{task}-curvature").params)
        for task in EXPERTS
    }
    return Gaussian(params["base"], Isotropic(0.1)), {
        task: GaussianSite(params[task], curvature[task]) for task in EXPERTS
    }


def in_memory(folder: Path, method: str, count: int) -> dict[str, float]:
    """Make previews and drop them."""
    begin = time.perf_counter()
    base, sites = opened(folder, method)
    weightings = dirichlet(EXPERTS, count, np.random.default_rng(0))
    for _ in stream(base, sites, weightings):
        pass
    return {"seconds": time.perf_counter() - begin}


WAYS: dict[str, Callable[[Path], dict[str, float]]] = {
    "copy": copied,
    "linear": lambda folder: merged(folder, "linear"),
    "diagonal": lambda folder: merged(folder, "diagonal"),
    "linear, 1 in memory": lambda folder: in_memory(folder, "linear", 1),
    "linear, 8 in memory": lambda folder: in_memory(folder, "linear", 8),
    "diagonal, 1 in memory": lambda folder: in_memory(folder, "diagonal", 1),
    "diagonal, 8 in memory": lambda folder: in_memory(folder, "diagonal", 8),
}


def keep(figures: dict[str, dict[str, float]], mebibytes: int, repeats: int) -> None:
    """Ratios, and what they are ratios of."""
    seconds = {name: found["seconds"] for name, found in figures.items()}
    ratios = {
        "linear / copy": seconds["linear"] / seconds["copy"],
        "diagonal / linear": seconds["diagonal"] / seconds["linear"],
        "8 linear / 1 in memory": seconds["linear, 8 in memory"] / seconds["linear, 1 in memory"],
        "8 diagonal / 1 in memory": seconds["diagonal, 8 in memory"] / seconds["diagonal, 1 in memory"],
    }
    if "mergekit linear" in figures:
        other = figures["mergekit linear"]
        ratios["linear / mergekit, whole process"] = figures["linear"]["process_seconds"] / other["process_seconds"]
        ratios["linear / mergekit, peak memory"] = figures["linear"]["peak_mib"] / other["peak_mib"]
    said = {
        "command": "python benchmarks/merge.py --folder FOLDER --mergekit ENV/bin/mergekit-yaml",
        "date": time.strftime("%Y-%m-%d"),
        "versions": f"torch {torch.__version__}, {torch.get_num_threads()} threads",
        "facts": (
            f"{mebibytes} MiB in {SHARDS} shards of bfloat16, three experts, float32 curvature; median of {repeats}"
        ),
        "figures": figures,
        "ratios": ratios,
    }
    write_whole(RESULT, lambda path: path.write_text(json.dumps(said, indent=1) + "\n"))
    print(json.dumps(ratios, indent=1))


if __name__ == "__main__":
    main()
