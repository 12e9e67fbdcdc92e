"""The plain average of a task's runs."""

from dataclasses import replace

import torch

from finished import run_artefacts
from foretaste.plan import Ensemble
from foretaste.weights import TaskWeights
from foretaste.workflow.fit import fit
from foretaste.workflow.preview import prepare_merger
from foretaste.workflow.session import Session

POINT = TaskWeights(["low", "mid", "high"], [0.2, 0.3, 0.5])


def test_an_average_of_one_run_is_simple(session: Session) -> None:
    alone = replace(session, recipe=session.recipe.model_copy(update={"ensemble": Ensemble(members=1)}))
    fit(alone)
    found, expected = (prepare_merger(alone, name)[1].merge(POINT).params for name in ("average", "simple"))
    torch.testing.assert_close(dict(found), dict(expected), atol=1e-6, rtol=1e-5)


def test_average_is_the_mean_of_all_runs_under_alpha(pairs: Session) -> None:
    found = prepare_merger(pairs, "average")[1].merge(POINT).params
    runs = {task: [pairs.study.tensors(artefact) for artefact in run_artefacts(pairs, task)] for task in POINT}
    for name, tensor in found.items():
        expected = sum(POINT[task] / 2 * run[name].double() for task, each in runs.items() for run in each)
        torch.testing.assert_close(tensor.double(), expected, atol=1e-6, rtol=1e-5)
