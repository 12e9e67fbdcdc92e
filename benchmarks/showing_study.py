"""A study with as many rows as one likes, from a formula: what `showing.py` shows.

python benchmarks/showing_study.py FOLDER ROWS
"""

import sys
from pathlib import Path

import numpy as np

from foretaste.evaluation import Evaluation, Fidelity
from foretaste.loading import load
from foretaste.recipe import parse
from foretaste.simplex import dirichlet, lattice, spread
from foretaste.store.study import key_of
from foretaste.weights import TaskWeights, corners, uniform
from foretaste.workflow.start import start

RECIPE = "{name: many, model: {source: digits}}"


def metrics(weights: TaskWeights, off: float, generator: np.random.Generator) -> dict[str, dict[str, float]]:
    """Every task's loss and accuracy, better with its own weight, with some noise."""
    found = {}
    for task, share in weights.items():
        accuracy = float(np.clip(0.5 + 0.45 * share**0.3 - off + 0.005 * generator.standard_normal(), 0, 1))
        found[task] = {"loss": 1.2 - accuracy, "accuracy": accuracy}
    return found


def study_of(folder: Path, count: int) -> None:
    """A study with so many rows: a tenth of them at most 20 joint runs, the rest previews by two methods."""
    recipe, generator = parse(RECIPE), np.random.default_rng(0)
    session = start(recipe, RECIPE, load(recipe, RECIPE, ""), folder)
    names = session.problem.names
    joint = spread([uniform(names), *lattice(names, 6)], min(20, count // 10))
    previews = list(
        dict.fromkeys([*corners(names), uniform(names), *dirichlet(names, (count - len(joint)) // 2, generator)])
    )
    rows = [Evaluation(w, metrics(w, 0.0, generator), Fidelity.JOINT, "joint", 0, 3.0) for w in joint]
    for method, off in (("simple", 0.1), ("anchored", 0.03)):
        rows += [Evaluation(w, metrics(w, off, generator), Fidelity.PREVIEW, method, 0, 0.1) for w in previews]
    with session.study as study:
        for first in range(0, count, 500):
            named = [({"row": place}, row) for place, row in enumerate(rows[first : first + 500], start=first)]
            study.add_evaluations([(key_of("evaluation", inputs), inputs, row, {}) for inputs, row in named])


if __name__ == "__main__":
    study_of(Path(sys.argv[1]), int(sys.argv[2]))
