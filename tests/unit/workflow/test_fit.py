from dataclasses import replace

import pytest
import torch

from foretaste.estimate.fisher import fisher
from foretaste.params import buffers_of, parameters_of
from foretaste.posterior.diagonal import Diagonal
from foretaste.recipe import parse
from foretaste.train.finetune import finetune
from foretaste.workflow.fit import fit, prior_precision
from foretaste.workflow.session import Session


def test_runs_are_finetunings_and_sites_their_curvature(session: Session) -> None:
    fitted = fit(session)
    assert list(fitted) == ["low", "mid", "high"]
    low = session.problem.tasks[0]
    params = finetune(session.problem.model, None, low, session.training).params
    assert all(torch.equal(params[name], tensor) for name, tensor in fitted["low"].curved.center.items())
    generator = torch.Generator().manual_seed(0)
    site = fisher(session.problem.model, params, low, generator=generator, labels="exact", max_examples=60, batch_size=32)
    assert isinstance(fitted["low"].curved.precision, Diagonal)
    for name, tensor in site.precision.to_tensors().items():
        torch.testing.assert_close(fitted["low"].curved.precision.to_tensors()[name], tensor)
    assert fitted["low"].curved.record == site.record


def test_artefacts_are_in_the_study(session: Session) -> None:
    for each in fit(session).values():
        params, curvature = (session.study.tensors(artefact) for artefact in each.artefacts)
        assert params.keys() == parameters_of(session.problem.model).keys() | buffers_of(session.problem.model).keys()
        assert curvature.keys() == each.curved.precision.to_tensors().keys()
        assert each.run.seconds > 0
        assert len(each.run.result["history"]) == 5


def test_nothing_is_fitted_twice(session: Session) -> None:
    before = [done.key for done in session.study.all_work()]
    fit(session)
    assert [done.key for done in session.study.all_work()] == before
    assert [done.kind for done in session.study.all_work()].count("finetune") == 3


def test_other_data_is_fitted_anew(session: Session) -> None:
    first, *rest = session.problem.tasks
    changed = replace(session, problem=replace(session.problem, tasks=(replace(first, fingerprint="other"), *rest)))
    fit(changed)
    assert [done.kind for done in session.study.all_work()].count("finetune") == 4


def test_the_prior_s_precision_is_the_mean_curvature_or_a_number(session: Session) -> None:
    fitted = fit(session)
    flat = torch.cat([tensor.flatten() for each in fitted.values() for tensor in each.curved.precision.to_tensors().values()])
    mean = parse("name: a\nmodel: {source: digits}\n")
    assert prior_precision(mean, fitted) == pytest.approx(float(flat.double().mean()), rel=1e-6)
    assert prior_precision(session.recipe, fitted) == 0.003


def test_the_prior_s_precision_is_above_0_without_curvature(session: Session) -> None:
    fitted = {
        task: replace(
            each, curved=replace(each.curved, precision=Diagonal({name: torch.zeros_like(t) for name, t in each.curved.center.items()}))
        )
        for task, each in fit(session).items()
    }
    assert 0 < prior_precision(parse("name: a\nmodel: {source: digits}\n"), fitted) < 1e-9
