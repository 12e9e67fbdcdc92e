import pytest
import torch

from finished import site_at
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.site import GaussianSite
from foretaste.work.curvature import KroneckerCurvature, mean_curvature
from foretaste.work.runs import SingleTaskRun
from foretaste.workflow.session import Session


def test_the_mean_curvature_is_over_all_entries_of_all_tasks(session: Session) -> None:
    sites = [site_at(session, task) for task in session.problem.names]
    flat = torch.cat([tensor.flatten() for site in sites for tensor in site.precision.to_tensors().values()])
    assert mean_curvature(sites) == pytest.approx(float(flat.double().mean()), rel=1e-6)


def test_the_mean_curvature_is_above_0_without_curvature() -> None:
    assert 0 < mean_curvature([GaussianSite({"w": torch.zeros(2)}, Diagonal({"w": torch.zeros(2)}))]) < 1e-9


def test_a_site_with_its_gradient_is_work_of_its_own(session: Session) -> None:
    run = SingleTaskRun("low")
    plain, sloped = KroneckerCurvature("low", run), KroneckerCurvature("low", run, gradient=True)
    session.finish([plain, sloped])
    assert plain.key(session) != sloped.key(session)
    assert plain.site(session).gradient is None
    gradient = sloped.site(session).gradient
    assert gradient is not None
    assert set(gradient) == set(sloped.site(session).center)
