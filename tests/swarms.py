"""Small studies whose runs were made elsewhere."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from foretaste.simplex import dirichlet
from foretaste.store.study import StudyStore
from foretaste.weights import TaskWeights
from foretaste.workflow.outside import OutsideQuestion, start_outside
from foretaste.workflow.tell import OutsideRun, tell

__all__ = ["DOMAINS", "QUESTION", "made_up_runs", "run_at", "swarm"]

DOMAINS = ("web", "code", "books")
QUESTION = OutsideQuestion.of({"qa": "accuracy", "coding": ["pass@1", "pass@10"]}, DOMAINS)


def run_at(weights: TaskWeights, fidelity: str = "joint", seed: int = 0) -> OutsideRun:
    """A run whose results follow a made-up law: web helps qa, code helps coding, and each hurts the other."""
    shares = list(weights.values())
    qa, coding = 0.3 + 0.4 * shares[0] ** 0.4 * (1 - shares[1] / 2), 0.5 * shares[1] ** 0.4
    lower = 0.0 if fidelity == "joint" else 0.1
    return OutsideRun(
        weights,
        {"qa": {"accuracy": qa - lower}, "coding": {"pass@1": coding - lower, "pass@10": coding + 0.2}},
        fidelity,
        seed,
    )


def made_up_runs(count: int, fidelity: str = "joint", domains: Sequence[str] = DOMAINS) -> list[OutsideRun]:
    """Runs all over the simplex."""
    return [run_at(weights, fidelity) for weights in dirichlet(domains, count, np.random.default_rng(count))]


def swarm(folder: Path, runs: Sequence[OutsideRun] = (), question: OutsideQuestion = QUESTION) -> StudyStore:
    """A study of such runs, opened."""
    study = start_outside(folder, question)
    tell(study, runs)
    return study
