"""The curvature-weighted average of a task's runs."""

from dataclasses import replace

import torch

from foretaste.methods.members import EVEN, member_curvatures
from foretaste.plan import Ensemble
from foretaste.weights import TaskWeights
from foretaste.workflow.fit import fit
from foretaste.workflow.preview import prepare_merger
from foretaste.workflow.session import Session

POINT = TaskWeights(["low", "mid", "high"], [0.2, 0.3, 0.5])


def test_the_average_of_one_run_is_diagonal(session: Session) -> None:
    alone = replace(session, recipe=session.recipe.model_copy(update={"ensemble": Ensemble(members=1)}))
    fit(alone)
    found, expected = (prepare_merger(alone, name)[1].merge(POINT).params for name in ("weighted", "diagonal"))
    torch.testing.assert_close(dict(found), dict(expected), atol=1e-6, rtol=1e-5)


def test_every_run_counts_by_its_curvature(pairs: Session) -> None:
    """The merged params solve a linear equation, entry by entry: the runs' posteriors, each by its precision."""
    sites, merger = prepare_merger(pairs, "weighted")
    merged = merger.merge(POINT).params
    curvatures = member_curvatures(pairs)
    for name, tensor in merged.items():
        runs = [(POINT[task] / 2, each.site(pairs)) for task, own in curvatures.items() for each in own]
        precisions = [share * (0.003 + site.precision.to_tensors()[name].double()) for share, site in runs]
        pulls = [precision * site.center[name].double() for precision, (_, site) in zip(precisions, runs, strict=True)]
        expected = sum(pulls) / sum(precisions)
        torch.testing.assert_close(tensor.double(), expected, atol=1e-5, rtol=1e-4)
    assert sites.options == EVEN
