"""Whether `ask` finds better weights than runs at random weights, on made-up laws of mixing, and how long it takes.

    OMP_NUM_THREADS=1 python benchmarks/asking.py [--laws 10] [--runs 12] [--times-only] [--out FILE]

Each law gives every task the loss ``c + k exp(-sum_d a_d w_d)`` at weights w, with random numbers (the form of Ye et
al., Data Mixing Laws, https://arxiv.org/abs/2403.16952), for three tasks and three or eight domains. One study asks for
each run after the result of the one before; the control has as many runs at random weights. Both recommend with the
same code. Regret is the mean loss at the recommended weights less the best of 4,000 random weightings, as a share of
the spread (standard deviation) of the mean loss over these.

Times are those of `recommend` and of `ask` for four runs, with 500 rows of a law of 17 tasks and 17 domains: 500 joint
runs, or 450 cheap runs and 50 joint ones. `--times-only` measures them alone, and leaves what else FILE holds.
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
ROWS, MANY, JOINT, PROPOSALS, CHEAP_COST, NOISE = 500, 17, 50, 4, 0.05, 0.01
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


def many_runs(domains: Sequence[str], tasks: Sequence[str], cheap: int) -> list[OutsideRun]:
    """Make 500 runs by a law, with noise; the first ones are cheap, and somewhat worse."""
    law, generator = make_law(domains, 0, tasks), np.random.default_rng(1)
    runs = []
    for number, weights in enumerate(dirichlet(domains, ROWS, generator)):
        more, fidelity, cost = (0.5, "proxy", CHEAP_COST) if number < cheap else (0.0, "joint", None)
        losses = {task: loss + more + generator.normal(0, NOISE) for task, loss in law(weights).items()}
        runs.append(OutsideRun(weights, {task: {"loss": loss} for task, loss in losses.items()}, fidelity, cost=cost))
    return runs


def measure_times(cheap: int) -> dict[str, object]:
    """Measure the seconds to recommend and to ask with 500 rows of 17 tasks and 17 domains."""
    domains, tasks = ([f"{letter}{number}" for number in range(MANY)] for letter in "dt")
    question = OutsideQuestion.of(dict.fromkeys(tasks, "loss"), domains)
    with tempfile.TemporaryDirectory() as folder, start_outside(Path(folder, "many"), question) as study:
        tell(study, many_runs(domains, tasks, cheap))
        verbs: dict[str, Callable[[], object]] = {
            "recommend": lambda: recommended(study),
            "ask": lambda: ask(study, PROPOSALS),
        }
        seconds = {name: seconds_of(verb) for name, verb in verbs.items()}
    return {"rows": ROWS, "joint runs": ROWS - cheap, "tasks": MANY, "domains": MANY, **seconds}


def seconds_of(verb: Callable[[], object]) -> dict[str, float]:
    """Measure a call: the time on the clock, and that of the processor, which other programs lengthen less."""
    clock, processor = time.perf_counter(), time.process_time()
    verb()
    found = {"clock": time.perf_counter() - clock, "processor": time.process_time() - processor}
    return {name: round(value, 2) for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--laws", type=int, default=10)
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--times-only", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    result: dict[str, object] = {"laws": options.laws, "runs": options.runs, "numpy": np.__version__}
    if options.times_only and options.out and options.out.exists():
        result = json.loads(options.out.read_text())
    for count in () if options.times_only else (3, 8):
        rows = [regrets(count, options.runs, seed) for seed in range(options.laws)]
        result[f"{count} domains"] = {
            name: {"mean": float(np.mean([row[name] for row in rows])), "each": [row[name] for row in rows]}
            for name in rows[0]
        }
    result["load before"] = round(os.getloadavg()[0], 1)
    result["threads"] = os.environ.get("OMP_NUM_THREADS", "all")
    result["seconds"] = {
        "500 joint runs": measure_times(0),
        "450 cheap runs and 50 joint ones": measure_times(ROWS - JOINT),
    }
    text = json.dumps(result, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
