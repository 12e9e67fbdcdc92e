"""Whether `ask` finds better weights than runs at random weights, on made-up laws of mixing; and how long it takes.

    OMP_NUM_THREADS=1 python benchmarks/asking.py [--laws 10] [--runs 12] [--out FILE]

Each law gives every task the loss ``c + k exp(-sum_d a_d w_d)`` at weights w, with random numbers (the form of Ye et
al., Data Mixing Laws, https://arxiv.org/abs/2403.16952), for three tasks and three or eight domains. One study asks for
each run after the result of the one before; the control has as many runs at random weights. Both recommend with the
same code. Regret is the mean loss at the recommended weights less the best of 4,000 random weightings, as a share of
the spread (standard deviation) of the mean loss over these.

The times are those of a study of 500 joint runs of 17 tasks, which are mixed themselves, under such a law: to
recommend weights, and to ask for four runs; on a busy machine the time of a processor says more than the clock.
``--laws 0`` measures nothing else, and keeps the other figures of FILE.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from foretaste.simplex import dirichlet
from foretaste.store.study import StudyStore
from foretaste.weights import TaskWeights
from foretaste.workflow.ask import ask
from foretaste.workflow.outcome import read_outcome
from foretaste.workflow.outside import OutsideQuestion, start_outside
from foretaste.workflow.tell import OutsideRun, tell

TASKS = ("a", "b", "c")
Law = Callable[[TaskWeights], dict[str, float]]


def make_law(domains: Sequence[str], seed: int, tasks: Sequence[str] = TASKS) -> Law:
    """Draw a law: each domain helps some tasks much and others little."""
    generator = np.random.default_rng(seed)
    slopes = generator.exponential(2.0, (len(tasks), len(domains)))
    floors, heights = generator.uniform(1, 2, len(tasks)), generator.uniform(0.5, 2, len(tasks))

    def law(weights: TaskWeights) -> dict[str, float]:
        losses = floors + heights * np.exp(-slopes @ np.array(list(weights.values())))
        return dict(zip(tasks, losses.tolist(), strict=True))

    return law


def run_at(weights: TaskWeights, law: Law) -> OutsideRun:
    """Make a run by a law."""
    return OutsideRun(weights, {task: {"loss": loss} for task, loss in law(weights).items()})


def mean_loss(weights: TaskWeights, law: Law) -> float:
    """Compute the mean loss over tasks."""
    return float(np.mean(list(law(weights).values())))


def recommended(study: StudyStore) -> TaskWeights:
    """Return the weights that a study recommends."""
    best = read_outcome(study).summary().recommendation
    if best is None:
        raise RuntimeError("there are too few runs to recommend from")
    return best.weights


def regrets(count: int, runs: int, seed: int) -> dict[str, float]:
    """Measure the regret of asking, of random weights, and of equal weights, under one law of so many domains."""
    domains = tuple(f"d{number}" for number in range(count))
    law, question = make_law(domains, seed), OutsideQuestion.of(dict.fromkeys(TASKS, "loss"), domains)
    losses = [mean_loss(weights, law) for weights in dirichlet(domains, 4000, np.random.default_rng(0))]
    least, spread = min(losses), float(np.std(losses))
    with tempfile.TemporaryDirectory() as folder:
        with start_outside(Path(folder, "asked"), question) as study:
            for _ in range(runs):
                tell(study, [run_at(run.weights, law) for run in ask(study)])
            asked = recommended(study)
        with start_outside(Path(folder, "random"), question) as study:
            points = dirichlet(domains, runs, np.random.default_rng(seed))
            tell(study, [run_at(weights, law) for weights in points])
            random = recommended(study)
    even = TaskWeights(domains, [1 / count] * count)
    chosen = {"asked": asked, "random": random, "equal": even}
    return {name: (mean_loss(weights, law) - least) / spread for name, weights in chosen.items()}


def large_study(rows: int, tasks: int) -> dict[str, float]:
    """Measure the seconds that a large study takes to recommend weights, and to be asked for runs."""
    names = tuple(f"task-{number}" for number in range(tasks))
    law = make_law(names, 0, names)
    question = OutsideQuestion.of(dict.fromkeys(names, "loss"))
    facts: dict[str, float] = {"rows": rows, "tasks": tasks, "load before": round(os.getloadavg()[0], 1)}
    with tempfile.TemporaryDirectory() as folder, start_outside(Path(folder, "study"), question) as study:
        runs = [run_at(weights, law) for weights in dirichlet(names, rows, np.random.default_rng(0))]
        works: dict[str, Callable[[], object]] = {
            "tell": lambda: tell(study, runs),
            "recommend": lambda: recommended(study),
            "ask": lambda: ask(study, 4),
        }
        for name, work in works.items():
            begun, used = time.perf_counter(), time.process_time()
            work()
            facts[name] = round(time.perf_counter() - begun, 2)
            facts[f"{name}, of a processor"] = round(time.process_time() - used, 2)
    return facts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--laws", type=int, default=10)
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    result: dict[str, object] = {"laws": options.laws, "runs": options.runs, "numpy": np.__version__}
    if not options.laws and options.out:
        result = json.loads(options.out.read_text())
    result["seconds"] = large_study(500, 17)
    for count in (3, 8) if options.laws else ():
        rows = [regrets(count, options.runs, seed) for seed in range(options.laws)]
        result[f"{count} domains"] = {
            name: {"mean": float(np.mean([row[name] for row in rows])), "each": [row[name] for row in rows]}
            for name in rows[0]
        }
    text = json.dumps(result, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
