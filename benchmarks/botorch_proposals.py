"""Where joint runs are made: by `propose`, against BoTorch's acquisition on the same predictions, truth tables and recommendation.

    pip install botorch==0.18.1
    python benchmarks/botorch_proposals.py            # on one thread, 8 minutes; reads benchmarks/results/*.json
    python benchmarks/botorch_proposals.py digits     # one suite alone; nothing is written

Everything is as in decision.py but for the middle joint runs (the first is at uniform weights, the last confirms the
recommendation): one exact Gaussian process per task over sqrt(alpha), whose prior mean is what foretaste predicts from previews
alone, fitted to the joint runs so far by BoTorch, and qLogNoisyExpectedImprovement of the preference over the table's
weightings. Regrets in points, as in decision.py.
"""

import json
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import botorch
import gpytorch
import numpy as np
import torch
from botorch.acquisition.logei import qLogNoisyExpectedImprovement
from botorch.acquisition.objective import GenericMCObjective
from botorch.fit import fit_gpytorch_mll
from botorch.models import ModelListGP, SingleTaskGP
from gpytorch.mlls import SumMarginalLogLikelihood
from torch import Tensor

import decision
from decision import PREFERENCES, REPEATS, SETS, SUITES, Table, tables
from foretaste.surface.outlook import Outlook, outlook
from foretaste.surface.preference import Preference
from foretaste.weights import TaskWeights
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
    at = [table.place(weights) for weights in made]
    places, mean = torch.tensor(np.sqrt(table.truth.alphas())), before(table)
    values = torch.tensor(table.truth.values()[at] * signs(table))
    apart = (values - mean[at]).std(0) if len(at) > 1 else torch.zeros(values.shape[1])
    units = apart.clamp(min=SMALLEST)
    models = [
        SingleTaskGP(places[at], values[:, [task]] / units[task], mean_module=Known(places, mean[:, task] / units[task]))
        for task in range(values.shape[1])
    ]
    model = ModelListGP(*models)
    fit_gpytorch_mll(SumMarginalLogLikelihood(model.likelihood, model))
    objective = GenericMCObjective(lambda samples, X=None: preferred(preference, samples * units))  # noqa: N803 (theirs)
    gain = qLogNoisyExpectedImprovement(model, places[at], objective=objective, prune_baseline=False)
    left = [place for place in range(len(places)) if place not in at]
    with torch.no_grad():
        return table.points[left[int(gain(places[left].unsqueeze(1)).argmax())]]


def preferred(preference: Preference, values: Tensor) -> Tensor:
    return values.mean(-1) if preference.kind == "mean" else values.amin(-1)


def main() -> None:
    warnings.filterwarnings("ignore")  # BoTorch advises standardised outcomes, which would undo the prior's mean
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    start, figures = time.perf_counter(), []
    proposers: dict[str, Callable[..., TaskWeights]] = {"foretaste": decision._proposed, "BoTorch": by_botorch}
    for suite in sys.argv[1:] or SUITES:
        found = list(tables(suite))
        for kind in PREFERENCES:
            for count in (3, len(found[0].truth.tasks) + 3):
                for name, proposer in proposers.items():
                    decision._proposed = proposer
                    ours, preference = decision.ours(SETS["foretaste"]), Preference(kind, {})
                    runs = [(table, seed) for table in found for seed in range(REPEATS)]
                    regrets = [decision._regret(table, preference, ours(table, preference, count, seed)) for table, seed in runs]
                    figures.append(decision._line(suite, kind, name, count, regrets))
                    print(figures[-1], flush=True)
    if sys.argv[1:]:
        return
    data = {
        "command": "python benchmarks/botorch_proposals.py",
        "date": time.strftime("%Y-%m-%d"),
        "versions": f"botorch {botorch.__version__}, gpytorch {gpytorch.__version__}, torch {torch.__version__}, 1 thread",
        "seconds": time.perf_counter() - start,
        "figures": figures,
    }
    rounded = json.loads(json.dumps(data), parse_float=lambda text: float(f"{float(text):.4g}"))
    OUT.write_text(json.dumps(rounded, indent=1) + "\n")


if __name__ == "__main__":
    main()
