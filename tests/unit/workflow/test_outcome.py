from pathlib import Path

import pytest

from foretaste.errors import StudyError, WeightsError
from foretaste.evaluation import Fidelity
from foretaste.recipe import parse
from foretaste.store.study import StudyStore
from foretaste.surface.preference import Floor, Preference
from foretaste.weights import corners, uniform
from foretaste.workflow.confirm import confirm
from foretaste.workflow.fit import fit
from foretaste.workflow.outcome import empty_surface, read_outcome
from foretaste.workflow.preview import preview
from foretaste.workflow.session import Session
from foretaste.workflow.start import start


def test_an_empty_study_says_what_to_run(tmp_path: Path) -> None:
    with (
        StudyStore.create(tmp_path / "s") as study,
        pytest.raises(StudyError, match=r"is empty; run `foretaste run RECIPE --study .*/s` first"),
    ):
        read_outcome(study)


def test_a_study_without_rows_can_be_looked_at(session: Session) -> None:
    found = read_outcome(session.study)
    assert found.name == "small digits"
    assert found.surface.rows == ()
    assert found.method == "anchored"
    assert found.provenance["prior precision"] == "not used yet"


def test_rows_goal_and_method_come_from_the_study_or_the_caller(session: Session) -> None:
    names = session.problem.names
    rows = preview(session, ["simple", "diagonal"], [uniform(names)])
    found = read_outcome(session.study)
    assert list(found.surface.rows) == rows
    assert (found.preference, found.floors, found.method) == (Preference("mean", {}), (), "diagonal")
    other = read_outcome(session.study, "low=1", ["all>=90%"], "simple")
    assert other.preference == Preference.parse("low=1", names)
    assert other.floors == (Floor("all", 0.9, True),)
    assert other.method == "simple"
    with pytest.raises(StudyError, match="has no previews by 'kfac'; it has simple, diagonal"):
        read_outcome(session.study, method="kfac")
    with pytest.raises(WeightsError, match="preference 'best' is not understood"):
        read_outcome(session.study, "best")
    with pytest.raises(WeightsError, match="floor 'x' is not understood"):
        read_outcome(session.study, floors=["x"])


def test_costs_are_those_of_the_work(session: Session) -> None:
    rows = preview(session, ["simple"], corners(session.problem.names))
    joint = confirm(session, [uniform(session.problem.names)])
    costs = read_outcome(session.study).costs
    assert set(costs) == {"single-task finetuning", "curvature", "joint finetuning", "previews"}
    assert costs["previews"] == pytest.approx(sum(row.cost for row in rows))
    for name, kind in (("single-task finetuning", "finetune"), ("curvature", "site"), ("joint finetuning", "joint")):
        assert costs[name] == pytest.approx(sum(done.seconds for done in session.study.all_work(kind)))
    assert joint[0].cost > costs["joint finetuning"] > 0


def test_provenance_says_where_numbers_come_from(session: Session) -> None:
    preview(session, ["diagonal"], [uniform(session.problem.names)])
    found = read_outcome(session.study).provenance
    assert found["pretrained params"] == f"sha256 {session.base[:16]}"
    assert found["data of mid"] == f"sha256 {session.data['mid'][:16]}"
    assert "5 steps of 32" in found["training"]
    assert "learning rate 0.003" in found["training"]
    assert "exact labels" in found["curvature"]
    assert "60" in found["curvature"]
    assert found["prior precision"] == "0.003"
    assert "torch" in found["versions"]
    assert all("\n" not in line for line in found.values())


def test_provenance_says_how_near_joint_runs_came_to_alpha(session: Session, tmp_path: Path) -> None:
    confirm(session, [uniform(session.problem.names)])
    assert (
        read_outcome(session.study)
        .provenance["alpha in joint runs"]
        .startswith("by sampling; realised shares of units within ")
    )
    text = "name: a\nmodel: {source: digits}\njoint: {realise: loss}\n"
    with start(parse(text), text, session.problem, tmp_path / "other").study as study:
        assert read_outcome(study).provenance["alpha in joint runs"] == "by factors of the losses, exactly"


def test_an_outcome_needs_the_study_alone(session: Session) -> None:
    preview(session, ["diagonal"], [uniform(session.problem.names)])
    with StudyStore.open(session.study.path) as study:
        found = read_outcome(study)
    assert found == read_outcome(session.study)
    assert len(found.surface.where(Fidelity.PREVIEW).rows) == 1


def test_an_empty_surface_knows_the_tasks(session: Session, tmp_path: Path) -> None:
    empty, surface = empty_surface(session.study), read_outcome(session.study).surface
    assert (empty.headlines, empty.has_private_heads, empty.rows) == (surface.headlines, surface.has_private_heads, ())
    with (
        StudyStore.create(tmp_path / "new") as study,
        pytest.raises(StudyError, match="is empty; run `foretaste run RECIPE"),
    ):
        empty_surface(study)


def test_curves_are_read_for_reports_alone(session: Session) -> None:
    fit(session)
    assert read_outcome(session.study).curves == ()
    assert [run.name for run in read_outcome(session.study, with_curves=True).curves] == list(session.problem.names)
