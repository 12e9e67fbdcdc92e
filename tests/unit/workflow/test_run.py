import pytest

from foretaste.errors import StudyError
from foretaste.task import Fidelity
from foretaste.workflow.fit import fit
from foretaste.workflow.outcome import look
from foretaste.workflow.preview import preview
from foretaste.workflow.run import recommended, run
from foretaste.workflow.session import Session, grid, joint_points


def test_run_makes_every_row_and_confirms_its_choice(session: Session) -> None:
    chosen = run(session)
    surface = look(session.study).surface
    points = grid(session.recipe, session.problem)
    for method in ("simple", "anchored"):
        assert [row.weights for row in surface.where(Fidelity.PREVIEW, method).rows] == points
    joint = [row.weights for row in surface.where(Fidelity.JOINT).rows]
    assert joint == list(dict.fromkeys([*joint_points(session.recipe, session.problem), chosen.weights]))
    assert chosen.weights in points
    assert chosen.method == "anchored"


def test_run_again_finds_everything(session: Session) -> None:
    chosen = run(session)
    before = session.study.all_work()
    assert run(session) == chosen
    assert session.study.all_work() == before


def test_the_choice_is_the_best_preview_so_far(session: Session) -> None:
    with pytest.raises(StudyError, match="no previews to recommend from"):
        recommended(session)
    points = grid(session.recipe, session.problem)
    rows = preview(session, fit(session), ["diagonal"], points)
    best = max(rows, key=lambda row: sum(found["accuracy"] for found in row.metrics.values()))
    found = recommended(session)
    assert found.value == pytest.approx(sum(metrics["accuracy"] for metrics in best.metrics.values()) / 3)
