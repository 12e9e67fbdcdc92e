"""Kronecker-factored Gaussians."""

from dataclasses import asdict

import torch

from foretaste.methods.kronecker import Kronecker
from foretaste.methods.method import prior_of
from foretaste.posterior.site import GaussianSite
from foretaste.work.runs import SingleTaskRun
from foretaste.workflow.preview import prepare
from foretaste.workflow.session import Session


def test_sites_have_kronecker_curvature_at_the_tasks_models(session: Session) -> None:
    found = prepare(session, "kronecker")
    for task, site in found.sites(prior_of(session, 0.003)).items():
        assert isinstance(site, GaussianSite)
        assert site.precision.structure == "kronecker"
        params = session.study.tensors(str(found.works[task][0].artefact))
        assert all(torch.equal(tensor, params[name]) for name, tensor in site.center.items())


def test_how_long_a_merge_goes_on_is_part_of_its_rows_names(session: Session) -> None:
    found = prepare(session, "kronecker")
    assert found.options == {"stop": asdict(found.stop)}
    assert 0 < found.stop.tolerance < 0.1
    assert found.stop.steps == 100


def test_each_task_s_estimate_needs_its_run(session: Session) -> None:
    works = Kronecker().work(session)
    assert [work.needs(session) for work in works] == [(SingleTaskRun(task),) for task in session.problem.names]
