"""Where to make joint runs: `propose` against BoTorch's acquisition, on the same predictions and truth tables.

    pip install botorch==0.18.1
    python benchmarks/botorch_proposals.py            # on one thread, 17 minutes; reads benchmarks/results/*.json
    python benchmarks/botorch_proposals.py digits     # one suite alone; nothing is written

Everything is as in decision.py but for the middle joint runs (the first is at uniform weights, the last confirms the
recommendation): one exact Gaussian process per task over sqrt(alpha), whose prior mean is what foretaste predicts from
previews alone, fitted to the joint runs so far by BoTorch, and qLogNoisyExpectedImprovement of the preference over the
table's weightings. Regrets in points, as in decision.py.

For the whole front (`propose` with no preference, qLogNParEGO, or places at random) all joint runs but the first are
proposed, and what is counted is the hypervolume that they miss, in % of what the whole table's means over seeds have
above each task's worst.
"""

import json
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

import botorch
import gpytorch
import numpy as np
import torch
from botorch.acquisition.logei import qLogNoisyExpectedImprovement
from botorch.acquisition.multi_objective.parego import qLogNParEGO
from botorch.acquisition.objective import GenericMCObjective
from botorch.fit import fit_gpytorch_mll
from botorch.models import ModelListGP, SingleTaskGP
from gpytorch.mlls import SumMarginalLogLikelihood
from torch import Tensor

import decision
from decision import JOINT, PREFERENCES, SETS, SUITES, Table, repetitions
from foretaste.surface.outlook import Outlook, outlook
from foretaste.surface.pareto import hypervolume
from foretaste.surface.preference import Preference
from foretaste.surface.propose import propose
from foretaste.weights import TaskWeights, uniform
from predict import RESULTS

OUT = RESULTS / "botorch.json"
SMALLEST = 0.005  # of a metric: the unit of a task's process is at least this


class Known(gpytorch.means.Mean):  # type: ignore[misc]  # gpytorch is not typed
    """The value at the nearest known place."""

    def __init__(self, places: Tensor, values: Tensor) -> None:
        super().__init__()
        self._places, self._values = places, values

    def forward(self, asked: Tensor) -> Tensor:
        return self._values[torch.cdist(asked, self._places).argmin(-1)]


@cache
def before(table: Table) -> Tensor:
    """`[N, T]`: what is predicted without any joint run, more being better."""
    rows = [*table.singles, *(row for name in decision.MERGED for row in table.previews.get(name, ()))]
    found = outlook(replace(table.truth, rows=tuple(rows)), table.points, 0).prediction.median
    return torch.tensor(found * signs(table))


def signs(table: Table) -> np.ndarray[Any, Any]:
    return np.array([head.sign for head in table.truth.headlines.values()])


def by_botorch(table: Table, seen: Outlook, preference: Preference, seed: int, made: list[TaskWeights]) -> TaskWeights:
    torch.manual_seed(seed)
    model, places, units, at = believed(table, made)
    objective = GenericMCObjective(lambda samples, X=None: preferred(preference, samples * units))  # noqa: N803 (theirs)
    return best(
        table, qLogNoisyExpectedImprovement(model, places[at], objective=objective, prune_baseline=False), places, at
    )


def believed(table: Table, made: list[TaskWeights]) -> tuple[ModelListGP, Tensor, Tensor, list[int]]:
    """One process per task in units of its own; all places, the units, and where joint runs are."""
    at = [table.place(weights) for weights in made]
    places, mean = torch.tensor(np.sqrt(table.truth.alphas())), before(table)
    values = torch.tensor(table.truth.values()[at] * signs(table))
    apart = (values - mean[at]).std(0) if len(at) > 1 else torch.zeros(values.shape[1])
    units = apart.clamp(min=SMALLEST)
    models = [
        SingleTaskGP(
            places[at], values[:, [task]] / units[task], mean_module=Known(places, mean[:, task] / units[task])
        )
        for task in range(values.shape[1])
    ]
    model = ModelListGP(*models)
    fit_gpytorch_mll(SumMarginalLogLikelihood(model.likelihood, model))
    return model, places, units, at


def best(table: Table, gain: Callable[[Tensor], Tensor], places: Tensor, at: list[int]) -> TaskWeights:
    left = [place for place in range(len(places)) if place not in at]
    with torch.no_grad():
        return table.points[left[int(gain(places[left].unsqueeze(1)).argmax())]]


def preferred(preference: Preference, values: Tensor) -> Tensor:
    return values.mean(-1) if preference.kind == "mean" else values.amin(-1)


def front_by_us(table: Table, made: list[TaskWeights], seed: int) -> TaskWeights:
    known = [table.truth.rows[table.place(weights)] for weights in made]
    previews = (row for name in SETS["foretaste"] for row in table.previews.get(name, ()))
    seen = outlook(replace(table.truth, rows=(*table.singles, *known, *previews)), table.points, seed)
    found = propose(seen, None, options=[JOINT], seed=seed)
    return found[0].weights if found else front_at_random(table, made, seed)


def front_by_botorch(table: Table, made: list[TaskWeights], seed: int) -> TaskWeights:
    torch.manual_seed(seed + 1000 * len(made))  # other weights each time
    model, places, _, at = believed(table, made)
    return best(table, qLogNParEGO(model, places[at], prune_baseline=False), places, at)


def front_at_random(table: Table, made: list[TaskWeights], seed: int) -> TaskWeights:
    order: list[int] = np.random.default_rng(seed).permutation(len(table.points)).tolist()
    return next(table.points[place] for place in order if table.points[place] not in made)


def missed(
    table: Table, proposer: Callable[[Table, list[TaskWeights], int], TaskWeights], count: int, seed: int
) -> float:
    """% of the table's hypervolume that the joint runs made do not have."""
    made = [uniform(table.truth.tasks)]
    while len(made) < count:
        made.append(proposer(table, made, seed))
    values = table.judged * signs(table)
    low = values.min(0)
    scaled = (values - low) / np.ptp(values, axis=0)
    below = np.full(values.shape[1], -1e-9)
    return 100 * (
        1 - hypervolume(scaled[[table.place(weights) for weights in made]], below) / hypervolume(scaled, below)
    )


PROPOSERS: dict[str, Callable[..., TaskWeights]] = {"foretaste": decision._proposed, "BoTorch": by_botorch}
FRONTS = {"foretaste": front_by_us, "BoTorch": front_by_botorch, "random": front_at_random}


def main() -> None:
    warnings.filterwarnings("ignore")  # BoTorch advises standardised outcomes, which would undo the prior's mean
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    start, figures = time.perf_counter(), []
    for suite in sys.argv[1:] or SUITES:
        found = repetitions(suite)
        for count in (3, len(found[0][0].truth.tasks) + 3):
            for kind, (name, proposer) in product(PREFERENCES, PROPOSERS.items()):
                decision._proposed = proposer
                done = decision.searched(found, decision.ours(SETS["foretaste"]), Preference(kind, {}), count)
                figures.append({**decision._named(suite, kind, name, count), **done})
                print(figures[-1], flush=True)
            for name, fronted in FRONTS.items():
                shares = [missed(table, fronted, count, seed) for table, seed in found]
                figures.append({**decision._named(suite, "front", name, count), **decision.summed(shares)})
                print(figures[-1], flush=True)
    if sys.argv[1:]:
        return
    data = {
        "command": "python benchmarks/botorch_proposals.py",
        "date": time.strftime("%Y-%m-%d"),
        "versions": (
            f"botorch {botorch.__version__}, gpytorch {gpytorch.__version__}, torch {torch.__version__}, 1 thread"
        ),
        "seconds": time.perf_counter() - start,
        "figures": figures,
    }
    rounded = json.loads(json.dumps(data), parse_float=lambda text: float(f"{float(text):.4g}"))
    OUT.write_text(json.dumps(rounded, indent=1) + "\n")


if __name__ == "__main__":
    main()
