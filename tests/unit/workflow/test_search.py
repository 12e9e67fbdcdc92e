"""Searching a small digits study: within the budget, resumable, surviving failures."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from foretaste.errors import Diverged, RecipeError, Stopped, WeightsError
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.surface.preference import Floor, Preference
from foretaste.surface.searched import Budget, Progress
from foretaste.weights import TaskWeights, corners, uniform
from foretaste.workflow import search as module
from foretaste.workflow.confirm import confirm
from foretaste.workflow.outcome import read_outcome
from foretaste.workflow.preview import preview
from foretaste.workflow.search import search
from foretaste.workflow.session import Session

MEAN = Preference("mean", {})
SMALL = Budget(joint=2, previews=16)


@pytest.fixture
def simple(session: Session) -> Session:
    """By averaging alone: quick."""
    preview = session.recipe.preview.model_copy(update={"methods": ["simple"]})
    return replace(session, recipe=session.recipe.model_copy(update={"preview": preview}))


def rows(session: Session, fidelity: Fidelity) -> list[Evaluation]:
    return list(read_outcome(session.study).surface.where(fidelity).rows)


def test_it_stays_within_its_budget_and_confirms(simple: Session) -> None:
    told: list[Progress] = []
    found = search(simple, SMALL, MEAN, tolerance=0.0, on_progress=told.append)
    joint = [row.weights for row in rows(simple, Fidelity.JOINT)]
    previews = rows(simple, Fidelity.PREVIEW)
    assert joint[0] == uniform(simple.problem.names)
    assert len(joint) == 2
    assert len({(row.method, row.weights) for row in previews}) <= 16
    assert {row.method for row in previews} == {"simple", "anchored"}
    assert set(corners(simple.problem.names)) <= {row.weights for row in previews}
    assert found.spent.joint == 2
    assert found.failed == {}
    assert [each.weights for each in found.past_predictions] == joint
    assert told[-1].next == ()
    assert all(step.next for step in told[:-1])
    assert told[-1].recommendation == found.recommendation
    assert found.recommendation.basis.startswith("2 joint runs")


def test_going_on_finds_what_was_done(simple: Session) -> None:
    first = search(simple, SMALL, MEAN, tolerance=0.0)
    before = simple.study.all_work()
    again = search(simple, SMALL, MEAN, tolerance=0.0)
    assert simple.study.all_work() == before
    assert again.recommendation == first.recommendation
    more = search(simple, Budget(joint=3, previews=16), MEAN, tolerance=0.0)
    assert more.spent.joint == 3
    assert len(more.past_predictions) == 3


def test_a_tolerance_ends_it_early(simple: Session) -> None:
    found = search(simple, Budget(joint=9, previews=16), MEAN, tolerance=0.5)
    assert found.spent.joint < 9
    assert found.stopped.startswith("what the budget leaves is expected to add less than")
    assert found.recommendation.confirmed or found.recommendation.weights.corner


def test_without_joint_runs_it_previews(simple: Session) -> None:
    found = search(simple, Budget(joint=0, previews=9), MEAN)
    assert rows(simple, Fidelity.JOINT) == []
    assert {row.method for row in rows(simple, Fidelity.PREVIEW)} == {"simple"}
    assert found.spent.previews <= 9
    assert not found.recommendation.confirmed
    assert found.past_predictions == ()


def test_one_joint_run_checks_uniform_weights(simple: Session) -> None:
    search(simple, Budget(joint=1, previews=6), MEAN)
    assert [row.weights for row in rows(simple, Fidelity.JOINT)] == [uniform(simple.problem.names)]
    assert {row.method for row in rows(simple, Fidelity.PREVIEW)} == {"simple"}


def test_sharpened_previews_and_the_front(simple: Session) -> None:
    found = search(simple, Budget(joint=1, previews=8, sharpened=5), None, tolerance=0.0)
    sharpened = rows(simple, Fidelity.SHARPENED)
    assert {row.label for row in sharpened} == {"simple+1"}  # a tenth of 5 steps, at least one
    assert found.spent.sharpened == len(sharpened) == 5
    assert "knee" in found.recommendation.reason


def test_floors_are_kept_in_mind(simple: Session) -> None:
    found = search(
        simple, SMALL, MEAN, [Floor("low", 0.1, relative=True), Floor("all", 2.0, relative=False)], tolerance=0.0
    )
    first, second = found.recommendation.floors
    assert first.chance > 0.8
    assert second.chance == 0.0  # an accuracy of 2
    assert not found.recommendation.floors_met


def test_failed_joint_runs_are_told_and_not_tried_again(simple: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[TaskWeights] = []

    def fails(session: Session, points: Sequence[TaskWeights]) -> list[Evaluation]:
        if points[0] == uniform(session.problem.names):
            return confirm(session, points)
        tried.extend(points)
        raise Diverged("the loss became NaN at step 3")

    monkeypatch.setattr(module, "confirm", fails)
    monkeypatch.setattr("foretaste.surface.outlook._LATTICE", 15)  # weightings that a joint run may be tried at
    found = search(simple, Budget(joint=2, previews=12), MEAN, tolerance=0.0)
    assert tried
    assert len(tried) == len(set(tried)) == len(found.failed)
    assert set(found.failed.values()) == {"the loss became NaN at step 3"}
    assert found.spent.joint == 1


def test_one_failed_preview_of_many_leaves_the_others(simple: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = set[TaskWeights]()

    def fails(session: Session, methods: Sequence[str], points: Sequence[TaskWeights]) -> list[Evaluation]:
        if len(rows(session, Fidelity.JOINT)) and points and points[-1].corner is None:
            refused.update(points[-1:] if not refused else ())
            if refused & set(points):
                raise Diverged("not this one")
        return preview(session, methods, points)

    monkeypatch.setattr(module, "preview", fails)
    found = search(simple, Budget(joint=1, previews=20), MEAN, tolerance=0.0)
    assert list(found.failed.values()) == ["not this one"] * len(found.failed)
    assert not refused & {row.weights for row in rows(simple, Fidelity.PREVIEW)}
    assert found.spent.previews > 12  # a fifth of them came after


def test_too_small_a_budget(simple: Session) -> None:
    with pytest.raises(
        WeightsError, match="a budget of 2 previews does not cover the 3 single-task models; write at least previews=3"
    ):
        search(simple, Budget(joint=1, previews=2), MEAN)


def test_a_stop_is_passed_on(simple: Session) -> None:
    class Impatient:
        def begin(self, label: str, total: int) -> None: ...
        def advance(self, amount: int, note: str = "", stage: str | None = None) -> None: ...
        def say(self, text: str) -> None: ...
        def stopping(self) -> bool:
            return True

    with pytest.raises(Stopped):
        search(replace(simple, watch=Impatient()), SMALL, MEAN)


def test_previews_without_params_can_be_searched_but_not_sharpened(simple: Session) -> None:
    preview = simple.recipe.preview.model_copy(update={"methods": ["predictive"]})
    alone = replace(simple, recipe=simple.recipe.model_copy(update={"preview": preview}))
    assert search(alone, Budget(joint=1, previews=8), MEAN).spent.joint == 1
    with pytest.raises(RecipeError, match="has no params to sharpen"):
        search(alone, Budget(joint=1, previews=8, sharpened=3), MEAN)
