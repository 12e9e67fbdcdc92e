from pathlib import Path

import pytest

from foretaste.errors import StudyError
from foretaste.evaluation import Fidelity
from foretaste.workflow.outcome import read_outcome
from foretaste.workflow.points import grid, joint_points
from foretaste.workflow.preview import preview
from foretaste.workflow.run import recommend_weights, run
from foretaste.workflow.session import Session
from swarms import made_up_runs, swarm


def test_run_makes_every_row_and_confirms_its_choice(session: Session) -> None:
    chosen = run(session)
    surface = read_outcome(session.study).surface
    points = grid(session.recipe, session.problem)
    for method in ("simple", "anchored"):
        assert [row.weights for row in surface.where(Fidelity.PREVIEW, method).rows] == points
    joint = [row.weights for row in surface.where(Fidelity.JOINT).rows]
    asked = joint_points(session.recipe, session.problem)
    assert joint[: len(asked)] == asked
    assert len(joint) <= len(asked) + 3
    assert chosen.weights in joint
    assert chosen.confirmed
    assert chosen.basis.startswith(f"{sum(weights.corner is None for weights in joint)} joint runs")


def test_run_again_finds_everything(session: Session) -> None:
    chosen = run(session)
    before = session.study.all_work()
    assert run(session) == chosen
    assert session.study.all_work() == before


def test_without_joint_runs_the_choice_is_near_the_best_preview(session: Session) -> None:
    with pytest.raises(StudyError, match="too few previews to recommend from"):
        recommend_weights(session.study)
    points = grid(session.recipe, session.problem)
    rows = preview(session, ["diagonal"], points)
    best = max(rows, key=lambda row: sum(found["accuracy"] for found in row.metrics.values()))
    found = recommend_weights(session.study)
    assert not found.confirmed
    assert sum(abs(found.weights[task] - best.weights[task]) for task in best.weights) / 2 <= 0.4


def test_a_study_of_runs_made_elsewhere_is_advised_to_tell_more(tmp_path: Path) -> None:
    with (
        swarm(tmp_path / "a.study", made_up_runs(1, "proxy-60m")) as study,
        pytest.raises(StudyError, match="there are too few runs to recommend from; tell the results of more runs"),
    ):
        recommend_weights(study)
