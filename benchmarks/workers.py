"""How much of `foretaste run` worker processes save, and that they change nothing.

    python benchmarks/workers.py [--workers 2] [--steps 3000] [--repeats 3] [--out FILE]

A study of digits whose joint runs take seconds is run by one process and by several, in turns, each time from the start
and with one thread per process. Said is the ratio of the wall-clock times (loading included), and whether both studies
hold the same artefacts under the same keys.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from foretaste.store.study import StudyStore

RECIPE = """
name: digits
model: {{source: digits}}
finetune:
  {{steps: {steps}, batch_size: 32, learning_rate: 0.003, prior_precision: 0.00333, warmup: 0.0, decay: constant}}
curvature: {{labels: exact}}
preview: {{methods: [simple, diagonal], points: 28, prior_precision: 0.00333}}
joint: {{points: 11}}
"""


def run(recipe: Path, study: Path, workers: int) -> float:
    """Seconds of one run from the start."""
    command = [sys.executable, "-m", "foretaste", "run", str(recipe), "--study", str(study), "--workers", str(workers)]
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return time.perf_counter() - start


def artefacts(folder: Path) -> set[tuple[str, str, str | None]]:
    """What a study holds, evaluations' costs aside."""
    with StudyStore.open(folder) as study:
        return {(done.kind, done.key, done.artefact) for done in study.all_work()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    serial, pooled, same = list[float](), list[float](), True
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder, "digits.yaml")
        recipe.write_text(RECIPE.format(steps=options.steps))
        for turn in range(options.repeats):
            one, several = Path(folder, f"one-{turn}"), Path(folder, f"several-{turn}")
            serial.append(run(recipe, one, 1))
            pooled.append(run(recipe, several, options.workers))
            same &= artefacts(one) == artefacts(several)
    result = {
        "workers": options.workers,
        "steps": options.steps,
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "serial_seconds": serial,
        "pooled_seconds": pooled,
        "ratio": statistics.median(several / one for one, several in zip(serial, pooled, strict=True)),
        "same_artefacts": same,
    }
    text = json.dumps(result, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
