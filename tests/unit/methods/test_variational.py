from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch

from foretaste.methods.method import prior_of
from foretaste.methods.site_set import SiteSet
from foretaste.methods.variational import LearnedLittle, warn_of_little
from foretaste.plan import Variational
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.site import GaussianSite
from foretaste.weights import TaskWeights, corners
from foretaste.workflow.fit import fit
from foretaste.workflow.preview import prepare, prepare_merger, preview
from foretaste.workflow.session import Session

POINT = TaskWeights(["low", "mid", "high"], [0.2, 0.3, 0.5])


def learned(session: Session) -> SiteSet:
    return prepare(session, "variational")


def sites_of(session: Session) -> Mapping[str, GaussianSite]:
    found = learned(session).sites(prior_of(session, 0.003))
    return {task: site for task, site in found.items() if isinstance(site, GaussianSite)}


def with_plan(session: Session, **changes: float) -> Session:
    return replace(
        session, recipe=session.recipe.model_copy(update={"variational": Variational.model_validate(changes)})
    )


def test_a_site_is_the_mean_and_the_curvature_of_a_run_that_is_kept(session: Session) -> None:
    found, sites = learned(session), sites_of(session)
    assert set(sites) == set(session.problem.names)
    for task, site in sites.items():
        (run,) = found.works[task]
        kept = session.study.tensors(run.artefact)
        assert isinstance(site.precision, Diagonal)
        for name, tensor in site.center.items():
            assert torch.equal(tensor, kept[name])
            torch.testing.assert_close(site.precision.entries[name], kept[f"hessian/{name}"].clamp(min=0))
        assert site.record.estimator == "variational"


def test_its_runs_are_others_than_the_ordinary_ones(session: Session) -> None:
    fitted = fit(session)
    found = learned(session)
    assert {done.key for works in found.works.values() for done in works}.isdisjoint(
        each.run.key for each in fitted.values()
    )
    assert [done.kind for done in session.study.all_work()].count("finetune") == 6


def test_a_second_call_trains_nothing(session: Session) -> None:
    first = preview(session, ["variational"], [POINT])
    before = session.study.all_work()
    assert preview(session, ["variational"], [POINT]) == first
    assert session.study.all_work() == before


def test_at_a_corner_the_preview_is_the_task_s_learned_mean(session: Session) -> None:
    sites, merged = sites_of(session), prepare_merger(session, "variational")[1]
    for corner in corners(session.problem.names):
        found = merged.merge(corner).params
        assert all(torch.equal(found[name], tensor) for name, tensor in sites[str(corner.corner)].center.items())


@pytest.mark.parametrize("change", [{"ess": 100.0}, {"learning_rate": 0.05}, {"hessian_init": 0.3}])
def test_other_numbers_of_the_recipe_are_other_runs(session: Session, change: dict[str, float]) -> None:
    plain, other = learned(session), learned(with_plan(session, **change))
    assert all(plain.artefacts[task] != other.artefacts[task] for task in session.problem.names)


def test_training_without_a_prior_works_too(session: Session) -> None:
    finetune = session.recipe.finetune.model_copy(update={"prior_precision": 0.0})
    bare = replace(session, recipe=session.recipe.model_copy(update={"finetune": finetune}))
    (row,) = preview(bare, ["variational"], [POINT])
    assert all(0 < metrics["loss"] < 10 for metrics in row.metrics.values())


def test_its_cost_is_that_of_its_runs_alone(session: Session) -> None:
    found = learned(session)
    runs = [done for works in found.works.values() for done in works]
    assert [done.kind for done in runs] == ["finetune"] * 3
    assert found.seconds == pytest.approx(sum(done.seconds for done in runs))


def test_a_run_that_learns_little_is_told() -> None:
    said = r"of task 'low' ended at a training loss of 0.9, the ordinary one at 0.2 \(from 1\)"
    with pytest.warns(LearnedLittle, match=said):
        warn_of_little("low", [1.0] * 10 + [0.9] * 10, [1.0] * 10 + [0.2] * 10)


@pytest.mark.parametrize(
    ("history", "ordinary"), [([1.0] * 19, [0.1] * 19), ([1.0] * 30, []), ([1.0] * 10 + [0.5] * 10, [0.1] * 20)]
)
def test_a_run_that_learns_is_not_told(history: list[float], ordinary: list[float]) -> None:
    warn_of_little("low", history, ordinary)


def test_the_runs_of_a_study_are_compared(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, int, int]] = []
    monkeypatch.setattr(
        "foretaste.methods.variational.warn_of_little", lambda task, *runs: told.append((task, *map(len, runs)))
    )
    learned(session)
    assert told == [(task, 5, 5) for task in session.problem.names]
