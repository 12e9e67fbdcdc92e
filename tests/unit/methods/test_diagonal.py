"""Diagonal Gaussians."""

import torch

from finished import site_at
from foretaste.methods.diagonal import Diagonal, task_curvatures
from foretaste.methods.method import prior_of
from foretaste.posterior.diagonal import Diagonal as Precision
from foretaste.posterior.site import GaussianSite
from foretaste.weights import TaskWeights
from foretaste.workflow.preview import prepare, prepare_merger
from foretaste.workflow.session import Session

POINT = TaskWeights(["low", "mid", "high"], [0.2, 0.3, 0.5])


def test_sites_are_the_tasks_curvatures_at_their_models(session: Session) -> None:
    sites = prepare(session, "diagonal").sites(prior_of(session, 0.003))
    for task, site in sites.items():
        expected = site_at(session, task)
        assert isinstance(site, GaussianSite)
        assert isinstance(site.precision, Precision)
        for name, tensor in expected.precision.to_tensors().items():
            assert torch.equal(site.precision.entries[name], tensor)
            assert torch.equal(site.center[name], expected.center[name])


def test_more_curvature_means_more_weight(session: Session) -> None:
    """The merged params solve a linear equation, entry by entry: the tasks' posteriors, each by its precision."""
    merger = prepare_merger(session, "diagonal")[1]
    sites = {task: site_at(session, task) for task in session.problem.names}
    for name, tensor in merger.merge(POINT).params.items():
        precisions = {
            task: POINT[task] * (0.003 + site.precision.to_tensors()[name].double()) for task, site in sites.items()
        }
        pulls = [precision * sites[task].center[name].double() for task, precision in precisions.items()]
        expected = sum(pulls) / sum(precisions.values())
        torch.testing.assert_close(tensor.double(), expected, atol=1e-5, rtol=1e-4)


def test_every_task_s_run_and_estimate_are_needed(session: Session) -> None:
    assert Diagonal().work(session) == tuple(task_curvatures(session).values())
    assert list(task_curvatures(session)) == session.problem.names
