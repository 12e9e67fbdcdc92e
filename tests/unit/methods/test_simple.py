"""Simple averaging."""

import torch

from finished import site_at
from foretaste.methods.simple import Simple, flat_site, task_runs
from foretaste.params import parameters_of
from foretaste.weights import TaskWeights
from foretaste.work.runs import SingleTaskRun
from foretaste.workflow.fit import fit
from foretaste.workflow.preview import prepare, prepare_merger
from foretaste.workflow.session import Session

POINT = TaskWeights(["low", "mid", "high"], [0.2, 0.3, 0.5])


def test_simple_takes_posteriors_as_isotropic(session: Session) -> None:
    """So its preview is the alpha-weighted mean of the tasks' params."""
    fit(session)
    found = prepare_merger(session, "simple")[1].merge(POINT).params
    for name, tensor in found.items():
        expected = sum(alpha * site_at(session, task).center[name].double() for task, alpha in POINT.items())
        torch.testing.assert_close(tensor.double(), expected, atol=1e-6, rtol=1e-5)
    assert any(
        not torch.allclose(tensor, prepare_merger(session, "diagonal")[1].merge(POINT).params[name])
        for name, tensor in found.items()
    )


def test_only_the_runs_are_needed(session: Session) -> None:
    assert (
        Simple().work(session)
        == tuple(task_runs(session).values())
        == tuple(SingleTaskRun(task) for task in session.problem.names)
    )
    works = prepare(session, "simple").works
    assert {task: [done.kind for done in own] for task, own in works.items()} == {
        task: ["finetune"] for task in session.problem.names
    }


def test_a_flat_site_has_no_curvature(session: Session) -> None:
    site = flat_site(session, "low", task_runs(session)["low"])
    assert set(site.center) == set(parameters_of(session.problem.model))
    assert site.precision.to_tensors()["scale"] == 0
