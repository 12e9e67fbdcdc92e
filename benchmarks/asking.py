"""Whether `ask` finds better weights than runs at random weights, on made-up laws of mixing.

    python benchmarks/asking.py [--laws 10] [--runs 12] [--out FILE]

Each law gives every task the loss ``c + k exp(-sum_d a_d w_d)`` at weights w, with random numbers (the form of Ye et
al., Data Mixing Laws, https://arxiv.org/abs/2403.16952), for three tasks and three or eight domains. One study asks for
each run after the result of the one before; the control has as many runs at random weights. Both recommend with the
same code. Regret is the mean loss at the recommended weights less the best of 4,000 random weightings, as a share of
the spread (standard deviation) of the mean loss over these.
"""

import argparse
import json
import tempfile
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


def make_law(domains: Sequence[str], seed: int) -> Law:
    """Draw a law: each domain helps some tasks much and others little."""
    generator = np.random.default_rng(seed)
    slopes = generator.exponential(2.0, (len(TASKS), len(domains)))
    floors, heights = generator.uniform(1, 2, len(TASKS)), generator.uniform(0.5, 2, len(TASKS))

    def law(weights: TaskWeights) -> dict[str, float]:
        losses = floors + heights * np.exp(-slopes @ np.array(list(weights.values())))
        return dict(zip(TASKS, losses.tolist(), strict=True))

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--laws", type=int, default=10)
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    result: dict[str, object] = {"laws": options.laws, "runs": options.runs, "numpy": np.__version__}
    for count in (3, 8):
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
